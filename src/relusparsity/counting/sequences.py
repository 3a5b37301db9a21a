"""Exact counts of a layer that is computed at another number of positions than the windows of its run go by.

A decoder's layer, say, where an encoder reads 512 tokens and the decoder predicts 114: 114 is no power of two.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .layer import LayerUse


class SequenceUse(LayerUse):
    """Counts of one layer over whole sequences of any one length.

    A window lies in one sequence, where 1, 2, 4 … tokens are counted from its beginning and a last, partial window is
    left out; or it is of 1, 2, 4 … whole sequences. So that it stands at the same place as the windows of a layer with
    sequences of 2**inside tokens, one sequence is at place `inside`; at places below that and too wide for a sequence,
    there is no window.

    Parameters
    ----------
    units
        Of the layer.
    positions
        Tokens of a sequence.
    inside
        Place of one whole sequence among the windows.
    widest
        Place of the widest window.

    Examples
    --------
    >>> use = SequenceUse(units=1, positions=3, inside=3, widest=4)
    >>> use.windows
    [1, 2, nan, 3, 6]
    >>> _ = use.update(torch.tensor([[[1], [0], [0]], [[0], [0], [1]]]).bool())
    >>> use.window_use()
    array([0.33333333, 0.5       ,        nan, 1.        , 1.        ])
    """

    def __init__(
        self, units: int, positions: int, inside: int, device: str | torch.device = "cpu", widest: int | None = None
    ) -> None:
        super().__init__(units, device, inside if widest is None else widest)
        self.positions, self.inside = positions, inside

    @property
    def windows(self) -> Sequence[int | float]:
        """Window sizes in tokens, by place; NaN where there is none."""
        within = [2**place if 2**place <= self.positions else math.nan for place in range(self.inside)]
        return [*within, *(self.positions * 2**i for i in range(self.widest - self.inside + 1))]

    @property
    def place(self) -> int:
        """Sequences seen, each as the 2**inside tokens that it stands for."""
        return self.tokens // self.positions << self.inside

    def _windows(self, items: Tensor, firings: Tensor) -> None:
        """Count unions of adjacent tokens (token, unit) of each sequence, then of adjacent sequences.

        Raises
        ------
        ValueError
            For what are no whole sequences.
        """
        if len(items) % self.positions:
            raise ValueError(f"got {len(items)} tokens, expected whole sequences of {self.positions}")
        before = self.place
        self.tokens += len(items)
        within = items.view(len(items) // self.positions, self.positions, self.units)
        whole = within.any(1)
        for level in range(self.inside):
            if not (windows := within.shape[1]):
                break
            self.window_units[level] += torch.count_nonzero(within) if level else firings
            self.window_count[level] += len(within) * windows
            pairs = within[:, : windows // 2 * 2]
            within = pairs[:, 0::2] | pairs[:, 1::2]
        self._unite(whole, before, self.inside)
