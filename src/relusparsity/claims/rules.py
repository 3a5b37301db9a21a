"""Each row's rule as a function of a dataset: it says what every seed shows, and what keeps it from deciding.

The rules of rows 1 to 8 and 14 are here and read `layer_patterns`; those of rows 9 to 13 are in `effects` and read the
other chapters' datasets. Shares are fractions 0–1 in datasets and percent in readings. Where the ledger's words leave a
choice, the docstring of the rule says which one we made.

| rows | variables | attributes |
|---|---|---|
| 1 2 3 3b 4 14 | `final_batch_use(seed, set, layer)` | config.measure.set_tokens |
| 5 | `token_use_percentiles(seed, step, layer, percentile)` | |
| 6 7 8 | `token_use`, `sequence_use` `(seed, step, layer)`, `tokens(step)` | config.train.warmup |
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xarray as xr

from ..errors import UserError
from ..source import BATCH_USE
from .reading import Finding, Floats, NotTestable, Reading, at, seeds, setting, take
from .statistics import changes, fallen_for_good, kendall_tau

_SETS, _SET_TOKENS = 64, 8192


def batch_use(dataset: xr.Dataset) -> tuple[Floats, tuple[str, ...]]:
    """U, percent `(seed, layer)`, and how its sample falls short of 64 held-out sets of 8,192 tokens, if it does.

    If there are more sets, the first 64 count.
    """
    use = take(dataset, "final_batch_use", "seed", "set", "layer", share=True).isel(set=slice(_SETS))
    sets, tokens = use.sizes["set"], int(setting(dataset, "measure", "set_tokens"))
    limits = () if (sets, tokens) == (_SETS, _SET_TOKENS) else (_sample(sets, tokens),)
    return 100 * use.mean("set").values, limits


def _sample(sets: int, tokens: int) -> str:
    return f"batch use is over {sets} sets of {tokens:,} tokens, the ledger's over {_SETS} of {_SET_TOKENS:,}"


Judged = tuple[tuple[float, ...], dict[str, float | str]]
"""Margins and values of one seed."""


def _on_use(judge: Callable[[Floats], Judged], dataset: xr.Dataset, strict: bool = False) -> Finding:
    """A rule on U: it holds where no margin is negative; with `strict`, the first must be positive."""
    use, limits = batch_use(dataset)
    if use.shape[1] != 6:
        raise NotTestable(f"the rule is about six layers, this model has {use.shape[1]}")
    readings = []
    for seed, layers in zip(seeds(dataset), use, strict=True):
        margins, values = judge(layers)
        holds = min(margins) >= 0 and (margins[0] > 0 or not strict)
        readings.append(Reading(seed, holds, values, margins=margins))
    return Finding(tuple(readings), limits)


def _within(finding: Finding, label: str, source: float) -> Finding:
    """Add numerical agreement: within 5 points of the source's number."""
    readings = (
        replace(reading, agrees=abs(float(reading.values[label]) - source) <= 5) for reading in finding.readings
    )
    return replace(finding, readings=tuple(readings))


def first_layer_collapses(dataset: xr.Dataset) -> Finding:
    """Row 1: U_0 < 30."""
    finding = _on_use(lambda u: ((30 - float(u[0]),), {"batch use of layer 0 (%)": float(u[0])}), dataset, strict=True)
    return _within(finding, "batch use of layer 0 (%)", BATCH_USE[0])


def last_layer_survives(dataset: xr.Dataset) -> Finding:
    """Row 2: U_5 ≥ 90."""
    finding = _on_use(lambda u: ((float(u[5]) - 90,), {"batch use of layer 5 (%)": float(u[5])}), dataset)
    return _within(finding, "batch use of layer 5 (%)", BATCH_USE[5])


def layers_differ(dataset: xr.Dataset) -> Finding:
    """Row 3: U_5 − U_0 ≥ 50."""
    return _on_use(
        lambda u: ((float(u[5] - u[0]) - 50,), {"layer 5 above layer 0 (points)": float(u[5] - u[0])}), dataset
    )


