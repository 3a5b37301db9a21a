"""What the figures of chapter 12 draw, read off its datasets: arms in their order, shares in percent."""

from collections.abc import Iterator
from types import ModuleType

import xarray as xr

from ... import store
from ...claims.statistics import half_width
from ...experiments import first_gradient, lazy, lazy_pictures, lazy_text_rates
from ...store import results


def measured(*experiments: ModuleType) -> Iterator[xr.Dataset]:
    """Recorded datasets of experiments that train no model of a shape."""
    return (store.recorded(each.__name__.rpartition(".")[2], "laptop") for each in experiments)


EVERY, LIVING = "all units", "units that fire at all"


def as_it_is(dataset: xr.Dataset) -> xr.Dataset:
    """The arm that changes nothing, as a recipe of its own: its layers alone; `patches`: those of a picture."""
    patches = lazy.models(dataset)[lazy.AS_IS].model.seq_len
    of = dataset.sel(recipe=lazy.AS_IS).dropna("layer", how="all", subset=["token_use"])
    return of.assign_attrs(patches=patches)


def by_width(dataset: xr.Dataset) -> xr.Dataset:
    """`positive` (width, seed, layer), percent of the entries at the end, narrow to wide; `width`: units a layer."""
    arms = list(lazy_pictures.TIMES.values())
    of = 100 * dataset["final_token_use"].sel(recipe=arms).astype(float).dropna("layer", how="all")
    units = lazy.numbers(dataset).loc[arms, "units"].tolist()
    of = of.drop_vars("recipe").rename(recipe="width").assign_coords(width=units)
    return xr.Dataset({"positive": of}, attrs=dataset.attrs | {"usual": units[arms.index(lazy.AS_IS)]})


def by_data(dataset: xr.Dataset) -> xr.Dataset:
    """`positive` (among, arm, seed, step), percent: of the entries of all units, and of those that fire at all."""
    arms = [lazy.AS_IS, *lazy_pictures.NO_DATA]
    use = dataset["token_use"].sel(recipe=arms).astype(float)
    alive = lazy.alive(dataset, dataset["silent_units"]).sel(recipe=arms)
    both = [100 * use.mean("layer"), lazy.living(use, alive)]
    of = xr.concat(both, "among").assign_coords(among=[EVERY, LIVING]).rename(recipe="arm")
    return xr.Dataset({"positive": of}, attrs=dataset.attrs)


def living(dataset: xr.Dataset) -> xr.Dataset:
    """At the last measurement, percent, (recipe, seed, layer): `silent` units, and `positive` entries of the others.

    `all` (recipe, seed): `lazy.living`, of all layers. Silent are the units that fire nowhere on the validation.
    """
    last = dataset.isel(step=-1)
    use, alive = last["token_use"].astype(float), lazy.alive(last, last["silent_units"])
    every = lazy.living(use, alive)
    return xr.Dataset({"silent": 100 * (1 - alive), "positive": 100 * use / alive.where(alive > 0), "all": every})


def by_stack(dataset: xr.Dataset) -> xr.Dataset:
    """`use` (window, stack, seed, layer), percent at the end, of the rate that is read and the seeds that judge it."""
    rate = lazy_text_rates.best(dataset)
    of, run = dataset.sel(recipe=rate, seed=[*lazy_text_rates.SEEDS[1:]]), lazy.models(dataset)[str(rate)]
    windows = {
        "at a token": of["final_token_use"],
        "in a sequence": of["final_sequence_use"],
        f"in {run.measure.set_tokens // run.model.seq_len} sequences": of["final_batch_use"].astype(float).mean("set"),
    }
    use = 100 * xr.concat(
        [each.astype(float) for each in windows.values()], "window", coords="minimal", compat="override"
    )
    stacks = [str(name).rpartition(" ")[0] for name in dataset["layer_name"].values]
    each = {name: use.isel(layer=[at for at, of in enumerate(stacks) if of == name]) for name in dict.fromkeys(stacks)}
    alike = [
        part.drop_vars("layer_name", errors="ignore").assign_coords(layer=range(part.sizes["layer"]))
        for part in each.values()
    ]
    both = xr.concat(alike, "stack", coords="minimal", compat="override").assign_coords(
        stack=[*each], window=[*windows]
    )
    return xr.Dataset({"use": both.drop_vars("recipe")}, attrs=dataset.attrs)


def whole_runs(dataset: xr.Dataset) -> xr.Dataset:
    """`change` of the positive entries since step 0, points, (arm, optimizer, seed, step).

    `lowers` (arm): whether the first gradient, mean over the seeds, lowers activations that are above 0; `half` (arm,
    optimizer): half of Student's 95 % interval of the last change.
    """
    share = 100 * dataset["positive"].astype(float)
    change = share - share.isel(step=0)
    first = dataset["gradient"].isel(step=0).astype(float).mean(("seed", "optimizer"))
    last = change.isel(step=-1)
    half = xr.apply_ufunc(half_width, last, input_core_dims=[["seed"]], vectorize=True)
    size = results.provenance(dataset)["config"][first_gradient.RANDOM]["units"]
    about = {"name": f"Two layers, {size} units", "provenance": dataset.attrs["provenance"]}
    return xr.Dataset({"change": change, "lowers": first > 0, "half": half}, attrs=about)
