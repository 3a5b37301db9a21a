"""What leaving out the smallest outputs costs: the cumulative error of tail truncation (CETT) of every layer.

A ladder of thresholds is laid over each layer's histogram of sizes; the error of a rung takes a matrix product with the
layer's output weights for every token, as much as the layer itself, so as few rungs are tried as decide the question.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ..counting.call import Call
from ..errors import UserError
from . import weights
from .magnitudes import Batches, Magnitudes, run, upper_edge
from .watch import Watch

GRID, FINER = 24, 10
"""Thresholds a layer between which errors may be interpolated, and rungs from one to the next, both ends among them."""
SAMPLE = 256
"""Tokens a layer, at least, by which rungs are guessed."""
AROUND = (-1, 0, 1, 2)
"""Rungs tried first, from the guessed one, the largest that was within the target on the sample."""
STEPS = (1, 2, 8, 64)
"""Distances of the rungs tried next, where all of those were within the target, or none."""


def tails(hidden: Tensor, weight: Tensor, sizes: Tensor, limits: Sequence[float]) -> tuple[list[float], int]:
    """Summed tail error over tokens at each threshold, and the tokens that have an output.

    Parameters
    ----------
    hidden, sizes
        Activations and the sizes of the units' outputs (token, unit), float32.
    weight
        Output weights (unit, output).

    Raises
    ------
    UserError
        If an output is infinite or NaN.
    """
    whole = (hidden @ weight).norm(dim=1)
    if not whole.isfinite().all():
        raise UserError("outputs of the MLPs are infinite or NaN on the calibration text; CETT is undefined there.")
    used, nothing = whole > 0, hidden.new_zeros(())
    shares = [
        ((torch.where(sizes <= x, hidden, nothing) @ weight).norm(dim=1)[used] / whole[used]).sum() for x in limits
    ]
    return [float(each) for each in shares], int(used.sum())


class Sizes(Magnitudes):
    """Histogram of the sizes of the units' outputs: an activation times the norm of its output weights.

    Attributes
    ----------
    weights, norms : of each layer, the output weights (unit, output) and their norms (unit).
    kept : of each layer, `each` evenly spaced tokens of every call, (token, unit).
    """

    def __init__(self, model: nn.Module, each: int = 0) -> None:
        super().__init__(model, of="product")
        self.each = each
        self.norms: dict[int, Tensor] = {}
        self.kept: list[list[Tensor]] = [[] for _ in self.places]

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        super().observe(layer, activation, call)
        if self.each:
            hidden = _tokens(activation, call)
            at = torch.linspace(0, len(hidden) - 1, min(self.each, len(hidden)), dtype=torch.float64).long()
            self.kept[layer].append(hidden[at.to(hidden.device)])

    def size(self, layer: int, activation: Tensor) -> Tensor:
        if layer not in self.norms:
            found = weights.output_weights(self.places[layer], activation)
            weights.check(self.places[layer], activation, found)
            self.norms[layer] = found.norm(dim=1)
        return activation.abs().float() * self.norms[layer]

    @torch.no_grad()
    def guess(self, layer: int, rungs: np.ndarray, target: float) -> int:
        """The highest of these thresholds whose error on the kept tokens is within the target; -1: none."""
        kept = torch.cat(self.kept[layer])
        weight, hidden = weights.output_weights(self.places[layer], kept), kept.float()
        sizes = hidden.abs() * self.norms[layer]
        low, high = -1, len(rungs)
        while high - low > 1:
            middle = (low + high) // 2
            (error,), used = tails(hidden, weight, sizes, [float(rungs[middle])])
            low, high = (middle, high) if error <= target * used else (low, middle)
        return low


class Tails(Watch):
    """Norm of the summed outputs of a layer's units below each threshold, over the norm of all: mean over tokens."""

    def __init__(self, model: nn.Module, norms: Sequence[Tensor], limits: Sequence[Sequence[float]]) -> None:
        super().__init__(model, of="product")
        self.norms, self.limits = norms, limits
        self.sums = [np.zeros(len(each)) for each in limits]
        self.tokens = [0] * len(limits)

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        if len(self.limits[layer]):
            hidden = _tokens(activation, call).float()
            weight = weights.output_weights(self.places[layer], activation)
            sums, used = tails(hidden, weight, hidden.abs() * self.norms[layer], self.limits[layer])
            self.sums[layer] += sums
            self.tokens[layer] += used

    def means(self) -> list[np.ndarray]:
        """Of each layer, by threshold."""
        if not all(used for used, limits in zip(self.tokens, self.limits, strict=True) if len(limits)):
            raise UserError("a layer's outputs are all zero on the calibration text; CETT is undefined there.")
        return [sums / max(1, used) for sums, used in zip(self.sums, self.tokens, strict=True)]


