"""`track` on models of every kind: counts equal those recomputed from stored activations, whatever the model does."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import relusparsity
from any_models import DECODERS, GATED, KINDS, SMOOTH, build, inputs, names, stored
from relusparsity import models
from relusparsity.anymodel import above
from relusparsity.config import ModelConfig
from relusparsity.counting.layer import LayerUse
from relusparsity.counting.use import UseTracker
from relusparsity.errors import UserError
from relusparsity.measure.measure import Options


def brute_force(fired: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    """Every count again, the slow way, from masks (sequence, position, unit) and (sequence, position)."""
    of_sequence = [row[here] for row, here in zip(fired, real, strict=True) if here.any()]
    stream, units = np.concatenate(of_sequence), fired.shape[-1]
    windows = {}
    for level in range(21):
        whole = [stream[i : i + 2**level] for i in range(0, len(stream) - 2**level + 1, 2**level)]
        windows[level] = (sum(int(w.any(0).sum()) for w in whole), len(whole))
    return {
        "tokens": len(stream),
        "sequences": len(of_sequence),
        "unit_tokens": stream.sum(0),
        "unit_sequences": np.sum([s.any(0) for s in of_sequence], axis=0),
        "token_histogram": np.bincount(stream.sum(1), minlength=units + 1),
        "sequence_histogram": np.bincount([s.any(0).sum() for s in of_sequence], minlength=units + 1),
        "window_units": [windows[level][0] for level in range(21)],
        "window_count": [windows[level][1] for level in range(21)],
    }


def assert_counts(use: LayerUse, fired: np.ndarray, real: np.ndarray | None = None, windows: bool = True) -> None:
    real = np.ones(fired.shape[:2], dtype=bool) if real is None else real
    for name, value in brute_force(fired, real).items():
        if windows or not name.startswith("window"):
            np.testing.assert_array_equal(np.asarray(getattr(use, name)), value, err_msg=name)


def shaped(activations: list[np.ndarray], sequences: int) -> np.ndarray:
    return np.concatenate([a.reshape(sequences, -1, a.shape[-1]) for a in activations], axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_from_disk(kind: str, tmp_path: Path) -> None:
    model = build(kind, tmp_path)
    before = {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()}
    bare = model(**inputs(kind)).logits
    with stored(model, names(kind)) as kept, relusparsity.track(model) as use:
        watched = model(**inputs(kind)).logits
    assert torch.equal(bare, watched)
    assert before == {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()}
    assert [place.name for place in use.places] == names(kind)
    assert {place.kind for place in use.places} == {"smooth" if kind in SMOOTH else "relu"}
    assert {place.gated for place in use.places} == {kind in GATED}
    assert ("not exactly zero" in repr(use)) == (kind in SMOOTH)
    for layer, activations in zip(use.layers, kept, strict=True):
        a = shaped(activations, 3)
        assert layer is not None and a.size > 0
        assert_counts(layer, a != 0 if kind in SMOOTH else a > 0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["opt", "llama_relu", "bert", "t5"])
def test_padding_does_not_count(kind: str, side: str) -> None:
    model, given = build(kind), inputs(kind, 4)
    real = np.arange(8) < np.array([[8], [3], [0], [5]])  # one row is padding only
    real = real[:, ::-1].copy() if side == "left" else real
    given["attention_mask"] = torch.from_numpy(real).long()
    masks = [real, real]
    if kind == "t5":
        short = real[:, :4] if side == "right" else real[:, 4:]
        given["decoder_attention_mask"] = torch.from_numpy(short.copy()).long()
        masks += [short, short]
    with stored(model, names(kind)) as kept, relusparsity.track(model, rule=above(0.02, len(names(kind)))) as use:
        model(**given)
    for layer, activations, mask in zip(use.layers, kept, masks, strict=True):
        assert layer is not None and layer.tokens == mask.sum() < mask.size
        assert_counts(layer, np.abs(shaped(activations, 4)) > np.float32(0.02), mask)


@pytest.mark.parametrize("kind", DECODERS)
def test_decoding_with_a_cache_is_one_sequence(kind: str) -> None:
    """A prompt and then one token at a time gives the counts of one sequence, also with padding on the left."""
    model, ids = build(kind), inputs(kind, 2)["input_ids"]
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    with stored(model, names(kind)) as kept, relusparsity.track(model, rule=above(0.02, 2)) as use, torch.no_grad():
        past = model(input_ids=ids[:, :5], attention_mask=mask[:, :5], use_cache=True).past_key_values
        for at in range(5, 8):
            model(input_ids=ids[:, at : at + 1], attention_mask=mask[:, : at + 1], past_key_values=past, use_cache=True)
    for layer, activations in zip(use.layers, kept, strict=True):
        assert layer is not None and (layer.tokens, layer.sequences) == (13, 2)
        assert_counts(layer, np.abs(shaped(activations, 2)) > np.float32(0.02), mask.bool().numpy(), windows=False)
        # tokens of the two came by turns, which is no running text
        assert np.isfinite(layer.window_use()[0]) and np.isnan(layer.window_use()[1:]).all()


def test_another_cache_begins_other_sequences() -> None:
    """Copies of a prompt's cache are as many sequences; two caches that go on by turns do not run into each other."""
    model, ids = build("opt"), inputs("opt", 3)["input_ids"]
    with torch.no_grad():
        prompt = model(input_ids=ids[:1, :5], use_cache=True).past_key_values
        with relusparsity.track(model) as use:
            for row in range(3):
                model(input_ids=ids[row : row + 1, 5:7], past_key_values=copy.deepcopy(prompt))
        assert [(each.tokens, each.sequences) for each in use.counts()] == [(6, 3)] * 2
        with relusparsity.track(model) as use:
            one, other = copy.deepcopy(prompt), copy.deepcopy(prompt)
            for cache in (one, other, one):
                model(input_ids=ids[:1, 5:6], past_key_values=cache)
        assert [each.sequences for each in use.counts()] == [3] * 2, "a cache taken up again begins anew as well"


