"""Chapter 04: how specific units are, to sequences and to token types, and what the most specific ones fire on."""

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from ... import arithmetic, corpora, distributed
from ...checks import Size, Tokens
from ...counting import metrics
from ...errors import UserError
from ...examples import MARK, choose, shown_text, shown_token
from ...experiments import shared
from ...store import results
from ...store.schema import SPECIFICITY
from ...train import Run, evaluate

BEFORE, AFTER, CHARACTERS = 10, 4, 36
Described = tuple[tuple[str, ...], np.ndarray]

NAME = "feature_specificity"
"""Name of its datasets."""

RECORDED = (("laptop", "default"), ("mid", "first"), ("wide", "first"), ("wide", "nearest"))
"""Shapes and recipes whose dataset is committed."""


@dataclass(frozen=True)
class Config(shared.Config):
    """The shared runs and the held-out text that their final weights read."""

    sample_tokens: Tokens
    """Held-out tokens, from the start of the held-out text."""
    least: Size = 100
    """Firings below which a unit has no specificity."""
    ranks: Size = 3
    """Contexts shown of a chosen unit."""


SAMPLE, FEWER = 1_048_576, {"smoke": 4_096, "laptop": 98_304}
"""Tokens of the sample, and shape → how many where that is less."""


def config(scale: str, recipe: str | None = None) -> Config:
    """The chapter's configuration at a shape, by its own recipe or another."""
    of = shared.config(scale, recipe)
    return Config(of.scale, of.recipe, of.runs, FEWER.get(of.scale, SAMPLE))


def run(config: Config) -> xr.Dataset:
    """Both measures of specificity by (seed, layer, unit), and contexts of chosen units of the first seed.

    In every layer `examples.choose` takes three units with at least `least` firings: the highest token selectivity, the
    median of it (the lower one of an even number), and the highest within-sequence rate over that of random firing.
    """

    def compute() -> xr.Dataset:
        runs = shared.train_all(config.runs)
        corpus = corpora.load(config.runs[0].corpus)
        dataset = shared.stack(runs, config, ["final_token_use", "final_loss"])
        sequences = _sample(corpus, config)
        parts = [_one(finished, sequences, config) for finished in runs]
        values = {name: (SPECIFICITY[name][0], np.stack([part[name] for part in parts])) for name in parts[0]}
        values |= _examples(runs[0], corpus, sequences, values, config)
        units = {name: (unit, text) for name, (_, unit, text) in SPECIFICITY.items()}
        dataset = dataset.merge(results.described(values, units), combine_attrs="override").set_coords("rank")
        dataset.attrs["sample_tokens"] = dataset["firing_count"].attrs["sample_tokens"] = config.sample_tokens
        return dataset

    return shared.cached(NAME, config, config.runs, __name__, compute)


def _sample(corpus: corpora.Corpus, config: Config) -> np.ndarray:
    seq_len = config.runs[0].model.seq_len
    if len(corpus.heldout) <= config.sample_tokens:
        raise UserError(
            f"the held-out text has {len(corpus.heldout):,} tokens, but specificity is measured on "
            f"{config.sample_tokens:,} and one more; give more held-out text."
        )
    return corpora.heldout_sequences(corpus.heldout[: config.sample_tokens + 1], seq_len)


