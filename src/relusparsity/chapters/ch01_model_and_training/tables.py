"""Tables of chapter 01: what the source says and what we chose, sizes and cost, and how runs begin and end."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ...checks import in_words
from ...claims.short import Said
from ...config import RunConfig, from_dict
from ...models import count_parameters, training_flops
from ...models.decoder import MLP
from ...shapes import title
from ...store import results
from . import words

NOT_KNOWN = "not known to us"
STATED = {
    "model.n_layers": "6",
    "model.d_ff": "32,768",
    "model.activation": "ReLU, in a two-layer MLP without a gate",
    "measure.set_tokens": "8,192 (the batch of its batch use)",
}
"""What the source states (its abstract, first page and a summary; the full text is not known to us)."""

_NAMES = {"relu": "ReLU", "gelu": "GELU", "layernorm": "LayerNorm", "rmsnorm": "RMSNorm"} | {
    "xavier": "Xavier",
    "normal": "std 0.02",
    "fan_in": "std 1/√(fan-in)",
    "docs": "Python documentation",
    "text": "English",
    "hf": "English",
}
"""What readers call values of fields."""


def lines_that_matter() -> Said:
    """The library's own lines in which units fire and are counted."""
    return Said(f"```python\n{inspect.cleandoc(chr(10) + inspect.getsource(MLP.forward))}\n```")


def main_choices(*recorded: xr.Dataset) -> pd.DataFrame:
    """The ten choices that matter most: what the source says, what the runs of these datasets used, and why.

    Read off the provenance of the runs, as `choices` is.
    """
    runs = {_named(data): from_dict(RunConfig, results.provenance(data)["config"]) for data in recorded}
    rows = {}
    for choice, (source, why) in WHY.items():
        used = {name: _CHOSEN[choice](run) for name, run in runs.items()}
        rows[choice] = {"W&A": source} | used | {"why": why}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("choice")


WHY = {
    "layers × units": (
        f"{STATED['model.n_layers']} × {STATED['model.d_ff']}",
        "theirs in Wide; smaller ones allow more seeds",
    ),
    "MLP": ("ReLU, two matrices, no gate", "theirs; biases are ours"),
    "residual stream; heads": (NOT_KNOWN, "a 32nd of the units in Wide, else a 16th"),
    "positions": (NOT_KNOWN, "two common choices; chapter 7 tries others"),
    "norm": (NOT_KNOWN, "a common choice; chapter 7 tries others"),
    "initial weights": (NOT_KNOWN, "searched for (chapter 6), except Laptop's"),
    "text; vocabulary": (NOT_KNOWN, "Laptop's text lies on every machine"),
    "training tokens; per step": (NOT_KNOWN, "minutes of a large GPU, or of two cores"),
    "AdamW: rate; decay": (NOT_KNOWN, "searched for (chapter 6), except Laptop's"),
    "window of batch use": ("8,192 tokens", "theirs, whatever the training step is"),
}
"""Choice → what the source says of it, and why ours is as it is."""

_CHOSEN: dict[str, Callable[[RunConfig], str]] = {
    "layers × units": lambda run: f"{run.model.n_layers} × {in_words(run.model.d_ff)}",
    "MLP": lambda run: _NAMES[run.model.activation] + (", biases" if run.model.bias else ""),
    "residual stream; heads": lambda run: f"{run.model.d_model:,}; {run.model.n_heads}",
    "positions": lambda run: run.model.positions,
    "norm": lambda run: f"{_NAMES[run.model.norm]}, {run.model.norm_place}",
    "initial weights": lambda run: (
        f"{_NAMES[run.model.init]}; embeddings std {run.model.embedding_std:g}" + (", tied" if run.model.tied else "")
    ),
    "text; vocabulary": lambda run: f"{_NAMES[run.corpus.source]}; {run.model.vocab_size:,}",
    "training tokens; per step": lambda run: f"{_rounded(run.train.tokens)}; {run.train.batch_tokens:,}",
    "AdamW: rate; decay": lambda run: f"{run.train.lr:g}, {run.train.schedule}; {run.train.weight_decay:g}",
    "window of batch use": lambda run: f"{run.measure.set_tokens:,} tokens",
}
"""Choice → how a run's own is said."""


LEFT_OUT = ("train.fork_states", "measure.earlier", "model.top_k", "model.attention")
"""Fields that say what a run keeps for those that go on from it, one that these runs do not read, and which of the arms
beside softmax they have: none.
"""


def choices(*recorded: xr.Dataset) -> pd.DataFrame:
    """Every field of the configuration: what the source says of it, and what the runs of these datasets used.

    Read off the provenance of the runs, so it cannot disagree with what was run.
    """
    configs = {_named(data): from_dict(RunConfig, results.provenance(data)["config"]) for data in recorded}
    rows: dict[str, dict[str, Any]] = {}
    for section in fields(RunConfig):
        if section.name in ("seed", "intervention", "control", "screens", "fork", "prune"):  # no choice of a recipe
            continue
        for field in fields(getattr(RunConfig(), section.name)):
            name = f"{section.name}.{field.name}"
            if name in LEFT_OUT:
                continue
            row: dict[str, Any] = {"W&A": STATED.get(name, NOT_KNOWN)}
            for column, config in configs.items():
                row[column] = _shown(getattr(getattr(config, section.name), field.name))
            rows[name] = row
    seeds = (", ".join(map(str, data["seed"].values)) for data in recorded)
    rows["seed"] = {"W&A": NOT_KNOWN, **dict(zip(configs, seeds, strict=True))}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("field")


