"""Tables of chapter 19: what each head of the small decoders does, and is worth."""

import pandas as pd
import xarray as xr

from .read import ranked

ORDER = ("highest", "second", "third", "lowest")
"""Of a layer's heads, by what it does."""


def of_birth(dataset: xr.Dataset) -> pd.DataFrame:
    """Heads of two layers at the end, each taken away alone: a row a head, means of the seeds."""
    of = ranked(dataset).mean("seed")
    rows = {}
    for layer, what in enumerate(("previous-token", "induction")):
        for rank, order in enumerate(ORDER):
            one = of.isel(layer=layer, rank=rank)
            rows[f"layer {layer}, {order} {what} score"] = {
                "previous token": f"{float(one['previous']):.2f}",
                "induction": f"{float(one['prefix_matching']):.2f}",
                "copying": f"{float(one['copying']):.2f}".replace("-", "−"),
                "gain lost without it, %": f"{float(one['worth']):.0f}".replace("-", "−"),
                "induction left, %": f"{float(one['matching']):.0f}",
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("head")
