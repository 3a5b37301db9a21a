"""Counts of several layers, and of a sample under frozen weights: exact integers, memory flat in the tokens."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ..config import LEVELS
from .layer import LayerUse
from .sequences import SequenceUse


class Layers(ABC):
    """The statistics of several layers' counts, of trained models and of watched ones: (layer, …)."""

    @abstractmethod
    def counts(self) -> list[LayerUse]:
        """The counts of every layer."""

    def token_use(self) -> np.ndarray:
        """Mean share of units firing at a token: (layer)."""
        return np.array([use.token_use() for use in self.counts()])

    def sequence_use(self) -> np.ndarray:
        """Mean share of units firing at least once in a sequence: (layer)."""
        return np.array([use.sequence_use() for use in self.counts()])

    def window_use(self) -> np.ndarray:
        """Mean share of units firing at least once in n tokens of the stream: (layer, window); see `LayerUse`."""
        return np.stack([use.window_use() for use in self.counts()])

    def rarefied_use(self, sizes: Sequence[int | float] | None = None) -> np.ndarray:
        """Expected share of units firing at least once in n tokens drawn at random: (layer, size)."""
        return np.stack([use.rarefied_use(sizes) for use in self.counts()])

    def token_use_percentiles(self) -> np.ndarray:
        """Percentiles of token use over tokens: (layer, percentile)."""
        return np.stack([use.token_use_percentiles() for use in self.counts()])

    def sequence_use_percentiles(self) -> np.ndarray:
        """Percentiles of sequence use over sequences: (layer, percentile)."""
        return np.stack([use.sequence_use_percentiles() for use in self.counts()])

    def firing_rate_percentiles(self) -> np.ndarray:
        """Percentiles of the firing rate over units, silent ones included: (layer, percentile)."""
        return np.stack([use.firing_rate_percentiles() for use in self.counts()])

    def silent_units(self) -> np.ndarray:
        """Units that fired at no token: (layer)."""
        return np.array([use.silent_units() for use in self.counts()])


class UseTracker(Layers):
    """Counts of one sample of packed sequences, layer by layer: units, tokens, sequences, positions and windows.

    Feed every layer the same sequences in recorded order with `update`; read the statistics as NumPy arrays. Windows
    are 1, 2, 4 … tokens, up to 2**LEVELS sequences. Of a layer with another number of positions than `seq_len` they are
    as many tokens inside a sequence, and as many sequences beyond: see `SequenceUse`.

    Parameters
    ----------
    widths : (layer)
        Units of each layer.
    seq_len
        Tokens of a sequence, a power of two.
    positions : (layer)
        Positions of a sequence at which each layer is computed, where they are not `seq_len`.

    Examples
    --------
    >>> tracker = UseTracker([3], seq_len=2)
    >>> tracker.update(0, torch.tensor([[[1, 0, 0], [1, 1, 0]]]).bool())
    >>> tracker.token_use(), tracker.sequence_use()
    (array([0.5]), array([0.66666667]))
    """

    def __init__(
        self,
        widths: Sequence[int],
        seq_len: int,
        device: str | torch.device = "cpu",
        positions: Sequence[int] | None = None,
    ) -> None:
        if seq_len & (seq_len - 1):
            raise ValueError(f"seq_len = {seq_len}: windows nest in a sequence only if it is a power of two")
        self.seq_len, inside = seq_len, seq_len.bit_length() - 1
        self.positions = [seq_len] * len(widths) if positions is None else list(positions)
        self.layers: list[LayerUse] = [
            LayerUse(units, device, inside + LEVELS)
            if places == seq_len
            else SequenceUse(units, places, inside, device, inside + LEVELS)
            for units, places in zip(widths, self.positions, strict=True)
        ]
        # units firing, summed over sequences, by position; 0 where a layer has none
        self.position_units = torch.zeros(len(widths), max(self.positions), dtype=torch.int64, device=device)

    @property
    def windows(self) -> list[int]:
        """Window sizes in tokens, where a sequence has `seq_len`: 1, 2, 4 …"""
        return [2**i for i in range(self.seq_len.bit_length() + LEVELS)]

    @property
    def window_tokens(self) -> np.ndarray:
        """Window sizes in each layer's own tokens, NaN where it has none: (layer, window)."""
        return np.array([use.windows for use in self.layers], dtype=float)

    @property
    def tokens(self) -> int:
        """Tokens seen, where a sequence has `seq_len`."""
        return self.counts()[0].sequences * self.seq_len

    def counts(self) -> list[LayerUse]:
        """The counts of every layer.

        Raises
        ------
        ValueError
            If layers saw different numbers of sequences.
        """
        seen = [use.sequences for use in self.layers]
        if len(set(seen)) != 1:
            raise ValueError(f"layers saw different numbers of sequences: {seen}")
        return self.layers

    @property
    def unit_tokens(self) -> Int[Tensor, "layer unit"]:
        """Tokens at which each unit fired; the layers have one width."""
        return torch.stack([use.unit_tokens for use in self.layers])

    @property
    def unit_sequences(self) -> Int[Tensor, "layer unit"]:
        """Sequences in which each unit fired at least once; the layers have one width."""
        return torch.stack([use.unit_sequences for use in self.layers])

    @property
    def window_units(self) -> Int[Tensor, "layer window"]:
        """Units that fired, summed over whole windows, by size."""
        return torch.stack([use.window_units for use in self.layers])

    def update(self, layer: int, fired: Bool[Tensor, "sequence position unit"]) -> None:
        """Add sequences, in order, of one layer."""
        use = self.layers[layer]
        places = self.positions[layer]
        if fired.shape[1:] != (places, use.units):
            raise ValueError(
                f"got a firing mask of shape {tuple(fired.shape)}, expected (sequence, {places}, {use.units})"
            )
        self.position_units[layer, :places] += use.update(fired).sum(0)

    def append(self, other: "UseTracker") -> None:
        """Add a tracker of the sequences that follow directly; see `LayerUse.append`."""
        shapes = [(*(use.units for use in each.layers), *each.positions, each.seq_len) for each in (self, other)]
        if shapes[0] != shapes[1]:
            raise ValueError("trackers of different shapes cannot be put together")
        for use, theirs in zip(self.counts(), other.counts(), strict=True):
            use.append(theirs)
        self.position_units += other.position_units.to(self.position_units.device)

    def position_use(self) -> np.ndarray:
        """Mean share of units firing at each position of a sequence, NaN where a layer has none: (layer, position)."""
        found = self.position_units.cpu().numpy().astype(float)
        for share, use, places in zip(found, self.counts(), self.positions, strict=True):
            share /= use.sequences * use.units
            share[places:] = np.nan
        return found
