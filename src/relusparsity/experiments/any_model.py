"""Chapter 07: one instrument on models of several makers, a trained one beside ones with random weights."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from .. import corpora, distributed, train
from ..checks import Seed, Size, Tokens
from ..errors import UserError
from ..measure import measure
from ..models import build
from ..store import results
from . import shared

READINGS = {
    "trained": ("trained", "exact"),
    "untrained": ("untrained", "exact"),
    "OPT": ("opt", "exact"),
    "Llama": ("llama", "exact"),
    "Llama, CETT 0.2": ("llama", "cett=0.2"),
}
"""Name of a measurement → the model and the rule: this book's model after and before training, and two fresh ones."""

SCHEMA = {
    "model": ("1", "the model that was measured, and the rule where it is not the exact one"),
    "rule": ("1", "when a unit counts as firing"),
    "layer_name": ("1", "module that the layer's hidden activations were read from"),
    "example_model": ("1", "model of the chosen unit"),
}
LEFT_OUT = ("context", "strongest_activation", "strongest_token")  # of every unit; the examples hold those shown

RECORDED = (("laptop", "default"),)
"""Shapes and recipes whose dataset is committed."""


@dataclass(frozen=True)
class Config(shared.Config):
    """The shared run of the first seed, and how much text every model reads."""

    tokens: Tokens
    """Held-out tokens that are counted on, from the start of the held-out text."""
    apart: Tokens
    """Tokens after them: for thresholds, and for the loss without units."""
    followed: Size
    """Units a layer whose token types are counted."""
    weights_seed: Seed = 0
    """Seed of the fresh models' weights."""


def config(scale: str, recipe: str | None = None) -> Config:
    """The chapter's configuration at a shape, by its own recipe or another."""
    of = shared.config(scale, recipe)
    tokens, apart, followed = {"smoke": (8_192, 1_024, 32)}.get(of.scale, (65_536, 8_192, 128))
    return Config(of.scale, of.recipe, of.runs[:1], tokens, apart, followed)


def run(config: Config) -> xr.Dataset:
    """What `measure.measure` gives for every one of `READINGS`, over a new first dimension `model`; see `one`."""

    def compute() -> xr.Dataset:
        (finished,) = shared.train_all(config.runs)
        parts = {name: _one(name, finished, config) for name in READINGS}
        return together(parts, config, finished)

    return shared.cached("any_model", config, config.runs, __name__, compute)


def text(config: Config) -> np.ndarray:
    """The held-out token ids that are read, as (sequence, position).

    Raises
    ------
    UserError
        If the held-out text is shorter.
    """
    run = config.runs[0]
    heldout, wanted = corpora.load(run.corpus).heldout, config.tokens + config.apart
    if len(heldout) < wanted:
        raise UserError(f"the held-out text has {len(heldout):,} tokens, but {wanted:,} are read; give more of it.")
    return np.asarray(heldout[:wanted], dtype=np.int64).reshape(-1, run.model.seq_len)


def batch(config: Config, sequences: int = 32) -> dict[str, Tensor]:
    """The first sequences of the text, as the call of a `transformers` model takes them."""
    return {"input_ids": torch.from_numpy(text(config)[:sequences])}


