"""Interventions against a reference step by step, what they read and leave alone, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch

from fixtures_core import tiny_corpus, tiny_model, tiny_run
from relusparsity import corpora, distributed, train
from relusparsity.config import InterventionConfig, RunConfig, replace
from relusparsity.errors import UserError
from relusparsity.interventions.inputs import Intervention, mixed, reading
from relusparsity.models import build
from relusparsity.train import evaluate, loop
from relusparsity.train.step import Trainer

WIDTH = 6
KINDS: dict[str, dict[str, Any]] = {
    "centre": {"kind": "centre"},
    "add": {"kind": "add", "strength": 0.5, "seed": 3},
    "along": {"kind": "add", "strength": 2.0, "direction": "along"},
}
KINDS |= {f"{name}, placebo": fields | {"placebo": True, "seed": 3} for name, fields in KINDS.items()}


def treated(layer: int = 1, **fields: Any) -> dict[str, Any]:
    return {f"intervention.{name}": value for name, value in (fields | {"layer": layer}).items()}


def inputs(steps: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Inputs (step, sequence, position, feature) whose mean and spread move, and tokens."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(4, 8, WIDTH, generator=generator) * (1 + i / 50) + i / 40 + 1 for i in range(steps)]
    return drawn, torch.randint(0, 64, (4, 8), generator=generator)


@pytest.mark.parametrize("name", KINDS)
def test_every_step_is_treated_by_what_the_steps_before_it_left(name: str) -> None:
    config = InterventionConfig(**KINDS[name])
    module = Intervention(config, WIDTH)
    drawn = module.drawn.double().numpy()
    mean, spread = np.zeros(WIDTH), 0.0
    steps, tokens = inputs(130)
    for step, x in enumerate(steps):
        shift = (module(x, tokens) - x).double().numpy()
        signs = np.sign((shift * shift[:1, :1]).sum(-1))
        if config.kind == "centre":
            expected = -mean
        elif config.direction == "along":
            expected = 2 * spread * mean / max(np.linalg.norm(mean), 1e-30)
        else:
            e = drawn - drawn @ mean * mean / max(mean @ mean, 1e-30)
            expected = 0.5 * spread * e / np.linalg.norm(e)
            assert abs(shift @ mean).max() < 1e-3 * max(spread, 1e-9), "orthogonal to the current mean"
        if not config.placebo:
            np.testing.assert_allclose(shift, np.broadcast_to(expected, shift.shape), atol=2e-5)
        elif step == 0:
            assert not shift.any()
        else:
            assert set(signs.flat) == {-1.0, 1.0}
            np.testing.assert_allclose(abs(shift), np.broadcast_to(abs(expected), shift.shape), atol=2e-5)
        if config.kind == "add" and step:
            np.testing.assert_allclose(np.linalg.norm(shift, axis=-1), config.strength * spread, rtol=1e-4)
        flat = x.double().numpy().reshape(-1, WIDTH)
        mean = flat.mean(0) if step == 0 else mean + max(0.01, 1 / (step + 1)) * (flat.mean(0) - mean)
        if step % 50 == 0:
            spread = np.sqrt(flat.var(0).sum())
        np.testing.assert_allclose(module.mean.numpy(), mean, rtol=1e-5, atol=1e-6)
        assert float(module.spread) == pytest.approx(spread, rel=1e-5) and int(module.step) == step + 1


def test_statistics_carry_no_gradient_and_the_input_all_of_it() -> None:
    module = Intervention(InterventionConfig(kind="centre"), WIDTH)
    x = torch.randn(2, 8, WIDTH, requires_grad=True)
    for _ in range(2):
        module(x, torch.zeros(2, 8, dtype=torch.long)).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 2.0)) and not list(module.parameters())  # type: ignore[arg-type]


def test_the_hash_is_the_same_of_numbers_and_tensors_and_one_to_one() -> None:
    numbers = [0, 1, 2, 77, 2**31, 2**32 - 1]
    assert mixed(torch.tensor(numbers)).tolist() == [mixed(each) for each in numbers]
    assert len(mixed(torch.arange(10**5)).unique()) == 10**5 and int(mixed(torch.arange(10**5)).max()) < 2**32


def test_signs_are_even_and_new_at_every_step() -> None:
    module = Intervention(InterventionConfig(kind="centre", placebo=True, seed=2**40), WIDTH)
    tokens = torch.randint(0, 1000, (64, 256), generator=torch.Generator().manual_seed(0))
    bound = 4 / tokens.numel() ** 0.5
    first = module.signs(tokens)
    module.step.add_(1)
    for sign in (first, module.signs(tokens), first * module.signs(tokens), first[:, 1:] * first[:, :-1]):
        assert abs(float(sign.mean())) < bound
    assert torch.equal(module.signs(tokens), module.signs(tokens.flip(0))), "in training the place counts, no token"
    module.eval()
    read = module.signs(tokens)
    assert abs(float(read.mean())) < bound and abs(float((read * first).mean())) < bound
    other = Intervention(InterventionConfig(kind="centre", placebo=True, seed=1), WIDTH).eval().signs(tokens)
    assert abs(float((read * other).mean())) < bound
    assert torch.equal(read[5:9, :100], module.signs(tokens[5:9, :100])), "however the text is split"
    assert torch.equal(read.flip(0), module.signs(tokens.flip(0)))


@pytest.mark.parametrize("place", ["pre", "post", "parallel"])
def test_it_stands_between_norm_and_mlp_of_its_layer_alone(place: str) -> None:
    trainer = Trainer(
        tiny_run(**{"model.norm_place": place}, **treated(kind="add", strength=2.0)),
        tiny_corpus(),
        torch.device("cpu"),
    )
    block = trainer.model.blocks[1]
    trainer.advance()
    before: list[torch.Tensor] = []
    norm = block.attention_norm if place == "post" else block.mlp_norm
    norm.register_forward_hook(lambda _m, _x, out: before.append(out))
    given: dict[int, torch.Tensor] = {}
    tokens = torch.zeros(2, 8, dtype=torch.long)
    with reading(trainer.model), torch.no_grad():
        trainer.model(tokens, lambda layer, x, *_: given.update({layer: x}))
    assert trainer.model.training
    torch.testing.assert_close(given[1] - before[0], block.intervention.shift().expand_as(before[0]))
    assert float(block.intervention.shift().norm()) > 0.1
    assert [each.intervention is not None for each in trainer.model.blocks] == [False, True]


def test_reading_moves_nothing_and_gamma_is_of_what_the_mlp_is_given() -> None:
    corpus = tiny_corpus()
    trainer = Trainer(tiny_run(**treated(kind="centre")), corpus, torch.device("cpu"))
    for _ in range(3):
        trainer.advance()
    module, sequences = trainer.model.blocks[1].intervention, corpora.heldout_sequences(corpus.heldout, 8)[:8]
    seen: list[torch.Tensor] = []
    handle = module.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    evaluate.measure(trainer.model, sequences, 8)
    evaluate.token_type_counts(trainer.model, sequences, 1, 4)
    handle.remove()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    module.mean.copy_(seen[0].mean((0, 1)))  # of just what is read
    gamma = evaluate.measure(trainer.model, sequences, 8).drift["gamma"]
    assert gamma[1] < 1e-5 < 0.01 < gamma[0]


def test_saved_weights_are_read_with_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    corpus, config = tiny_corpus(), tiny_run(**treated(kind="add", strength=2.0, placebo=True))
    run = train.run(config, corpus)
    model, sequences = run.model(), corpora.heldout_sequences(corpus.heldout, 8)[:24]
    assert int(model.blocks[1].intervention.step) == config.train.steps and not model.training
    losses = [evaluate.score(model, sequences, batch).loss for batch in (1, 5)]
    assert losses == pytest.approx([float(run.dataset["final_loss"])] * 2, rel=1e-6)
    model.blocks[1].intervention.spread.zero_()
    assert evaluate.score(model, sequences, 4).loss != pytest.approx(losses[0], rel=1e-4)


def test_an_untreated_model_holds_nothing_of_it() -> None:
    model = build(tiny_model(), 0)
    assert not any("intervention" in name for name, _ in (*model.named_modules(), *model.named_buffers()) if name)


@pytest.mark.parametrize("name", ["centre, placebo", "add", "along"])
def test_compiled_it_is_one_graph_compiled_once(name: str) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend  # PyTorch's compiler, which takes a second

    compiled, plain = (
        Trainer(tiny_run(**treated(**KINDS[name])), tiny_corpus(), torch.device("cpu")) for _ in range(2)
    )
    counter = CompileCounterWithBackend("aot_eager")
    compiled.objective = torch.compile(compiled.objective, backend=counter, fullgraph=True)
    for _ in range(4):
        pairs = zip(compiled.advance(), plain.advance(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
        with torch.no_grad(), reading(compiled.model):  # measuring between steps
            compiled.model(torch.zeros(2, 8, dtype=torch.long))
    assert counter.frame_count == 1
    one, two = compiled.model.state_dict(), plain.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_under_autocast_statistics_stay_float32() -> None:
    config = tiny_run(**{"train.precision": "bf16"}, **treated(kind="add", strength=1.0))
    trainer = Trainer(config, tiny_corpus(), torch.device("cpu"))
    for _ in range(2):
        loss, _ = trainer.advance()
    module = trainer.model.blocks[1].intervention
    assert module.mean.dtype == module.spread.dtype == torch.float32 and torch.isfinite(loss)
    with evaluate.autocast("cpu", "bf16"):
        assert abs(float((module.direction() * module.mean).sum())) < 1e-6


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "centre", "layer": 2}, "layer = 2, but the model has 2 layers, counted from 0; choose one of 0 to 1"),
        ({"layer": 1}, "layer = 1 is not read by an intervention of kind = none"),
        ({"strength": 2.0}, "strength = 2.0 is not read by an intervention of kind = none"),
        ({"kind": "centre", "strength": 2.0}, "strength = 2.0 is not read by an intervention of kind = centre"),
        ({"kind": "centre", "direction": "along"}, "direction = along is not read"),
        ({"kind": "centre", "seed": 1}, "seed = 1 is not read by an intervention of kind = centre"),
        ({"kind": "add", "strength": 1.0, "direction": "along", "seed": 1}, "seed = 1 is not read .* along the mean"),
        ({"placebo": True}, "placebo = True is not read by an intervention of kind = none"),
        ({"kind": "add"}, "strength = 0 with kind = add adds nothing"),
        ({"kind": "add", "strength": -1.0}, "strength = -1.0: expected a number from 0"),
        ({"kind": "subtract"}, "kind = 'subtract': expected one of none, centre, add"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        replace(tiny_run(), **{f"intervention.{name}": value for name, value in fields.items()})
    assert str(raised.value).count(". ") == 0, "one sentence"


def test_a_single_feature_has_no_orthogonal_direction() -> None:
    with pytest.raises(UserError, match="d_model of 2 or more"):
        replace(
            RunConfig(),
            **{"model.d_model": 1, "model.n_heads": 1, "model.positions": "none"},
            **treated(**KINDS["add"]),
        )


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world", lambda: 2)
    with pytest.raises(UserError, match="2 processes would each have their own; train with one"):
        loop._check(tiny_run(**treated(kind="centre")), tiny_corpus())
    loop._check(tiny_run(), tiny_corpus())
