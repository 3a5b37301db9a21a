"""Chapter 11: one instrument on models of several makers, a trained one beside ones with random weights."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from ... import corpora, distributed, train
from ...checks import Seed, Size, Tokens
from ...errors import UserError
from ...experiments import shared
from ...measure import measure
from ...models import build
from ...store import results

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

NAME = "any_model"
"""Name of its datasets."""

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

    return shared.cached(NAME, config, config.runs, __name__, compute)


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
            opt = transformers.OPTConfig(ffn_dim=own.width, word_embed_proj_dim=own.d_model, **sizes)
            return transformers.OPTForCausalLM(opt).eval()
        llama = transformers.LlamaConfig(intermediate_size=own.width, num_key_value_heads=own.n_heads, **sizes)
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
