"""What recorded runs took, for the table at the end of a chapter."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ..store import results
from ..version import commits
from . import variants


def cost(named: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Runs, their minutes in all, where they ran and by which commits: a row a dataset.

    Parameters
    ----------
    named
        What a row is called → its dataset.
    """
    rows = {}
    for name, dataset in named.items():
        facts = results.provenance(dataset)
        follow = facts.get("followed", {"runs": [], "wall_seconds": []})  # runs that others decided
        made = int((np.ravel(facts["runs"]) != variants.NOT_RUN).sum()) + len(follow["runs"])
        seconds = [*np.ravel(facts["wall_seconds"]), *follow["wall_seconds"]]
        rows[name] = {
            "runs": made,
            "minutes": f"{np.sum(seconds, dtype=float) / 60:.0f}",
            "device": facts["environment"]["device"],
            "commit": ", ".join("unknown" if each.startswith("unknown") else each[:12] for each in commits(facts)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("runs of")
