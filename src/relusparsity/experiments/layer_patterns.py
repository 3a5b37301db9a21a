"""Chapter 02: batch, sequence and token use of every layer over training (the paper's Figure 1 and its section)."""

from dataclasses import dataclass

import xarray as xr

from ..config import RunConfig
from ..schema import FINAL, MEASURED
from . import shared

RECORDED = ("laptop", "paper")
"""Scales whose dataset is committed."""


@dataclass(frozen=True)
class Config:
    """The shared runs, one a seed."""

    scale: str
    """smoke, laptop, factorial or paper."""
    runs: tuple[RunConfig, ...]
    """Runs that differ in their seed only."""


def config(scale: str) -> Config:
    """The chapter's configuration at a scale."""
    return Config(scale, shared.seeds(scale))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (seed, step, layer), and the final ones by (seed, layer)."""
    unit_level = ("last_fired", "death_onset", "death_count", "revival_count")

    def compute() -> xr.Dataset:
        variables = [*MEASURED, *(name for name in FINAL if name not in unit_level)]
        return shared.stack(shared.train_all(config.runs), config.scale, variables)

    return shared.cached("layer_patterns", config, config.runs, __file__, compute)
