"""Thresholds for activations that are never quite zero, by stated rules, from histograms of a calibration text."""

import math
import sys
from decimal import Decimal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..counting.call import Call
from ..errors import UserError
from . import weights
from .attach import Choice, Side
from .magnitudes import INFINITE, Batches, Magnitudes, run, upper_edge
from .magnitudes import bins as bins
from .rules import Rule, between, short
from .watch import Watch
from .zeroed import Zeroed

GRID, FINER = 24, 10  # thresholds a layer at which tail errors are computed, and those between two of them
STEPS = 6  # halvings of the bracket for a given loss


def quantile(
    model: nn.Module, batches: Batches, share: float, choose: Choice | None = None, of: Side = "output"
) -> Rule:
    """In each layer, the `share` of its activations that are smallest in magnitude do not count as firing.

    Parameters
    ----------
    batches
        Keyword arguments of forward calls, each a batch of the calibration text.
    share
        Between 0 and 1; reached up to the width of a bin: `facts` holds each layer's true share.
    choose, of
        The layers and their side, as `track` has them; the rule is for these.

    Raises
    ------
    UserError
        If the share is not between 0 and 1, or a layer has no such quantile on this text.
    """
    share = between(share, 0, 1, "share", "a share of the activations between 0 and 1")
    watch = run(Magnitudes(model, choose, of), batches)
    thresholds, facts = [], {}
    for layer, counts in enumerate(watch.counts()):
        below = np.cumsum(counts)
        at = int(np.searchsorted(below, share * below[-1]))
        if at >= INFINITE:
            raise UserError(
                f"{watch.places[layer].name}: activations are infinite; lower the share, or raise precision."
            )
        thresholds.append(upper_edge(at))
        facts[f"share_below_{layer}"] = float(below[at] / below[-1])
    percent = f"{(100 * Decimal(repr(share))).normalize():f}"
    name = f"|activation| above its layer's {percent} % quantile"
    return Rule(name, tuple(thresholds), facts, of, watch.read_from())


def cett(model: nn.Module, batches: Batches, target: float) -> Rule:
    """The largest threshold on the size of a unit's output that keeps each layer's mean tail error at `target`.

    CETT (cumulative error of tail truncation; "Sparsing Law", arXiv 2411.02335): the norm of the summed outputs of
    the units below the threshold over the norm of the whole MLP output (without its bias), mean over tokens. A unit's
    output is its activation (act(gate) · up in gated MLPs) times its output weights. Instead of a bisection with a
    pass a step: one pass for the histogram of sizes, one for the exact error at 24 thresholds of every layer, and one
    at 10 more in the bracket found, which verifies the chosen one; `facts` holds its error.

    Raises
    ------
    UserError
        If the target is not between 0 and 1, or no threshold tried has so small an error.
    """
    target = between(target, 0, 1, "CETT", "a share of the MLP's output between 0 and 1")
    batches = list(batches)
    table = TailErrors(model, batches)
    finer = table.bracket(target)
    errors = table.errors(batches, finer)
    # the first of the finer thresholds is one of the table's, so at least that one qualifies
    best = [int(np.flatnonzero(row <= target * (1 + 1e-9)).max(initial=0)) for row in errors]
    rule = _rule(
        f"CETT {short(target)}: |unit's output| above its layer's threshold", table, finer[range(len(best)), best]
    )
    rule.facts.update({f"cett_{layer}": float(errors[layer, at]) for layer, at in enumerate(best)})
    return rule


def cett_at_perplexity(model: nn.Module, batches: Batches, percent: float) -> Rule:
    """CETT-PPL-p %: the largest CETT, one for all layers, that raises the calibration text's perplexity by ≤ p %.

    Causal language models, whose calls return logits. The tail errors come from one table, so every step of the
    search is one plain evaluation; `facts` holds the perplexities and the CETT.

    Raises
    ------
    UserError
        If the percentage is not above 0, the model gives no logits, or even the smallest CETT tried costs more.
    """
    percent = between(percent, 0, sys.float_info.max, "p", "a percentage of perplexity above 0")
    batches = list(batches)
    whole = loss(model, batches)
    table = TailErrors(model, batches)
    limit = whole + math.log1p(percent / 100)
    low, high, best = math.log(0.01), math.log(0.99), None
    for _ in range(STEPS):
        middle = (low + high) / 2
        name = f"CETT-PPL-{short(percent)} %: |unit's output| above its layer's threshold"
        rule = _rule(name, table, table.limits(math.exp(middle)), cett=math.exp(middle))
        cost = loss(model, batches, rule)
        if cost <= limit:
            low, best = middle, (rule, cost)
        else:
            high = middle
    if best is None:
        raise UserError(f"every CETT tried costs more than {short(percent)} % of perplexity; allow more.")
    rule, cost = best
    rule.facts.update({"perplexity": math.exp(whole), "perplexity_with_rule": math.exp(cost)})
    return rule


