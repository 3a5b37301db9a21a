"""Controls on updates do what their names say, to the treated units alone: every step against NumPy."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from controls_made import EVERY, OPTIMISERS, Readings, Step, controlled, lengths, run_steps, trainer_of
from relusparsity.train.step import Trainer

STEPS = 3 * EVERY + 2
CHANGING = ("exchange", "signs", "reflect", "winsorise")

pytestmark = pytest.mark.usefixtures("one_thread")


def treated(trainer: Trainer) -> np.ndarray:
    return trainer.control.measured()["treated"]


def of_treated(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(layer, treated, …) of (layer, unit, …), the same number in each layer."""
    return np.stack([each[here] for each, here in zip(values, mask, strict=True)])


def close(one: np.ndarray, other: np.ndarray) -> None:
    """To a rounding of the weights, which float32 holds to some 1e-7."""
    np.testing.assert_allclose(one, other, rtol=0, atol=2e-6)


def stepped(kind: str, optimiser: str, **fields: Any) -> tuple[Trainer, list[Step], Readings]:
    rising = {"train.warmup": 2560} if kind == "winsorise" else {}  # so that updates become longer
    trainer = trainer_of(**OPTIMISERS[optimiser], **rising, **controlled(kind, **fields))
    readings = Readings(trainer)
    return trainer, run_steps(trainer, STEPS, readings), readings


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_watched_run_is_to_the_bit_the_run_without_control(optimiser: str) -> None:
    watched, plain = trainer_of(**OPTIMISERS[optimiser], **controlled("watch")), trainer_of(**OPTIMISERS[optimiser])
    steps = run_steps(watched, STEPS)
    for _ in range(STEPS):
        plain.advance()
    pairs = zip(watched.model.parameters(), plain.model.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
    found = watched.control.measured()
    assert found["treated"].sum(1).tolist() == [8, 8] and plain.control.measured() == {}
    path = sum(lengths(step.given) for step in steps)
    np.testing.assert_allclose(found["path_length"], path, rtol=1e-4)
    np.testing.assert_array_equal(found["path_length"], found["path_length_given"])


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("kind", CHANGING)
def test_the_treated_alone_are_touched_and_their_paths_are_added_up(kind: str, optimiser: str) -> None:
    trainer, steps, _ = stepped(kind, optimiser)
    mask = treated(trainer)
    for step in steps:
        np.testing.assert_array_equal(step.after[~mask], step.optimised[~mask])
        assert step.others_stand, "the outgoing columns among them"
    assert any((step.after[mask] != step.optimised[mask]).any() for step in steps)
    found = trainer.control.measured()
    for name, path in (
        ("path_length_given", sum(lengths(step.given) for step in steps)),
        ("path_length", sum(lengths(step.taken) for step in steps)),
    ):
        np.testing.assert_allclose(found[name], path, rtol=2e-4)
    if kind == "signs":
        np.testing.assert_array_equal(found["path_length"], found["path_length_given"])
    if kind == "reflect":
        np.testing.assert_allclose(found["path_length"], found["path_length_given"], rtol=1e-6)
    if kind == "exchange":
        sums = [of_treated(found[name], mask).sum(1) for name in ("path_length", "path_length_given")]
        np.testing.assert_allclose(*sums, rtol=1e-12)
    if kind == "winsorise":
        assert (found["path_length"] <= found["path_length_given"]).all()
        assert (found["path_length"] < found["path_length_given"])[mask].any()


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_an_exchange_gives_each_the_update_of_another_of_its_group(optimiser: str) -> None:
    trainer, steps, readings = stepped("exchange", optimiser)
    mask, of_blocks = treated(trainer), []
    for at, step in enumerate(steps):
        given, taken = of_treated(step.given, mask), of_treated(step.taken, mask)
        apart = abs(taken[:, :, None] - given[:, None]).max(-1)  # (layer, gets, gives)
        firings = of_treated(readings.firings[at // EVERY], mask)
        for layer in range(2):
            source = apart[layer].argmin(1)
            moves = lengths(given[layer]) > 1e-5  # two that do not move look alike
            close(taken[layer], given[layer][source])
            assert (source != np.arange(8))[moves].all(), "none keeps its own"
            if moves.all():
                of_blocks.append((layer, at // EVERY, tuple(source)))
                assert sorted(source) == list(range(8)), "every update is given to one"
                ranked = np.sort(firings[layer])
                for gets, gives in enumerate(
                    source
                ):  # 8 units make 4 groups of 2, the ranks of units with ties unknown
                    allowed = [set(np.flatnonzero(ranked == firings[layer][unit]) // 2) for unit in (gets, gives)]
                    assert allowed[0] & allowed[1]
    assert len(of_blocks) > STEPS, "nearly all units moved at nearly all steps"
    assert len(set(of_blocks)) == len({key[:2] for key in of_blocks}), "partners stay for a block"
    assert len({(layer, source) for layer, _, source in of_blocks}) > 2, "and change with it"


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_signs_turn_whole_updates_and_stay_for_a_block(optimiser: str) -> None:
    trainer, steps, _ = stepped("signs", optimiser)
    mask, drawn = treated(trainer), []
    for step in steps:
        given, taken = of_treated(step.given, mask), of_treated(step.taken, mask)
        product = (given * taken).sum(-1)
        close(taken, np.sign(product)[..., None] * given)
        drawn.append(np.where(lengths(given) > 1e-4, np.sign(product), np.nan))
    blocks = [np.array(drawn[first : first + EVERY]) for first in range(0, STEPS, EVERY)]
    for block in blocks:
        known = ~np.isnan(block)
        assert known.any(0).mean() > 0.9
        assert not ((block == 1).any(0) & (block == -1).any(0)).any(), "one sign a block"
    assert any(((one[0] == 1) & (two[0] == -1)).any() for one, two in pairwise(blocks))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_reflected_update_moves_the_mean_preactivation_the_other_way_and_keeps_the_rest(optimiser: str) -> None:
    trainer, steps, readings = stepped("reflect", optimiser)
    mask, least = treated(trainer), 0.0
    for at, step in enumerate(steps):
        given, taken = of_treated(step.given, mask), of_treated(step.taken, mask)
        mean = readings.means[at // EVERY]
        if trainer.config.model.bias:
            mean = np.concatenate([mean, np.ones((2, 1))], axis=1)
        mean = mean[:, None]
        close((taken * mean).sum(-1), -(given * mean).sum(-1))
        least = max(least, abs((given * mean).sum(-1)).max())
        unit = mean / lengths(mean)[..., None]
        rest = [d - (d * unit).sum(-1, keepdims=True) * unit for d in (given, taken)]
        close(*rest)
    assert least > 1e-3, "means were moved, by hundreds of times what is compared"


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_winsorised_updates_above_the_cap_of_the_block_before_are_shortened_to_it(optimiser: str) -> None:
    trainer, steps, _ = stepped("winsorise", optimiser)
    mask, capped = treated(trainer), 0
    long = np.stack([lengths(of_treated(step.given, mask)) for step in steps])  # (step, layer, treated)
    for at, step in enumerate(steps):
        given, taken = of_treated(step.given, mask), of_treated(step.taken, mask)
        if at < EVERY:
            np.testing.assert_array_equal(step.after, step.optimised)
            continue
        first = at // EVERY * EVERY
        of_layers = long[first - EVERY : first].transpose(1, 0, 2).reshape(2, -1)
        cap = np.percentile(of_layers, 99, axis=1, method="inverted_cdf")[:, None]
        above = long[at] > cap * (1 + 1e-4)
        below = long[at] < cap * (1 - 1e-4)
        np.testing.assert_array_equal(
            of_treated(step.after, mask)[below], of_treated(step.optimised, mask)[below], "bitwise as they were"
        )
        close(taken[above], (given * (cap / long[at])[..., None])[above])
        capped += above.sum()
    assert capped > 3


def test_the_control_acts_after_the_step_and_on_no_forward_pass() -> None:
    plain, other = trainer_of(), trainer_of(**controlled("reflect"))
    assert [name for name, _ in plain.model.named_modules()] == [name for name, _ in other.model.named_modules()]
    (first, norm), (loss, of_other) = plain.advance(), other.advance()
    assert torch.equal(first, loss) and torch.equal(norm, of_other)
    assert not torch.equal(plain.advance()[0], other.advance()[0])


def test_a_layer_that_no_optimiser_moves_has_no_path() -> None:
    trainer = trainer_of(**controlled("signs", first_layer=1))
    still = trainer.model.mlps()[0].fc_in
    for group in trainer.optimizer.param_groups:
        group["params"] = [each for each in group["params"] if each is not still.weight and each is not still.bias]
    before = still.weight.detach().clone()
    trainer.advance()
    assert torch.equal(still.weight, before)
    path = trainer.control.measured()["path_length"]
    assert not path[0].any() and path[1].any()


@pytest.mark.parametrize("kind", CHANGING)
def test_compiled_it_is_one_graph_compiled_once(kind: str) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend  # PyTorch's compiler, which takes a second

    compiled, plain = (trainer_of(**controlled(kind)) for _ in range(2))
    counter = CompileCounterWithBackend("aot_eager")
    compiled.objective = torch.compile(compiled.objective, backend=counter, fullgraph=True)
    for _ in range(2 * EVERY + 1):
        pairs = zip(compiled.advance(), plain.advance(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert counter.frame_count == 1
