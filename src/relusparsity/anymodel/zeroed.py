"""A model with some of its units' activations set to zero, for as long as a `with` block lasts."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .attach import Choice, Side
from .place import Place, replace
from .rules import Rule
from .watch import Watch


class Without(Watch):
    """The model with some units' activations set to zero, for as long as the block lasts."""

    def __init__(
        self, model: nn.Module, removed: np.ndarray, choose: Choice | None = None, of: Side = "output"
    ) -> None:
        super().__init__(model, choose, of)
        self.removed = removed

    def _attach(self, layer: int, place: Place) -> Any:
        gone = torch.from_numpy(self.removed[layer])

        def cut(activation: Tensor) -> Tensor:
            return activation.masked_fill(gone.to(activation.device), 0)

        return replace(place, cut)


class Zeroed(Watch):
    """Sets units that do not fire by a rule to zero where the next layer reads them; for evaluation."""

    def __init__(self, model: nn.Module, rule: Rule) -> None:
        super().__init__(model, of=rule.of)
        self.rule = rule

    def _attach(self, layer: int, place: Place) -> Any:
        return replace(place, lambda activation: activation * self.rule.fired(layer, place, activation))
