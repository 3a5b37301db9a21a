"""Chapter 19: the heads of SmolLM2, which others trained and published, on real texts and without some of them.

``python -m relusparsity.chapters.ch19_specialised_heads.public`` measures them, on a CPU (ten minutes on one core), and
writes the recorded dataset anew; it needs the packages `PACKAGES` (`make models`) and, the
first time that SmolLM2 is read, what reads a GGUF file.

Controls: the same tokens in random order within each sequence, and the same weights in random order within each matrix.
"""

import copy
import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ... import packages
from ...anymodel.circuits import copying_scores
from ...attention import induction
from ...examples import shown_token
from ...identity import digest
from ...interventions.shuffles import shuffled
from ...measure import listed, load
from ...measure.text import reader
from ...packages import catalogue, english
from ...store import results
from . import measuring, rows

NAME, SCALE = "real_heads", "laptop"
FILE = f"{NAME}-{SCALE}-default"
PACKAGES = ("smollm2", "english")
READ_WITH = ("transformers", "gguf", "accelerate", "safetensors")

TEXTS, SEQUENCE = 16, 256
"""Texts that heads are watched on, and the tokens that are read of each, from its beginning."""
PIECES, PERIOD = 16, 64
"""Pieces that are read twice, of English and of random tokens, and the tokens of each."""
DRAWS = 10
"""Sequences of repeated random tokens that give prefix-matching scores."""
READINGS = ("text", "shuffled", "random weights")
WEIGHTS = (rows.TRAINED, "random")
SEED = 1
"""Of the random tokens that are read twice; those of the scores have another."""

SENTENCES = {
    "a name that comes twice": (
        "Yesterday Harriet Vandermeer bought a lamp, and today Harriet Vandermeer brought it back."
    ),
    "a list": "We packed bread, cheese, apples, two knives, a map, and some rope.",
    "a long sentence": (
        "The old sailor walked slowly along the harbour while the evening fog rolled in from the cold northern sea."
    ),
    "code": "for i in a:\n    print(i)\nfor j in a:\n    print(j)",
    "words that come twice": "seven red kites, four green stones, seven red kites, four green stones",
}
"""What a sentence shows → the sentence."""

HEAD = ("layer", "head")
DESCRIBED = {
    "attention_first": ("1", "mean attention to the first token of the sequence"),
    "attention_previous": ("1", "mean attention to the previous token"),
    "attention_same": ("1", "mean attention of a token to itself"),
    "attention_delimiter": ("1", "mean attention to delimiters, all together"),
    "attention_entropy": ("nats", "mean entropy of the attention over tokens"),
    "attention_distance": ("tokens", "mean distance of the tokens attended to"),
    "sink_rate": ("1", "share of sequences whose first token is a sink (Sink%: > 0.3 over the first 64 queries)"),
    "prefix_matching": ("1", "prefix-matching score: mean attention to the token after an earlier occurrence"),
    "copying": ("1", "copying score of the head's OV circuit, from -1 to 1"),
    "ablated": ("1", "whether the head was taken away"),
    "repeat_first_loss": ("nats/token", "mean loss of tokens that are read for the first time"),
    "repeat_second_loss": ("nats/token", "mean loss of the same tokens when they are read again"),
    "repeat_gain": ("nats/token", "first loss less second loss, by piece of text"),
    "sentence_text": ("1", "the sentence"),
    "sentence_tokens": ("1", "tokens of the sentence as shown; empty where it is shorter"),
    "sentence_attention": ("1/255", "attention of a head from a query to a key, rounded"),
    "reading": ("1", "what was read, by which weights"),
    "weights": ("1", "weights as trained, or in random order within each matrix"),
    "draw": ("1", "sequence of random tokens that come twice"),
    "evaluation": ("1", "which heads were taken away"),
    "way": ("1", "what stands in a head's place: its mean output over the same text, or zero"),
    "text": ("1", "what was read twice"),
    "piece": ("1", "piece of text that was read twice"),
    "sentence": ("1", "what the sentence shows"),
    "layer": ("1", "layer of the model, from 0"),
    "head": ("1", "head of the layer, from 0"),
    "seed": ("1", "the published weights, which are one"),
}


