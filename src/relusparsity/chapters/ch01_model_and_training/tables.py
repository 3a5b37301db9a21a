"""Tables of chapter 01: what the source says and what we chose, sizes, and how runs begin and end."""

from dataclasses import fields
from typing import Any

import pandas as pd
import xarray as xr

from ...config import RunConfig, from_dict
from ...models import count_parameters, training_flops
from ...scales import base
from ...shapes import title
from ...store import results

NOT_KNOWN = "not known to us"
STATED = {
    "model.n_layers": "6",
    "model.d_ff": "32,768",
    "model.activation": "ReLU, in a two-layer MLP without a gate",
    "measure.set_tokens": "8,192 (the batch of its batch use)",
}
"""What the source states (its abstract, first page and a summary; the full text is not known to us)."""


def choices(*recorded: xr.Dataset) -> pd.DataFrame:
    """Every field of the configuration: what the source says of it, and what the runs of these datasets used.

    Read off the provenance of the runs, so it cannot disagree with what was run.
    """
    configs = {
        f"our choice, {title(data.attrs['scale'])}": from_dict(RunConfig, results.provenance(data)["config"])
        for data in recorded
    }
    rows: dict[str, dict[str, Any]] = {}
    for section in fields(RunConfig):
        if section.name in ("seed", "intervention", "screens"):  # no choice of a recipe
            continue
        for field in fields(getattr(RunConfig(), section.name)):
            name = f"{section.name}.{field.name}"
            row: dict[str, Any] = {"source says": STATED.get(name, NOT_KNOWN)}
            for column, config in configs.items():
                row[column] = _shown(getattr(getattr(config, section.name), field.name))
            rows[name] = row
    seeds = (", ".join(map(str, data["seed"].values)) for data in recorded)
    rows["seed"] = {"source says": NOT_KNOWN, **dict(zip(configs, seeds, strict=True))}
    return pd.DataFrame.from_dict(rows, orient="index")


def sizes(*scales: str) -> pd.DataFrame:
    """Parameters by part, training tokens and floating-point operations of one run of each shape."""
    columns = {}
    for scale in scales:
        run = base(scale)
        counts = {f"parameters, {part}": f"{count:,}" for part, count in count_parameters(run.model).items()}
        flops = training_flops(run.model)
        columns[title(scale)] = counts | {
            "hidden units, all layers": f"{run.model.n_layers * run.model.d_ff:,}",
            "training tokens": f"{run.train.tokens:,}",
            "optimiser steps": f"{run.train.steps:,}",
            "FLOPs a training token": f"{flops:.2e}",
            "FLOPs of the training": f"{flops * run.train.tokens:.2e}",
        }
    return pd.DataFrame(columns)


def baseline(dataset: xr.Dataset) -> pd.DataFrame:
    """Use of each layer before training and at its end, in percent, by activation; mean over the seeds that ran."""
    ends = dataset.isel(step=[0, -1])
    columns = {}
    for activation in ends["activation"].values:
        for place, when in enumerate(("step 0", "end")):
            for name in ("token_use", "batch_use"):
                values = ends[name].sel(activation=activation).isel(step=place).mean("seed")
                percent = 100 * values.astype(float).to_series()
                columns[(str(activation), name.replace("_", " "), when)] = percent.round(1)
    return pd.DataFrame(columns)


def endings(dataset: xr.Dataset) -> pd.DataFrame:
    """Loss, bits a byte and accuracy on the final held-out sets, a row a trained model."""
    names = ["final_loss", "final_bits_per_byte", "final_accuracy"]
    return dataset[names].astype(float).to_dataframe()[names].dropna().round(3)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(value) or "–"
    return "–" if value is None else str(value)
