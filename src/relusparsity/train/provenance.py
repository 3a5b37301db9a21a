"""A run's values as one dataset, and where they come from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..config import RunConfig, to_dict
from ..corpora.tasks import Task
from ..counting import metrics
from ..counting.use import UseTracker
from ..store import results, sealed
from ..store.schema import STACKED, UNITS
from . import forking
from .step import Trainer


def dataset(
    values: dict[str, tuple[tuple[str, ...], Any]],
    config: RunConfig,
    task: Task,
    trainer: Trainer,
    path: Path,
    last: int,
    training_seconds: Sequence[float],
    again: str,
) -> xr.Dataset:
    """What was measured, described, with how it was made.

    Parameters
    ----------
    values
        Dimensions and values by name.
    path
        The run's directory.
    last
        Its last step.
    training_seconds
        Spent in training, and nothing else, when it was measured: (step).
    again
        What to do if a file of the run is lost.
    """
    model, measure = config.model, config.measure
    trainer.laps.end("other")
    counted = UseTracker([1] * model.n_layers, model.seq_len, positions=model.layer_positions)
    values = values | {
        "layer": (("layer",), np.arange(len(model.widths))),
        "percentile": (("percentile",), list(metrics.PERCENTILES)),
        "window": (("window",), counted.windows),
    }
    coordinates = ["tokens", "history_tokens"]
    if model.is_stacked:
        of_layers = (list(model.layer_names), list(model.layer_positions), counted.window_tokens)
        values |= {name: (STACKED[name][0], value) for name, value in zip(STACKED, of_layers, strict=True)}
        coordinates += STACKED
    made = results.described(values, UNITS | dict(task.units)).set_coords(coordinates)
    facts = {
        "config": to_dict(config),
        "run_id": path.name.removeprefix("run-"),
        "environment": results.environment(str(trainer.device)),
        "corpus": task.data.facts(),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "tokens_seen": last * config.train.batch_tokens,
        "processes": trainer.world,
        "data_order": task.order_digest(config.seed),
        "wall_seconds": round(trainer.laps.total, 1),
        "seconds": {kind: round(spent, 3) for kind, spent in trainer.laps.seconds.items()},
        "training_seconds": [round(spent, 3) for spent in training_seconds],
    }
    if config.fork.tokens:
        facts["parent"] = sealed.read_json(path / forking.PARENT, again)
    made.attrs = {
        "provenance": json.dumps(facts, sort_keys=True),
        "dead_after": config.train.dead_after,
        "sample_tokens": measure.sets * measure.set_tokens,
        "final_sample_tokens": measure.final_sets * measure.set_tokens,
    }
    if not model.is_uneven:
        made.attrs["d_ff"] = model.width
    return made
