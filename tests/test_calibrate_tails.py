"""CETT's thresholds, found with few rungs of a ladder, are those of the whole ladder, for any guess to begin with."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from any_models import build, inputs
from relusparsity.anymodel import calibrate, tails
from relusparsity.errors import UserError

Batch = dict[str, torch.Tensor]


def batches(kind: str) -> list[Batch]:
    return [inputs(kind, seed=seed) for seed in (1, 2)]


def whole_ladder(model: nn.Module, given: list[Batch], target: float) -> list[tuple[float, float]]:
    """The threshold of each layer and its error, by the exact errors of the grid, then of the bracket found there."""
    ladders = tails.Ladders(model, given)
    table = np.maximum.accumulate(ladders.errors(given, ladders.grid.tolist()), axis=1)
    at = np.minimum((table <= target).sum(axis=1) - 1, tails.GRID - 2)
    ends = [(grid[i], grid[i + 1]) for grid, i in zip(ladders.grid, at, strict=True)]
    finer = [np.geomspace(low, high, tails.FINER).tolist() for low, high in ends]
    errors = ladders.errors(given, finer)
    best = [int(np.flatnonzero(row <= target).max()) for row in errors]
    return [(float(finer[i][k]), float(errors[i][k])) for i, k in enumerate(best)]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert", "opt"])
@pytest.mark.parametrize("target", [0.05, 0.2, 0.6, 0.999])
def test_few_rungs_give_the_threshold_of_the_whole_ladder(kind: str, target: float) -> None:
    model, given = build(kind), batches(kind)
    expected, rule = whole_ladder(model, given, target), calibrate.cett(model, given, target)
    ladders = tails.Ladders(model, given)
    for layer, (limit, error) in enumerate(expected):
        assert rule.thresholds is not None
        torch.testing.assert_close(
            rule.thresholds[layer], limit / ladders.norms[layer].clamp_min(1e-30), rtol=0, atol=0
        )
        assert rule.facts[f"cett_{layer}"] == error <= target


@pytest.mark.parametrize("wrong", [-1, 0, 3, 100, 206, 207])
def test_a_wrong_guess_costs_passes_and_no_accuracy(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, given, passes = build("llama"), batches("llama"), []
    expected = whole_ladder(model, given, 0.2)
    monkeypatch.setattr(tails.Sizes, "guess", lambda *_: wrong)
    whole = tails.Ladders.errors

    def counted(self: tails.Ladders, batches: Any, limits: Any) -> Any:
        passes.append(sum(map(len, limits)))
        return whole(self, batches, limits)

    monkeypatch.setattr(tails.Ladders, "errors", counted)
    ladders = tails.Ladders(model, given)
    assert ladders.climb(given, 0.2) == expected
    assert len(passes) <= 7 and sum(passes) <= len(passes) * len(expected) * len(tails.AROUND)


def test_the_guess_of_the_kept_tokens_needs_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = build("llama"), batches("llama")
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    calibrate.cett(model, given, 0.2)
    assert len(calls) == 2 * len(given), "one pass for the histogram, one for the rungs around the guess"


class Asked(nn.Linear):
    """Computes with other weights than it keeps, so that it is asked for them, in the precision that it runs in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight.sign() * self.weight.abs().mean())


def test_layers_of_half_precision_are_asked_in_it() -> None:
    model = build("llama").bfloat16()
    for layer in model.model.layers:
        layer.mlp.down_proj = Asked(32, 16, bias=False).bfloat16()
    rule = calibrate.cett(model, batches("llama"), 0.3)
    assert all(0.2 < rule.facts[f"cett_{layer}"] <= 0.3 for layer in range(2))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1, 100, [36, 92, 98, 99]),
        (100, 208, [101, 102, 108, 164]),
        (-1, 2, [0, 1]),
        (206, 208, [207]),
        (10, 11, []),
        (10, 13, [11, 12]),
        (10, 110, [30, 50, 70, 90]),
    ],
)
def test_rungs_that_are_tried_next(low: int, high: int, expected: list[int]) -> None:
    assert tails.inside(low, high, 208) == expected


def test_an_error_that_falls_on_the_way_up_ends_at_its_first_crossing() -> None:
    known = {-1: 0.0, 3: 0.1, 4: 0.21, 5: 0.19, 6: 0.3, 208: np.inf}
    assert tails.edges(known, 0.2) == (3, 4)


def test_outputs_that_are_not_finite_are_one_sentence() -> None:
    hidden, weight = torch.tensor([[1.0, torch.inf]]), torch.ones(2, 3)
    with pytest.raises(UserError, match="infinite or NaN"):
        tails.tails(hidden, weight, hidden.abs(), [0.5])