def fresh(kind: str, config: Config) -> nn.Module:
    """A model of `transformers` ("opt" or "llama") of the run's sizes, with random weights from a stated seed.

    Raises
    ------
    UserError
        If transformers is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise UserError("fresh models need transformers; install it with: pip install transformers") from None
    own = config.runs[0].model
    sizes: dict[str, Any] = {
        "vocab_size": own.vocab_size,
        "hidden_size": own.d_model,
        "num_hidden_layers": own.n_layers,
        "num_attention_heads": own.n_heads,
        "max_position_embeddings": own.seq_len,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.weights_seed)
        if kind == "opt":
            opt = transformers.OPTConfig(ffn_dim=own.d_ff, word_embed_proj_dim=own.d_model, **sizes)
            return transformers.OPTForCausalLM(opt).eval()
        llama = transformers.LlamaConfig(intermediate_size=own.d_ff, num_key_value_heads=own.n_heads, **sizes)
        return transformers.LlamaForCausalLM(llama).eval()


def _one(name: str, finished: train.Run, config: Config) -> xr.Dataset:
    """One measurement."""
    kind, rule = READINGS[name]
    at, run = distributed.device(), config.runs[0]
    if kind == "trained":
        model: nn.Module = finished.model(at)
    elif kind == "untrained":
        model = build(run.model, run.seed, at).eval()
    else:
        model = fresh(kind, config).to(at)
    options = measure.Options(
        tokens=config.tokens,
        seq_len=run.model.seq_len,
        rule=rule,
        followed=config.followed,
        loss_tokens=config.apart,
    )
    corpus = corpora.load(run.corpus)
    source = {"corpus": corpus.name, "corpus_checksum": corpus.checksum}
    return measure.measure(model, corpus.tokenizer, text(config), options, name=name, source=source)


def together(parts: dict[str, xr.Dataset], config: Config, finished: train.Run) -> xr.Dataset:
    """Measurements of models of one shape on one text as one dataset."""
    whole, examples = [], []
    for name, part in parts.items():
        part = part.drop_vars([*LEFT_OUT, *_example_variables(part)]).reset_coords("layer_name")
        whole.append(part.assign(rule=((), part.attrs["rule"])))
        shown = parts[name][_example_variables(parts[name])]
        if shown.sizes.get("example"):
            examples.append(shown.assign(example_model=("example", [name] * shown.sizes["example"])))
    names = pd.Index(list(parts), name="model")
    dataset = xr.concat(whole, names, join="exact", coords="minimal", compat="override", combine_attrs=shared.agreed)
    if examples:
        dataset = dataset.merge(xr.concat(examples, dim="example"), combine_attrs="override")
    for name, (units, long_name) in SCHEMA.items():
        if name in dataset.variables:
            dataset[name].attrs = {"units": units, "long_name": long_name}
    facts = {name: results.provenance(part) for name, part in parts.items()}
    dataset.attrs |= {
        "scale": config.scale,
        "recipe": config.recipe,
        "vocab_size": config.runs[0].model.vocab_size,
        "provenance": json.dumps(
            {
                "models": facts,
                "runs": [finished.path.name],
                "environment": next(iter(facts.values()))["environment"],
                "wall_seconds": [fact["wall_seconds"] for fact in facts.values()],
            },
            sort_keys=True,
        ),
    }
    return dataset


def _example_variables(dataset: xr.Dataset) -> list[str]:
    return [str(name) for name, variable in dataset.variables.items() if {"example", "rank"} & set(variable.dims)]


def one(dataset: xr.Dataset, model: str) -> xr.Dataset:
    """The measurement of one model out of `run`'s dataset, as the figures and the report take it.

    Raises
    ------
    UserError
        If there is no such model.
    """
    known = dataset["model"].values.tolist()
    if model not in known:
        raise UserError(f"no model {model!r} was measured; there are {', '.join(map(repr, known))}.")
    part = dataset.sel(model=model, drop=True).drop_vars("rule").set_coords("layer_name")
    if "example_model" in part:
        part = part.isel(example=np.flatnonzero(part["example_model"] == model)).drop_vars("example_model")
    facts = results.provenance(dataset)["models"][model]
    part.attrs = {name: value for name, value in dataset.attrs.items() if name not in ("scale", "recipe", "vocab_size")}
    part.attrs |= {"name": model, "rule": facts["rule"]["name"], "provenance": json.dumps(facts, sort_keys=True)}
    return part


def about(dataset: xr.Dataset) -> pd.DataFrame:
    """What was measured, a column a model; the loss of even guessing stands beside the model's own."""
    columns = {}
    for name, facts in results.provenance(dataset)["models"].items():
        columns[name] = {
            "class": facts["model"]["class"],
            "layers × units": f"{len(facts['layers'])} × {dataset.attrs['d_ff']:,}",
            "hidden layer 0": facts["layers"][0],
            "a unit fires where": facts["rule"]["name"],
            "tokens counted": f"{facts['text']['tokens']:,}",
            "loss, nats a token": f"{float(dataset['final_loss'].sel(model=name).item()):.3f}",
            "loss of even guessing": f"{np.log(dataset.attrs['vocab_size']):.3f}",
        }
    return pd.DataFrame(columns)[dataset["model"].values.tolist()]


