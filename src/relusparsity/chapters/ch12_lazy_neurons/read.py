"""What the figures of chapter 12 draw, read off its datasets: arms in their order, shares in percent."""

import xarray as xr

from ...experiments import first_gradient, lazy, lazy_pictures, preactivation_drift
from ...store import results

EVERY, LIVING = "all units", "units that fire at all"


def as_it_is(dataset: xr.Dataset) -> xr.Dataset:
    """The arm that changes nothing, as a recipe of its own: its layers alone."""
    return dataset.sel(recipe=lazy.AS_IS).dropna("layer", how="all", subset=["token_use"])


def by_width(dataset: xr.Dataset) -> xr.Dataset:
    """`positive` (width, seed, layer), percent of the entries at the end, narrow to wide; `width`: units a layer."""
    arms = list(lazy_pictures.TIMES.values())
    of = 100 * dataset["final_token_use"].sel(recipe=arms).astype(float).dropna("layer", how="all")
    units = lazy.numbers(dataset).loc[arms, "units"].tolist()
    of = of.drop_vars("recipe").rename(recipe="width").assign_coords(width=units)
    return xr.Dataset({"positive": of}, attrs=dataset.attrs | {"usual": units[arms.index(lazy.AS_IS)]})


def by_data(dataset: xr.Dataset) -> xr.Dataset:
    """`positive` (among, arm, seed, step), percent, mean of the layers: of all units, and of those that fire at all."""
    arms = [lazy.AS_IS, *lazy_pictures.NO_DATA]
    use, silent = (dataset[name].sel(recipe=arms).astype(float) for name in ("token_use", "silent_units"))
    alive = 1 - silent / float(lazy.numbers(dataset).loc[lazy.AS_IS, "units"])
    both = [100 * use.mean("layer"), 100 * (use / alive.where(alive > 0)).mean("layer")]
    of = xr.concat(both, "among").assign_coords(among=[EVERY, LIVING]).rename(recipe="arm")
    return xr.Dataset({"positive": of}, attrs=dataset.attrs)


def whole_runs(dataset: xr.Dataset) -> xr.Dataset:
    """Arms on drawn samples: `change` of the positive entries since step 0, points, (arm, optimizer, seed, step).

    `lowers` (arm): whether the first gradient, mean over the seeds, lowers activations that are above 0.
    """
    of = dataset.sel(arm=[name for name, (_, arm) in preactivation_drift.ARMS.items() if not arm.digits])
    share = 100 * of["positive"].astype(float)
    first = of["gradient"].isel(step=0).astype(float).mean(("seed", "optimizer"))
    size = results.provenance(dataset)["config"][first_gradient.RANDOM]["units"]
    about = {"name": f"two layers, {size} units", "provenance": dataset.attrs["provenance"]}
    return xr.Dataset({"change": share - share.isel(step=0), "lowers": first > 0}, attrs=about)
