"""Tables of chapter 03: what becomes of the units."""

import pandas as pd
import xarray as xr


def fates(dataset: xr.Dataset) -> pd.DataFrame:
    """Units that ever died, ever came back, and are dead at the end: percent, mean over seeds, one row per layer."""
    share = 100 * (dataset[["death_count", "revival_count"]] > 0).mean("unit")
    share = share.rename(death_count="ever died", revival_count="came back")
    share["dead at the end"] = 100 * dataset["dead_count"] / dataset.sizes["unit"]
    return share.mean("seed").to_dataframe().astype(float).round(1)
