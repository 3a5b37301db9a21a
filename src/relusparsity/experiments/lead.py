"""Chapter 08: the first three runs of the search, its lead at three decays, one seed; rules and forecasts: `search`."""

from typing import Any

import xarray as xr

from ..config import replace
from ..scales import base
from . import search, variants
from .exploration import Config

RECORDED = ("paper_first", "factorial")
"""Scales whose dataset is committed."""


def changes(scale: str) -> dict[str, dict[str, Any]]:
    """Name of a recipe → what it changes of the first recipe: the three, or at a quarter of the width the one of Mid.

    At any other scale, for a try, the three are as long as that scale's run.
    """
    if scale == "factorial":
        return {search.MID.name: search.MID.fields or {}}
    three = {name: search.row(name).fields or {} for name in ("decay 1", "decay 1.5", "decay 2")}
    own = () if scale == "paper_first" else ("train.tokens", "train.batch_tokens", "train.resume_every")
    return {name: {field: fields[field] for field in fields if field not in own} for name, fields in three.items()}


def config(scale: str) -> Config:
    """The recipes at a scale, with the search's seed."""
    return Config(scale, tuple(replace(base(scale, search.SEED), **fields) for fields in changes(scale).values()))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer); see `variants.stack`."""
    return variants.stacked("lead", config, changes(config.scale), __name__)
