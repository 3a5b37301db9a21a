"""When a unit counts as firing: exact for ReLU, and stated thresholds for activations that are never quite zero."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import UserError
from .attach import Place, Side


@dataclass(frozen=True)
class Rule:
    """A unit fires where its activation is large enough; results of different rules are never put together.

    Without thresholds the rule is exact: above 0, or, for smooth activations, not 0 (which is nearly always).
    """

    name: str
    """What is said with every result."""
    thresholds: tuple[float | Tensor, ...] | None = field(default=None, compare=False)
    """One a layer: a number, or one a unit (unit); None: no threshold."""
    facts: dict[str, float] = field(default_factory=dict)
    """How the thresholds were found."""
    of: Side = "output"
    """What the thresholds are for: the activation, or its product with the other projection of a gated MLP."""

    def fired(self, layer: int, place: Place, activation: Tensor) -> Tensor:
        """Where units of one layer fire, in the dtype that the model runs in."""
        if self.thresholds is None:
            return activation != 0 if place.kind == "smooth" else activation > 0
        threshold = self.thresholds[layer]  # compared in float32: rounding it to a half's precision would move it
        size = activation.abs().float()
        return size > (threshold.to(size.device) if isinstance(threshold, Tensor) else threshold)

    def threshold(self, layer: int, place: Place) -> float | Tensor | None:
        """What ``|activation|`` must exceed, in float32, for a unit to fire; None: the activation must exceed zero."""
        if self.thresholds is None:
            return 0.0 if place.kind == "smooth" else None
        return self.thresholds[layer]

    def check(self, places: list[Place]) -> None:
        """Raise UserError if the rule was made for another number of layers."""
        if self.thresholds is not None and len(self.thresholds) != len(places):
            raise UserError(
                f"the rule {self.name!r} has thresholds for {len(self.thresholds)} layers, the model has {len(places)}."
            )


def exact(places: list[Place]) -> Rule:
    """The rule without a threshold, named by what it counts there."""
    kinds = {place.kind for place in places}
    return Rule("not exactly zero" if "smooth" in kinds else "above zero")


def above(epsilon: float, layers: int) -> Rule:
    """Firing is ``|activation| > epsilon`` in every layer.

    Raises
    ------
    UserError
        If epsilon is not a number above 0.
    """
    if not 0 < epsilon < float("inf"):
        raise UserError(f"epsilon = {epsilon}: expected a number above 0.")
    return Rule(f"|activation| > {epsilon:g}", (float(torch.tensor(epsilon)),) * layers, {"epsilon": epsilon})