def loss(model: nn.Module, batches: Batches, rule: Rule | None = None) -> float:
    """Mean next-token loss, nats per token; with a rule, units that do not fire by it are set to zero."""
    nats, tokens = 0.0, 0
    with Zeroed(model, rule) if rule else torch.no_grad(), torch.no_grad():
        for batch in batches:
            out = model(**batch)
            logits = out if isinstance(out, Tensor) else getattr(out, "logits", None)
            ids = batch.get("input_ids", batch.get("tokens"))
            if not isinstance(logits, Tensor) or not isinstance(ids, Tensor) or logits.shape[:2] != ids.shape:
                raise UserError("perplexity needs a model of next tokens: input_ids in, logits for each of them out.")
            mask = batch.get("attention_mask")
            targets = ids[:, 1:] if mask is None else ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
            flat = logits[:, :-1].flatten(0, 1).float()
            nats += float(F.cross_entropy(flat, targets.flatten(), reduction="sum", ignore_index=-100))
            tokens += int((targets != -100).sum())
    if not tokens:
        raise UserError("the calibration text has no next tokens; give longer sequences.")
    return nats / tokens


class Sizes(Magnitudes):
    """The same of the sizes of the units' outputs: an activation times the norm of its output weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, of="product")
        self.norms: dict[int, Tensor] = {}

    def size(self, layer: int, activation: Tensor) -> Tensor:
        if layer not in self.norms:
            found = weights.output_weights(self.places[layer], activation)
            weights.check(self.places[layer], activation, found)
            self.norms[layer] = found.norm(dim=1)
        return activation.abs().float() * self.norms[layer]


class TailErrors:
    """Each layer's CETT at `GRID` thresholds, exact on the calibration text."""

    def __init__(self, model: nn.Module, batches: Batches) -> None:
        self.model = model
        sizes = run(Sizes(model), batches)
        counted = sizes.counts()
        self.norms, self.layers = [sizes.norms[layer] for layer in range(len(counted))], sizes.read_from()
        grids = []
        for counts in counted:
            some = counts.copy()
            some[0] = 0  # exact zeros cost nothing
            below = np.cumsum(some)
            if not below[-1]:
                raise UserError("a layer's activations are all zero on the calibration text; CETT is undefined there.")
            low, high = (upper_edge(int(np.searchsorted(below, q * below[-1]))) for q in (0.001, 0.9999))
            grids.append(np.geomspace(low, high, GRID))
        self.grid = np.array(grids)  # (layer, threshold)
        self.table = np.maximum.accumulate(self.errors(batches, self.grid), axis=1)

    def errors(self, batches: Batches, limits: np.ndarray) -> np.ndarray:
        """Mean tail error over tokens at each threshold: (layer, threshold)."""
        found = run(Tails(self.model, self.norms, limits), batches).means()
        if not np.isfinite(found).all():
            raise UserError("outputs of the MLPs are infinite or NaN on the calibration text; CETT is undefined there.")
        return found

    def bracket(self, target: float) -> np.ndarray:
        """Thresholds from the table's last within the target to its next: (layer, threshold)."""
        self._reaches(target)
        at = np.minimum((self.table <= target).sum(axis=1) - 1, GRID - 2)
        ends = zip(self.grid[range(len(at)), at], self.grid[range(len(at)), at + 1], strict=True)
        return np.array([np.geomspace(low, high, FINER) for low, high in ends])

    def _reaches(self, target: float) -> None:
        least = self.table[:, 0].max()
        if least > target:
            raise UserError(f"CETT {target:g} is below that of the smallest threshold tried, {least:.2g}.")

    def limits(self, target: float) -> np.ndarray:
        """The threshold of each layer, interpolated between those of the table: (layer)."""
        self._reaches(target)
        out = []
        for grid, error in zip(self.grid, self.table, strict=True):
            rising = np.r_[True, np.diff(error) > 0]
            positive = rising & (error > 0)
            out.append(float(np.exp(np.interp(np.log(target), np.log(error[positive]), np.log(grid[positive])))))
        return np.array(out)


class Tails(Watch):
    """Norm of the summed outputs of the units below each threshold, over the norm of all: summed over tokens."""

    def __init__(self, model: nn.Module, norms: list[Tensor], limits: np.ndarray) -> None:
        super().__init__(model, of="product")
        self.norms, self.limits = norms, limits
        self.sums = np.zeros(limits.shape)
        self.tokens = np.zeros(len(limits))

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        hidden = (activation.flatten(0, 1) if call.real is None else activation[call.real]).float()
        weight, size = weights.output_weights(self.places[layer], activation), hidden.abs() * self.norms[layer]
        whole = (hidden @ weight).norm(dim=1)
        used = whole > 0
        for at, limit in enumerate(self.limits[layer]):
            tail = (hidden * (size <= limit)) @ weight
            self.sums[layer, at] += float((tail.norm(dim=1)[used] / whole[used]).sum())
        self.tokens[layer] += int(used.sum())

    def means(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # without a token that has an output: not a number
            return self.sums / self.tokens[:, None]


def _rule(name: str, table: TailErrors, limits: np.ndarray, **facts: float) -> Rule:
    thresholds = tuple(float(limit) / norm.clamp_min(1e-30) for limit, norm in zip(limits, table.norms, strict=True))
    return Rule(name, thresholds, dict(facts), "product", table.layers)
