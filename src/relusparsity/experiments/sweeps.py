"""A sweep: runs of one shape that change a recipe, trained, stacked and stored by one function; see `sweep_table`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import xarray as xr

from ..config import replace
from ..scales import base
from ..store.schema import FINAL, MEASURED
from . import shared, variants


@dataclass(frozen=True)
class Config(shared.Config):
    """The runs of a sweep, in the order of its names."""

    changes: Any
    """Name → fields that it changes."""
    stacked_by: Literal["recipe", "seed"]
    """The dataset's first dimension; see `Sweep`."""
    sweep: str
    """Its name."""


@dataclass(frozen=True)
class Sweep:
    """One row of the table of sweeps."""

    name: str
    scale: str
    """The shape."""
    recipe: str
    """What the changes start from."""
    changes: Mapping[str, Mapping[str, Any]]
    """Name → fields of a run, by dotted name, that it changes."""
    seed: int
    """The one seed of all runs."""
    predicted: str
    """What was asked, and what was predicted before the runs."""
    date: str
    """When they ran; of a row that is yet to run, nothing."""
    family: Literal["confirmatory", "exploratory"] = "exploratory"
    found: str = ""
    """The lab note: what the runs said of it."""
    stacked_by: Literal["recipe", "seed"] = "recipe"
    """seed: the one run is kept as chapter 02 keeps its runs, with its final variables."""
    common: Mapping[str, Any] = field(default_factory=dict)
    """What all runs change alike."""

    def config(self, scale: str | None = None) -> Config:
        """The sweep's runs; at another shape, with the same changes, for a try."""
        run = base(scale or self.scale, self.seed, self.recipe)
        runs = tuple(replace(run, **{**self.common, **fields}) for fields in self.changes.values())
        return Config(scale or self.scale, self.recipe, runs, self.changes, self.stacked_by, self.name)

    def run(self, config: Config) -> xr.Dataset:
        """The sweep's dataset; see the function `run`."""
        return run(config)


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), or by (seed, step, layer) as chapter 02 has it."""

    def by_seed() -> xr.Dataset:
        final = (name for name in FINAL if name.startswith(("final_", "position_")))
        dataset = shared.stack(shared.train_all(config.runs), config, [*MEASURED, *final])
        dataset.attrs.pop("search_seeds", None)  # no verdict rests on it
        return dataset

    def by_recipe() -> xr.Dataset:
        return variants.stack([variants.measured(run) for run in config.runs], config.changes, config.scale)

    compute = by_seed if config.stacked_by == "seed" else by_recipe
    return shared.cached(config.sweep, config, config.runs, __name__, compute)