def early_layer_collapses(dataset: xr.Dataset) -> Finding:
    """Row 3b: min(U_0, U_1, U_2) < 30 and U_5 ≥ 90."""
    return _on_use(
        lambda u: (
            (30 - float(u[:3].min()), float(u[5]) - 90),
            {"lowest of layers 0, 1, 2 (%)": float(u[:3].min()), "layer 5 (%)": float(u[5])},
        ),
        dataset,
        strict=True,
    )


def first_and_last_inverted(dataset: xr.Dataset) -> Finding:
    """Row 4: U_0 lies at least 5 points below, and U_5 at least 5 points above, every other layer."""

    def judge(u: Floats) -> Judged:
        below, above = float(u[1:].min() - u[0]), float(u[5] - u[:5].max())
        return (below - 5, above - 5), {
            "layer 0 below the next (points)": below,
            "layer 5 above the next (points)": above,
        }

    return _on_use(judge, dataset)


def sparse_at_a_token(dataset: xr.Dataset) -> Finding:
    """Row 5: the median of token_use over tokens at the last measured step is ≤ 10 % in every layer."""
    percentiles = take(
        dataset, "token_use_percentiles", "seed", "step", "layer", "percentile", share=True, missing=True
    )
    medians = at(percentiles, "percentile", 50.0).isel(step=-1).values
    if np.isnan(medians).any():
        raise UserError("token_use_percentiles holds NaN at percentile 50 of the last step; record it again.")
    highest = 100 * medians.max(axis=1)
    return Finding(
        tuple(
            Reading(
                seed, bool(value <= 10), {"highest median token_use (%)": float(value)}, margins=(10 - float(value),)
            )
            for seed, value in zip(seeds(dataset), highest, strict=True)
        )
    )


def course(dataset: xr.Dataset, name: str) -> tuple[Floats, Floats]:
    """Tokens seen `(step,)` and a measure `(seed, step, layer)`, checked for interpolation.

    Raises
    ------
    NotTestable
        Where there is a single step, or the first comes after 2 % of the tokens.
    UserError
        Where the tokens do not increase.
    """
    tokens = take(dataset, "tokens", "step").values
    values = take(dataset, name, "seed", "step", "layer", share=True).values
    if len(tokens) < 2 or tokens[0] > 0.02 * tokens[-1]:
        raise NotTestable("there is a single measured step, or the first comes after 2 % of the tokens")
    if (np.diff(tokens) <= 0).any():
        raise UserError("tokens(step) does not increase from step to step; record the dataset again.")
    return tokens, values


def falls_gradually(dataset: xr.Dataset) -> Finding:
    """Row 6: no stretch of 2 % of the tokens holds more than 20 % of layer 0's fall in log token_use.

    The fall is from the first measured step to the last; between steps log token_use is linear in tokens. Where
    use does not fall, the claim fails. If an interval longer than 2 % holds more than 20 % of the fall, we cannot see
    what happened inside it: the seed is not decided, unless another stretch already breaks the rule.
    """
    tokens, use = course(dataset, "token_use")
    span = 0.02 * tokens[-1]
    readings = []
    for seed, layer in zip(seeds(dataset), use[:, :, 0], strict=True):
        label = "largest part of the fall in 2 % of the tokens (%)"
        if (layer == 0).any():
            readings.append(Reading(seed, None, {label: "undefined"}, "token_use is 0 at a step, its log undefined"))
            continue
        log_use = np.log(layer)
        fall = log_use[0] - log_use[-1]
        if fall <= 0:
            readings.append(Reading(seed, False, {label: "no fall"}))
            continue
        part = float(-changes(tokens, log_use, span, tokens[0]).min() / fall)
        coarse = (np.diff(tokens) > 1.001 * span) & (-np.diff(log_use) > 0.2 * fall)
        holds: bool | None = part <= 0.2
        note = ""
        if holds and coarse.any():
            holds, note = None, "steps are too far apart where token_use falls fastest"
        readings.append(Reading(seed, holds, {label: 100 * part}, note, margins=(20 - 100 * part,)))
    return Finding(tuple(readings))