class Ladders:
    """The thresholds that are tried in each layer, from its histogram of sizes on the calibration text.

    Attributes
    ----------
    grid : `GRID` of each layer, (layer, threshold).
    norms, layers : norms of the layers' output weights, (unit) each; what the thresholds are for.
    """

    def __init__(self, model: nn.Module, batches: Batches, sample: int = SAMPLE) -> None:
        batches = list(batches)
        self.model = model
        self.sizes = run(Sizes(model, -(-sample // max(1, len(batches)))), batches)
        counted = self.sizes.counts()
        self.norms, self.layers = [self.sizes.norms[layer] for layer in range(len(counted))], self.sizes.read_from()
        grids = []
        for counts in counted:
            some = counts.copy()
            some[0] = 0  # exact zeros cost nothing
            below = np.cumsum(some)
            if not below[-1]:
                raise UserError("a layer's activations are all zero on the calibration text; CETT is undefined there.")
            low, high = (upper_edge(int(np.searchsorted(below, q * below[-1]))) for q in (0.001, 0.9999))
            grids.append(np.geomspace(low, high, GRID))
        self.grid = np.array(grids)

    def errors(self, batches: Batches, limits: Sequence[Sequence[float]]) -> list[np.ndarray]:
        """Mean tail error over all tokens at each threshold of each layer; a layer may have none."""
        return run(Tails(self.model, self.norms, limits), batches).means()

    def rungs(self, layer: int) -> np.ndarray:
        """All thresholds that may be chosen: (rung)."""
        grid = self.grid[layer]
        finer = [np.geomspace(low, high, FINER) for low, high in pairwise(grid)]
        return np.concatenate([finer[0][:1], *(each[1:] for each in finer)])

    def climb(self, batches: Batches, target: float) -> list[tuple[float, float]]:
        """Of each layer, the threshold and the exact error of a rung within the target below one that is not.

        Raises
        ------
        UserError
            If even the lowest rung of a layer is not within the target.
        """
        rungs = [self.rungs(layer) for layer in range(len(self.grid))]
        known: list[dict[int, float]] = [{-1: 0.0, len(each): np.inf} for each in rungs]
        guesses = [self.sizes.guess(layer, each, target) for layer, each in enumerate(rungs)]
        tried = [
            [guess + step for step in AROUND if guess + step in range(len(each))]
            for guess, each in zip(guesses, rungs, strict=True)
        ]
        while any(tried):
            limits = [each[at].tolist() for each, at in zip(rungs, tried, strict=True)]
            for mine, at, found in zip(known, tried, self.errors(batches, limits), strict=True):
                mine.update(zip(at, found.tolist(), strict=True))
            tried = [inside(*edges(mine, target), len(each)) for each, mine in zip(rungs, known, strict=True)]
        chosen = [edges(mine, target)[0] for mine in known]
        below_all = [mine[0] for mine, at in zip(known, chosen, strict=True) if at < 0]
        if below_all:
            raise _too_small(target, max(below_all))
        return [(float(each[at]), mine[at]) for each, mine, at in zip(rungs, known, chosen, strict=True)]


def edges(known: dict[int, float], target: float) -> tuple[int, int]:
    """The lowest rung known to exceed the target, and before it the last known one, which is within: (within, above).

    Where an error falls from a rung to a higher one, this is the first crossing of those that were tried.
    """
    above = min(at for at, error in known.items() if error > target * (1 + 1e-9))
    return max(at for at in known if at < above), above


def inside(low: int, high: int, rungs: int) -> list[int]:
    """The next rungs to try strictly between two: evenly spaced, or near the one that was tried if only one was."""
    if low < 0:
        some = {high - step for step in STEPS}
    elif high == rungs:
        some = {low + step for step in STEPS}
    else:
        some = set(np.linspace(low, high, len(STEPS) + 2).round().astype(int).tolist())
    return sorted(at for at in some if low < at < high)


class TailErrors(Ladders):
    """Each layer's CETT at the `GRID` thresholds, exact on the calibration text: `table`, (layer, threshold)."""

    def __init__(self, model: nn.Module, batches: Batches) -> None:
        batches = list(batches)
        super().__init__(model, batches, sample=0)
        errors = np.array(self.errors(batches, self.grid.tolist()))
        self.table = np.maximum.accumulate(errors, axis=1)

    def limits(self, target: float) -> list[float]:
        """The threshold of each layer, interpolated between those of the table.

        Raises
        ------
        UserError
            If the error of a layer's smallest threshold is above the target.
        """
        least = float(self.table[:, 0].max())
        if least > target:
            raise _too_small(target, least)
        out = []
        for grid, error in zip(self.grid, self.table, strict=True):
            rising = np.r_[True, np.diff(error) > 0]
            positive = rising & (error > 0)
            out.append(float(np.exp(np.interp(np.log(target), np.log(error[positive]), np.log(grid[positive])))))
        return out


def _tokens(activation: Tensor, call: Call) -> Tensor:
    """Activations at real tokens, (token, unit)."""
    return activation.flatten(0, 1) if call.real is None else activation[call.real]


def _too_small(target: float, least: float) -> UserError:
    return UserError(f"CETT {target:g} is below that of the smallest threshold tried, {least:.2g}.")
