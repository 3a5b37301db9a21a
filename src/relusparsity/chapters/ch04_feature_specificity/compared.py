"""What chapter 04 compares: units of the first layer with units of the last that fire equally often, by Cliff's δ."""

import math

import numpy as np
import scipy  # imports `scipy.stats`, which takes a second, only when it is first used
import xarray as xr
from numpy.typing import ArrayLike

from ...claims.effects import layers_differ_in_specificity
from ...claims.reading import fresh
from ...claims.statistics import cliffs_delta, matched_delta

MEASURES = {"within_sequence_rate": "within-sequence rate", "token_selectivity": "token selectivity"}
"""Variable → what readers call it."""

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


def matched(dataset: xr.Dataset) -> xr.DataArray:
    """Units of the first and last layer, together, that lie in a stratum of firing count that is compared: (seed)."""
    some = fresh(dataset)
    units = []
    for seed in range(some.sizes["seed"]):
        counts = some["firing_count"].isel(seed=seed, layer=[0, -1]).transpose("layer", "unit").values
        kept = [count[count >= LEAST] for count in counts]
        units.append(matched_delta(*kept, *kept)[1])  # the values compared do not matter
    return xr.DataArray(units, {"seed": some["seed"]}, "seed")


def interval(values: ArrayLike) -> tuple[float, float]:
    """Student's 95 % interval of the mean of two or more values.

    Examples
    --------
    >>> [round(end, 3) for end in interval([1.0, 2.0, 3.0])]
    [-0.484, 4.484]
    """
    some = np.asarray(values, dtype=float)
    if len(some) < 2:
        raise ValueError("one value has no interval")
    reach = scipy.stats.t.ppf(0.975, len(some) - 1) * some.std(ddof=1) / math.sqrt(len(some))
    return float(some.mean() - reach), float(some.mean() + reach)