def sizes(*recorded: xr.Dataset) -> pd.DataFrame:
    """Units, parameters, tokens and cost of one run of each dataset, a column per model."""
    columns = {}
    for data in recorded:
        facts = results.provenance(data)
        run = from_dict(RunConfig, facts["config"])
        counts, flops = count_parameters(run.model), training_flops(run.model)
        minutes = float(np.median(facts["wall_seconds"])) / 60
        columns[_named(data)] = {
            "hidden units, all layers": f"{sum(run.model.widths):,}",
            "one point of use, units of a layer": f"{run.model.width / 100:.0f}",
            "parameters": _rounded(counts["total"]),
            "of them in MLPs": f"{100 * counts['mlp'] / counts['total']:.0f} %",
            "training tokens": _rounded(run.train.tokens),
            "tokens per parameter": f"{run.train.tokens / counts['total']:.2g}",
            "passes over the text": f"{words.read(data):.1f}",
            "operations per training token": _power(flops),
            "operations per run": _power(flops * run.train.tokens),
            "minutes per run": f"{minutes:.0f}",
            "machine": _machine(facts["environment"]["device"]),
        }
    return pd.DataFrame(columns)


def endings(*recorded: xr.Dataset) -> pd.DataFrame:
    """How the models begin and end: loss in nats per token, bits per byte and accuracy, a row per model."""
    rows = {}
    for data in recorded:
        begun = float(data["heldout_loss"].isel(step=0).astype(float).mean())
        rows[_named(data)] = {
            "seeds": data.sizes["seed"],
            "guessing": f"{words.guessing(data):.2f}",
            "before": f"{begun:.2f}",
            "final loss": f"{float(np.mean(words.ended(data))):.2f}",
            "of the seeds": words.span(words.ended(data)),
            "bits per byte": f"{float(data['final_bits_per_byte'].astype(float).mean()):.2f}",
            "accuracy, %": f"{100 * float(data['final_accuracy'].astype(float).mean()):.1f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


_ENDS = {"final_loss": "final loss", "final_bits_per_byte": "bits per byte", "final_accuracy": "accuracy, %"}


def per_seed(*recorded: xr.Dataset) -> pd.DataFrame:
    """The same on the final held-out sets, a row per trained model."""
    tables = {}
    for data in recorded:
        if "activation" not in data.dims:
            data = data.expand_dims(activation=["relu"])
        for activation in data["activation"].values.tolist():
            name = _named(data) + ("" if activation == "relu" else f", {activation.upper()}")
            table = data[list(_ENDS)].sel(activation=activation, drop=True).astype(float).to_dataframe()
            tables[name] = (table[list(_ENDS)].dropna() * [1, 1, 100]).round({"final_accuracy": 1}).round(3)
    return pd.concat(tables, names=["model"]).rename(columns=_ENDS)


def beside(recorded: xr.Dataset, here: xr.Dataset) -> pd.DataFrame:
    """Final loss of each recorded model and of the one with its activation and seed on this machine."""
    both = {"recorded": recorded, "this machine": here}
    columns = {
        f"{what}, {title(data.attrs['scale'])}": data["final_loss"].astype(float).to_series().dropna().round(3)
        for what, data in both.items()
    }
    return pd.DataFrame(columns).rename(index=_NAMES, level="activation")


def baseline(dataset: xr.Dataset) -> pd.DataFrame:
    """Use of each layer before training and at its end, in percent, by activation; mean over the seeds that ran."""
    columns = {}
    for of in ("token_use", "batch_use"):
        for activation in dataset["activation"].values.tolist():
            use = 100 * dataset[of].sel(activation=activation).isel(step=[0, -1]).mean("seed").astype(float)
            name = f"{_NAMES[activation]}, {of.partition('_')[0]}"
            columns[f"{name}, before"], columns[f"{name}, after"] = use.transpose("step", "layer").values.round(1)
    return pd.DataFrame(columns, index=pd.Index(dataset["layer"].values, name="layer"))


def _named(dataset: xr.Dataset) -> str:
    """'Wide, nearest'."""
    return f"{title(dataset.attrs['scale'])}, {dataset.attrs['recipe']}"


def _rounded(count: int) -> str:
    """Three digits: '462 million', '819 thousand'."""
    size, word = (1e6, "million") if count >= 1e6 else (1e3, "thousand")
    return f"{count / size:.3g} {word}"


def _power(value: float) -> str:
    """Two digits and a power of ten: '6.4 × 10¹⁷'."""
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits} × 10{str(int(exponent)).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _machine(device: str) -> str:
    """What ran, without how many cores stood beside a GPU: 'NVIDIA H200', 'x86_64, 2 cores'."""
    kind, _, inside = device.rstrip(")").partition(" (")
    return inside.partition(",")[0] if kind.startswith("cuda") else inside


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):  # of files: a cell has room for a name
        first, *more = [path.rpartition("/")[2] for path in value] or ["–"]
        return first + (f" and {len(more)} more" if more else "")
    return "–" if value is None else str(value)
