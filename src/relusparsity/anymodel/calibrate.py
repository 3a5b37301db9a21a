"""Thresholds for activations that are never quite zero, by stated rules, from histograms of a calibration text.

Magnitudes are counted in 32,768 exact bins: the leading 16 bits of a float32 (steps of 0.4 to 0.8 %; for bfloat16 every
value its own bin). Thresholds lie on the edges, so what is above them is known exactly from the histogram.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from .attach import Choice, Side
from .calls import Call
from .rules import Rule
from .watch import Watch

BINS = 1 << 15
GRID, FINER = 24, 10  # thresholds a layer at which tail errors are computed, and those between two of them
STEPS = 6  # halvings of the bracket for a given loss
Batches = Iterable[Mapping[str, Any]]
Watched = TypeVar("Watched", bound=Watch)


def quantile(model: nn.Module, batches: Batches, share: float, choose: Choice | None = None) -> Rule:
    """In each layer, the `share` of its activations that are smallest in magnitude do not count as firing.

    Parameters
    ----------
    batches
        Keyword arguments of forward calls, each a batch of the calibration text.
    share
        Between 0 and 1; reached up to the width of a bin: `facts` holds each layer's true share.

    Raises
    ------
    UserError
        If the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise UserError(f"share = {share}: expected a share of the activations between 0 and 1.")
    histograms = _run(Magnitudes(model, choose), batches).histograms
    thresholds, facts = [], {}
    for layer, counts in enumerate(histograms):
        below = np.cumsum(counts.cpu().numpy())
        at = int(np.searchsorted(below, share * below[-1]))
        thresholds.append(upper_edge(at))
        facts[f"share_below_{layer}"] = float(below[at] / below[-1])
    return Rule(f"|activation| above its layer's {100 * share:g} % quantile", tuple(thresholds), facts)


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
    if not 0 < target < 1:
        raise UserError(f"CETT = {target}: expected a share of the MLP's output between 0 and 1.")
    batches = list(batches)
    table = TailErrors(model, batches)
    finer = table.bracket(target)
    errors = table.errors(batches, finer)
    # the first of the finer thresholds is one of the table's, so at least that one qualifies
    best = [int(np.flatnonzero(row <= target * (1 + 1e-9)).max(initial=0)) for row in errors]
    rule = _rule(f"CETT {target:g}: |unit's output| above its layer's threshold", table, finer[range(len(best)), best])
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
    if not percent > 0:
        raise UserError(f"p = {percent}: expected a percentage of perplexity above 0.")
    batches = list(batches)
    whole = loss(model, batches)
    table = TailErrors(model, batches)
    limit = whole + math.log1p(percent / 100)
    low, high, best = math.log(0.01), math.log(0.99), None
    for _ in range(STEPS):
        middle = (low + high) / 2
        name = f"CETT-PPL-{percent:g} %: |unit's output| above its layer's threshold"
        rule = _rule(name, table, table.limits(math.exp(middle)), cett=math.exp(middle))
        cost = loss(model, batches, rule)
        if cost <= limit:
            low, best = middle, (rule, cost)
        else:
            high = middle
    if best is None:
        raise UserError(f"every CETT tried costs more than {percent:g} % of perplexity; allow more.")
    rule, cost = best
    rule.facts.update({"perplexity": math.exp(whole), "perplexity_with_rule": math.exp(cost)})
    return rule


def loss(model: nn.Module, batches: Batches, rule: Rule | None = None) -> float:
    """Mean next-token loss, nats a token; with a rule, units that do not fire by it are set to zero."""
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


def bins(values: Tensor) -> Tensor:
    """The bin of each magnitude: the leading bits of its float32."""
    return values.abs().float().contiguous().view(torch.int32) >> 16


def upper_edge(index: int) -> float:
    """The largest float32 in a bin: a magnitude above it lies in a later bin."""
    return float(np.array((index << 16) | 0xFFFF, dtype=np.int32).view(np.float32))


