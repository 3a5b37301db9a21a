"""Chapter 00: what is trained and measured, in one sentence.

It begins with one run of the shape smoke, which takes seconds: a line more in `CHANGES` is a run more.
"""

from typing import Any

import xarray as xr

from ...config import replace
from ...experiments import shared, variants

NAME = "chapter_name"
"""Name of its datasets."""

RECORDED = (("smoke", "default"),)
"""Shapes and recipes whose dataset is committed; ("laptop", "default") takes five to eight minutes a run on a core."""

CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
}
"""Name of a run → the fields of a `config.RunConfig` that it changes: ``"stream of 32": {"model.d_model": 32}``."""

SEEDS = (0,)
"""Every run is trained once with each of these; a claim is judged with three."""


def config(scale: str, recipe: str | None = None) -> shared.Config:
    """The runs at a shape, by its own recipe or another: seed by seed, in the order of `CHANGES`."""
    of = shared.config(scale, recipe)
    runs = (replace(of.runs[0], seed=seed, **fields) for seed in SEEDS for fields in CHANGES.values())
    return shared.Config(of.scale, of.recipe, tuple(runs))


def run(config: shared.Config) -> xr.Dataset:
    """Use of every layer and loss by (recipe, seed, step, layer) and at the end; a recipe is a row of `CHANGES`."""

    def compute() -> xr.Dataset:
        runs = shared.train_all(config.runs)
        return variants.whole([run.dataset for run in runs], CHANGES, config.scale)

    return shared.cached(NAME, config, config.runs, __name__, compute)
