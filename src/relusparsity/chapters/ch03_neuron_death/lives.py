"""What units go through, from the recorded counts: deaths undone, the stock that stays, what is left of the dead."""

import numpy as np
import xarray as xr

INTERVALS = 10
"""Parts of equal length into which training is cut for counts of deaths and revivals."""

LEAST_DEATHS = 20
"""Deaths, of all seeds, under which an interval has no ratio."""


def intervals(seen: np.ndarray, most: int) -> np.ndarray:
    """Indices of measured steps at least 1/most of the training apart, with the first and the last."""
    keep, least = [0], (seen[-1] - seen[0]) / most * 0.999
    for i in range(1, len(seen)):
        if seen[i] - seen[keep[-1]] >= least or i == len(seen) - 1:
            keep.append(i)
    return np.array(keep)


def undone(dataset: xr.Dataset, most: int = INTERVALS) -> xr.Dataset:
    """How often death is undone, interval by interval; seeds are summed before anything is divided.

    Parameters
    ----------
    dataset : Dataset
        `deaths`, `revivals` (seed, step, layer), units since the last measured step; `dead_units` (seed, step, layer),
        missing where none can be known to be dead yet; `tokens` (step).
    most
        Intervals at most.

    Returns
    -------
    Dataset
        By (interval, layer): `deaths` and `revivals`, units; `per_100_deaths`, revivals per 100 deaths, missing with
        fewer than `LEAST_DEATHS`; `per_100_dead`, revivals per 100 dead units and million tokens, missing where none is
        dead or none comes back. The coordinate `tokens` is each interval's middle.
    """
    seen = dataset["tokens"].values.astype(float)
    edges = intervals(seen, most)
    of = {n: dataset[n].sum("seed").transpose("step", "layer").values.astype(float) for n in ("deaths", "revivals")}
    counts = {name: np.add.reduceat(values[1:], edges[:-1], axis=0) for name, values in of.items()}
    dead = dataset["dead_units"].fillna(0).sum("seed").transpose("step", "layer").values.astype(float)
    lived = (dead[1:] + dead[:-1]) / 2 * np.diff(seen)[:, None] / 1e6  # dead units times million tokens, step by step
    exposed = np.add.reduceat(lived, edges[:-1], axis=0)
    back = np.where(counts["revivals"] > 0, counts["revivals"], np.nan)
    ratios = {
        "per_100_deaths": 100
        * counts["revivals"]
        / np.where(counts["deaths"] >= LEAST_DEATHS, counts["deaths"], np.nan),
        "per_100_dead": 100 * back / np.where(exposed > 0, exposed, np.nan),
    }
    middle = (seen[edges[1:]] + seen[edges[:-1]]) / 2
    return xr.Dataset(
        {name: (("interval", "layer"), values) for name, values in (counts | ratios).items()},
        {"layer": dataset["layer"].values, "tokens": ("interval", middle)},
    )


def stock(dataset: xr.Dataset) -> xr.DataArray:
    """Dead units, percent of the layer, mean over seeds: (step, layer), with the coordinate `tokens`."""
    share = 100 * dataset["dead_units"].astype(float).mean("seed") / dataset.sizes["unit"]
    return share.transpose("step", "layer")


def last_part(dataset: xr.Dataset, share: float = 0.1) -> xr.Dataset:
    """What happens after a share of the training is left: (layer), all seeds together.

    Returns
    -------
    Dataset
        `dead_before`, `dead_after`: units dead where it begins and at the end; `deaths`, `revivals`: in it;
        `of_deaths`: these deaths, percent of all in training.
    """
    seen = dataset["tokens"].values.astype(float)
    first = int(np.abs(seen - (1 - share) * seen[-1]).argmin())
    dead, later = dataset["dead_units"].sum("seed"), dataset.isel(step=slice(first + 1, None))
    found = {name: later[name].sum(["seed", "step"]).astype(float) for name in ("deaths", "revivals")}
    all_deaths = dataset["deaths"].sum(["seed", "step"]).astype(float)
    return xr.Dataset(
        found
        | {"dead_before": dead.isel(step=first, drop=True), "dead_after": dead.isel(step=-1, drop=True)}
        | {"of_deaths": 100 * found["deaths"] / all_deaths}
    ).drop_vars(["step", "tokens"], errors="ignore")


def half_dead(dataset: xr.Dataset) -> xr.DataArray:
    """Tokens from which on at least half as many units are dead as at the end: (layer), missing where none is."""
    share = stock(dataset)
    seen, values = dataset["tokens"].values.astype(float), np.nan_to_num(share.values)
    at = [seen[np.flatnonzero(of < of[-1] / 2)[-1] + 1] if of[-1] else np.nan for of in values.T]
    return xr.DataArray(at, dims="layer", coords={"layer": share["layer"].values})


def remains(dataset: xr.Dataset) -> dict[str, float]:
    """What is left of dead units at the end, medians.

    Returns
    -------
    Numbers by name: `weights`, the norm of their input weights in percent of the living's; `bias`, in percent of their
    mean pre-activation; `below`, by how many standard deviations that mean lies below zero, and `living`, the same of
    units that are not dead.
    """
    followed = dataset.isel(unit=dataset["history_unit"].values.astype(int))
    counts = [followed[name].transpose("seed", "layer", "unit").values for name in ("death_count", "revival_count")]
    dead = counts[0] > counts[1]
    last = dataset.isel(history_step=-1)
    mean, spread, norm = (
        last[name].transpose("seed", "layer", "history_unit").values.astype(float)
        for name in ("preactivation_mean", "preactivation_std", "input_weight_norm")
    )
    fate = dataset["fate_median"].sel(fate="dead at the end")
    bias = 100 * fate.sel(quantity="input_bias") / fate.sel(quantity="preactivation_mean")
    below = -mean / spread
    return {
        "weights": 100 * float(np.median(norm[dead]) / np.median(norm[~dead])),
        "bias": float(bias.median()),
        "below": float(np.median(below[dead])),
        "living": float(np.median(below[~dead])),
    }


def woken(dataset: xr.Dataset) -> xr.DataArray:
    """Of the units silent on the small sample, the share (percent) that fires in the larger one: (seed, layer).

    Missing where no unit of a layer is silent.
    """
    small, both = (dataset[name].astype(float) for name in ("silent_small", "silent_both"))
    return (100 * (small - both) / small.where(small > 0)).transpose("seed", "layer")
