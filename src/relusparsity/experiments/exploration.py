"""Chapter 06: beyond the factorial, one ingredient changed at a time; exploration, one seed each.

The base is the cell of the factorial in which layer 0 kept fewest units in both seeds: tied embeddings of scale 0.02,
Xavier matrices, weight decay 1, learning rate 3e-4, with pre-LayerNorm, biases and learned positions.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .. import corpora, results, train
from ..config import RunConfig, replace
from ..schema import MEASURED
from . import recipes, shared

BASE = (1, -1, 1, 1, -1)
"""Levels of the factorial's factors: tied, 0.02, 1.0, xavier, 3e-4."""

_LARGE_EMBEDDINGS = {"model.tied": False, "model.embedding_std": 1.0, "train.lr": 6e-4}

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
    "large embeddings": _LARGE_EMBEDDINGS,
    "large embeddings, rotary": _LARGE_EMBEDDINGS | {"model.positions": "rotary"},
}
"""Name of a recipe → what it changes of the base."""

SOURCE = {0: 13.3, 5: 95.6}
"""Batch use (%) that the source states, by layer."""

RECORDED = ("factorial",)
"""Scales whose dataset is committed."""


@dataclass(frozen=True)
class Config:
    """One run a recipe."""

    scale: str
    """smoke or factorial."""
    runs: tuple[RunConfig, ...]
    """In the order of `CHANGES`."""


def config(scale: str) -> Config:
    """The exploration at a scale."""
    base = recipes.recipe(scale, BASE, seed=0)
    if scale == "smoke":  # token counts that the larger batch divides too
        base = replace(base, **{"train.tokens": 12_288, "train.dead_after": 2_048, "train.resume_every": 0})
    return Config(scale, tuple(_changed(base, changes) for changes in CHANGES.values()))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer); one seed.

    Steps are those of the base recipe; a recipe with larger batches is shown at the same numbers of tokens. A run that
    diverged is kept up to where it stopped and missing (NaN) from there on.
    """
    final = ("final_batch_use", "final_token_use", "final_sequence_use", "final_loss", "final_bits_per_byte")

    def compute() -> xr.Dataset:
        runs = [_measured(run) for run in config.runs]
        names = [*MEASURED, *final]
        parts = [data.swap_dims(step="tokens").drop_vars("step") for data in runs]
        shared_tokens = set.intersection(*(set(p["tokens"].values.tolist()) for p in parts if "final_loss" in p))
        at = np.array(sorted(shared_tokens))
        whole = next(part for part in parts if "final_loss" in part)
        parts = [_filled(part, whole)[names].reindex(tokens=at) for part in parts]
        dataset = xr.concat(
            parts, dim="recipe", join="exact", coords="minimal", compat="override", combine_attrs="drop_conflicts"
        ).expand_dims("seed", axis=1)
        step = ("tokens", at // config.runs[0].train.batch_tokens, {"units": "steps", "long_name": "steps of the base"})
        dataset = dataset.assign_coords(step=step).swap_dims(tokens="step")
        names_of = {
            "recipe": (list(CHANGES), "what is changed of the base"),
            "changed": ([_said(changes) for changes in CHANGES.values()], "fields that differ from the base"),
        }
        for name, (values, long_name) in names_of.items():
            dataset.coords[name] = ("recipe", values, {"units": "1", "long_name": long_name})
        about = {"units": "1", "long_name": "seed of the initial weights and of the order of the text"}
        dataset.coords["seed"] = ("seed", [config.runs[0].seed], about)
        facts = [results.provenance(data) for data in runs]
        runs_of = {"runs": [f["run_id"] for f in facts], "wall_seconds": [f["wall_seconds"] for f in facts]}
        dataset.attrs |= {"scale": config.scale, "provenance": json.dumps(facts[0] | runs_of, sort_keys=True)}
        return dataset

    return shared.cached("exploration", config, config.runs, __file__, compute)


def _measured(config: RunConfig) -> xr.Dataset:
    """The run's dataset; of a run that diverged, what was measured before it stopped."""
    corpus = corpora.load(config.corpus)
    try:
        return train.run(config, corpus).dataset
    except FloatingPointError:
        return results.load(train.run_path(config, corpus) / "stopped.nc")


def _filled(part: xr.Dataset, whole: xr.Dataset) -> xr.Dataset:
    """The part with NaN for what only a finished run has."""
    lacking = [name for name in whole.data_vars if name not in part and "tokens" not in whole[name].dims]
    return part.assign({name: xr.full_like(whole[name], np.nan, dtype=float) for name in lacking})


def _said(changes: dict[str, Any]) -> str:
    return ", ".join(f"{field.partition('.')[2]} {value}" for field, value in changes.items()) or "nothing"


def _changed(base: RunConfig, changes: dict[str, Any]) -> RunConfig:
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


def distance(batch_use: np.ndarray) -> float:
    """How far a recipe is from the source: root mean square over its stated layers of the difference, in points.

    Parameters
    ----------
    batch_use : (layer)
        In percent. The recipe with the smallest distance among these and the factorial's is the one that is frozen and
        run at paper scale with fresh seeds: a rule written before the runs.
    """
    return float(np.sqrt(np.mean([(batch_use[layer] - stated) ** 2 for layer, stated in SOURCE.items()])))