class Magnitudes(Watch):
    """Histogram of the sizes of every layer's activations, times a factor of the unit, padding left out."""

    def __init__(
        self, model: nn.Module, choose: Choice | None = None, of: Side = "output", factors: list[Tensor] | None = None
    ) -> None:
        super().__init__(model, choose, of)
        self.factors = factors
        self.histograms: list[Tensor] = [torch.zeros(BINS, dtype=torch.int64) for _ in self.places]

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        values = activation if call.real is None else activation[call.real]
        if torch.isnan(values).any():
            raise FloatingPointError(f"{self.places[layer].name}: an activation is NaN; no threshold can be found")
        if self.factors is not None:
            values = values.abs().float() * self.factors[layer]
        counts = torch.bincount(bins(values).flatten(), minlength=BINS)
        self.histograms[layer] = self.histograms[layer].to(counts.device) + counts


class TailErrors:
    """Each layer's CETT at `GRID` thresholds, exact on the calibration text."""

    def __init__(self, model: nn.Module, batches: Batches) -> None:
        self.model = model
        self.weights = [_output_weights(place.module) for place in Watch(model, of="product").places]
        self.norms = [weight.float().norm(dim=1) for weight in self.weights]
        sizes = _run(Magnitudes(model, of="product", factors=self.norms), batches).histograms
        grids = []
        for counts in sizes:
            some = counts.cpu().numpy().copy()
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
        return _run(Tails(self.model, self.weights, self.norms, limits), batches).means()

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

    def __init__(self, model: nn.Module, weights: list[Tensor], norms: list[Tensor], limits: np.ndarray) -> None:
        super().__init__(model, of="product")
        self.weights, self.norms, self.limits = weights, norms, limits
        self.sums = np.zeros(limits.shape)
        self.tokens = np.zeros(len(limits))

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        hidden = (activation.flatten(0, 1) if call.real is None else activation[call.real]).float()
        weight, size = self.weights[layer].float(), hidden.abs() * self.norms[layer]
        whole = (hidden @ weight).norm(dim=1)
        used = whole > 0
        for at, limit in enumerate(self.limits[layer]):
            tail = (hidden * (size <= limit)) @ weight
            self.sums[layer, at] += float((tail.norm(dim=1)[used] / whole[used]).sum())
        self.tokens[layer] += int(used.sum())

    def means(self) -> np.ndarray:
        return self.sums / self.tokens[:, None]


class Zeroed(Watch):
    """Sets units that do not fire by a rule to zero where the next layer reads them; for evaluation."""

    def __init__(self, model: nn.Module, rule: Rule) -> None:
        super().__init__(model, of=rule.of)
        self.rule = rule

    def _attach(self, layer: int, place: Any) -> Any:
        def cut(activation: Tensor) -> Tensor:
            return activation * self.rule.fired(layer, place, activation)

        if place.of == "input":
            return place.module.register_forward_pre_hook(lambda _, args: (cut(args[0]), *args[1:]))
        return place.module.register_forward_hook(lambda _, __, output: cut(output))


def _rule(name: str, table: TailErrors, limits: np.ndarray, **facts: float) -> Rule:
    thresholds = tuple(float(limit) / norm.clamp_min(1e-30) for limit, norm in zip(limits, table.norms, strict=True))
    return Rule(name, thresholds, dict(facts), of="product")


def _output_weights(module: nn.Module) -> Tensor:
    """(unit, output) weights of the layer that reads the units."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach() if type(module).__name__ == "Conv1D" else weight.detach().T


def _run(watch: Watched, batches: Batches) -> Watched:
    """The watch, after the model has read the batches."""
    some = False
    with watch, torch.no_grad():
        for batch in batches:
            watch.model(**batch)
            some = True
    if not some:
        raise UserError("the calibration text is empty; give at least one batch.")
    return watch
