"""Chapter 05: what removing hidden units costs, by firing rate, by weights and at random, at equal counts.

Draws that do not depend on the order of layers (`DRAWN`) were added on 2026-11-29; datasets of before lack them.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from ... import corpora, distributed, train
from ...checks import Size, Tokens, real
from ...config import RunConfig
from ...errors import UserError
from ...experiments import shared
from ...interventions import units as pruning
from ...models import Model
from ...store import results
from ...store.schema import REMOVAL
from ...train import evaluate
from .draws import DRAWN

Variables = dict[str, tuple[tuple[str, ...], Any]]

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)

NAME = "pruning"
"""Name of its datasets."""

RECORDED = (("laptop", "default"), ("mid", "first"), ("wide", "first"), ("wide", "nearest"))
"""Shapes and recipes whose dataset is committed."""


@dataclass(frozen=True)
class Config(shared.Config):
    """The shared runs, the shares to remove, and how much text to evaluate on."""

    shares: tuple[Annotated[float, real(0, 1)], ...] = SHARES
    """Shares of all hidden units to remove."""
    random_draws: Size = 2
    """Random choices that the method "random" averages over."""
    evaluation_tokens: Tokens = 16_384
    """Tokens of held-out text to evaluate on; extra evaluation sets are read whole."""
    drawn_shares: tuple[Annotated[float, real(0, 1)], ...] = (0.1, 0.5)
    """Shares of all hidden units to remove by the choices of `DRAWN`, each the mean of `random_draws`."""
    beyond_draws: Size = 2
    """Draws of each choice of `DRAWN` that take the silent units' number and half of the rest, as row 12b asks."""


LARGE: dict[str, Any] = {
    "evaluation_tokens": 131_072,
    "drawn_shares": tuple(share for share in SHARES if 0 < share <= 0.8),
    "beyond_draws": 20,
}
SMALL: dict[str, dict[str, Any]] = {"smoke": {"evaluation_tokens": 2_048}, "laptop": {}}
"""Shape → what it sets of `Config`; the others set `LARGE`."""


def config(scale: str, recipe: str | None = None) -> Config:
    """The chapter's configuration at a shape, by its own recipe or another."""
    of = shared.config(scale, recipe)
    return Config(of.scale, of.recipe, of.runs, **SMALL.get(of.scale, LARGE))


@dataclass(frozen=True)
class Text:
    """A text to evaluate on."""

    sequences: np.ndarray
    """Packed sequences (sequence, position + 1)."""
    tokens_per_byte: float


