"""Chapter 13: Top-k with other k than `top_k` has: d_ff/24, d_ff/6 and d_ff/3, and there is d_ff, which is dense.

With none and 40 % of the training labels replaced, three of the seeds of `top_k`, whose runs with d_ff/12 they stand
beside. They are trained by the settings chosen for d_ff/12, not by their own, so that they say what k does at those.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import xarray as xr

from ..config import replace
from ..scales import pictures
from . import shared, top_k, top_k_tuning, variants
from .top_k_tuning import NOISES, TOP_K, named, size

RAN = ""
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("fashion", None),)
"""Shapes whose dataset is committed once it ran; see `top_k_tuning`, which comes before."""

PARTS = (24, 6, 3)
"""Of d_ff, rounded down."""

SEEDS = 3
"""The first of those of `top_k`."""


def changes(scale: str) -> dict[str, dict[str, Any]]:
    """Name of each k at each noise → what it changes of a shape's run."""
    tuned = top_k_tuning.fields(scale)
    return {
        named(size(parts), noise): top_k_tuning.arm(scale, TOP_K, noise)
        | tuned[TOP_K, noise]
        | top_k_tuning.top_k(scale, parts)
        | {"measure.predictions": True}
        for parts, noise in product(PARTS, NOISES[:2])
    }


def config(scale: str) -> shared.Config:
    """All k of every seed at a shape, seed by seed."""
    made, of = changes(scale), pictures(scale)
    runs = (replace(of, seed=seed, **fields) for seed in top_k.SEEDS[scale][:SEEDS] for fields in made.values())
    return shared.Config(scale, "default", tuple(runs))


def run(config: shared.Config) -> xr.Dataset:
    """See `top_k.run`."""
    return variants.made("top_k_sizes", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """See `top_k.assembled`."""
    return top_k.assembled(config, runs, changes(config.scale))
