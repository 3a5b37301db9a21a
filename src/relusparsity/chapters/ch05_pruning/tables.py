"""Tables of chapter 05: what removal costs, in loss and in quality, and how much can be afforded."""

import numpy as np
import pandas as pd
import xarray as xr


def costs(dataset: xr.Dataset, evaluation: str = "heldout") -> pd.DataFrame:
    """Change of loss in percent by share removed and method: mean over seeds."""
    chosen = dataset.sel(evaluation=evaluation)
    rise = 100 * (chosen["loss"] / chosen["baseline_loss"] - 1).mean("seed")
    table = rise.transpose("share", "chosen_by").to_pandas().astype(float).round(2) + 0.0  # no −0
    table.index = pd.Index([f"{100 * share:.3g} %" for share in rise["share"].values], name="units removed")
    return table.rename_axis(columns="method")


def quality(dataset: xr.Dataset, share: float, evaluation: str = "heldout") -> pd.DataFrame:
    """Loss, bits per byte and accuracy of the whole model and without `share`, one row per method: mean over seeds."""
    names = ["loss", "bits_per_byte", "accuracy"]
    chosen = dataset.sel(evaluation=evaluation).mean("seed")
    place = int(np.argmin(np.abs(dataset["share"].values - share)))  # a share in float32 is not quite the one asked for
    pruned = chosen[names].isel(share=place).astype(float).to_dataframe()[names]
    whole = pd.DataFrame({name: [float(chosen[f"baseline_{name}"])] for name in names}, index=["whole model"])
    return pd.concat([whole, pruned]).round(3)


def affordable(dataset: xr.Dataset, percent: float, evaluation: str = "heldout") -> pd.DataFrame:
    """Largest measured share, in percent, whose removal and that of every smaller share cost at most `percent` loss.

    The table has one row per seed and one column per method.
    """
    chosen = dataset.sel(evaluation=evaluation)
    within = chosen["loss"] <= chosen["baseline_loss"] * (1 + percent / 100)
    reached = (dataset["share"] * 100).where(within.cumprod("share") > 0).max("share")
    return reached.transpose("seed", "chosen_by").to_pandas().round(1).rename_axis(columns="method")


def silent_removal(dataset: xr.Dataset, evaluation: str = "heldout") -> pd.DataFrame:
    """What removing the silent units does: their number, the loss, the largest change of a logit; one row per seed."""
    chosen = dataset.sel(evaluation=evaluation)
    units = dataset.attrs["d_ff"] * dataset.sizes["layer"]
    rows = {
        "silent, % of units": (100 * dataset["silent_removed"].sum("layer") / units).round(1),
        "their cost, %": (100 * (chosen["silent_loss"] / chosen["baseline_loss"] - 1)).round(4) + 0.0,  # no −0
        "logit change, masked": dataset["masked_difference"],
        "logit change, removed": dataset["removed_difference"].astype(float).round(7),
    }
    return pd.DataFrame({name: values.to_series() for name, values in rows.items()})
