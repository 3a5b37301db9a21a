"""One forward call as the counters see it: which positions are tokens, and whether they go on with earlier ones."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Lengths(NamedTuple):
    """Tokens of the sequences of a call, on the host."""

    each: Tensor
    """(sequence): tokens of each."""
    tokens: int
    """Of all together."""
    begun: int
    """Sequences with any, those that are not padding only."""


def _lengths(each: Tensor) -> Lengths:
    return Lengths(each, int(each.sum()), int(each.count_nonzero()))


@lru_cache(maxsize=64)
def _full(sequences: int, positions: int) -> Lengths:
    """Of sequences without padding."""
    return _lengths(torch.full((sequences,), positions))


@dataclass(frozen=True)
class Call:
    """One forward call of a stack of layers."""

    shape: tuple[int, int] | None = None
    """Sequences and positions that it reads, if its arguments tell."""
    real: Tensor | None = None
    """(sequence, position): which of them are not padding; None: all."""
    lengths: Tensor | None = None
    """(sequence), on the host: sums of `real`."""
    continues: bool = False
    """Whether a cache holds the sequences' earlier tokens."""
    _after: tuple[Tensor, Lengths, Lengths] | None = field(default=None, init=False, repr=False, compare=False)

    def lengths_of(self, sequences: int, positions: int) -> Lengths:
        """Tokens of the sequences of an activation (sequences, positions, unit); counted once for all layers."""
        return _full(sequences, positions) if self.real is None else self._real_lengths

    def lengths_after(self, lengths: Lengths, before: Tensor) -> Lengths:
        """The same for sequences with tokens (sequence) before, which all layers share as a rule."""
        if self._after is None or self._after[0] is not before or self._after[1] is not lengths:
            object.__setattr__(self, "_after", (before, lengths, _lengths(lengths.each + before)))
        assert self._after is not None
        return self._after[2]

    @cached_property
    def _real_lengths(self) -> Lengths:
        assert self.lengths is not None
        return _lengths(self.lengths)

    @cached_property
    def rows(self) -> Tensor:
        """(token): where the real ones are among all positions; looked up once for all layers."""
        assert self.real is not None
        return self.real.flatten().nonzero()[:, 0]

    @cached_property
    def starts(self) -> Tensor:
        """(sequence + 1): the first real token of each sequence, and how many there are in all."""
        assert self.real is not None
        return nn.functional.pad(self.real.sum(1).cumsum(0), (1, 0))
