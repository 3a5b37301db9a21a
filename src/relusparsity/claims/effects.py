"""Rules of the rows about death, pruning and specificity (9, 12 and 13).

| row | dataset | variables | attributes |
|---|---|---|---|
| 9 | neuron_death | `silent_small`, `silent_both`, `good_turing_expected`, `good_turing_upper` `(seed, layer)` | small_sample_tokens, large_sample_tokens |
| 12 | pruning | `baseline_loss`, `silent_loss` `(seed, evaluation)`, `loss(seed, chosen_by, share, evaluation)` | silent_sample_tokens |
| 13 | feature_specificity | `within_sequence_rate`, `token_selectivity`, `firing_count` `(seed, layer, unit)` | |
"""  # noqa: E501

import math

import numpy as np
import xarray as xr

from ..errors import UserError
from .reading import Finding, NotTestable, Reading, at, attribute, seeds, take
from .statistics import matched_delta

_LARGE_SAMPLE = 1_000_000
_LEAST_FIRINGS = 100


def units_turn_off(dataset: xr.Dataset) -> Finding:
    """Row 9: ≥ 80 % of the units silent on 8,192 tokens are silent on 1 M tokens, beyond what Good–Turing allows.

    `silent_small` counts the units silent on one held-out set of 8,192 tokens, `silent_both` those of them also
    silent on a large sample disjoint from it. Some of the latter may be rare rather than off: by Good–Turing
    (Good 1953) a second sample as large would wake about as many of them as fired in exactly one sequence of the
    first (`good_turing_expected`; sequences are the draws, because firing clusters in them), and at most
    `good_turing_upper` (95 %). We subtract that bound:

        (silent_both − good_turing_upper) / silent_small ≥ 0.80, each summed over layers.

    We do not use a forecast of how many should have fired: it is unbiased whether units are off or not. Where no unit
    is silent on 8,192 tokens, none has turned off, and the claim fails.
    """
    small, both, expected, upper = (
        take(dataset, name, "seed", "layer")
        for name in ("silent_small", "silent_both", "good_turing_expected", "good_turing_upper")
    )
    if (both > small).any() or (both < 0).any() or (expected < 0).any() or (upper < expected).any():
        raise UserError(
            "expected 0 ≤ silent_both ≤ silent_small and 0 ≤ good_turing_expected ≤ good_turing_upper for every "
            "seed and layer; record neuron_death again."
        )
    limits = []
    if (tokens := attribute(dataset, "small_sample_tokens")) != 8192:
        limits.append(f"the small sample has {tokens:,} tokens, the rule's 8,192")
    if (tokens := attribute(dataset, "large_sample_tokens")) < _LARGE_SAMPLE:
        limits.append(f"the large sample has {tokens:,} tokens, the rule's 1 M")
    readings = []
    labels = "silent on both (%)", "beyond chance (%)"
    for index, seed in enumerate(seeds(dataset)):
        silent, still, allowed = (float(array[index].sum()) for array in (small, both, upper))
        if silent == 0:
            readings.append(Reading(seed, False, {label: "no silent unit" for label in labels}))
            continue
        shares = still / silent, (still - allowed) / silent
        values: dict[str, float | str] = {label: 100 * s for label, s in zip(labels, shares, strict=True)}
        readings.append(Reading(seed, shares[1] >= 0.8, values, margins=(100 * shares[1] - 80,)))
    return Finding(tuple(readings), tuple(limits))


def _percent(cost: float) -> float | str:
    """A cost in percent, or "< 0.001" where float32, in which losses are measured and kept, cannot tell it from 0."""
    return "< 0.001" if 0 < abs(cost) < 1e-5 else 100 * cost


