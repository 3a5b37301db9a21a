"""What chapter 04 compares: units of the first layer with units of the last that fire equally often, by Cliff's δ."""

import math

import numpy as np
import xarray as xr

from ...claims.effects import layers_differ_in_specificity
from ...claims.reading import fresh
from ...claims.statistics import cliffs_delta, matched_delta

MEASURES = {"within_sequence_rate": "within-sequence rate", "token_selectivity": "token selectivity"}
"""Variable → what readers call it."""

WITH_ARTICLE = ("the within-sequence rate", "token selectivity")
"""The same within a sentence."""

ENOUGH = 0.33
"""The |δ| that row 13 of the ledger asks of both measures."""

LEAST = 100
"""Firings below which a unit has neither measure."""


def deltas(dataset: xr.Dataset) -> xr.Dataset:
    """δ of each measure, (seed), as row 13 reads it: above 0, the last layer's units are the higher.

    Seeds that searched for the recipe are left out.

    Raises
    ------
    NotTestable
        If too few units of the two layers fire equally often.
    """
    readings = layers_differ_in_specificity(fresh(dataset)).readings
    found = {name: ("seed", [float(reading.values[f"δ {name}"]) for reading in readings]) for name in MEASURES}
    return xr.Dataset(found, {"seed": [reading.seed for reading in readings]})


def unmatched(dataset: xr.Dataset) -> xr.Dataset:
    """δ of each measure, (seed), between all units of the two layers, however often they fire."""
    some = fresh(dataset)
    found = {}
    for name in MEASURES:
        ends = (some[name].isel(layer=at).transpose("seed", "unit").values for at in (0, -1))
        pairs = zip(*ends, strict=True)
        found[name] = ("seed", [cliffs_delta(a[np.isfinite(a)], b[np.isfinite(b)]) for a, b in pairs])
    return xr.Dataset(found, {"seed": some["seed"]})


def enough(dataset: xr.Dataset) -> xr.DataArray:
    """Units of `LEAST` firings or more: (seed, layer)."""
    return (fresh(dataset)["firing_count"] >= LEAST).sum("unit").transpose("seed", "layer")


def by_random(dataset: xr.Dataset) -> xr.DataArray:
    """δ of the within-sequence rate over that of random firing, unit by unit, at equal firing count: (seed)."""
    some = fresh(dataset)
    return _matched(some, some["within_sequence_rate"] / some["within_sequence_rate_random"])["delta"]


def rare_and_busy(dataset: xr.Dataset, percent: float) -> tuple[xr.DataArray, xr.DataArray]:
    """δ of token selectivity among units that fire at fewer than a share of the tokens, and among others: (seed)."""
    some = fresh(dataset)
    edge = some.attrs["sample_tokens"] * percent / 100
    values = some["token_selectivity"]
    return _matched(some, values, most=edge)["delta"], _matched(some, values, least=max(LEAST, edge))["delta"]


def matched(dataset: xr.Dataset) -> xr.DataArray:
    """Units of the first and last layer, together, that lie in a stratum of firing count that is compared: (seed)."""
    some = fresh(dataset)
    return _matched(some, some["token_selectivity"])["units"]


def _matched(some: xr.Dataset, values: xr.DataArray, least: float = LEAST, most: float = math.inf) -> xr.Dataset:
    """δ at equal firing count and the units compared, (seed), of units with `least` firings or more, under `most`."""
    pairs = []
    for seed in range(some.sizes["seed"]):
        value, count = (
            each.isel(seed=seed, layer=[0, -1]).transpose("layer", "unit").values
            for each in (values, some["firing_count"])
        )
        kept = [(k >= least) & (k < most) for k in count]
        x, y = (v[keep] for v, keep in zip(value, kept, strict=True))
        k, n = (c[keep] for c, keep in zip(count, kept, strict=True))
        pairs.append(matched_delta(x, y, k, n))
    delta, units = zip(*pairs, strict=True)
    return xr.Dataset({"delta": ("seed", list(delta)), "units": ("seed", list(units))}, {"seed": some["seed"]})
