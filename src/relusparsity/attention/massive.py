"""Massive activations: the few largest entries of a residual stream, beside the size of all others."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

LARGEST = 100.0
"""Size above which an entry can be massive (Sun et al., Massive Activations in Large Language Models, 2402.17762)."""
TIMES_MEDIAN = 1000.0
"""Times the median size of the layer's entries that it must be, about; here exactly."""
BINS = 2**15


@dataclass
class Open:
    """The sequences of a layer's last call, which the next may continue."""

    first: int
    """Number of the first of them among all."""
    start: Tensor
    """(sequence): position of the first token; -1: none yet."""
    positions: int
    """Positions so far, padding among them."""


class StreamUse:
    """Sizes of one layer's residual stream, and the largest entry of every dimension with its place.

    Sizes are counted in bins that each hold 2⁻⁷ of an octave's width (the upper 16 bits of a float32), so that the
    median is right to 0.4 % whatever is read, and counts of other sequences can be added.

    Attributes
    ----------
    histogram : (bin)
        Entries by size.
    peak : (dimension)
        The largest entry of each by size, with its sign; the first of equal ones.
    at : (dimension, 2)
        Where it was: sequence, from 0 in the order read, and token of it, from 0.

    Examples
    --------
    >>> use = StreamUse(width=3)
    >>> use.update(torch.tensor([[[1.0, 1.0, 1.0], [1.0, -2000.0, 1.0]]]))
    >>> use.largest(), use.median(), use.massive()
    ((-2000.0, 0, 1, 1), 1.00390625, [1])
    """

    def __init__(self, width: int, device: str | torch.device = "cpu") -> None:
        self.width = width
        self.histogram = torch.zeros(BINS, dtype=torch.int64, device=device)
        self.peak = torch.zeros(width, device=device)
        self.at = torch.full((width, 2), -1, dtype=torch.int64, device=device)
        self.sequences = 0
        self.open: Open | None = None

    def update(
        self,
        stream: Float[Tensor, "sequence position width"],
        real: Bool[Tensor, "sequence position"] | None = None,
        continues: bool = False,
    ) -> None:
        """Add one call of the layer.

        Parameters
        ----------
        real : (sequence, position)
            Which positions are tokens and not padding; None: all. A sequence begins at the first of them.
        continues
            Whether these are the next tokens of the sequences of the last call.
        """
        sequences, positions, width = stream.shape
        if width != self.width:
            raise ValueError(f"got a stream of width {width}, expected {self.width}")
        if continues and (self.open is None or len(self.open.start) != sequences):
            raise ValueError(f"{sequences} sequences continue none of the last call; read their beginning first")
        stream = stream.float()
        real = torch.ones(sequences, positions, dtype=torch.bool, device=stream.device) if real is None else real
        if not continues or self.open is None:
            self.open = Open(self.sequences, torch.full((sequences,), -1, device=stream.device), 0)
            self.sequences += sequences
        past, start = self.open.positions, self.open.start
        start = torch.where((start < 0) & real.any(1), past + real.long().argmax(1), start)
        size = stream.abs().masked_fill(~real[..., None], 0.0)
        counted = (size.view(torch.int32) >> 16)[real].flatten()
        self.histogram += torch.bincount(counted, minlength=65536)[:BINS]
        largest, place = size.flatten(0, 1).max(0)  # the first of equal ones
        where = torch.stack((self.open.first + place // positions, past + place % positions), dim=1)
        where[:, 1] -= start[place // positions]
        higher = largest > self.peak.abs()
        value = stream.flatten(0, 1).gather(0, place[None])[0]
        self.peak = torch.where(higher, value, self.peak)
        self.at = torch.where(higher[:, None], where, self.at)
        self.open = Open(self.open.first, start, past + positions)

    @property
    def entries(self) -> int:
        """Numbers seen: tokens times dimensions."""
        return int(self.histogram.sum())

    def median(self) -> float:
        """Median size of an entry: the middle of its bin; NaN before any was seen.

        Raises
        ------
        FloatingPointError
            If entries were NaN or infinite.
        """
        counts = self.histogram.cpu().numpy()
        if counts[0x7F80:].any():
            raise FloatingPointError("the residual stream is not finite; nothing is reported")
        if not counts.any():
            return float("nan")
        at = int(np.searchsorted(counts.cumsum(), (counts.sum() + 1) // 2))
        low, high = (np.array([n << 16], dtype=np.uint32).view(np.float32)[0] for n in (at, at + 1))
        return float(low) / 2 + float(high) / 2

    def largest(self) -> tuple[float, int, int, int]:
        """The largest entry by size: its value, sequence, token of the sequence, and dimension."""
        dimension = int(self.peak.abs().argmax())
        sequence, token = self.at[dimension].tolist()
        return float(self.peak[dimension]), sequence, token, dimension

    def massive(self) -> list[int]:
        """Dimensions with a massive activation, the largest first: above 100, and 1,000 times the median size."""
        size = self.peak.abs()
        order = size.argsort(descending=True, stable=True)
        least = max(LARGEST, TIMES_MEDIAN * self.median())
        return [int(each) for each in order[: int((size > least).sum())]]

    def append(self, other: "StreamUse") -> None:
        """Add what was seen of the sequences that follow.

        Raises
        ------
        ValueError
            If the widths differ.
        """
        if self.width != other.width:
            raise ValueError(f"streams of width {self.width} and {other.width} cannot be put together")
        self.histogram += other.histogram.to(self.histogram.device)
        theirs, at = other.peak.to(self.peak.device), other.at.to(self.at.device).clone()
        at[:, 0] += self.sequences
        higher = theirs.abs() > self.peak.abs()
        self.peak = torch.where(higher, theirs, self.peak)
        self.at = torch.where(higher[:, None], at, self.at)
        self.sequences += other.sequences
        self.open = None