def _one(finished: Run, sequences: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    """Counts and specificity of one seed by name: (layer, unit)."""
    count, seq_len = sequences.shape[0], sequences.shape[1] - 1
    model = finished.model(distributed.device())
    batch = evaluate.batch_size(model, distributed.device())
    progress = f"seed {finished.config.seed}: held-out text"
    use = evaluate.firing_counts(model, sequences, batch, progress)
    fired, hit = use.unit_tokens.cpu().numpy(), use.unit_sequences.cpu().numpy()
    rates = [metrics.within_sequence_rate(k, s, count, seq_len, config.least) for k, s in zip(fired, hit, strict=True)]
    enough = fired >= config.least
    selectivity, top = np.full(fired.shape, np.nan), np.full(len(fired), np.nan)
    model.output = torch.nn.Identity()  # type: ignore[assignment]  # only firing is read from here on: no logits
    layers = range(len(fired))[::-1]
    for layer in tqdm(layers, desc=f"{progress}, by token type", unit="layer", leave=False, disable=None):
        model.blocks = model.blocks[: layer + 1]  # and nothing above the layer that is counted
        by_type, totals = evaluate.token_type_counts(model, sequences, layer, batch)
        if (by_type.sum(dim=0).cpu().numpy() != fired[layer]).any():
            raise ArithmeticError(f"layer {layer}: firings by token type do not add up to the firings counted before")
        selectivity[layer] = metrics.token_selectivity(by_type, totals, config.least)
        if enough[layer].any():
            top[layer] = np.median((by_type.amax(dim=0).cpu().numpy() / np.maximum(fired[layer], 1))[enough[layer]])
    return {
        "firing_count": fired.astype(np.int32),
        "within_sequence_rate": _rounded([observed for observed, _ in rates]),
        "within_sequence_rate_random": _rounded([random for _, random in rates]),
        "token_selectivity": _rounded(selectivity),
        "top_type_share": top,
    }


def _rounded(values: ArrayLike) -> np.ndarray:
    """Round to 12 significant bits (error ≤ 0.03 %): else the units of wide models would not fit a committed file."""
    mantissa, exponent = np.frexp(np.asarray(values))
    return np.ldexp(np.round(mantissa * 2**12) / 2**12, exponent)


def _examples(
    finished: Run, corpus: corpora.Corpus, sequences: np.ndarray, values: dict[str, Described], config: Config
) -> dict[str, Described]:
    """What the chosen units of the first seed fire on: token types, and the strongest activations in context."""
    selectivity, observed, random = (
        values[name][1][0] for name in ("token_selectivity", "within_sequence_rate", "within_sequence_rate_random")
    )
    rows = [
        (layer, rule, unit)
        for layer in range(len(selectivity))
        for rule, unit in choose(selectivity[layer], observed[layer] / random[layer])
    ]
    activation = _activations(finished, sequences, [(layer, unit) for layer, _, unit in rows])
    types, texts, strengths = [], [], np.full((len(rows), config.ranks), np.nan)
    for i, unit in enumerate(activation):
        types.append(top_types(unit > 0, sequences, corpus.tokenizer))
        found = strongest(unit, sequences, corpus.tokenizer, config.ranks)
        strengths[i, : len(found)] = [strength for _, strength in found]
        texts.append([text for text, _ in found] + [""] * (config.ranks - len(found)))
    named = {
        "example_layer": [layer for layer, _, _ in rows],
        "example_unit": [unit for _, _, unit in rows],
        "example_rule": [rule for _, rule, _ in rows],
        "example_types": types,
        "example_text": np.array(texts).reshape(len(rows), config.ranks),
        "example_activation": strengths,
        "rank": np.arange(1, config.ranks + 1),
    }
    return {name: (SPECIFICITY[name][0], np.asarray(value)) for name, value in named.items()}


@arithmetic.float32("tf32")
@torch.no_grad()
def _activations(finished: Run, sequences: np.ndarray, chosen: list[tuple[int, int]]) -> np.ndarray:
    """Activations of some (layer, unit): (chosen, sequence, position)."""
    model = finished.model(distributed.device())
    model.output = torch.nn.Identity()  # type: ignore[assignment]
    out = np.zeros((len(chosen), len(sequences), sequences.shape[1] - 1), dtype=np.float32)
    size = evaluate.batch_size(model, distributed.device())
    for start in range(0, len(sequences), size):

        def see(layer: int, _inputs: Tensor, _pre: Tensor, activation: Tensor, start: int = start) -> None:
            for i, (at, unit) in enumerate(chosen):
                if at == layer:
                    out[i, start : start + size] = activation[:, :, unit].cpu().numpy()

        inputs = torch.from_numpy(sequences[start : start + size, :-1].astype(np.int64))
        model(inputs.to(next(model.parameters()).device), see)
    return out


def top_types(fired: np.ndarray, sequences: np.ndarray, tokenizer: Tokenizer, most: int = 4) -> str:
    """The commonest token types among a unit's firings, (sequence, position), each with its share of them."""
    count = np.bincount(sequences[:, :-1][fired])
    best = np.argsort(-count, kind="stable")[:most]
    return " | ".join(f"{shown_token(tokenizer, i)} {count[i] / count.sum():.0%}" for i in best if count[i])


def strongest(
    activation: np.ndarray, sequences: np.ndarray, tokenizer: Tokenizer, most: int
) -> list[tuple[str, float]]:
    """A unit's strongest activations, (sequence, position), as contexts with the token marked, strongest first.

    A sequence gives at most one, and no text comes twice. The unit has not seen what stands after the mark.
    """
    peak = activation.max(axis=1)
    found: dict[str, float] = {}
    for i in np.argsort(-peak, kind="stable"):
        if peak[i] <= 0 or len(found) == most:
            break
        at = int(activation[i].argmax())
        before, after = sequences[i, max(0, at - BEFORE) : at], sequences[i, at + 1 : at + 1 + AFTER]
        text = shown_text(tokenizer, before)[-CHARACTERS:] + MARK.format(shown_token(tokenizer, sequences[i, at]))
        found.setdefault(text + shown_text(tokenizer, after)[: CHARACTERS // 2], float(peak[i]))
    return list(found.items())
