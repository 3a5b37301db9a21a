"""Tables of chapter 12: where the shares end, which way the first step goes, and what was written before the runs."""

import pandas as pd
import xarray as xr

from ...experiments import (
    first_gradient,
    first_gradient_by_layer,
    lazy_pictures,
    preactivation_drift,
    written,
)
from . import read


def shares(dataset: xr.Dataset) -> pd.DataFrame:
    """Where the share of positive entries ends, percent, mean of the seeds and their range; an arm a row.

    Arms that have not run are left out.
    """
    of, living, rows = lazy_pictures.ends(dataset), read.living(dataset), {}
    loss = dataset["train_loss"].isel(step=-1).astype(float)
    for arm in of.index.unique("arm"):
        table, others = of.loc[arm], living.sel(recipe=arm)
        if table["end"].isna().any():
            continue
        rows[arm] = {
            "end": f"{table['end'].mean():.1f} ({table['end'].min():.1f} to {table['end'].max():.1f})",
            "without the last layer": f"{table['without last'].mean():.1f}",
            "of units that fire": f"{float(others['all'].mean()):.1f}",
            "silent units": f"{float(others['silent'].mean()):.1f}",
            "training loss": f"{float(loss.sel(recipe=arm).mean()):.2f}",
            "accuracy": f"{table['accuracy'].mean():.1f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def by_size(dataset: xr.Dataset) -> pd.DataFrame:
    """Row 22 in each seed: rank correlations with the width, and the shares of the shallowest and the deepest."""
    table = lazy_pictures.trend(dataset).reset_index().set_index("seed")
    rounded = table[["τ of the share", "τ of the count"]].map(lambda value: f"{value:.1f}".replace("-", "−"))
    shown = table[["shallow", "deep"]].map("{:.1f}".format)
    return pd.concat([table["compared at"], rounded, shown, written.held(table["holds"])], axis=1)


def first_step(dataset: xr.Dataset) -> pd.DataFrame:
    """What lowers or raises pre-activations above 0 before the first step, two layers: an arm a row."""
    table = first_gradient.table(dataset)
    return pd.DataFrame(
        {
            "mean gradient": table["gradient"].map(short),
            "95 %": [f"{short(low)} to {short(high)}" for low, high in zip(table["low"], table["high"], strict=True)],
            "to first order": table["theorem"].map(short).where(table.index != first_gradient.OWN, "–"),
            "% of its spread": table["of one gradient"].map("{:.1f}".format).str.replace("-", "−"),
            "above 0": table["seeds above 0"],
        }
    ).rename_axis("trained on")


def by_layer(dataset: xr.Dataset) -> pd.DataFrame:
    """In how many layers the first step pushes positive entries down, up, or neither is sure; real labels."""
    table = first_gradient_by_layer.table(dataset).xs("real", level="labels")["sign"].dropna()
    theorem, rows = first_gradient_by_layer.against_theorem(dataset)["percent"], {}
    for (model, norm), signs in table.groupby(level=["model", "norm"], sort=False):
        known = norm == first_gradient_by_layer.WITHOUT and model in theorem.index
        rows[model, norm] = {
            "down": f"{int((signs > 0).sum())}",
            "up": f"{int((signs < 0).sum())}",
            "open": f"{int((signs == 0).sum())}",
            "last layer, % of the theorem's": f"{theorem[model]:.0f}" if known else "–",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["model", "final norm"])


def over_runs(dataset: xr.Dataset) -> pd.DataFrame:
    """Share of positive entries at both ends of the runs of two layers, and the mean's motion: arm and optimiser.

    The motion by the theorem's gradient stands where labels or V are not learned, so that its formula still holds.
    """
    of, rows = preactivation_drift.ends(dataset), {}
    for (arm, optimizer), row in of.iterrows():
        still = arm in (preactivation_drift.ANEW, preactivation_drift.FROZEN)
        rows[arm, optimizer] = {
            "start, %": f"{row['start']:.1f}",
            "end, %": f"{row['end']:.1f}",
            "rises in": f"{row['rises in']:.0f} of {dataset.sizes['seed']}",
            "mean p moves by": short(row["moved"]),
            "by the theorem": short(row["by the theorem"]) if still else "–",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["trained on", "by"])


def short(value: float) -> str:
    """A number to three digits, small ones to two and as a power of ten.

    >>> short(0.0002994), short(-51.12), short(0.0317)
    ('3.0e−4', '−51.1', '0.0317')
    """
    if value and abs(value) < 1e-2:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits}e{int(power)}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")
