"""Chapter 06: the paper's shape with half the learning rate, twice the weight decay and longer training, one seed.

Exploration. What the factorial and the longer runs suggest, written before the run: layer 0 empties with the product of
learning rate, weight decay and steps, the last layer with the learning rate alone. If so, this recipe should end with
fewer units in use in layer 0 than that of chapter 2, and with far more in layer 5.
"""

from dataclasses import dataclass

import xarray as xr

from ..config import RunConfig, replace
from ..scales import SEARCH_SEEDS, base
from . import variants

TIMES = 1.75
"""Training tokens, in those of chapter 2's run of the scale."""

CHANGES = {"train.lr": 3e-4, "train.weight_decay": 2.0}
"""What else it changes of that run."""

RECORDED = ("paper",)
"""Scales whose dataset is committed."""


@dataclass(frozen=True)
class Config:
    """One run, of a seed that no verdict rests on."""

    scale: str
    """smoke, laptop, factorial or paper."""
    runs: tuple[RunConfig, ...]
    """The one run."""


def config(scale: str) -> Config:
    """The recipe at a scale."""
    run = base(scale, SEARCH_SEEDS.get(scale, (0,))[0])
    steps = int(TIMES * run.train.steps)
    return Config(scale, (replace(run, **CHANGES, **{"train.tokens": steps * run.train.batch_tokens}),))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (seed, step, layer), and the final ones by (seed, layer), as in chapter 02."""
    return variants.patterns("stronger_decay", config, __file__)