def by_layer(dataset: xr.Dataset, name: str, models: list[str]) -> pd.DataFrame:
    """A share (model, seed, layer) in percent: a row a model."""
    return (100 * dataset[name].isel(seed=0).sel(model=models).astype(float)).to_pandas().round(1)


def evidence(dataset: xr.Dataset, models: list[str]) -> pd.DataFrame:
    """Silent units over all layers and how sure their silence is, a row a model."""
    chosen = dataset.isel(seed=0).sel(model=models)
    silent, units = chosen["silent_units"].sum("layer"), dataset.attrs["d_ff"] * dataset.sizes["layer"]
    rows = {
        "silent units": silent,
        "% of all": (100 * silent / units).round(1),
        "expected to fire in as much text again": chosen["good_turing_expected"].sum("layer"),
        "silent if resampled": chosen["silent_if_resampled"].sum("layer").astype(float).round(0).astype(int),
        "each fires in at most, % of sequences": (100 * chosen["silent_sequence_bound"].max("layer").astype(float)),
    }
    return pd.DataFrame({name: values.to_series() for name, values in rows.items()}).round(3)


def units(dataset: xr.Dataset, model: str) -> pd.DataFrame:
    """What chosen units of a model fire on, a row a unit: token types by share, and the strongest token in context."""
    part = one(dataset, model)
    names = {
        "example_layer": "layer",
        "example_rule": "chosen as",
        "example_unit": "unit",
        "example_types": "token types",
    }
    table = part[list(names)].to_dataframe()[list(names)].rename(columns=names)
    table["strongest, in context"] = part["example_text"].isel(rank=0).values
    return table.set_index(["layer", "chosen as"])


def costs(dataset: xr.Dataset, models: list[str]) -> pd.DataFrame:
    """Change of the loss in percent when a share of all units is removed, a row a share, by model and method."""
    chosen = dataset.isel(seed=0, evaluation=0).sel(model=models)
    rise = 100 * (chosen["loss"] / chosen["baseline_loss"] - 1)
    table = rise.transpose("share", "model", "chosen_by").stack(of=["model", "chosen_by"]).to_pandas().astype(float)
    table.index = pd.Index([f"{100 * share:.3g} %" for share in rise["share"].values], name="units removed")
    return table.rename_axis(columns=["model", "method"]).round(2) + 0.0  # no −0


def rules(dataset: xr.Dataset) -> pd.DataFrame:
    """One smooth model under two rules, in percent of units at a token, and the tail error that the second reached."""
    use = by_layer(dataset, "final_token_use", ["Llama", "Llama, CETT 0.2"]).T
    facts = results.provenance(dataset)["models"]["Llama, CETT 0.2"]["rule"]["facts"]
    return use.assign(**{"its tail error": [round(facts[f"cett_{layer}"], 4) for layer in use.index]})


def by_chance(tail_error: float, factors: int, numbers: int = 1_000_000) -> float:
    """Percent of random numbers above the threshold of a CETT rule: what a layer without any structure would read.

    Parameters
    ----------
    tail_error
        The rule's CETT: what lies below the threshold has this share of the norm of all.
    factors
        1: normally distributed activations; 2: products of two, as a gated MLP multiplies them.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    energy = np.sort(np.prod(rng.standard_normal((factors, numbers)), axis=0) ** 2)
    below = np.searchsorted(np.cumsum(energy), tail_error**2 * energy.sum())
    return round(100 * (1 - float(below) / numbers), 1)