def units_can_be_pruned(dataset: xr.Dataset) -> Finding:
    """Row 12: on c4-eval the silent cost ≤ 0.1 % loss, the lowest-rate half ≤ 1 %, a random half ≥ 5 × that.

    A cost is loss / baseline − 1, with losses in nats per token. "That" is the cost of the lowest-rate half. The random
    half must also cost something: otherwise one that helps would pass wherever the lowest-rate half helps too. Without
    c4-eval we show the held-out text, and it decides nothing.
    """
    baseline = take(dataset, "baseline_loss", "seed", "evaluation", missing=True)
    silent = take(dataset, "silent_loss", "seed", "evaluation", missing=True)
    loss = take(dataset, "loss", "seed", "chosen_by", "share", "evaluation", missing=True)
    limits = []
    if (tokens := attribute(dataset, "silent_sample_tokens")) < _LARGE_SAMPLE:
        limits.append(f"units are silent on {tokens:,} tokens, the rule's on 1 M")
    text = "c4-eval"
    if "evaluation" not in dataset.coords or text not in dataset["evaluation"].values:
        text = "heldout"
        limits.append("c4-eval was not evaluated (the numbers are of the held-out text)")
    half = at(at(loss, "share", 0.5), "evaluation", text)
    read = {
        "baseline_loss": at(baseline, "evaluation", text).values,
        "silent_loss": at(silent, "evaluation", text).values,
        "loss of the lowest-rate half": at(half, "chosen_by", "rate").values,
        "loss of a random half": at(half, "chosen_by", "random").values,
    }
    for name, values in read.items():
        if not (values > 0).all():
            raise UserError(f"{name} on {text} is {values.tolist()}: expected a positive number for every seed.")
    base, none, rate, chance = read.values()
    readings = []
    for seed, *costs in zip(seeds(dataset), none / base - 1, rate / base - 1, chance / base - 1, strict=True):
        off, low, drawn = (float(cost) for cost in costs)
        holds = off <= 0.001 and low <= 0.01 and drawn > 0 and drawn >= 5 * low
        labels = "silent removed (% loss)", "lowest-rate half (% loss)", "random half (% loss)"
        shown = {label: _percent(c) for label, c in zip(labels, (off, low, drawn), strict=True)}
        readings.append(Reading(seed, holds, shown, margins=(0.001 - off, 0.01 - low, drawn - 5 * low)))
    return Finding(tuple(readings), tuple(limits))


def layers_differ_in_specificity(dataset: xr.Dataset) -> Finding:
    """Row 13: |Cliff's δ| ≥ 0.33 between first and last layer, same sign in every seed, at equal firing rate.

    δ > 0 means that the last layer's units are higher. Specificity is two numbers (`within_sequence_rate`,
    `token_selectivity`), and both must pass, so that we do not take the better of two chances. Units below 100 firings
    have no specificity and are left out; the rest are compared within strata of equal firing count
    (`statistics.matched_delta`). A seed fails if its sign differs from that of the largest |δ| of all seeds; seeds that
    searched for the recipe are not among them (`judge`).
    """
    counts = take(dataset, "firing_count", "seed", "layer", "unit").values
    if counts.shape[1] < 2:
        raise NotTestable("the model has a single layer")
    deltas: dict[str, list[float]] = {}
    for name in ("within_sequence_rate", "token_selectivity"):
        values = take(dataset, name, "seed", "layer", "unit", missing=True).values
        enough = counts >= _LEAST_FIRINGS
        if np.isnan(values[:, [0, -1]][enough[:, [0, -1]]]).any():
            raise UserError(
                f"{name} is missing for a unit of {_LEAST_FIRINGS} firings or more; record feature_specificity again."
            )
        deltas[name] = []
        for value, count, known in zip(values, counts, enough, strict=True):
            first, last = known[0], known[-1]
            delta, _ = matched_delta(value[0][first], value[-1][last], count[0][first], count[-1][last])
            if math.isnan(delta):
                raise NotTestable("too few units of the first and last layer fire equally often to be compared")
            deltas[name].append(delta)
    signs = {name: np.sign(max(found, key=abs)) for name, found in deltas.items()}
    readings = []
    for index, seed in enumerate(seeds(dataset)):
        here = {name: found[index] for name, found in deltas.items()}
        holds = all(abs(d) >= 0.33 and np.sign(d) == signs[name] for name, d in here.items())
        margins = tuple(float(d * signs[name]) - 0.33 for name, d in here.items())
        readings.append(Reading(seed, holds, {f"δ {name}": d for name, d in here.items()}, margins=margins))
    return Finding(tuple(readings))
