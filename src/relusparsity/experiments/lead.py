"""Chapter 08: the first three runs of the search, its lead at three decays, one seed; rules and forecasts: `search`."""

import xarray as xr

from ..config import replace
from ..scales import base
from . import search, variants
from .exploration import Config

CHANGES = {name: search.row(name).fields or {} for name in ("decay 1", "decay 1.5", "decay 2")}
"""Name of a recipe → what it changes of the first recipe at this width."""

RECORDED: tuple[str, ...] = ()
"""Scales whose dataset is committed."""


def config(scale: str) -> Config:
    """The three recipes at a scale; at a smaller one than the search's own for a try, as short as that scale's run."""
    run = base(scale, search.SEED)
    own = {"train.tokens", "train.batch_tokens", "train.resume_every"} if scale != "paper_first" else set()
    kept = [{field: value for field, value in fields.items() if field not in own} for fields in CHANGES.values()]
    return Config(scale, tuple(replace(run, **changes) for changes in kept))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer); see `variants.stack`."""
    return variants.stacked("lead", config, CHANGES, __file__)
