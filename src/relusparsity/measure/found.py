"""What a measurement found, in sentences: use by layer, against what random weights would read, and silent units."""

import re
from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from ..plots.reading import percent
from ..store import results

NEAR = 5.0
"""Points from the zero point within which a layer shows nothing. Chapter 11's random weights scatter by less than 2."""
SMOOTH = 90.0
"""Percent of units at a token above which an activation that is never zero is called smooth."""


def sentences(data: xr.Dataset) -> Iterator[str]:
    """What `measure.measure` found, the most important first.

    Parameters
    ----------
    data
        `final_token_use`, `silent_units` (seed, layer); `silent_loss`, `baseline_loss` (seed, evaluation) where the
        loss without units was measured; attributes `d_ff`, `final_sample_tokens`, `provenance`.
    """
    use, numbers = _use(data), data["layer"].values
    low, high = (percent(float(of(use))) for of in (np.min, np.max))
    several = len(use) > 1 and low != high
    yield (
        f"At a token {low} to {high} of a layer's units fire; layer {numbers[use.argmin()]} uses the fewest."
        if several
        else f"At a token {low} of {'each layer' if len(use) > 1 else 'the layer'}'s units fire."
    )
    yield _against_random(data, use)
    yield _silent(data)


def _use(data: xr.Dataset) -> np.ndarray:
    """Token use in percent: (layer)."""
    return 100 * data["final_token_use"][0].values.astype(float)


def _against_random(data: xr.Dataset, use: np.ndarray) -> str:
    zero, why = zero_point(data)
    if zero is None:
        return why
    apart, of = use - zero, f"of {len(use)} layers" if len(use) > 1 else "of 1 layer"
    below, above = int((apart < -NEAR).sum()), int((apart > NEAR).sum())
    if not below and not above:
        whole = "Every layer is" if len(use) > 1 else "The layer is"
        return f"{why} {whole} within {NEAR:g} points of that: this number shows nothing of training."
    told = [
        f"{count} {of} lie{'s' if count == 1 else ''} more than {NEAR:g} points {side} it" * bool(count)
        for count, side in ((below, "below"), (above, "above"))
    ]
    return f"{why} {', '.join(filter(None, told))}."


def zero_point(data: xr.Dataset) -> tuple[float | None, str]:
    """Percent of units at a token that the measurement's rule reads where nothing was learned, and a sentence on it.

    None where no such number is known: it is that of the same model, untrained.
    """
    facts = results.provenance(data)
    rule = facts["rule"]["name"]
    own = "Measure the same model untrained, too: what it reads is the zero point of this number."
    if rule == "above zero":
        return 50.0, "With random weights about half of them would, in every layer."
    if rule == "not exactly zero" and _use(data).mean() > SMOOTH:
        return None, (
            "This activation is smooth: it is hardly ever exactly zero, so nearly every unit counts as firing, trained "
            "or not. Measure again with a threshold, such as --rule cett=0.2, and say so with the numbers."
        )
    name, _, number = str(facts["config"]["options"]["rule"]).partition("=")
    if name == "quantile":
        return None, f"By this rule it is {percent(100 * (1 - float(number)))} by definition, trained or not."
    if name == "cett" and all("act(gate) · up" in place for place in facts["layers"]):
        chance = by_chance(float(number), 2)
        return chance, f"Products of random numbers, as a gated layer makes them, would read {percent(chance)}."
    return None, own


def by_chance(tail_error: float, factors: int, numbers: int = 1_000_000) -> float:
    """Percent of random numbers above the threshold of a CETT rule: what a layer without any structure would read.

    Parameters
    ----------
    tail_error
        The rule's CETT: what lies below the threshold has this share of the norm of all.
    factors
        1: normally distributed activations; 2: products of two, as a gated MLP multiplies them.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    energy = np.sort(np.prod(rng.standard_normal((factors, numbers)), axis=0) ** 2)
    below = np.searchsorted(np.cumsum(energy), tail_error**2 * energy.sum())
    return round(100 * (1 - float(below) / numbers), 1)


def _silent(data: xr.Dataset) -> str:
    counts, read = data["silent_units"][0].values, f"{data.attrs['final_sample_tokens']:,}"
    total, units = int(counts.sum()), len(counts) * int(data.attrs["d_ff"])
    if not total:
        return f"Every one of {units:,} units fired somewhere in {read} tokens."
    most = int(counts.argmax())
    said = f"{total:,} of {units:,} units ({percent(100 * total / units)}) fired at none of {read} tokens"
    if len(counts) > 1:
        share = percent(100 * float(counts[most]) / data.attrs["d_ff"])
        said += f"; layer {data['layer'].values[most]} has the most of them ({share} of its units)"
    if "silent_loss" not in data:
        return f"{said}."
    cost = 100 * (float(data["silent_loss"][0, 0]) / float(data["baseline_loss"][0, 0]) - 1)
    changed = f"{cost:+.2f}".replace("-", "−")
    if changed in ("+0.00", "−0.00"):
        return f"{said}. Without them the loss on other text stays the same to a hundredth of a percent."
    return f"{said}. Without them the loss on other text changes by {changed} %."


def rule_facts(facts: Mapping[str, float]) -> str:
    """Facts of a rule in brackets; those of single layers, such as cett_0 and cett_1, as one, from least to most.

    >>> rule_facts({"epsilon": 0.1}), rule_facts({"cett_0": 0.19, "cett_1": 0.2})
    (' (epsilon 0.1)', ' (cett by layer 0.19 to 0.2)')
    """
    several: dict[str, list[float]] = {}
    for name, value in facts.items():
        several.setdefault(re.sub(r"_\d+$", " by layer", name), []).append(value)
    some = []
    for name, values in several.items():
        ends = dict.fromkeys(f"{value:.4g}" for value in (min(values), max(values)))
        some.append(f"{name} {' to '.join(ends)}")
    return f" ({', '.join(some)})" if some else ""
