"""Tables of chapter 10: bounds by model and stage, and what was written of the runs to come."""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from ...experiments import pruned_training, written
from . import bound

STAGES = (0.1, 0.5, 1.0)
"""Shares of the training at which the table reads the bound."""


def bounds(given: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """How many times as fast at most, by operations: at stages of the training, over a run, and with three removals."""
    found = bound.at(given, STAGES)
    rows = {}
    for name in given:
        of = found.sel(model=name)
        rows[name] = {f"at {100 * stage:g} %": f"{float(of['bound'].sel(stage=stage)):.2f}" for stage in STAGES}
        rows[name] |= {
            "over the run": f"{float(of['over_run']):.2f}",
            "three removals": f"{float(of['planned_over_run']):.2f}",
            "dead at the end": f"{100 * float(of['dead'].sel(stage=1.0)):.0f} %",
            "seeds": f"{int(of['seeds'])}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def expected() -> pd.DataFrame:
    """The intervals written of the runs of Wide."""
    return written.expected(pruned_training, number="last loss beside dense's, %")


def chances() -> pd.DataFrame:
    """The sentences written of them, with the chance that we gave each."""
    return written.chances(pruned_training)
