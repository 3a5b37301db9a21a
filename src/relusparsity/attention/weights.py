"""What makes attention weights of queries and keys, and these weights for a few queries at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 2**21
"""Weights held at a time, of all heads; float64, so 16 MB."""


@dataclass(frozen=True)
class Scores:
    """How a layer makes its attention weights: softmax over keys of what this says, for queries that come last.

    With `sigmoid` it is no softmax: each weight is a sigmoid of its own, and those of a query have any sum.

    The logit of query i and key j is scale · (q · k), then softcap · tanh(logit / softcap), then what `bias` and `mask`
    add; keys outside `causal`, `window` and a mask of truths have none.

    Examples
    --------
    >>> q = k = torch.zeros(1, 1, 3, 2)
    >>> block = next(Scores(scale=1.0).blocks(q, k))
    >>> block.weights[0, 0]
    tensor([[1.0000, 0.0000, 0.0000],
            [0.5000, 0.5000, 0.0000],
            [0.3333, 0.3333, 0.3333]], dtype=torch.float64)
    """

    scale: float
    causal: bool = True
    """Whether a query sees no key after it."""
    window: int | None = None
    """A query at i sees keys above i - window; in both directions where it is not causal, below i + window too."""
    mask: Tensor | None = None
    """(sequence or 1, head or 1, query or 1, key): true where a query sees a key, or numbers that are added."""
    bias: Tensor | None = None
    """The same shape: numbers that are added as well, such as T5's for relative positions."""
    softcap: float | None = None
    """Bound of a logit's size, as in Gemma 2."""
    sink: Tensor | None = None
    """(head): a logit that takes its share of every softmax and is no token's, such as a learned one in gpt-oss."""
    sink_key: Tensor | None = None
    """(head, width): a learned key that is no token's, whose logit takes its share in the place of `sink`."""
    sigmoid: float | None = None
    """What is added to a logit, of which the weight is then the sigmoid, not divided by anything; None: softmax."""

    def blocks(
        self,
        q: Float[Tensor, "sequence head query width"],
        k: Float[Tensor, "sequence group key width"],
        first: int | None = None,
        first_key: int = 0,
        block: int = BLOCK,
    ) -> Iterator["Block"]:
        """The weights, a block of sequences and queries after the other; a block is forgotten before the next.

        Parameters
        ----------
        q, k
            After rotary positions; heads of a group, which follow each other, read the same keys.
        first
            Position of the first query; None: the last query stands at the last key.
        first_key
            Position of the first key, where a cache has forgotten earlier ones.
        block
            Weights held at a time, at least those of one query of one sequence.

        Raises
        ------
        ValueError
            If heads are no multiple of groups, or the shapes differ elsewhere.
        """
        (sequences, heads, queries, width), (others, groups, keys, deep) = q.shape, k.shape
        if sequences != others or width != deep or heads % groups:
            raise ValueError(f"queries of shape {tuple(q.shape)} do not fit keys of shape {tuple(k.shape)}")
        first = first_key + keys - queries if first is None else first
        together = min(sequences, max(1, block // (heads * keys)))
        rows = max(1, block // (heads * keys * together))
        for s in range(0, sequences, together):
            for at in range(0, queries, rows):
                where = slice(s, s + together), slice(at, min(at + rows, queries))
                low, high = self._keys(first + where[1].start, first + where[1].stop - 1, first_key, keys)
                i = torch.arange(first + where[1].start, first + where[1].stop, device=q.device)
                j = torch.arange(first_key + low, first_key + high, device=q.device)
                yield Block(*where, i, j, self._weights(q, k, *where, slice(low, high), i, j))

    def _keys(self, start: int, end: int, first_key: int, keys: int) -> tuple[int, int]:
        """Which keys queries at positions `start` to `end` may see at all, from and up to."""
        low, high = 0, keys
        if self.causal:
            high = min(high, max(1, end + 1 - first_key))
        if self.window is not None:
            low = max(0, min(high - 1, start - self.window + 1 - first_key))
            high = high if self.causal else min(high, max(1, end + self.window - first_key))
        return low, high

    def _weights(self, q: Tensor, k: Tensor, s: slice, at: slice, keys: slice, i: Tensor, j: Tensor) -> Tensor:
        exact = torch.float32 if q.device.type == "mps" else torch.float64
        groups = k.shape[1]
        queries = q[s, :, at].to(exact).unflatten(1, (groups, -1))  # (sequence, group, head of it, query, width)
        logits = (queries @ k[s, :, None, keys].to(exact).transpose(-1, -2)).flatten(1, 2) * self.scale
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        if self.bias is not None:
            logits = logits + _part(self.bias, s, at, keys)
        if self.causal and int(j[-1]) > int(i[0]):
            logits = logits.masked_fill(j > i[:, None], -torch.inf)
        if self.window is not None:
            logits = logits.masked_fill((i[:, None] - j).abs() >= self.window, -torch.inf)
        if self.mask is not None:
            part = _part(self.mask, s, at, keys)
            logits = logits.masked_fill(~part, -torch.inf) if part.dtype == torch.bool else logits + part
        if self.sigmoid is not None:
            return torch.sigmoid(logits + self.sigmoid)
        if self.sink_key is not None:
            sink = self.scale * q[s, :, at].to(exact) @ self.sink_key.to(exact)[..., None]
        elif self.sink is not None:
            sink = self.sink.to(exact)[:, None, None].expand(*logits.shape[:-1], 1)
        else:
            return logits.softmax(-1)
        return torch.cat((logits, sink), dim=-1).softmax(-1)[..., :-1]


class Block(NamedTuple):
    """Weights of some queries of some sequences on the keys that any of them may see."""

    sequences: slice
    queries: slice
    i: Tensor
    """(query): positions."""
    j: Tensor
    """(key): positions."""
    weights: Tensor
    """(sequence, head, query, key), float64."""


def _part(of: Tensor, s: slice, at: slice, keys: slice) -> Tensor:
    """A block of what is given for all sequences, heads, queries and keys, or for one that stands for all of them."""
    return of[s if of.shape[0] > 1 else slice(None), :, at if of.shape[2] > 1 else slice(None), keys]
