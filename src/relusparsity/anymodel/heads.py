"""`track_heads`: where the heads of any model look, while it runs as it always does."""

import contextlib
import re
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ..attention import HeadUse
from ..attention.heads import MEANS, Open
from ..errors import UserError
from ..models import Model
from ..store import results
from .calls import Told
from .followed import Followed
from .hooks import Hook
from .interface import KNOWN, Seen, attentions, difference, show

ACROSS = re.compile(r"cross|enc(oder|dec)?_?att", re.IGNORECASE)
"""Attention to another sequence, by the names that it has in transformers and here."""
CLOSE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Largest difference of the model's output from that of our weights, as a share of the largest; 16 bits: 5 %."""

DESCRIBED = {
    "attention_first": ("1", "mean attention to the first token of the sequence"),
    "attention_previous": ("1", "mean attention to the previous token"),
    "attention_same": ("1", "mean attention of a token to itself"),
    "attention_next": ("1", "mean attention to the next token"),
    "attention_delimiter": ("1", "mean attention to delimiters, all together"),
    "attention_learned_sink": ("1", "mean share of a sink that is no token, such as a learned one; NaN: sigmoids"),
    "attention_entropy": ("nats", "mean entropy of the attention over tokens"),
    "attention_distance": ("tokens", "mean distance of the tokens attended to"),
    "sink_rate": ("1", "share of sequences whose first token is a sink (Sink%: > 0.3 over the first 64 queries)"),
    "sink_pairs": ("1", "share of queries that give the first token more than 0.3"),
    "attention_name": ("1", "module that the layer's queries and keys were read from"),
}


