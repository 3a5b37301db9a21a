"""Rows 25 to 27 of the ledger: what ten paired seeds of vision Transformers say of Top-k.

Each is decided by Student's interval of a mean of differences, so that it holds in all seeds or in none; it is open
while a seed lacks a run.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ..claims import Rule
from ..claims.reading import Finding, Reading
from ..claims.statistics import student
from . import top_k
from .top_k_tuning import DENSE, DROPOUT, TOP_K, named


def costs_little(dataset: xr.Dataset) -> Finding:
    """Row 25; see `top_k.costs_little`."""
    _, inside = top_k.costs_little(dataset)
    return _found(inside, _accuracies(dataset, 0.0, DENSE, TOP_K))


def helps_under_noise(dataset: xr.Dataset) -> Finding:
    """Row 26: at 40 % noise, the 95 % intervals of the gains over dense, and over dense with dropout, lie above 0."""
    lows = [student(top_k.gain(dataset, 0.4, over))[0] for over in (DENSE, DROPOUT)]
    return _found(all(low > 0 for low in lows), _accuracies(dataset, 0.4, DENSE, DROPOUT, TOP_K))


def better_calibrated(dataset: xr.Dataset) -> Finding:
    """Row 27: at equal accuracy on the validation, without noise, the 95 % intervals of the differences in error lie
    below 0, as it is and by temperature; see `top_k.at_equal_accuracy`.
    """
    arms = named(DENSE, 0.0), named(TOP_K, 0.0)
    table = top_k.at_equal_accuracy(dataset, *arms)
    columns = {"error": "ECE (%)", "scaled error": "ECE by temperature (%)"}
    values = {f"{words}, {arm}": table.loc[arm, column] for column, words in columns.items() for arm in arms}
    highs = [student(top_k.excess(dataset, column))[1] for column in columns]
    return _found(all(high < 0 for high in highs), values)


def _accuracies(dataset: xr.Dataset, noise: float, *arms: str) -> dict[str, pd.Series]:
    accuracy = top_k.ends(dataset)["accuracy"]
    return {f"accuracy, {named(arm, noise)} (%)": accuracy.loc[named(arm, noise)] for arm in arms}


def _found(holds: bool | None, values: Mapping[str, pd.Series]) -> Finding:
    """What a rule finds by values of each seed; while one is missing, it is open."""
    table = pd.DataFrame(values)
    lacking = [str(seed) for seed in table.index[table.isna().any(axis=1)]]
    readings = []
    for seed, row in table.iterrows():
        shown: dict[str, float | str] = {
            str(name): "not run" if np.isnan(each) else float(each) for name, each in row.items()
        }
        readings.append(Reading(int(str(seed)), None if lacking else holds, shown, "a run is missing" * bool(lacking)))
    limits = (f"not all runs are made yet: seeds {', '.join(lacking)} lack one",) if lacking else ()
    return Finding(tuple(readings), limits)


RULES = {
    "25": Rule("top_k", costs_little),
    "26": Rule("top_k", helps_under_noise),
    "27": Rule("top_k", better_calibrated),
}
"""The ledger's rows that these runs decide."""
