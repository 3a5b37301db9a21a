"""Chapter 06: the same training at several widths; does the number of used units saturate?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ...config import RunConfig, from_dict, replace
from ...experiments import shared
from ...models import count_parameters
from ...store import results
from ...store.schema import COORDINATES

WIDTHS = {
    "smoke": (16, 32, 64, 128),
    "laptop": (256, 512, 1024, 2048),
    "mid": (512, 1024, 2048, 4096, 8192, 16_384, 32_768),
    "wide": (4096, 8192, 16_384, 32_768),
}

SCHEMA = COORDINATES | {
    "d_ff": ("units", "hidden units a layer"),
    "used_units": ("units", "units that fire in 8,192 held-out tokens, mean over the sets of the last measurement"),
    "token_units": ("units", "units that fire at one held-out token, mean"),
    "heldout_loss": ("nats/token", "cross-entropy on the same held-out sets"),
    "parameters": ("1", "parameters of the model"),
}

NAME = "capacity"
"""Name of its datasets."""

RECORDED = (("laptop", "default"), ("mid", "first"))
"""Shapes and recipes whose dataset is committed."""


@dataclass(frozen=True)
class Config(shared.Config):
    """The shared runs, and runs of other widths that differ from them in d_ff alone."""

    others: tuple[RunConfig, ...]
    """Other widths, one seed each."""


def config(scale: str, recipe: str | None = None) -> Config:
    """The chapter's configuration at a shape, by its own recipe or another."""
    of = shared.config(scale, recipe)
    # nothing is read off the course of these runs, so they are measured at few points
    few = {"measure.points": 4, "measure.final_sets": 1, "train.snapshots": 0}
    others = tuple(
        replace(of.runs[0], **{"model.d_ff": width}, **few)
        for width in shared.setting(WIDTHS, of.scale, "widths to compare")
        if width != of.runs[0].model.width
    )
    return Config(of.scale, of.recipe, of.runs, others)


def run(config: Config) -> xr.Dataset:
    """Used units by (seed, d_ff, layer) and loss by (seed, d_ff), as measured after the last step of training.

    Missing (NaN) where a width was not trained with a seed: all seeds at the shared width, one at the others.
    """

    def compute() -> xr.Dataset:
        trained = shared.train_all((*config.runs, *config.others))
        stacked = shared.stack(trained[: len(config.runs)], config, ["final_token_use"])
        return assemble([run.dataset for run in trained], stacked)

    return shared.cached(NAME, config, (*config.runs, *config.others), __name__, compute)


def assemble(trained: Sequence[xr.Dataset], stacked: xr.Dataset) -> xr.Dataset:
    """The dataset from those of the finished runs; `stacked` (the shared runs, by seed) gives its attributes."""
    table = xr.merge([_one(data) for data in trained], join="outer", compat="no_conflicts")
    for name in table.variables:
        units, long_name = SCHEMA[str(name)]
        table[name].attrs = {"units": units, "long_name": long_name}
    facts, each = results.provenance(stacked), [results.provenance(data) for data in trained]
    runs = {"runs": [f["run_id"] for f in each], "wall_seconds": [f["wall_seconds"] for f in each]}  # of all widths
    table.attrs = {name: stacked.attrs[name] for name in ("scale", "recipe", "sample_tokens")}
    table.attrs["provenance"] = json.dumps(facts | runs, sort_keys=True)
    table.attrs["shared_d_ff"] = facts["config"]["model"]["d_ff"]
    return table


def _one(trained: xr.Dataset) -> xr.Dataset:
    """The end of one run, with dimensions seed and d_ff of size 1."""
    config = from_dict(RunConfig, results.provenance(trained)["config"])
    width, end, at = config.model.width, trained.isel(step=-1), ("seed", "d_ff")
    return results.described(
        {
            "seed": (("seed",), [config.seed]),
            "d_ff": (("d_ff",), [width]),
            "layer": (("layer",), np.arange(config.model.n_layers)),
            "used_units": ((*at, "layer"), end["batch_use"].values[None, None] * width),
            "token_units": ((*at, "layer"), end["token_use"].values[None, None] * width),
            "heldout_loss": (at, [[float(end["heldout_loss"])]]),
            "parameters": (at, [[count_parameters(config.model)["total"]]]),
        },
        SCHEMA,
    )
