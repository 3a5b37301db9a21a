"""Chapter 06: beyond the factorial, one ingredient changed at a time, and two recipes with several changes; one seed.

The base is the cell of the factorial in which layer 0 kept fewest units in both seeds: tied embeddings of scale 0.02,
Xavier matrices, weight decay 1, learning rate 3e-4, with pre-LayerNorm, biases and learned positions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..checks import Checked
from ..config import RunConfig, replace
from ..scales import Scale
from . import recipes, variants

BASE = (1, -1, 1, 1, -1)
"""Levels of the factorial's factors: tied, 0.02, 1.0, xavier, 3e-4."""

MODERN = {
    "model.norm": "rmsnorm",
    "model.positions": "rotary",
    "model.bias": False,
    "model.init": "normal",
    "train.weight_decay": 0.1,
}
"""A plain modern recipe: pre-RMSNorm, rotary positions, no biases; embeddings stay tied."""

CHANGES: dict[str, dict[str, Any]] = {
    "base": {},
    "RMSNorm": {"model.norm": "rmsnorm"},
    "post-norm": {"model.norm_place": "post"},
    "parallel block": {"model.norm_place": "parallel"},
    "embedding norm": {"model.embedding_norm": True},
    "rotary": {"model.positions": "rotary"},
    "no positions": {"model.positions": "none"},
    "no biases": {"model.bias": False},
    "β2 0.999": {"train.beta2": 0.999},
    "batch × 4": {"train.batch_tokens": 32_768},
    "lr × 2": {"train.lr": 6e-4},
    "decay × 2": {"train.weight_decay": 2.0},
    "large embeddings": {"model.tied": False, "model.embedding_std": 1.0, "train.lr": 6e-4},
    "modern": MODERN | {"train.lr": 6e-4},
}
"""Name of a recipe → what it changes of the base."""

SOURCE = {0: 13.3, 5: 95.6}
"""Batch use (%) that the source states, by layer."""

RECORDED = ("factorial",)
"""Scales whose dataset is committed."""


@dataclass(frozen=True)
class Config(Checked):
    """One run a recipe."""

    scale: Scale
    """Its name."""
    runs: tuple[RunConfig, ...]
    """In the order of the experiment's changes."""


def config(scale: str) -> Config:
    """The exploration at a scale."""
    base = recipes.recipe(scale, BASE, seed=0)
    if scale == "smoke":  # token counts that the larger batch divides too
        base = replace(base, **{"train.tokens": 12_288, "train.dead_after": 2_048, "train.resume_every": 0})
    return Config(scale, tuple(changed(base, changes) for changes in CHANGES.values()))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer); one seed. See `variants.stack`."""
    return variants.stacked("exploration", config, CHANGES, __name__)


def changed(base: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """The base with these changes, where a batch is given in tokens of scale factorial."""
    scaled = dict(changes)
    if "train.batch_tokens" in changes:  # as many times the scale's own batch
        scaled["train.batch_tokens"] = base.train.batch_tokens * changes["train.batch_tokens"] // 8192
    return replace(base, **scaled)


def endings(dataset: xr.Dataset) -> pd.DataFrame:
    """Batch use of each layer at the end (percent), loss and `distance`: a row a recipe, the nearest first."""
    use = (100 * dataset["final_batch_use"].mean(["set", "seed"])).transpose("recipe", "layer")
    table = use.to_pandas().astype(float).round(1)
    table["loss"] = dataset["final_loss"].mean("seed").to_series().astype(float).round(2)
    table["distance"] = [round(distance(row), 1) for row in use.values]
    return table.sort_values("distance")


def ending(dataset: xr.Dataset) -> dict[int | str, float]:
    """One recipe's end: batch use (percent) by layer, `distance`, loss (means over its seeds) and number of seeds."""
    over = [dim for dim in ("seed", "set") if dim in dataset["final_batch_use"].dims]
    use = 100 * dataset["final_batch_use"].mean(over).astype(float).values
    return dict(enumerate(use.round(1))) | {
        "distance": round(distance(use), 1),
        "loss": round(float(dataset["final_loss"].mean()), 2),
        "seeds": dataset.sizes.get("seed", 1),
    }


def distance(batch_use: np.ndarray) -> float:
    """How far a recipe is from the source: root mean square over its stated layers of the difference, in points.

    Parameters
    ----------
    batch_use : (layer)
        In percent. The rule for a recipe that is frozen and run with fresh seeds, written before the runs: the smallest
        distance of those then known.
    """
    return float(np.sqrt(np.mean([(batch_use[layer] - stated) ** 2 for layer, stated in SOURCE.items()])))