def run() -> xr.Dataset:
    """Everything of SmolLM2.

    Raises
    ------
    UserError
        If a package was not fetched, or what reads a GGUF file is missing.
    """
    for name in PACKAGES:
        packages.folder(name)
    ready = load.load("smollm2", "cpu")
    of = english.texts()
    begun = time.time()
    read, again = (tokens(ready.tokenizer, of[at::8] + of[at + 1 :: 8]) for at in (0, 4))
    facts: dict[str, Any] = {
        "config": {"draws": DRAWS, "period": induction.PERIOD, "piece": PERIOD, "seq_len": SEQUENCE},
        "model": {"name": ready.name, "class": type(ready.model).__name__, "weights": load.fingerprint(ready.model)}
        | ready.about,
        "text": {"sha256": digest(of), "tokens": TEXTS * SEQUENCE, "pieces": PIECES},
        "runs": [],
        "environment": results.environment(),
        "read_with": {name: version(name) for name in READ_WITH if find_spec(name)},
        "packages": {name: _about(name) for name in PACKAGES},
    }
    dataset = measured(ready.model, ready.tokenizer, read[:TEXTS, :SEQUENCE], again[:PIECES, :PERIOD])
    facts["wall_seconds"] = [time.time() - begun]
    return dataset.assign_attrs(scale=SCALE, provenance=json.dumps(facts, sort_keys=True))


def _about(name: str) -> dict[str, str]:
    return listed.about(catalogue.everything()[name])


def tokens(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """The first tokens of texts, as many of each as the shortest has: (text, position)."""
    ids = [reader(tokenizer).encode(text) for text in texts]
    return torch.tensor([each[: min(map(len, ids))] for each in ids])


def measured(model: Any, tokenizer: Any, read: Tensor, again: Tensor) -> xr.Dataset:
    """The dataset without its attributes.

    Parameters
    ----------
    read : (sequence, position)
        Texts that heads are watched on.
    again : (piece, position)
        Pieces that are read twice.
    """
    untrained = shuffled(copy.deepcopy(model))
    given = (model, read), (model, measuring.in_random_order(read)), (untrained, read)
    looked = [measuring.looked(each, tokenizer, ids) for each, ids in given]
    values: dict[str, tuple[tuple[str, ...], Any]] = {
        name: (("reading", *HEAD), np.stack([each[name] for each in looked])) for name in looked[0]
    }
    scores = np.stack([measuring.prefix_matching(each, tokenizer, DRAWS) for each in (model, untrained)])
    values["prefix_matching"] = ("weights", "draw", *HEAD), scores
    copies = np.stack([np.stack(copying_scores(each)) for each in (model, untrained)])
    values["copying"] = ("weights", *HEAD), copies
    gone = measuring.chosen(scores[0].astype(np.float32).astype(np.float64).mean(0))
    values["ablated"] = ("evaluation", *HEAD), np.stack([*gone.values()])
    values |= _twice(model, tokenizer, again, gone) | _sentences(model, tokenizer)
    labels: dict[str, Sequence[Any]] = {"reading": READINGS, "weights": WEIGHTS, "evaluation": [*gone]}
    labels |= {"way": (rows.MEAN, rows.ZERO), "text": (rows.ENGLISH, rows.RANDOM_TOKENS), "sentence": [*SENTENCES]}
    labels |= {"draw": range(DRAWS), "piece": range(len(again)), "seed": [0]}
    labels |= {name: range(size) for name, size in zip(HEAD, copies.shape[1:], strict=True)}
    values |= {name: ((name,), list(of)) for name, of in labels.items()}
    return results.described(values, DESCRIBED).set_coords([*labels])


def _twice(model: Any, tokenizer: Any, again: Tensor, gone: dict[str, np.ndarray]) -> dict[str, Any]:
    """Losses of pieces of English and of random tokens, as long and as many."""
    first, (pieces, period) = measuring.beginning(tokenizer), again.shape
    written = torch.cat((first.expand(pieces, -1), again, again), dim=1)
    drawn = induction.repeated(measuring.types(model, tokenizer), first, period, draws=pieces, seed=SEED)
    found = np.stack([measuring.without(model, ids, len(first), gone) for ids in (written, drawn)])
    once, second = found[:, :, :, 0], found[:, :, :, 1]  # (text, evaluation, way, piece)
    dims = ("text", "evaluation", "way")
    return {
        "repeat_first_loss": (dims, once.mean(-1)),
        "repeat_second_loss": (dims, second.mean(-1)),
        "repeat_gain": ((*dims, "piece"), once - second),
    }


def _sentences(model: Any, tokenizer: Any) -> dict[str, Any]:
    ids = [reader(tokenizer).encode(text) for text in SENTENCES.values()]
    longest = max(map(len, ids))
    shown = [[shown_token(tokenizer, each) for each in of] + [""] * (longest - len(of)) for of in ids]
    maps = [np.rint(255 * measuring.attention(model, of)).astype(np.uint8) for of in ids]
    weights = [np.pad(each, [(0, 0), (0, 0), *[(0, longest - each.shape[-1])] * 2]) for each in maps]
    return {
        "sentence_text": (("sentence",), [*SENTENCES.values()]),
        "sentence_tokens": (("sentence", "position"), shown),
        "sentence_attention": (("sentence", *HEAD, "query", "key"), np.stack(weights)),
    }


if __name__ == "__main__":
    results.save(run(), results.data_dir() / f"{FILE}.nc")
