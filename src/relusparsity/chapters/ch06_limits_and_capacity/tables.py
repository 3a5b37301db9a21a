"""Tables of chapter 06: used units, loss and parameters by width."""

from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr


def growth(dataset: xr.Dataset) -> pd.DataFrame:
    """By how much the used units of each layer multiply when the width doubles: first seed, a row a doubling.

    2 means that a fixed share of the units is used, 1 that their number has saturated. The last row is the yardstick:
    the largest over the smallest number among the seeds of the shared width.
    """
    used = dataset["used_units"].astype(float)
    widths, first = used["d_ff"].values, used.isel(seed=0).transpose("d_ff", "layer").values
    factor = (first[1:] / first[:-1]) ** (1 / np.log2(widths[1:] / widths[:-1]))[:, None]
    rows = [f"{a:,} → {b:,}" for a, b in pairwise(widths)]
    table = pd.DataFrame(factor, index=rows, columns=[f"layer {i}" for i in used["layer"].values])
    width = dataset.attrs["shared_d_ff"]
    at_shared = used.sel(d_ff=width)
    table.loc[f"seeds at {width:,}, largest / smallest"] = (at_shared.max("seed") / at_shared.min("seed")).values
    return table.round(2)


def by_width(dataset: xr.Dataset, name: str) -> pd.DataFrame:
    """A variable (seed, d_ff[, layer]), mean over the seeds that were trained: a row a width."""
    values = dataset[name].astype(float).mean("seed")
    return values.to_dataframe() if values.ndim == 1 else values.transpose("d_ff", "layer").to_pandas()
