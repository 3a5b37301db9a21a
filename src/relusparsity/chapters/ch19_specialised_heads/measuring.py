"""What is measured of one model's heads: where they look, what they copy, and what is lost without some of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...anymodel import heads, interface
from ...anymodel.headless import mean_outputs, without_heads
from ...attention import induction
from ...measure import attending, load
from ...measure.text import reader
from ...models import Decoder
from . import rows

STATISTICS = ("first", "previous", "same", "delimiter", "entropy", "distance")
"""Of `HeadUse`, those that are kept."""
BATCH = 4
"""Sequences read at a time."""
Losses = np.ndarray
"""(reading, piece): nats per token, of the first and of the second reading of every piece."""


@torch.no_grad()
def looked(model: nn.Module, tokenizer: Any, ids: Tensor) -> dict[str, np.ndarray]:
    """Statistics of where heads look in sequences (sequence, position), by name: (layer, head)."""
    delimiters = attending.delimiters(tokenizer, ids.numpy())
    with heads.track_heads(model, delimiters) as track:
        for part in ids.split(BATCH):
            _read(model, part)
    found = {f"attention_{name}": np.stack(track.mean(name)) for name in STATISTICS}
    return found | {"sink_rate": np.stack(track.sink_rate())}


def in_random_order(ids: Tensor, seed: int = 0) -> Tensor:
    """The same tokens of every sequence, each sequence in an order of its own."""
    draw = torch.Generator().manual_seed(seed)
    return torch.stack([row[torch.randperm(len(row), generator=draw)] for row in ids])


@torch.no_grad()
def prefix_matching(model: nn.Module, tokenizer: Any, draws: int, period: int = induction.PERIOD) -> np.ndarray:
    """Prefix-matching scores of every draw of repeated random tokens: (draw, layer, head)."""
    first = beginning(tokenizer)
    found = []
    for row in induction.repeated(types(model, tokenizer), first, period, draws=draws).split(1):
        with heads.track_heads(model, period=period, begin=len(first)) as track:
            _read(model, row)
        found.append(np.stack(track.prefix_matching()))
    return np.stack(found)


def beginning(tokenizer: Any) -> Tensor:
    """What stands before tokens that repeat: what begins every text, or else ends the text before."""
    how = reader(tokenizer)
    return torch.tensor(how.first or how.last, dtype=torch.int64)


def types(model: nn.Module, tokenizer: Any) -> Tensor:
    """Token types that random tokens are drawn from."""
    return induction.usual(load.vocabulary(model), set(reader(tokenizer).special))


def chosen(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Heads that are taken away, by evaluation: (layer, head) bool; see `rows`."""
    top = rows.top(scores)
    found = {rows.NONE: np.zeros_like(top), rows.TOP: top}
    for seed, name in enumerate(rows.DRAWN):
        draw = np.random.Generator(np.random.PCG64(seed))
        gone = np.zeros_like(top)
        for layer in np.flatnonzero(top.any(1)):
            others = np.flatnonzero(~top[layer])
            gone[layer, draw.choice(others, int(top[layer].sum()), replace=False)] = True
        found[name] = gone
    return found


@torch.no_grad()
def read_twice(model: nn.Module, ids: Tensor, begin: int) -> Losses:
    """Mean loss of every piece's tokens but its first: see `Losses`.

    Parameters
    ----------
    ids : (piece, position)
        So many tokens at the beginning, then a piece, then the same piece.
    """
    period = (ids.shape[1] - begin) // 2
    assert torch.equal(ids[:, begin : begin + period], ids[:, begin + period :])
    found = []
    for part in ids.split(BATCH):
        loss = F.cross_entropy(_read(model, part)[:, :-1].transpose(1, 2), part[:, 1:], reduction="none").double()
        at = [begin + period * which for which in (0, 1)]  # the loss at p is that of token p + 1
        found.append(torch.stack([loss[:, start : start + period - 1].mean(1) for start in at]))
    return torch.cat(found, dim=1).numpy()


def without(model: nn.Module, ids: Tensor, begin: int, gone: dict[str, np.ndarray]) -> np.ndarray:
    """Losses without the heads of each evaluation: (evaluation, way, reading, piece), ways `rows.MEAN`, `rows.ZERO`.

    The means are those of the intact model on these very sequences.
    """
    with mean_outputs(model) as means:
        intact = read_twice(model, ids, begin)
    found = []
    for away in gone.values():
        pairs = [(int(layer), int(head)) for layer, head in np.argwhere(away)]
        losses = []
        for instead in (means, None):
            if pairs:
                with without_heads(model, pairs, instead):
                    losses.append(read_twice(model, ids, begin))
            else:
                losses.append(intact)
        found.append(np.stack(losses))
    return np.stack(found)


@torch.no_grad()
def attention(model: nn.Module, ids: Sequence[int]) -> np.ndarray:
    """All weights of all heads on one text: (layer, head, query, key)."""
    found = interface.weights([each for _, each in heads.to_itself(model)], lambda: _read(model, torch.tensor([ids])))
    return torch.cat(found).numpy()


def _read(model: nn.Module, ids: Tensor) -> Tensor:
    """Logits of token ids, by one call: `load.logits` may try a model first, which watchers would count."""
    out = model(ids) if isinstance(model, Decoder) else model(input_ids=ids, use_cache=False).logits
    assert isinstance(out, Tensor)
    return out
