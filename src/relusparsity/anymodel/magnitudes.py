"""Histograms of the sizes of activations, from which thresholds are taken.

Magnitudes are counted in 32,768 exact bins: the leading 16 bits of a float32 (steps of 0.4 to 0.8 %; for bfloat16 every
value its own bin). Thresholds lie on the edges, so what is above them is known exactly from the histogram.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..counting.call import Call
from ..errors import UserError
from .attach import Choice, Side
from .watch import Watch

BINS = 1 << 15
INFINITE = 0x7F80  # the bin of infinity; no threshold lies above it
Batches = Iterable[Mapping[str, Any]]
Watched = TypeVar("Watched", bound=Watch)


def bins(values: Tensor) -> Tensor:
    """The bin of each magnitude: the leading bits of its float32."""
    return values.abs().float().contiguous().view(torch.int32) >> 16


def upper_edge(index: int) -> float:
    """The largest float32 in a bin: a magnitude above it lies in a later bin."""
    return float(np.array((index << 16) | 0xFFFF, dtype=np.int32).view(np.float32))


class Magnitudes(Watch):
    """Histogram of the sizes of every layer's activations, padding left out."""

    def __init__(self, model: nn.Module, choose: Choice | None = None, of: Side = "output") -> None:
        super().__init__(model, choose, of)
        self.histograms: list[Tensor] = [torch.zeros(BINS, dtype=torch.int64) for _ in self.places]

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        values = activation if call.real is None else activation[call.real]
        if torch.isnan(values).any():
            raise FloatingPointError(f"{self.places[layer].name}: an activation is NaN; no threshold can be found")
        counts = torch.bincount(bins(self.size(layer, values)).flatten(), minlength=BINS)
        self.histograms[layer] = self.histograms[layer].to(counts.device) + counts

    def size(self, layer: int, activation: Tensor) -> Tensor:
        """What is counted of an activation (…, unit)."""
        return activation

    def counts(self) -> list[np.ndarray]:
        """The histograms (bin) of every layer.

        Raises
        ------
        UserError
            If a layer saw no token.
        """
        for place, counts in zip(self.places, self.histograms, strict=True):
            if not counts.any():
                raise UserError(f"{place.name} has seen no token of the calibration text; no threshold can be found.")
        return [counts.cpu().numpy() for counts in self.histograms]

    def read_from(self) -> tuple[tuple[str, str], ...]:
        """Name and side of the layers' modules."""
        return tuple((place.name, place.of) for place in self.places)


def run(watch: Watched, batches: Batches) -> Watched:
    """The watch, after the model has read the batches."""
    some = False
    with watch, torch.no_grad():
        for batch in batches:
            if not isinstance(batch, Mapping):
                what = type(batch).__name__
                raise UserError(
                    f"a batch of the calibration text is a {what}: expected the arguments of a call, by name."
                )
            watch.model(**batch)
            some = True
    if not some:
        raise UserError("the calibration text is empty; give at least one batch.")
    return watch
