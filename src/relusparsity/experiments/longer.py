"""Chapter 06: the four most telling recipes, trained five times as long as the factorial; exploration, one seed."""

from dataclasses import dataclass

import pandas as pd
import xarray as xr

from ..config import RunConfig, replace
from . import exploration, recipes, shared, variants

TIMES = 5
"""Training tokens, in those of the factorial's runs (30,000 steps against 6,000)."""

CHANGES = {name: exploration.CHANGES[name] for name in ("base", "lr × 2", "large embeddings", "modern")}
"""The cell of the factorial that empties layer 0 most; the recipe of the paper's width; the large embeddings with which
a pilot run emptied layer 0; and the plain modern recipe."""

RECORDED = ("factorial",)
"""Scales whose dataset is committed."""


@dataclass(frozen=True)
class Config:
    """One run a recipe."""

    scale: str
    """smoke or factorial."""
    runs: tuple[RunConfig, ...]
    """In the order of `CHANGES`."""


def config(scale: str) -> Config:
    """The recipes at a scale."""
    base = recipes.recipe(scale, exploration.BASE, seed=0)
    base = replace(base, **{"train.tokens": TIMES * base.train.tokens})
    return Config(scale, tuple(replace(base, **changes) for changes in CHANGES.values()))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer); one seed. See `variants.stack`."""

    def compute() -> xr.Dataset:
        return variants.stack([variants.measured(run) for run in config.runs], CHANGES, config.scale)

    return shared.cached("longer", config, config.runs, __file__, compute)


def beside(short: xr.Dataset, long: xr.Dataset) -> pd.DataFrame:
    """Batch use (percent) of each layer, `exploration.distance` and loss at the end of the short and the long runs."""
    tables = []
    for dataset in (short, long):
        table = exploration.endings(dataset.sel(recipe=list(CHANGES)))
        table.index = pd.MultiIndex.from_product(
            [table.index, [f"{dataset['tokens'].values[-1] / 1e6:,.0f} M tokens"]], names=["recipe", "after"]
        )
        tables.append(table)
    rows = [(name, when) for name in CHANGES for table in tables for when in table.index.unique("after")]
    return pd.concat(tables).loc[rows]
