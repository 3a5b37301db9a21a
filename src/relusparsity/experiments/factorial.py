"""Which ingredient of the recipe collapses which layer: a two-level factorial in five factors.

Sixteen cells, resolution V: the fifth factor's level is the product of the other four, so main effects and pairs
are clear of each other. Every other choice is that of the recipe *base*: pre-LayerNorm, biases and learned
positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..config import RunConfig, replace
from ..scales import base, names
from . import shared, variants

# factor: (field, low, high); the order is that of the design
FACTORS: dict[str, tuple[str, Any, Any]] = {
    "tied": ("model.tied", False, True),
    "embedding_std": ("model.embedding_std", 0.02, 1.0),
    "weight_decay": ("train.weight_decay", 0.1, 1.0),
    "init": ("model.init", "normal", "xavier"),
    "lr": ("train.lr", 3e-4, 1e-3),
}
SEEDS = (0, 1)

FEWER = {"measure.final_sets": 64, "measure.history_units": 64, "measure.histories": 17}
"""Of many runs, little is kept of each."""

LEFT_OUT = ("window_use", "rarefied_use")
"""Curves over windows, which nobody looks at in many recipes."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed; of several recipes."""


@dataclass(frozen=True)
class Config(shared.Config):
    """All runs of the factorial, cell by cell within a seed, so that a part of the list is a whole replicate."""

    levels: tuple[tuple[int, ...], ...]
    """Level of each factor, −1 or +1, by cell."""


def cells(half: int = 1) -> Iterator[tuple[int, ...]]:
    """The sixteen cells of a half as levels −1 or +1 of each factor; `half`, 1 or −1, is the product of all five."""
    for four in product((-1, 1), repeat=4):
        yield (*four, half * int(np.prod(four)))


def recipe(scale: str, levels: tuple[int, ...], seed: int) -> RunConfig:
    """The run of one cell and seed."""
    changes = {
        field: high if level > 0 else low for (field, low, high), level in zip(FACTORS.values(), levels, strict=True)
    }
    config = replace(base(scale, seed, "base"), **changes, **(FEWER if scale == "mid" else {}))
    if config.model.tied and config.model.embedding_std == 1:
        # else the first logits would have a spread of sqrt(d_model); T5 scales so
        config = replace(config, **{"model.logit_scale": config.model.d_model**-0.5})
    return config


def config(scale: str, half: int = 1) -> Config:
    """A half of the factorial at a shape."""
    scale, levels = names(scale)[0], tuple(cells(half))
    return Config(scale, "base", tuple(recipe(scale, cell, seed) for seed in SEEDS for cell in levels), levels)


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), with the factors' levels as coordinates of `recipe`.

    A run that diverged is missing (NaN) from where it stopped.
    """
    return variants.made("factorial", config, __name__, assemble)


def assemble(config: Config, runs: Sequence[xr.Dataset]) -> xr.Dataset:
    """The factorial's dataset from those of its runs, in the order of `config.runs`; see `variants.whole`."""
    names = [named(levels) for levels in config.levels]
    dataset = variants.whole(runs, {name: {} for name in names}, config.scale).drop_vars("changed")
    for i, (name, (field, low, high)) in enumerate(FACTORS.items()):
        values = [str(high if levels[i] > 0 else low) for levels in config.levels]
        dataset.coords[name] = ("recipe", values, {"units": "1", "long_name": field})
    dataset.coords["recipe"] = ("recipe", names, {"units": "1", "long_name": "cell of the factorial"})
    return dataset


def named(levels: tuple[int, ...]) -> str:
    """Short name of a cell, for a panel's title."""
    tied, std, decay, init, lr = (
        high if level > 0 else low for (_, low, high), level in zip(FACTORS.values(), levels, strict=True)
    )
    return f"{'tied' if tied else 'untied'}, embedding {std:g}, {init}, decay {decay:g}, lr {lr:g}"


def endings(dataset: xr.Dataset) -> pd.DataFrame:
    """Batch use of each layer at the end (percent), the lowest layer and the loss: a row a recipe, mean over seeds.

    A run that diverged has no end: its lowest layer is a dash, and the mean is that of the other seed.
    """
    use = 100 * dataset["final_batch_use"].mean("set")
    table = use.mean("seed").to_pandas().astype(float).round(1)
    lowest = use.fillna(np.inf).argmin("layer").where(use.notnull().all("layer"), -1).transpose("recipe", "seed")
    table["lowest layer, by seed"] = [" ".join("–" if i < 0 else str(i) for i in row) for row in lowest.values]
    table["loss"] = dataset["final_loss"].mean("seed").to_series().astype(float).round(2)
    return table
