"""Chapter 06: the four most telling recipes, trained five times as long as the factorial; exploration, one seed."""

import pandas as pd
import xarray as xr

from ..config import replace
from . import exploration, recipes, variants
from .exploration import Config

TIMES = 5
"""Training tokens, in those of the factorial's runs (30,000 steps against 6,000)."""

CHANGES = {name: exploration.CHANGES[name] for name in ("base", "lr × 2", "large embeddings", "modern")}
"""The cell of the factorial that empties layer 0 most; the first frozen recipe; the large embeddings with which
a pilot run emptied layer 0; and the plain modern recipe."""

RECORDED = ("factorial",)
"""Scales whose dataset is committed."""


def config(scale: str) -> Config:
    """The recipes at a scale."""
    base = recipes.recipe(scale, exploration.BASE, seed=0)
    base = replace(base, **{"train.tokens": TIMES * base.train.tokens})
    return Config(scale, tuple(replace(base, **changes) for changes in CHANGES.values()))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer); one seed. See `variants.stack`."""
    return variants.stacked("longer", config, CHANGES, __name__)


def lengths(*datasets: xr.Dataset, recipe: str = "lr × 2") -> pd.DataFrame:
    """Batch use (percent) of each layer, `exploration.distance` and loss at the end of one recipe's runs.

    A row a number of training tokens, the mean over its seeds; columns 0, 1 … are the layers. Of a dataset of several
    recipes, `recipe` is meant, or its first.
    """
    rows = {}
    for dataset in datasets:
        if "recipe" in dataset.dims:
            names = dataset["recipe"].values.tolist()
            dataset = dataset.isel(recipe=names.index(recipe) if recipe in names else 0)
        rows[f"{int(dataset['tokens'][-1]):,}"] = exploration.ending(dataset)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("training tokens")
