"""Of which decoders the figures and tables of chapter 19 are: none of the book's shapes, so by a name of their own."""

import numpy as np
import xarray as xr

from ...plots.reading import how_many
from .birth import Arm, model
from .experiment import TWO, best, worth


def named(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset of the experiment, its decoders called by what they are made of."""
    name = f"One and two layers of {model(Arm()).d_ff} units, {how_many(dataset.sizes['seed'], 'seed')}"
    kept = {key: value for key, value in dataset.attrs.items() if key not in ("scale", "recipe")}
    return xr.Dataset(dataset.variables, attrs=kept | {"name": name})


def ranked(dataset: xr.Dataset) -> xr.Dataset:
    """Heads of two layers at the end, in each layer and seed by what its layer does: (seed, layer, rank).

    `previous`, `prefix_matching`, `copying` (scores); `worth`, percent of the gain on known tokens that is lost without
    the head; `matching`, percent of the highest induction score that is left without it. Rank 0 has the highest
    previous-token score of layer 0, the highest induction score of layer 1.
    """
    two = dataset.sel(arm=TWO)
    last = two.isel(step=-1)
    of = last[["previous", "prefix_matching", "copying"]].assign(
        worth=worth(two), matching=100 * two["without_matching"] / best(last)
    )
    by = xr.concat([of["previous"].sel(layer=0), of["prefix_matching"].sel(layer=1)], "layer")
    order = np.argsort(-by.transpose("seed", "layer", "head").values, axis=-1, kind="stable")
    names = {
        name: np.take_along_axis(values.transpose("seed", "layer", "head").values, order, -1)
        for name, values in of.data_vars.items()
    }
    dims = ("seed", "layer", "rank")
    return xr.Dataset(
        {str(name): (dims, values) for name, values in names.items()}, {"seed": of["seed"], "layer": of["layer"]}
    )
