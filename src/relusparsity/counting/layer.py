"""Exact counts of one layer's firing over a stream of tokens, with or without padding; memory is flat in the tokens.

One counter for packed text, padded batches and decoding with a cache: windows run over the stream of real tokens
in the order read; in packed sequences whose length is a power of two they nest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from . import metrics

WIDEST = 20  # windows 1, 2, 4 … 2**20 tokens
HOST = ("tokens", "sequences", "mixed")  # counted on the host: no waiting for a GPU


@dataclass
class Open:
    """The sequences of a layer's last call, which the next may continue."""

    fired: Bool[Tensor, "sequence unit"]
    """What fired in them so far."""
    lengths: Int[Tensor, "sequence"]
    """Their tokens so far, on the host."""
    units: Int[Tensor, "sequence"] | None = None
    """On a GPU, how many units fired in them so far (-1: they have no token), so that nobody waits for `lengths`."""
    tickets: Int[Tensor, "sequence"] | None = None
    """On a GPU, zeros to count in."""
    begun: int = 0
    """On a GPU, how many of them have a token."""


class LayerUse:
    """Counts of one layer: units, tokens, sequences and windows.

    Examples
    --------
    >>> use = LayerUse(units=3)
    >>> fired = torch.tensor([[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]).bool()
    >>> _ = use.update(fired, real=torch.tensor([[1, 1, 0]]).bool())
    >>> use.tokens, use.token_use(), use.sequence_use()
    (2, 0.5, 0.6666666666666666)
    """

    def __init__(self, units: int, device: str | torch.device = "cpu", widest: int = WIDEST) -> None:
        self.units, self.widest = units, widest  # windows 1, 2, 4 … 2**widest tokens

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.unit_tokens = zeros(units)  # tokens at which each unit fired
        self.unit_sequences = zeros(units)  # sequences in which it fired at least once
        self.token_histogram = zeros(units + 1)  # tokens by number of units firing
        self.sequence_histogram = zeros(units + 1)  # sequences by number of units that fired
        self.window_units = zeros(widest + 1)  # units that fired, summed over windows, by size
        self.window_count = zeros(widest + 1)  # whole windows seen
        self.pending = zeros(widest, units, dtype=torch.bool)  # unions waiting for their other half
        self.not_a_number = zeros(dtype=torch.bool)
        self.tokens = self.sequences = 0
        self.mixed = False  # tokens of several sequences came by turns: the stream is no running text
        self.open: Open | None = None

    def update(
        self,
        fired: Bool[Tensor, "sequence position unit"],
        real: Bool[Tensor, "sequence position"] | None = None,
        continues: bool = False,
        lengths: Int[Tensor, "sequence"] | None = None,
    ) -> Int[Tensor, "sequence position"]:
        """Add one call of the layer.

        Parameters
        ----------
        fired : (sequence, position, unit)
        real : (sequence, position)
            Which positions are tokens and not padding; None: all.
        continues
            Whether these are the next tokens of the sequences of the last call (decoding with a cache).
        lengths : (sequence)
            Sums of `real`, if the caller has them on the host already.

        Returns
        -------
        (sequence, position)
            Units that fire at each position.
        """
        sequences, positions, units = fired.shape
        if units != self.units:
            raise ValueError(f"got {units} units, expected {self.units}")
        if real is None:
            lengths = torch.full((sequences,), positions)
            stream = fired.flatten(0, 1)
        else:
            lengths = real.sum(1).cpu() if lengths is None else lengths
            fired = fired & real[..., None]
            stream = fired[real]
        # seen anew, since a dimension of one may have any stride, which reading eight units at once does not bear
        per_unit, per_token = metrics.firing_counts(fired.contiguous().view(fired.shape))
        self.unit_tokens += per_unit.sum(0)
        self.token_histogram += metrics.histogram(per_token if real is None else per_token[real], units)
        self._sequences(per_unit > 0, lengths, continues)
        self._windows(stream, per_unit.sum())
        self.mixed |= continues and sequences > 1
        return per_token

    def _sequences(self, in_sequence: Tensor, lengths: Tensor, continues: bool) -> None:
        """Count sequences by the units that fired in them; those that go on replace what was counted of them."""
        before = self.open
        if continues and before is not None and len(before.fired) == len(in_sequence):
            self._count(before.fired, before.lengths, -1)
            in_sequence, lengths = in_sequence | before.fired, lengths + before.lengths
        self._count(in_sequence, lengths, 1)
        self.open = Open(in_sequence, lengths)

    def _count(self, in_sequence: Tensor, lengths: Tensor, sign: int) -> None:
        begun = lengths > 0
        if not begun.all():  # a row of padding is no sequence
            in_sequence = in_sequence[begun.to(in_sequence.device)]
        self.unit_sequences += sign * in_sequence.sum(0)
        self.sequence_histogram += sign * metrics.histogram(in_sequence.sum(1), self.units)
        self.sequences += sign * len(in_sequence)

    def _windows(self, items: Tensor, firings: Tensor) -> None:
        """Count unions of adjacent tokens (token, unit); `firings`, all of them, need not be counted twice."""
        seen = self.tokens
        self.tokens += len(items)
        self._unite(items, seen, 0, firings)

    def _unite(self, items: Tensor, seen: int, first: int, firings: Tensor | None = None) -> None:
        """Count unions (union, unit) of level `first`, pair them with what waits, go one level up.

        `seen` tokens came before; their bits tell which levels have a union waiting.
        """
        for level in range(first, self.widest + 1):
            if not len(items):
                return
            self.window_units[level] += torch.count_nonzero(items) if level or firings is None else firings
            self.window_count[level] += len(items)
            if level == self.widest:
                return
            if seen >> level & 1:
                items = torch.cat((self.pending[level][None], items))
            if len(items) % 2:
                self.pending[level] = items[-1]
                items = items[:-1]
            items = items[0::2] | items[1::2]

    def merge(self, other: "LayerUse") -> None:
        """Add the counts of another stream (another process's tokens); windows stay within their own stream."""
        if (self.units, self.widest) != (other.units, other.widest):
            raise ValueError(f"layers of {self.units} and {other.units} units cannot be merged")
        for name, value in self.state().items():
            if name not in ("pending", *HOST):
                value += other.state()[name].to(value.device)
        self.tokens += other.tokens
        self.sequences += other.sequences
        self.mixed |= other.mixed

    def append(self, other: "LayerUse") -> None:
        """Add the counts of the tokens that follow directly, beginning with a sequence.

        The boundary must be a window boundary for every window that `other` has begun: the tokens seen here must be a
        multiple of the widest window, or of a power of two that is no smaller than `other`'s.

        Raises
        ------
        ValueError
            If the boundary cuts a window; nothing is added then.
        """
        here, there, whole = self.place, other.place, 2**self.widest
        align = self.widest if here % whole == 0 else (here & -here).bit_length() - 1
        if here % whole and there > 2**align:
            raise ValueError(
                f"{there} tokens cannot follow {here}: window unions that began there would be cut; split the sample "
                f"at multiples of a power of two ≥ {there}"
            )
        self.merge(other)
        theirs = other.pending.to(self.pending.device)
        for level in range(align):
            if there >> level & 1:
                self.pending[level] = theirs[level]
        if here % whole and there == 2**align:
            # `other` is one whole window, counted already at its own level: only its parents are new
            pair = (self.pending[align] | theirs[align])[None]
            self._unite(pair, here >> align + 1 << align + 1, align + 1)

    def state(self) -> dict[str, Tensor]:
        """Every count by name; `load` takes it back. Sequences still open in a decoding are not continued."""
        state = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return state | {name: torch.tensor(getattr(self, name)) for name in HOST}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            here = getattr(self, name)
            if isinstance(here, Tensor):
                here.copy_(value)
            else:
                setattr(self, name, type(here)(value.item()))

    @property
    def windows(self) -> Sequence[int | float]:
        """Window sizes in tokens: 1, 2, 4 …"""
        return [2**i for i in range(self.widest + 1)]

    @property
    def place(self) -> int:
        """Where the next token stands among the windows, whose sizes are powers of two."""
        return self.tokens

    def token_use(self) -> float:
        """Mean share of units firing at a token."""
        return float(self.unit_tokens.sum()) / (self.tokens * self.units)

    def sequence_use(self) -> float:
        """Mean share of units firing at least once in a sequence."""
        return float(self.unit_sequences.sum()) / (self.sequences * self.units)

    def window_use(self) -> np.ndarray:
        """Mean share of units firing at least once in a window of n tokens of the stream: (window).

        Missing (NaN) where no window is whole and, above one token, where sequences came by turns.
        """
        units, count = (a.cpu().numpy().astype(float) for a in (self.window_units, self.window_count))
        count[count == 0] = np.nan
        if self.mixed:
            count[1:] = np.nan
        return units / (count * self.units)

    def rarefied_use(self, sizes: Sequence[int | float] | None = None) -> np.ndarray:
        """Expected share of units firing at least once in n tokens drawn at random: (size)."""
        sizes = self.windows if sizes is None else sizes
        return metrics.rarefied_use(self.unit_tokens.cpu().numpy(), self.tokens, sizes)

    def token_use_percentiles(self) -> np.ndarray:
        """Percentiles of token use over tokens: (percentile)."""
        return metrics.percentiles(self.token_histogram.cpu().numpy()) / self.units

    def sequence_use_percentiles(self) -> np.ndarray:
        """Percentiles of sequence use over sequences: (percentile)."""
        return metrics.percentiles(self.sequence_histogram.cpu().numpy()) / self.units

    def firing_rate_percentiles(self) -> np.ndarray:
        """Percentiles of the firing rate over units, silent ones included: (percentile)."""
        return metrics.percentiles(np.bincount(self.unit_tokens.cpu().numpy())) / self.tokens

    def silent_units(self) -> int:
        """Units that fired at no token."""
        return int((self.unit_tokens == 0).sum())