def to_itself(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers of a model's self-attention, with their names."""
    return [(name, each) for name, each in attentions(model) if not ACROSS.search(".".join(name.split(".")[-2:]))]


class TrackedHeads(Followed):
    """Statistics of attention by layer and head; filled while its `with` block runs, read at any time.

    Attributes
    ----------
    names : modules attended to, by layer.
    layers : their statistics, `HeadUse` each; None where a layer has not run.
    ids : (sequence, position)
        Tokens of the next call, where the model's own arguments do not tell them; None: they do.
    """

    def __init__(
        self,
        model: nn.Module,
        delimiters: Iterable[int] = (),
        left_out: Iterable[int] = (),
        period: int | None = None,
        begin: int = 0,
    ) -> None:
        model = self.module(model)
        found = to_itself(model)
        self.modules = [each for _, each in found]
        super().__init__(model, [name for name, _ in found])
        if not found:
            raise UserError(
                f"{type(model).__name__} has no attention weights to be had: expected a model of this package, or one "
                "of transformers (5 or newer) whose attention goes through its AttentionInterface."
            )
        for module in self.modules:
            name = getattr(getattr(module, "config", None), "_attn_implementation", None)
            if name is not None and name not in KNOWN:
                raise UserError(
                    f"{type(model).__name__} computes attention by {name}, whose weights are not known; load it with "
                    "attn_implementation='sdpa' or 'eager'."
                )
        self.layers: list[HeadUse | None] = [None] * len(found)
        self.delimiters = torch.tensor(sorted(delimiters), dtype=torch.int64)
        self.left_out = torch.tensor(sorted(left_out), dtype=torch.int64)
        self.repeats = period, begin
        self.ids: Tensor | None = None
        self._mine = threading.local()  # of each thread: sequences open in each layer, and their delimiters
        self._checked: set[int] = set()

    def begin(self, undo: contextlib.ExitStack) -> None:
        for layer, module in enumerate(self.modules):
            undo.callback(show(module, lambda seen, layer=layer: self.see(partial(self._count, layer, seen))))
        if isinstance(self.model, Model):
            hook = Hook(lambda _, args, named: setattr(self._mine, "given", (*args, *named.values())))
            undo.callback(self.model.register_forward_pre_hook(hook, with_kwargs=True).remove)

    def _count(self, layer: int, seen: Seen, call: Told) -> None:
        name = self.names[layer]
        sequences, heads, queries, _ = seen.q.shape
        if call.shape not in (None, (sequences, queries)):
            raise UserError(
                f"{name} attends from {queries} positions of {sequences} sequences where the model was called with "
                f"{' × '.join(map(str, call.shape or ()))}; such layers cannot be measured."
            )
        if self.layers[layer] is None:
            self.layers[layer] = HeadUse(heads, seen.q.device, *self.repeats)
        use = self.layers[layer]
        assert use is not None
        if use.heads != heads or use.sums.device != seen.q.device:
            raise UserError(
                f"{name} had {use.heads} heads on {use.sums.device} before; match one layer, on one device."
            )
        opened: dict[int, tuple[Open, Tensor | None]] = self._mine.__dict__.setdefault("opened", {})
        use.open, flags = opened.get(layer, (None, None)) if call.continues else (None, None)
        past = 0 if use.open is None else use.open.positions
        if past != call.cached:
            raise UserError(
                f"{name} reads {call.cached} tokens of a cache and {past} of them were seen here; begin to track "
                "before the first of them, and choose no model that runs one layer several times with a cache."
            )
        real = None if call.real is None else call.real.to(seen.q.device)
        first_key = max(0, past + queries - seen.k.shape[2])
        if layer not in self._checked and not seen.dropped:
            self._checked.add(layer)
            self._check(name, *difference(seen, past, first_key, real), seen.out.dtype)
        ids = self._tokens(call, (sequences, queries))
        if len(self.delimiters):
            now = torch.isin(ids, self.delimiters.to(ids.device)).to(seen.q.device)
            flags = now if flags is None else torch.cat((flags, now), dim=1)
        given = flags
        if given is not None:
            given = given[:, first_key:]
            given = nn.functional.pad(given, (0, seen.k.shape[2] - given.shape[1]))  # places of tokens to come
        counted = None
        if len(self.left_out):
            counted = torch.isin(ids, self.left_out.to(ids.device), invert=True).to(seen.q.device)
        use.update(seen.q, seen.k, seen.scores, real, counted, given, call.continues and past > 0)
        assert use.open is not None
        opened[layer] = use.open, flags

    def _check(self, name: str, apart: float, largest: float, dtype: torch.dtype) -> None:
        if not apart <= CLOSE.get(dtype, 0.05) * max(largest, 1e-6):
            raise UserError(
                f"{name} computes something else than softmax attention of its queries and keys (its output differs "
                f"by {apart:.2g}, of at most {largest:.2g}); its weights are not known."
            )

    def _tokens(self, call: Told, shape: tuple[int, int]) -> Tensor:
        """Token ids of the call (sequence, position), where delimiters or tokens to leave out were named."""
        if not len(self.delimiters) and not len(self.left_out):
            return torch.empty(0)
        given = (self.ids,) if self.ids is not None else (call.tokens, *self._mine.__dict__.get("given", ()))
        fits = [each for each in given if isinstance(each, Tensor) and tuple(each.shape) == shape]
        fits = [each for each in fits if not each.is_floating_point()]
        if len(fits) == 1:  # of two, such as those of an encoder and of its decoder, it is not known which
            return fits[0]
        raise UserError(
            f"the call does not tell the ids of its {shape[0]} × {shape[1]} tokens, by which delimiters are known; set "
            "`ids` of the tracker before it, or name no delimiters."
        )

    def uses(self) -> list[HeadUse]:
        """The statistics of every layer; see `Followed.seen`."""
        return self.seen(self.layers, lambda use: use.queries)

    def mean(self, name: str) -> list[np.ndarray]:
        """A mean of `HeadUse`, layer by layer: (head)."""
        return [use.mean(name) for use in self.uses()]

    def prefix_matching(self) -> list[np.ndarray]:
        """The prefix-matching score, layer by layer: (head); see `attention.induction.repeated`."""
        return self.mean("repeat")

    def sink_rate(self) -> list[np.ndarray]:
        """Sink%, as a share of sequences, layer by layer: (head); NaN if all have fewer than 64 tokens."""
        return [use.sink_rate() for use in self.uses()]

    def dataset(self) -> xr.Dataset:
        """Every statistic of text: (seed, layer, head), `seed` of length one; prefix matching is no part of it.

        Raises
        ------
        UserError
            If layers differ in heads; read `layers` one by one then.
        """
        uses = self.uses()
        one_number([use.heads for use in uses])
        dims = ("seed", "layer", "head")
        means = [name for name in MEANS if name != "repeat"]
        values: dict[str, tuple[tuple[str, ...], Any]] = {
            f"attention_{name}": (dims, np.stack(self.mean(name))[None]) for name in means
        }
        values["sink_rate"] = dims, np.stack(self.sink_rate())[None]
        values["sink_pairs"] = dims, np.stack([use.sink_pairs() for use in uses])[None]
        values["attention_name"] = ("layer",), self.names
        return results.described(values, DESCRIBED)


def one_number(heads: Sequence[int]) -> int:
    """The heads of every layer; UserError if they differ."""
    if len(set(heads)) > 1:
        raise UserError(
            f"the layers have different numbers of heads ({', '.join(map(str, heads))}), and one report has layers of "
            "one; in Python, read `layers` of track_heads one by one."
        )
    return heads[0]


def track_heads(
    model: nn.Module,
    delimiters: Iterable[int] = (),
    left_out: Iterable[int] = (),
    period: int | None = None,
    begin: int = 0,
) -> TrackedHeads:
    """Measure where the heads of a model's self-attention look, exactly, while it runs; the model is left as it was.

    Parameters
    ----------
    model
        A model of this package, or one of transformers that computes attention by sdpa or eager; grouped queries,
        sliding windows, soft caps, learned sinks and relative positions are as in the model's own function, which runs
        as it does without, and so is each arm of our attention; a gate comes after the weights. At a layer's first call
        the model's output is compared with that of the weights measured.
    delimiters, left_out
        Token ids: attention to the former is summed; the latter are read and not counted as queries.
    period, begin
        For the prefix-matching score: see `attention.induction.repeated`.

    Returns
    -------
    TrackedHeads
        To be used with ``with``. Padding, as the mask of the model's own call says it, does not count, and a sequence
        begins after it. Decoding with a cache continues its sequences; a cache that was filled before is refused, as
        is one that was changed, as beam search does.

    Raises
    ------
    UserError
        If the model has no attention weights to be had; in a call, if they would be wrong.

    Examples
    --------
    >>> from relusparsity.config import ModelConfig
    >>> from relusparsity.models import Decoder
    >>> model = Decoder(ModelConfig(n_layers=1, d_model=8, n_heads=2, d_ff=16, seq_len=4, vocab_size=9))
    >>> with track_heads(model) as heads:
    ...     _ = model(torch.zeros(2, 4, dtype=torch.int64))
    >>> heads.layers[0].queries
    8
    """
    return TrackedHeads(model, delimiters, left_out, period, begin)
