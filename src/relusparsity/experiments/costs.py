"""What recorded runs took, for the table at the end of a chapter."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ..store import results
from . import variants


def cost(named: Mapping[str, xr.Dataset], planned: Mapping[str, int] | None = None) -> pd.DataFrame:
    """Runs, their minutes in all, where they ran and by which commit: a row a dataset.

    Parameters
    ----------
    named
        What a row is called → its dataset.
    planned
        How many runs were planned, where some are yet to come.
    """
    rows = {}
    for name, dataset in named.items():
        facts = results.provenance(dataset)
        made = int((np.ravel(facts["runs"]) != variants.NOT_RUN).sum())
        commit = str(facts["environment"]["commit"])
        rows[name] = {
            "runs": f"{made} of {planned[name]}" if planned else made,
            "minutes": f"{np.ravel(facts['wall_seconds']).astype(float).sum() / 60:.0f}",
            "device": facts["environment"]["device"],
            "commit": "unknown" if commit.startswith("unknown") else commit[:12],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("runs of")