def texts(corpus: corpora.Corpus, run: RunConfig, tokens: int) -> dict[str, Text]:
    """`heldout`, the sequences after the final measurement's, on which units are chosen; and the extra sets.

    Raises
    ------
    UserError
        If one of them has fewer than `tokens` tokens.
    """
    seq_len = run.model.seq_len
    used = run.measure.final_sets * run.measure.set_tokens // seq_len
    available = {"heldout": corpora.heldout_sequences(corpus.heldout, seq_len)[used:]}
    available |= {name: corpora.heldout_sequences(extra, seq_len) for name, extra in corpus.extra.items()}
    found = {}
    for name, sequences in available.items():
        if len(sequences) * seq_len < tokens:
            raise UserError(
                f"the evaluation text {name!r} has {len(sequences) * seq_len:,} tokens left, but pruning evaluates on "
                f"{tokens:,}; give more held-out text or lower measure.final_sets."
            )
        chosen = sequences[: tokens // seq_len] if name == "heldout" else sequences
        found[name] = Text(chosen, chosen[:, 1:].size / int(corpus.token_bytes[chosen[:, 1:]].sum()))
    return found


def run(config: Config) -> xr.Dataset:
    """Loss by (seed, chosen_by, share, evaluation) and units left by (seed, chosen_by, share, layer).

    Units are ranked by their firings on the final held-out sets (attrs: silent_sample_tokens); models are evaluated on
    other text (evaluation_tokens). `rate` ranks the units of all layers together; `magnitude` and `random` then take as
    many from each layer, so that methods differ in the choice of units alone. `drawn_loss` and `beyond_loss` are of the
    choices of `DRAWN`, at `drawn_shares` and where the silent units' number and half of the rest go.
    """

    def compute() -> xr.Dataset:
        trained = shared.train_all(config.runs)
        stacked = shared.stack(trained, config, ["final_token_use"])
        parts = [_one(run, config) for run in trained]
        dataset = xr.concat(parts, dim=stacked["seed"], coords="minimal", compat="equals", join="exact")
        keep = ("scale", "recipe", "provenance", "d_ff", "search_seeds")
        dataset.attrs = {name: stacked.attrs[name] for name in keep if name in stacked.attrs} | {
            "silent_sample_tokens": trained[0].dataset.attrs["final_sample_tokens"],
            "evaluation_tokens": config.evaluation_tokens,
            "random_draws": config.random_draws,
            "beyond_draws": config.beyond_draws,
        }
        return dataset

    return shared.cached(NAME, config, config.runs, __name__, compute)


def _choices(config: Config, rate: np.ndarray, size: np.ndarray) -> Iterator[tuple[str, int, np.ndarray]]:
    """For every model to evaluate: the method, the share's index and the removed units (layer, unit)."""
    for place, share in enumerate(config.shares):
        by_rate = pruning.choose_lowest(rate, share)
        counts = by_rate.sum(1)
        yield "rate", place, by_rate
        yield "magnitude", place, pruning.choose_as_many(size, counts)
        for draw in range(config.random_draws):
            yield "random", place, pruning.choose_as_many(pruning.random_scores(rate.shape, draw), counts)


def drawn(rate: np.ndarray, share: float, draw: int) -> Iterator[np.ndarray]:
    """The units (layer, unit) that each choice of `DRAWN` removes, from the number of the draw alone."""
    ranked = pruning.choose_lowest(rate, share, ties=3 * draw)
    yield ranked
    yield pruning.choose_as_many(pruning.random_scores(rate.shape, 3 * draw + 1), ranked.sum(1))
    yield pruning.choose_lowest(pruning.random_scores(rate.shape, 3 * draw + 2), share)


def _drawn(config: Config, rate: np.ndarray, loss: Callable[[np.ndarray], np.ndarray], evaluations: int) -> Variables:
    """Losses (evaluation) of every draw, and the units that it leaves, for a Dataset."""
    shape = (len(DRAWN), len(config.drawn_shares))
    losses, left = np.zeros((*shape, evaluations)), np.zeros((*shape, len(rate)))
    for place, share in enumerate(config.drawn_shares):
        for draw in range(config.random_draws):
            for kind, removed in enumerate(drawn(rate, share, draw)):
                losses[kind, place] += loss(removed) / config.random_draws
                left[kind, place] += (~removed).sum(1) / config.random_draws
    silent = int((rate == 0).sum())
    beyond = silent + (rate.size - silent) // 2
    every = [[loss(removed) for removed in drawn(rate, beyond / rate.size, n)] for n in range(config.beyond_draws)]
    return {
        "drawn": (("drawn",), list(DRAWN)),
        "drawn_share": (("drawn_share",), np.array(config.drawn_shares)),
        "drawn_loss": (("drawn", "drawn_share", "evaluation"), losses),
        "drawn_units_left": (("drawn", "drawn_share", "layer"), left),
        "beyond_loss": (("drawn", "draw", "evaluation"), np.swapaxes(np.array(every), 0, 1)),
        "beyond_removed": ((), beyond),
    }


def _one(run: train.Run, config: Config) -> xr.Dataset:
    """One seed."""
    corpus = corpora.load(run.config.corpus)
    model = run.model(distributed.device())
    given = texts(corpus, run.config, config.evaluation_tokens)
    firings = run.dataset["final_firing_count"].values
    batch = evaluate.batch_size(model, distributed.device())

    def scores(smaller: Model) -> np.ndarray:
        """Nats per token, bits per byte and accuracy: (evaluation, number)."""
        rows = [(evaluate.score(smaller, text.sequences, batch), text) for text in given.values()]
        return np.array([(s.loss, s.bits_per_byte(text.tokens_per_byte), s.accuracy) for s, text in rows])

    shape = (len(pruning.METHODS), len(config.shares), len(given), 3)
    sums, times = np.zeros(shape), np.zeros(shape[:2], dtype=int)
    left = np.zeros((*shape[:2], len(firings)), dtype=np.int32)
    whole, without_silent = scores(model), scores(_removed(model, firings == 0))
    todo = list(_choices(config, firings, pruning.magnitude(model)))
    for method, place, removed in tqdm(todo, desc=f"pruning seed {run.config.seed}", leave=False, disable=None):
        at = pruning.METHODS.index(method), place
        sums[at] += scores(_removed(model, removed)) if removed.any() else whole
        times[at] += 1
        left[at] = (~removed).sum(1)
    means = sums / times[:, :, None, None]
    others = _drawn(config, firings, lambda units: scores(_removed(model, units))[:, 0], len(given))
    masked, cut = _differences(model, given["heldout"].sequences[: max(1, 8192 // run.config.model.seq_len)], batch)
    points = ("chosen_by", "share", "evaluation")
    return results.described(
        {
            "chosen_by": (("chosen_by",), list(pruning.METHODS)),
            "share": (("share",), np.array(config.shares)),
            "evaluation": (("evaluation",), list(given)),
            "layer": (("layer",), np.arange(len(firings))),
            "loss": (points, means[..., 0]),
            "bits_per_byte": (points, means[..., 1]),
            "accuracy": (points, means[..., 2]),
            "units_left": (("chosen_by", "share", "layer"), left),
            "baseline_loss": (("evaluation",), whole[:, 0]),
            "baseline_bits_per_byte": (("evaluation",), whole[:, 1]),
            "baseline_accuracy": (("evaluation",), whole[:, 2]),
            "silent_loss": (("evaluation",), without_silent[:, 0]),
            "silent_removed": (("layer",), (firings == 0).sum(1)),
            "masked_difference": ((), masked),
            "removed_difference": ((), cut),
        }
        | others,
        REMOVAL,
    )


def _removed(model: Model, units: np.ndarray) -> Model:
    """The model without these units (layer, unit); torch would warn about a layer that loses all of its units."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        return pruning.remove(model, units)


@torch.no_grad()
def _differences(model: Model, sequences: np.ndarray, batch: int) -> tuple[float, float]:
    """Largest change of a logit when the units silent on these sequences are masked, and when they are removed."""
    silent = evaluate.firing_counts(model, sequences, batch).unit_tokens.cpu().numpy() == 0
    inputs = torch.from_numpy(sequences[:, :-1].astype(np.int64)).to(distributed.device())
    whole = model(inputs)
    masked, cut = pruning.mask(model, silent)(inputs), _removed(model, silent)(inputs)
    return float((masked - whole).abs().max()), float((cut - whole).abs().max())
