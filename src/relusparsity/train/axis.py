"""One axis for the units of all layers in a run's dataset: those that the widest began with, removed ones too."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

COUNTERS = ("last_fired", "onset", "deaths", "revivals")
"""What the death tracker knows of a unit that is kept when the unit goes."""


class UnitAxis:
    """Where a dataset has each layer's units: (layer, unit), by the places that they had when the run began.

    A narrower layer has no unit at the last places, and a removed one no more firings: NaN stands there.

    >>> UnitAxis([2, 3]).table([np.array([5, 6]), np.array([7, 8, 9])])
    array([[ 5.,  6., nan],
           [ 7.,  8.,  9.]])
    """

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths, self.length = np.array(widths), max(widths)
        self.units = [np.arange(width) for width in widths]
        """Of each layer: the places of the units that it has, in order."""
        self._removed = {name: np.full((len(widths), self.length), -1) for name in ("at", *COUNTERS)}

    def keep(self, kept: Sequence[np.ndarray], tokens: int, counters: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Leave each layer these units, as it counts them now, after so many training tokens.

        Parameters
        ----------
        counters
            Of `COUNTERS`, a row (unit) a layer: what stands for those that go, from now on.
        """
        for layer, stay in enumerate(kept):
            gone = np.delete(np.arange(len(self.units[layer])), stay)
            places = self.units[layer][gone]
            self._removed["at"][layer, places] = tokens
            for name in COUNTERS:
                self._removed[name][layer, places] = counters[name][layer][gone]
            self.units[layer] = self.units[layer][stay]

    @property
    def share(self) -> np.ndarray:
        """Units of each layer, of those that it began with: (layer)."""
        return np.array([len(units) for units in self.units]) / self.widths

    @property
    def removed_at(self) -> np.ndarray:
        """Training tokens after which each unit was removed, NaN for those that stay: (layer, unit)."""
        return np.where(self._removed["at"] >= 0, self._removed["at"], np.nan)

    def gone(self, counter: str) -> np.ndarray:
        """A counter, summed over the units that have gone: (layer)."""
        return np.where(self._removed["at"] >= 0, self._removed[counter], 0).sum(1)

    def table(self, rows: Sequence[np.ndarray], counter: str | None = None) -> np.ndarray:
        """Numbers of the units, a row (unit) a layer, as (layer, unit); they are real ones where some are missing.

        Parameters
        ----------
        counter
            Which of `COUNTERS` they are, if one: then those that have gone have theirs too.
        """
        found = self.of(np.arange(self.length), rows)
        if counter is None:
            return found
        found = np.where(self._removed["at"] >= 0, self._removed[counter], found)
        return found if np.isnan(found).any() else found.astype(rows[0].dtype)

    def of(self, places: np.ndarray, rows: Sequence[np.ndarray]) -> np.ndarray:
        """The same for some places on the axis, in order; the rows are of those among them that a layer has."""
        if all(len(row) == len(places) for row in rows):
            return np.stack(rows)
        found = np.full((len(rows), len(places)), np.nan)
        for values, row, units in zip(found, rows, self.units, strict=True):
            values[np.isin(places, units)] = row
        return found

    def indices(self, places: np.ndarray) -> list[np.ndarray]:
        """Of each layer: which of its units, as it counts them, stand at these places, in order."""
        return [np.flatnonzero(np.isin(units, places)) for units in self.units]

    def state(self) -> dict[str, Tensor]:
        """What is to be kept, by name; `load` takes it back."""
        return {name: torch.from_numpy(of) for name, of in self._removed.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._removed = {name: of.cpu().numpy() for name, of in state.items()}
        there = [np.arange(width) for width in self.widths]
        self.units = [units[at[units] < 0] for units, at in zip(there, self._removed["at"], strict=True)]