def shifts_per_sequence(dataset: xr.Dataset) -> Finding:
    """Row 7: half of the log fall in token_use precedes the loss of 10 points of sequence_use by 10 % of the tokens.

    Both are layer 0's, counted from the first measured step. Each moment is the one after which the curve *stays* at
    or below its level (a dip that comes back is no loss); between steps log token_use and sequence_use are linear in
    tokens. Where token_use does not fall, or sequence_use ends less than 10 points down, the claim fails.
    """
    tokens, token_use = course(dataset, "token_use")
    _, sequence_use = course(dataset, "sequence_use")
    readings = []
    label = "lead (% of the tokens)"
    pairs = zip(seeds(dataset), token_use[:, :, 0], sequence_use[:, :, 0], strict=True)
    for seed, token, sequence in pairs:
        if (token == 0).any():
            readings.append(Reading(seed, None, {label: "undefined"}, "token_use is 0 at a step, its log undefined"))
            continue
        log_use = np.log(token)
        if log_use[-1] >= log_use[0]:
            readings.append(Reading(seed, False, {label: "no fall of token_use"}))
            continue
        half = fallen_for_good(tokens, log_use, (log_use[0] + log_use[-1]) / 2)
        shift = fallen_for_good(tokens, sequence, sequence[0] - 0.1)
        if math.isinf(shift):
            readings.append(Reading(seed, False, {label: "no loss of sequence_use"}))
            continue
        lead = float((shift - half) / tokens[-1])
        readings.append(Reading(seed, lead >= 0.1, {label: 100 * lead}, margins=(100 * lead - 10,)))
    return Finding(tuple(readings))


def shift_is_layer_0s(dataset: xr.Dataset) -> Finding:
    """Row 8: after warm-up, layer 0's largest change of sequence_use in 10 % of the tokens is ≥ 2× any other layer's.

    A change is the difference, up or down, between the two ends of a stretch that lies wholly after the warm-up.
    Where layer 0 does not change at all, the claim fails.
    """
    tokens, use = course(dataset, "sequence_use")
    warmup, span = float(setting(dataset, "train", "warmup")), 0.1 * tokens[-1]
    if use.shape[2] < 2:
        raise NotTestable("the model has a single layer")
    if warmup + span > tokens[-1]:
        raise NotTestable("less than 10 % of the tokens come after the warm-up")
    readings = []
    for seed, by_layer in zip(seeds(dataset), use, strict=True):
        largest = [np.abs(changes(tokens, layer, span, warmup)).max() for layer in by_layer.T]
        own, other = 100 * float(largest[0]), 100 * float(max(largest[1:]))
        values: dict[str, float | str] = {"layer 0 (points)": own, "largest other (points)": other}
        readings.append(Reading(seed, own > 0 and own >= 2 * other, values, margins=(own - 2 * other,)))
    return Finding(tuple(readings))


def small_models_mislead(small: xr.Dataset, large: xr.Dataset) -> Finding:
    """Row 14: Kendall's tau-b between U of Laptop (mean over its seeds) and U of each Wide seed is below 0.6."""
    (small_use, limits), (large_use, more) = batch_use(small), batch_use(large)
    if small_use.shape[1] != large_use.shape[1]:
        raise NotTestable(f"the models have {small_use.shape[1]} and {large_use.shape[1]} layers")
    if small_use.shape[1] < 2:
        raise NotTestable("the models have a single layer")
    readings = []
    for seed, use in zip(seeds(large), large_use, strict=True):
        tau = kendall_tau(small_use.mean(0), use)
        if math.isnan(tau):
            readings.append(Reading(seed, None, {"τ": "undefined"}, "every layer has the same use"))
        else:
            readings.append(Reading(seed, tau < 0.6, {"τ": tau}, margins=(0.6 - tau,)))
    return Finding(tuple(readings), (*limits, *more))
