"""Tables of chapter 06: how longer runs end, used units and loss by width, and the two readings of the stream."""

from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from ...experiments import endings

CALLED = {"lr × 2": "first"}
"""Names of recipes in a sweep that readers know by another."""

PREDICTED = {
    "stream 256, 8,192 units": (83, 97),
    "stream 256, 16,384 units": (65, 83),
    "stream 1,024, 8,192 units": (100, 97),
    "stream 1,024, 16,384 units": (97, 83),
}
"""Size → batch use of layer 5 (percent) by units per number of the stream, and by the units alone, as `sweep_table` has
them from before the runs."""

NEAR = 5
"""Points within which each was to come."""


def named(dataset: xr.Dataset) -> xr.Dataset:
    """A sweep's dataset with its recipes under the names that readers know."""
    return dataset.assign_coords(recipe=[CALLED.get(name, name) for name in dataset["recipe"].values.tolist()])


def by_recipe(dataset: xr.Dataset) -> pd.DataFrame:
    """How each recipe ends: batch use in percent and loss, the nearest to the source first."""
    return _shown(endings.by_recipe(dataset).drop(columns="distance")).rename_axis("recipe")


def by_tokens(*datasets: xr.Dataset) -> pd.DataFrame:
    """How *first* ends after each length of training."""
    return _shown(endings.by_tokens(*datasets).drop(columns="distance").astype({"seeds": int}))


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    table = table.rename(columns=endings.of_layer, index=CALLED)
    return table.rename_axis(columns=None)


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


def losses(dataset: xr.Dataset) -> pd.DataFrame:
    """Held-out loss (nats per token, read while training) at each width, and how many seeds it is a mean of."""
    loss = dataset["heldout_loss"].astype(float)
    rows = {
        f"{width:,}": {"loss": f"{float(of.mean()):.3f}", "seeds": int(of.count())}
        for width, of in ((int(w), loss.sel(d_ff=w)) for w in loss["d_ff"].values)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("units per layer")


def by_width(dataset: xr.Dataset) -> pd.DataFrame:
    """Loss, and the units that fire at a single token, layer by layer: a row a width."""
    table = losses(dataset)
    tokens = dataset["token_units"].astype(float).mean("seed").transpose("d_ff", "layer").values
    for layer, values in zip(dataset["layer"].values, tokens.T, strict=True):
        table[f"layer {layer}"] = [f"{value:.0f}" for value in values]
    return table


def readings(dataset: xr.Dataset) -> pd.DataFrame:
    """Layer 5 on other streams: what each reading predicted, and what came."""
    use = endings.use(dataset).mean("seed").isel(layer=-1)
    rows = {}
    for size, (per_number, alone) in PREDICTED.items():
        came = float(use.sel(recipe=size))
        rows[size] = {"per number of the stream, %": per_number, "units alone, %": alone, "came, %": f"{came:.1f}"}
        held = {"the first": abs(came - per_number) <= NEAR, "the second": abs(came - alone) <= NEAR}
        rows[size]["within five points"] = " and ".join(name for name, holds in held.items() if holds) or "neither"
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("size")
