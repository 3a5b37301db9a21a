"""Chapter 06: the layers of the paper's shape under a plain modern recipe, one seed."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import xarray as xr

from ..checks import Checked
from ..config import RunConfig
from ..scales import Scale
from . import shared, variants
from .exploration import MODERN, distance

RECORDED = ("paper_first",)
"""Scales whose dataset is committed."""


@dataclass(frozen=True)
class Config(Checked):
    """One run of a recipe that is not the scale's own."""

    scale: Scale
    """smoke, laptop, factorial, paper or paper_first."""
    runs: tuple[RunConfig, ...]
    """The one run."""


def config(scale: str) -> Config:
    """The recipe at a scale, with the first of its seeds: the same order of text as that seed of the scale's recipe."""
    return Config(scale, shared.seeds(scale, **MODERN)[:1])


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (seed, step, layer), and the final ones by (seed, layer), as in chapter 02."""
    return variants.patterns("modern", config, __name__)


def beside(recipes: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Batch use (percent) of each layer, `exploration.distance` and loss at the end: a row a recipe and seed."""
    tables = {}
    for name, dataset in recipes.items():
        use = 100 * dataset["final_batch_use"].mean("set").transpose("seed", "layer")
        table = use.to_pandas().astype(float).round(1)
        table["distance"] = [round(distance(row), 1) for row in use.values]
        tables[name] = table.assign(loss=dataset["final_loss"].to_series().astype(float).round(2))
    return pd.concat(tables, names=["recipe"])
