"""Chapter 07, read from the course of recorded runs: what γ names, and when each layer empties."""

import numpy as np
import xarray as xr

from ...experiments import recipe_effects

LATER = 900_000
"""Training tokens before which every layer dips for a moment and comes back, and γ says nothing."""


def named(dataset: xr.Dataset) -> xr.Dataset:
    """Number of runs, by step, in which something names the layer that ends with the lowest batch use.

    `largest`: the layer of the largest γ is that layer; `two`: it is one of the two of the largest; `so_far`: the
    layer with the lowest batch use at that step is. Runs of recipes that keep every layer full are left out. Attributes
    `runs`, how many there are, and `always`, in how many the commonest layer of all is right.

    Parameters
    ----------
    dataset
        `gamma`, `batch_use` (recipe, seed, step, layer), `final_batch_use` (recipe, seed, set, layer), `tokens` (step).
    """
    kept = dataset.isel(recipe=np.flatnonzero(recipe_effects.emptied(dataset)))
    last = kept["final_batch_use"].astype(float).mean("set").argmin("layer")
    gamma = kept["gamma"].astype(float).transpose("recipe", "seed", "step", "layer")
    order = gamma.copy(data=np.argsort(-gamma.values, axis=-1, kind="stable"))
    lowest = kept["batch_use"].astype(float).argmin("layer")
    over = ("recipe", "seed")
    out = xr.Dataset(
        {
            "largest": (order.isel(layer=0) == last).sum(over),
            "two": (order.isel(layer=slice(2)) == last).any("layer").sum(over),
            "so_far": (lowest == last).sum(over),
        }
    ).drop_vars("layer", errors="ignore")
    out.attrs = {"runs": last.size, "always": int(np.bincount(last.values.ravel()).max())}
    return out.assign_coords(tokens=("step", dataset["tokens"].values))


def lost(dataset: xr.Dataset) -> xr.DataArray:
    """Of the batch use that a layer ends without, the share (percent) that it has lost by each step, (step, layer).

    The mean over the seeds; steps from `LATER` tokens on.
    """
    use = dataset["batch_use"].astype(float).mean("seed").transpose("step", "layer")
    share = 100 * (1 - use) / (1 - use.isel(step=-1))
    share = share.assign_coords(tokens=("step", dataset["tokens"].values))
    return share.isel(step=np.flatnonzero(dataset["tokens"].values >= LATER))


def half_lost(dataset: xr.Dataset, least: float = 3.0) -> xr.DataArray:
    """Training tokens by which each layer has lost half of what it ends without, for good; (layer).

    Missing (NaN) for a layer that loses fewer than `least` points.
    """
    share, ends = lost(dataset), 100 * (1 - dataset["batch_use"].astype(float).isel(step=-1).mean("seed"))
    tokens = share["tokens"].values.astype(float)
    below = (share < 50).values
    first = [int(np.flatnonzero(column)[-1]) + 1 if column.any() else 0 for column in below.T]
    return xr.DataArray(tokens[first], {"layer": share["layer"]}, dims="layer").where(ends >= least)
