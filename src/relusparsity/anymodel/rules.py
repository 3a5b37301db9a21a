"""When a unit counts as firing: exact for ReLU, and stated thresholds for activations that are never quite zero."""

import numbers
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import UserError
from .attach import Side
from .place import Place

EXACT = ("above zero", "not exactly zero")
"""Names of the one exact rule: by what it comes to in the layers of a model."""
LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class Rule:
    """A unit fires where its activation is large enough; results of different rules are never put together.

    Without thresholds the rule is exact: above 0, or not 0 where a number below zero acts as one above does: in smooth
    activations (nearly always), in act(gate) · up, and in all else that a layer reads.
    """

    name: str
    """What is said with every result."""
    thresholds: tuple[float | Tensor, ...] | None = field(default=None, compare=False)
    """One a layer: a number, or one a unit (unit); None: no threshold."""
    facts: dict[str, float] = field(default_factory=dict)
    """How the thresholds were found."""
    of: Side = "output"
    """What the thresholds are for: the activation, or its product with the other projection of a gated MLP."""
    layers: tuple[tuple[str, str], ...] | None = field(default=None, compare=False)
    """Name and side of the modules that the thresholds were found on; None: they are for any."""

    def fired(self, layer: int, place: Place, activation: Tensor) -> Tensor:
        """Where units of one layer fire, in the dtype that the model runs in."""
        if self.thresholds is None:
            # to be not zero is seen several times as fast as to be above it
            if place.signed or (activation.device.type == "cpu" and _none_below_zero(activation)):
                return activation.to(torch.bool)
            return activation > 0
        threshold = self.thresholds[layer]  # compared in float32: rounding it to a half's precision would move it
        size = activation.abs().float()
        return size > (threshold.to(size.device) if isinstance(threshold, Tensor) else threshold)

    def threshold(self, layer: int, place: Place) -> float | Tensor | None:
        """What ``|activation|`` must exceed, in float32, for a unit to fire; None: the activation must exceed zero."""
        if self.thresholds is None:
            return 0.0 if place.signed else None
        return self.thresholds[layer]

    def check(self, places: Sequence[Place]) -> None:
        """Raise UserError if a threshold is none, or the rule was made for other layers."""
        if self.thresholds is None:
            return
        if not isinstance(self.thresholds, tuple) or not all(_is_threshold(each) for each in self.thresholds):
            raise UserError(
                f"the rule {self.name!r} has the thresholds {reprlib.repr(self.thresholds)}: expected a tuple with one "
                "a layer, a number of 0 or more, or a tensor of such numbers, one a unit."
            )
        if len(self.thresholds) != len(places):
            raise UserError(
                f"the rule {self.name!r} has thresholds for {len(self.thresholds)} layers, the model has {len(places)}."
            )
        for (name, of), place in zip(self.layers or (), places, strict=False):
            # the same layer has a longer name where the model is part of another
            one, other = (f".{each}" for each in sorted((name, place.name), key=len))
            if of != place.of or not other.endswith(one):
                raise UserError(
                    f"the rule {self.name!r} has a threshold for the {of} of {name}, not for the {place.of} of "
                    f"{place.name}; find thresholds for the layers that are watched, or watch those of the rule."
                )

    def check_width(self, layer: int, place: Place, units: int) -> None:
        """Raise UserError if the rule was made for layers of another width."""
        threshold = self.thresholds[layer] if self.thresholds is not None else None
        if isinstance(threshold, Tensor) and threshold.shape != (units,):
            raise UserError(
                f"the rule {self.name!r} has thresholds of shape {tuple(threshold.shape)} for {place.name}, which has "
                f"{units} units; give a number, or one a unit."
            )


def _none_below_zero(activation: Tensor) -> bool:
    """Whether no number is negative or NaN."""
    return activation.numel() > 0 and bool(activation.amin() >= 0)


def _is_threshold(value: object) -> bool:
    if isinstance(value, Tensor):
        return not value.is_complex() and value.dtype != torch.bool and bool((value >= 0).all())
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and bool(0 <= value <= LARGEST)  # type: ignore[operator]


def exact(places: Sequence[Place]) -> Rule:
    """The rule without a threshold, named by what it counts there."""
    return Rule(EXACT[any(place.signed for place in places)])


def above(epsilon: float, layers: int) -> Rule:
    """Firing is ``|activation| > epsilon`` in every layer.

    Raises
    ------
    UserError
        If epsilon is not a number above 0 (that float32 holds), or layers is not a number of layers.
    """
    expected = "a number above 0 that float32 can hold"
    given, epsilon = epsilon, between(epsilon, 0, LARGEST, "epsilon", expected)
    rounded = float(torch.tensor(epsilon, dtype=torch.float32, device="cpu"))
    if not rounded:
        raise UserError(f"epsilon = {reprlib.repr(given)}: expected {expected}; it is rounded to 0.")
    if isinstance(layers, bool) or not isinstance(layers, numbers.Integral) or layers < 1:
        raise UserError(f"layers = {reprlib.repr(layers)}: expected how many layers there are, 1 or more.")
    return Rule(f"|activation| > {short(epsilon)}", (rounded,) * int(layers), {"epsilon": epsilon})


def between(value: object, low: float, high: float, name: str, expected: str) -> float:
    """The value, if it is a real number above low and below high.

    Raises
    ------
    UserError
        If it is not: a word, None, a complex number, a list, NaN or infinity.
    """
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex() and value.dtype != torch.bool:
        value = value.item()
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not low < value < high:  # type: ignore[operator]
        raise UserError(f"{name} = {reprlib.repr(value)}: expected {expected}.")
    return float(value)  # type: ignore[arg-type]


def short(value: float) -> str:
    """A number as people write it, and so that another number reads otherwise."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
