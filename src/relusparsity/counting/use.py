"""Counts of a sample under frozen weights: exact integers, mergeable, memory independent of the tokens seen."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ..config import LEVELS
from . import metrics


class UseTracker:
    """Counts of one sample, layer by layer: units, tokens, sequences, positions and windows.

    Feed every layer the same sequences in recorded order with `update`; read the statistics as NumPy arrays.

    Examples
    --------
    >>> tracker = UseTracker(n_layers=1, d_ff=3, seq_len=2)
    >>> tracker.update(0, torch.tensor([[[1, 0, 0], [1, 1, 0]]]).bool())
    >>> tracker.token_use(), tracker.sequence_use()
    (array([0.5]), array([0.66666667]))
    """

    def __init__(self, n_layers: int, d_ff: int, seq_len: int, device: str | torch.device = "cpu") -> None:
        if seq_len & (seq_len - 1):
            raise ValueError(f"seq_len = {seq_len}: windows nest in a sequence only if it is a power of two")
        self.n_layers, self.d_ff, self.seq_len = n_layers, d_ff, seq_len
        self.inner = seq_len.bit_length() - 1  # windows 1, 2, 4 … seq_len / 2 lie inside a sequence

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(n_layers, *shape, dtype=dtype, device=device)

        self.unit_tokens = zeros(d_ff)  # tokens at which each unit fired
        self.unit_sequences = zeros(d_ff)  # sequences in which it fired at least once
        self.token_histogram = zeros(d_ff + 1)  # tokens by number of units firing
        self.sequence_histogram = zeros(d_ff + 1)  # sequences by number of units that fired
        self.position_units = zeros(seq_len)  # units firing, summed over sequences, by position
        self.window_units = zeros(self.inner + LEVELS + 1)  # units that fired, summed over windows, by size
        self.sequences = zeros()  # sequences seen
        # unions still waiting for their other half, one a level
        self.pending = zeros(LEVELS, d_ff, dtype=torch.bool)

    @property
    def windows(self) -> list[int]:
        """Window sizes in tokens: 1, 2, 4 …"""
        return [2**i for i in range(self.inner + LEVELS + 1)]

    @property
    def tokens(self) -> int:
        """Tokens seen, the same in every layer."""
        seen = self.sequences.unique()
        if len(seen) != 1:
            raise ValueError(f"layers saw different numbers of sequences: {self.sequences.tolist()}")
        return int(seen[0]) * self.seq_len

    def update(self, layer: int, fired: Bool[Tensor, "sequence position unit"]) -> None:
        """Add sequences, in order, of one layer."""
        if fired.shape[1:] != (self.seq_len, self.d_ff):
            raise ValueError(
                f"got a firing mask of shape {tuple(fired.shape)}, expected (sequence, {self.seq_len}, {self.d_ff})"
            )
        per_unit, per_token = metrics.firing_counts(fired)
        in_sequence = per_unit > 0
        self.unit_tokens[layer] += per_unit.sum(0)
        self.unit_sequences[layer] += in_sequence.sum(0)
        self.token_histogram[layer] += metrics.histogram(per_token, self.d_ff)
        self.sequence_histogram[layer] += metrics.histogram(in_sequence.sum(1), self.d_ff)
        self.position_units[layer] += per_token.sum(0)
        if self.inner:  # else a sequence is one token, counted below
            self.window_units[layer, 0] += per_token.sum()
        union = fired
        for level in range(1, self.inner):
            union = union[:, 0::2] | union[:, 1::2]
            self.window_units[layer, level] += torch.count_nonzero(union)  # a sum of bools is 60 times slower on a CPU
        self._carry(layer, in_sequence, int(self.sequences[layer]))
        self.sequences[layer] += len(fired)

    def _carry(self, layer: int, items: Tensor, seen: int, level: int = 0) -> None:
        """Count unions of whole sequences (item, unit) at `level`, pair them with what waits, go one level up.

        `seen` sequences came before; its bits tell which levels have a union waiting.
        """
        for at in range(level, LEVELS + 1):
            if not len(items):
                return
            self.window_units[layer, self.inner + at] += torch.count_nonzero(items)
            if at == LEVELS:
                return
            if seen >> at & 1:
                items = torch.cat((self.pending[layer, at][None], items))
            if len(items) % 2:
                self.pending[layer, at] = items[-1]
                items = items[:-1]
            items = items[0::2] | items[1::2]

    def merge(self, other: "UseTracker") -> None:
        """Add a tracker of the sequences that follow directly.

        The boundary must be a window boundary for every window that `other` has begun: the sequences seen here
        must be a multiple of the widest window, or of a power of two that is no smaller than `other`'s.

        Raises
        ------
        ValueError
            If the shapes differ or the boundary cuts a window.
        """
        if (self.n_layers, self.d_ff, self.seq_len) != (other.n_layers, other.d_ff, other.seq_len):
            raise ValueError("trackers of different shapes cannot be merged")
        here, there = self.tokens // self.seq_len, other.tokens // self.seq_len
        align = LEVELS if here == 0 else min((here & -here).bit_length() - 1, LEVELS)
        if here % 2**LEVELS and there > 2**align:
            raise ValueError(
                f"{there} sequences cannot follow {here}: window unions that began there would be cut; "
                f"split the sample at multiples of a power of two ≥ {there}"
            )
        for name in ("unit_tokens", "unit_sequences", "token_histogram", "sequence_histogram", "position_units"):
            getattr(self, name).add_(getattr(other, name).to(self.sequences.device))
        theirs = other.pending.to(self.sequences.device)
        self.window_units += other.window_units.to(self.sequences.device)
        for at in range(LEVELS):
            if there >> at & 1 and at < align:
                self.pending[:, at] = theirs[:, at]
        if here % 2**LEVELS and there == 2**align:
            # `other` is one whole window, counted already at its own level: only its parents are new
            for layer in range(self.n_layers):
                pair = (self.pending[layer, align] | theirs[layer, align])[None]
                self._carry(layer, pair, here >> align + 1 << align + 1, align + 1)
        self.sequences += other.sequences.to(self.sequences.device)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the tracker by name; `load` takes it back."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])

    def token_use(self) -> np.ndarray:
        """Mean share of units firing at a token: (layer)."""
        return self._numpy(self.window_units[:, 0]) / (self.tokens * self.d_ff)

    def sequence_use(self) -> np.ndarray:
        """Mean share of units firing at least once in a sequence: (layer)."""
        return self._numpy(self.unit_sequences.sum(1)) / (int(self.sequences[0]) * self.d_ff)

    def window_use(self) -> np.ndarray:
        """Mean share of units firing at least once in a window: (layer, window); NaN where no window is whole."""
        whole = np.array([self.tokens // n for n in self.windows], dtype=float)
        whole[whole == 0] = np.nan
        return self._numpy(self.window_units) / (whole * self.d_ff)

    def rarefied_use(self, sizes: Sequence[int] | None = None) -> np.ndarray:
        """Expected share of units firing at least once in n tokens drawn at random: (layer, size)."""
        sizes = self.windows if sizes is None else sizes
        return np.stack([metrics.rarefied_use(k, self.tokens, sizes) for k in self._numpy(self.unit_tokens)])

    def position_use(self) -> np.ndarray:
        """Mean share of units firing at each position of a sequence: (layer, position)."""
        return self._numpy(self.position_units) / (int(self.sequences[0]) * self.d_ff)

    def token_use_percentiles(self) -> np.ndarray:
        """Percentiles of token use over tokens: (layer, percentile)."""
        return np.stack([metrics.percentiles(h) / self.d_ff for h in self._numpy(self.token_histogram)])

    def sequence_use_percentiles(self) -> np.ndarray:
        """Percentiles of sequence use over sequences: (layer, percentile)."""
        return np.stack([metrics.percentiles(h) / self.d_ff for h in self._numpy(self.sequence_histogram)])

    def firing_rate_percentiles(self) -> np.ndarray:
        """Percentiles of the firing rate over units, silent ones included: (layer, percentile)."""
        rates = [metrics.percentiles(np.bincount(k)) / self.tokens for k in self._numpy(self.unit_tokens)]
        return np.stack(rates)

    def silent_units(self) -> np.ndarray:
        """Units that fired at no token of the sample: (layer)."""
        return self._numpy((self.unit_tokens == 0).sum(1))

    @staticmethod
    def _numpy(tensor: Tensor) -> np.ndarray:
        return tensor.cpu().numpy()