def test_a_sequence_goes_on_in_a_later_block() -> None:
    model, ids = build("opt"), inputs("opt", 1)["input_ids"]
    use = relusparsity.track(model)
    with torch.no_grad(), use:
        cache = model(input_ids=ids[:, :5], use_cache=True).past_key_values
    with torch.no_grad(), use:
        model(input_ids=ids[:, 5:6], past_key_values=cache)
    assert [(each.tokens, each.sequences) for each in use.counts()] == [(6, 1)] * 2


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected a torch\.nn\.Module"):
        relusparsity.track("facebook/opt-125m")  # type: ignore[arg-type]


def test_generation_of_one_text_has_windows() -> None:
    model, ids = build("opt"), inputs("opt", 1)["input_ids"]
    with stored(model, names("opt")) as kept, relusparsity.track(model) as use:
        model.generate(ids, max_new_tokens=7, min_new_tokens=7, do_sample=False)
    for layer, activations in zip(use.layers, kept, strict=True):
        assert layer is not None and (layer.tokens, layer.sequences) == (14, 1)  # the last token is never read
        assert_counts(layer, shaped(activations, 1) > 0)


def test_generation_with_an_encoder_called_by_itself() -> None:
    model, ids = build("t5"), inputs("t5")["input_ids"]
    with relusparsity.track(model) as use:
        model.generate(input_ids=ids, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert [layer.tokens for layer in use.counts()] == [24, 24, 12, 12]
    assert [layer.sequences for layer in use.counts()] == [3, 3, 3, 3]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_counts_its_own_zeros(dtype: torch.dtype) -> None:
    model = build("opt").to(dtype)
    with stored(model, names("opt")) as kept, relusparsity.track(model) as use, torch.inference_mode():
        model(**inputs("opt"))
    with relusparsity.track(model) as again:
        model(**inputs("opt"))
    for layer, same, activations in zip(use.counts(), again.counts(), kept, strict=True):
        assert_counts(layer, shaped(activations, 3) > 0)
        assert torch.equal(layer.unit_tokens, same.unit_tokens)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_is_not_changed_and_recomputed_layers_count_once(checkpointing: bool) -> None:
    one = build("opt").train()
    other = copy.deepcopy(one)
    if checkpointing:
        one.gradient_checkpointing_enable() if not hasattr(
            one, "activation_checkpointing_enable"
        ) else one.activation_checkpointing_enable()
    given = inputs("opt")
    for model in (one, other):
        torch.manual_seed(1)
        tracked = relusparsity.track(model)
        if model is one:
            with tracked as use:
                model(**given, labels=given["input_ids"]).loss.backward()
        else:
            with stored(model, names("opt")) as kept:
                model(**given, labels=given["input_ids"]).loss.backward()
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-7) and (
            checkpointing or torch.equal(ours.grad, theirs.grad)
        )
    for layer, activations in zip(use.counts(), kept, strict=True):
        assert_counts(layer, shaped(activations, 3) > 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_compiled_model_is_counted_and_stays_compiled(when: str) -> None:
    """Compiled by Dynamo without a backend, which needs no C++ compiler: it is Dynamo that drops hooks."""
    torch._dynamo.reset()
    model = build("opt")
    compiled = torch.compile(model, backend="eager")
    if when == "after":
        compiled(**inputs("opt"))
    with stored(model, names("opt")) as kept, relusparsity.track(compiled) as use:
        compiled(**inputs("opt"))
    for layer, activations in zip(use.counts(), kept, strict=True):
        assert_counts(layer, shaped(activations, 3) > 0)
    counters = torch._dynamo.utils.counters
    counters.clear()
    compiled(**inputs("opt"))
    assert (counters["stats"]["unique_graphs"] > 0) == (when == "before")  # after: the graph it had before
    assert all(layer.tokens == 24 for layer in use.counts())
    torch._dynamo.reset()


def test_wrapped_for_data_parallel_training(tmp_path: Path) -> None:
    """In a process of its own: a process group that outlives its model can wait for itself for ever."""
    job = Path(__file__).with_name("track_ddp_job.py")
    command = [sys.executable, str(job), str(tmp_path / "group")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and done.stdout.startswith("counted"), done.stderr[-3000:]


def test_an_exception_leaves_the_model_as_it_was_and_the_next_block_works() -> None:
    model = build("opt")
    with pytest.raises(RuntimeError, match="mine"), relusparsity.track(model):
        model(**inputs("opt"))
        raise RuntimeError("mine")
    with relusparsity.track(model) as use:
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.tensor([[500]]))  # no such token: fails inside forward
        model(**inputs("opt"))
    assert [layer.tokens for layer in use.counts()] == [24, 24]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_call_that_fails_between_layers_spoils_the_counts() -> None:
    model = build("opt")
    failing = model.model.decoder.layers[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(UserError, match="ended with an error"), relusparsity.track(model) as use:
        with pytest.raises(ZeroDivisionError):
            model(**inputs("opt"))
        failing.remove()
        model(**inputs("opt"))
    with pytest.raises(UserError, match="not whole"):
        use.token_use()


class Chooses(nn.Module):
    """A layer that, like an expert, sees some of the tokens only."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, inputs_embeds: torch.Tensor) -> torch.Tensor:
        return self.inside(inputs_embeds[:, ::2])


def test_layers_that_see_some_of_the_tokens_are_refused() -> None:
    model = Chooses()
    with pytest.raises(UserError, match="cannot be counted"), relusparsity.track(model):
        model(torch.ones(2, 6, 2))


def test_the_chapters_own_decoder_gives_the_chapters_own_counts() -> None:
    config = ModelConfig(n_layers=2, d_model=8, d_ff=16, n_heads=2, seq_len=8, vocab_size=64)
    model = models.build(config, seed=0)
    tokens = torch.randint(0, 64, (5, 8), generator=torch.Generator().manual_seed(0))
    reference = UseTracker([16, 16], 8)
    with relusparsity.track(model) as use, torch.no_grad():
        model(tokens, lambda layer, _x, _z, a: reference.update(layer, a > 0))
    width = reference.window_use().shape[1]
    np.testing.assert_array_equal(use.window_use()[:, :width], reference.window_use())
    for layer, counted in enumerate(use.counts()):
        for name in ("unit_tokens", "unit_sequences", "token_histogram", "sequence_histogram"):
            assert torch.equal(getattr(counted, name), getattr(reference.layers[layer], name))
    data = use.dataset()
    np.testing.assert_allclose(data["final_token_use"][0], reference.token_use(), rtol=1e-6)
    np.testing.assert_allclose(data["firing_rate_percentiles"][0], reference.firing_rate_percentiles(), rtol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 999), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans())
def test_the_counter_is_brute_force_however_the_stream_is_cut(seed: int, calls: list[int], padded: bool) -> None:
    rng = np.random.default_rng(seed)
    use, fired, real = LayerUse(5), [], []
    for sequences in calls:
        positions = int(rng.integers(1, 9))
        mask = rng.random((sequences, positions)) < 0.7 if padded else np.ones((sequences, positions), dtype=bool)
        mask.flat[0] = True
        part = rng.random((sequences, positions, 5)) < rng.random(5) ** 2
        use.update(torch.from_numpy(part), torch.from_numpy(mask) if padded else None)
        pad = ((0, 0), (0, 9 - positions))
        fired.append(np.pad(part, (*pad, (0, 0))))
        real.append(np.pad(mask, pad))
    assert_counts(use, np.concatenate(fired), np.concatenate(real))
    copied = LayerUse(5)
    copied.load(use.state())
    for counter in (use, copied):
        counter.update(torch.from_numpy(fired[0]), torch.from_numpy(real[0]))
    assert_counts(copied, np.concatenate([*fired, fired[0]]), np.concatenate([*real, real[0]]))
    both = LayerUse(5)
    both.merge(use)
    both.merge(copied)
    assert both.tokens == 2 * use.tokens and torch.equal(both.unit_tokens, 2 * use.unit_tokens)


def test_activations_of_any_strides_count() -> None:
    """As Mamba's, which has positions last, where it decodes one token."""
    fired = torch.rand(2, 16, 1, generator=torch.Generator().manual_seed(0)).transpose(1, 2) > 0.5
    assert fired.stride() == (16, 1, 1)
    for real in (None, torch.tensor([[True], [False]])):
        here, there = LayerUse(16, torch.device("cpu")), LayerUse(16, torch.device("cpu"))
        here.update(fired, real)
        there.update(torch.from_numpy(fired.numpy().copy()), real)
        assert all(torch.equal(value, there.state()[name]) for name, value in here.state().items())
        assert here.tokens == (2 if real is None else 1)


def test_choices_by_pattern_by_function_and_by_input() -> None:
    model = build("llama_relu")
    with relusparsity.track(model, "*.mlp.act_fn") as one, relusparsity.track(model, lambda n, m: "act" in n) as two:
        model(**inputs("llama_relu"))
    assert [p.name for p in one.places] == [p.name for p in two.places] == names("llama_relu")
    with relusparsity.track(build("opt"), "*.fc2", of="input") as use:
        use.model(**inputs("opt"))
    with relusparsity.track(build("opt")) as same:
        same.model(**inputs("opt"))
    assert [torch.equal(a.unit_tokens, b.unit_tokens) for a, b in zip(use.counts(), same.counts(), strict=True)]


class Poisoned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float("nan")


def test_bad_input_is_one_clear_sentence() -> None:
    opt = build("opt")
    bad: list[tuple[nn.Module, dict[str, Any], str]] = [
        (nn.Linear(2, 2), {}, "has no MLP"),
        (opt, {"layers": "*.mlp.act"}, "matches no module"),
        (opt, {"layers": "*"}, "matches too much"),
        (opt, {"layers": 3}, "expected a pattern or a function"),
        (opt, {"of": "inside"}, "expected 'output', 'input'"),
        (opt, {"rule": above(0.1, 5)}, "thresholds for 5 layers, the model has 2"),
    ]
    for model, options, sentence in bad:
        with pytest.raises(UserError, match=sentence):
            relusparsity.track(model, **options)
    with pytest.raises(UserError, match="expected a number above 0"):
        above(-1.0, 2)
    with relusparsity.track(opt) as use, pytest.raises(UserError, match="has seen no token"):
        use.token_use()
    with relusparsity.track(opt) as use, pytest.raises(UserError, match="running already"), use:
        pass
    with relusparsity.track(opt) as use, pytest.raises(UserError, match="does not tell padding"):
        opt(**inputs("opt"), attention_mask=torch.ones(3, 1, 7, 8))


def test_a_layer_without_tokens_says_why() -> None:
    class Fused(nn.Module):
        """Computes its activation without the module, as fast kernels do."""

        def __init__(self) -> None:
            super().__init__()
            self.up, self.act, self.down = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)

        def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
            return self.down(self.up(inputs_embeds).relu())

    model, x = Fused(), torch.randn(2, 3, 8)
    use, read = (relusparsity.track(model, layers=layer) for layer in ("act", "up"))
    with pytest.raises(UserError, match="act has seen no token: run the model inside"):
        use.counts()
    with use, read:
        model(x, torch.zeros(2, 3))
    with pytest.raises(UserError, match="act has seen no token: the model ran, but not this layer"):
        use.counts()
    with pytest.raises(UserError, match="up has seen no token: every position was padding"):
        read.counts()


def test_thresholds_that_are_zero_in_float32_or_no_plain_number_are_refused() -> None:
    for value in (1e-50, 1e-46, 7e-46, np.float64(1e-300)):
        with pytest.raises(UserError, match=r"epsilon = .*above 0 that float32 can hold"):
            above(value, 2)
    assert above(1e-45, 2).thresholds == (float(np.float32(1e-45)),) * 2
    kindly = ("epsilon=1_0", "epsilon= 0.1", "epsilon=0.1\n", "epsilon=0.1 ", "quantile=\u0660.5", "cett=.", "cett=1e")
    for rule in kindly:
        with pytest.raises(UserError, match=r"rule = .*: expected one like"):
            Options(rule=rule)
    for number, value in (("0.1", 0.1), (".5", 0.5), ("1.", 1.0), ("1e-3", 1e-3), ("2E+1", 20.0)):
        assert Options(rule=f"epsilon={number}").threshold() == ("epsilon", value)


def test_not_a_number_is_an_error_and_nothing_is_reported() -> None:
    model = nn.Sequential(nn.Linear(2, 3), Poisoned(), nn.ReLU(), nn.Linear(3, 2))
    tracker = relusparsity.track(model)
    with pytest.raises(FloatingPointError, match="is NaN"), tracker:
        model(torch.ones(1, 4, 2))
    with pytest.raises(FloatingPointError, match="is NaN"):
        tracker.token_use()


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.inside(inputs_embeds)


def test_not_a_number_at_padding_does_not_count_and_infinities_are_numbers() -> None:
    model, mask = Padded(), torch.tensor([[1, 1, 0]])
    given = torch.ones(1, 3, 2)
    given[0, 2] = float("nan")
    with relusparsity.track(model) as use:
        model(given, attention_mask=mask)
    assert use.counts()[0].tokens == 2
    with pytest.raises(FloatingPointError, match="is NaN"), relusparsity.track(model):
        model(given)
    layer = nn.Sequential(nn.Identity(), nn.Linear(2, 2))
    with relusparsity.track(layer, "0") as use:
        layer(torch.tensor([[[float("inf"), -float("inf")]]]))
    assert use.counts()[0].unit_tokens.tolist() == [1, 0]


def test_experts_are_refused() -> None:
    import transformers as t

    config = t.Qwen2MoeConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        vocab_size=99,
        num_experts=2,
        num_experts_per_tok=1,
        moe_intermediate_size=8,
        shared_expert_intermediate_size=8,
    )
    model = t.Qwen2MoeForCausalLM(config)
    with pytest.raises(UserError, match="mixtures of experts"):
        relusparsity.track(model)
    with relusparsity.track(model, "*.shared_expert.act_fn") as use:
        model(input_ids=torch.tensor([[1, 2, 3]]))
    assert [layer.tokens for layer in use.counts()] == [3, 3]
