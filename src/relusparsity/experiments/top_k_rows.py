"""Rows 25 to 27 of the ledger: what ten paired seeds of vision Transformers say of Top-k.

Each is decided by Student's interval of a mean of differences, so that it holds in all seeds or in none; it is not
decided while a seed lacks a run.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ..claims import Rule
from ..claims.reading import Finding, Reading
from ..claims.statistics import student
from . import top_k, variants
from .top_k_tuning import DENSE, DROPOUT, TOP_K, named


def costs_little(dataset: xr.Dataset) -> Finding:
    """Row 25; see `top_k.costs_little`."""
    _, inside = top_k.costs_little(dataset)
    arms = named(DENSE, 0.0), named(TOP_K, 0.0)
    return _found(dataset, arms, inside, _accuracies(dataset, arms))


def helps_under_noise(dataset: xr.Dataset) -> Finding:
    """Row 26: at 40 % noise, the 95 % intervals of the gains over dense, and over dense with dropout, lie above 0."""
    arms = [named(arm, 0.4) for arm in (DENSE, DROPOUT, TOP_K)]
    lows = [student(top_k.gain(dataset, 0.4, over))[0] for over in (DENSE, DROPOUT)]
    return _found(dataset, arms, all(low > 0 for low in lows), _accuracies(dataset, arms))


def better_calibrated(dataset: xr.Dataset) -> Finding:
    """Row 27: at equal accuracy on the validation, without noise, the 95 % intervals of the differences in error lie
    below 0, as it is and by temperature; see `top_k.at_equal_accuracy`.
    """
    arms = named(DENSE, 0.0), named(TOP_K, 0.0)
    table = top_k.at_equal_accuracy(dataset, *arms)
    columns = {"error": "ECE (%)", "scaled error": "ECE by temperature (%)"}
    values = {f"{words}, {arm}": table.loc[arm, column] for column, words in columns.items() for arm in arms}
    highs = [student(top_k.excess(dataset, column))[1] for column in columns]
    return _found(dataset, arms, all(high < 0 for high in highs), values)


def _accuracies(dataset: xr.Dataset, arms: Sequence[str]) -> dict[str, pd.Series]:
    accuracy = top_k.ends(dataset)["accuracy"]
    return {f"accuracy, {arm} (%)": accuracy.loc[arm] for arm in arms}


def _found(dataset: xr.Dataset, arms: Sequence[str], holds: bool | None, values: Mapping[str, pd.Series]) -> Finding:
    """What a rule that reads these arms finds by values of each seed; while one is missing, it is not known."""
    table = pd.DataFrame(values)
    lacking = [str(seed) for seed in table.index[table.isna().any(axis=1)]]
    readings = []
    for seed, row in table.iterrows():
        shown: dict[str, float | str] = {
            str(name): "not run" if np.isnan(each) else float(each) for name, each in row.items()
        }
        note = f"of seeds {', '.join(lacking)} a run has no end" if lacking else ""
        readings.append(Reading(int(str(seed)), None if lacking else holds, shown, note))
    return Finding(tuple(readings), to_come=variants.to_come((dataset, arms)) if lacking else "")


RULES = {
    "25": Rule("top_k", costs_little),
    "26": Rule("top_k", helps_under_noise),
    "27": Rule("top_k", better_calibrated),
}
"""The ledger's rows that these runs decide."""
