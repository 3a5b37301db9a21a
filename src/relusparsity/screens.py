"""When a run is measured, and the screens that may stop it there, as frozen data; `train` obeys them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from . import checks
from .checks import Checked
from .errors import UserError

SYMBOLS = {"batch_use": "U", "sequence_use": "sequence use", "token_use": "token use", "gamma": "γ"}
"""Of what is measured of each layer; the loss, which has no layer, is called so."""


def measured_steps(steps: int, points: int) -> list[int]:
    """0, then 1, 2, 4 … until the first of `points` evenly spaced steps, which follow; the last is `steps`."""
    points = min(points, steps)  # more than all of them cannot be measured
    even = sorted({round(steps * i / points) for i in range(1, points + 1)} - {0})
    early = [0] + [2**i for i in range(steps.bit_length()) if 2**i < even[0]]
    return early + even


@dataclass(frozen=True)
class Screen(Checked):
    """A rule that stops a run at one of its measurements: a quantity below or above a bound, or another layer's.

    It is no part of what a run computes. One that passes its screens is the run that it would have been without; one
    that a screen stopped is not finished, and is trained again where it is asked for without that screen.
    """

    step: Annotated[int, checks.whole(1, 10**8)]
    """Optimiser steps after which it looks; the run must measure there."""
    quantity: Literal["batch_use", "sequence_use", "token_use", "gamma", "heldout_loss"] | None = None
    """What it looks at, of the measurement on held-out text."""
    layer: Annotated[int, checks.whole(0, 1023)] | None = None
    """Of which layer, counted from 0; None for the loss alone."""
    comparison: Literal["<", ">"] | None = None
    """The run stops where the quantity is below (<) or above (>)."""
    bound: float | None = None
    """In percent, 0 to 100, for a use, in nats per token for the loss; of nothing it is below 0."""
    other: Annotated[int, checks.whole(0, 1023)] | None = None
    """In place of a bound: the layer whose value is the bound."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quantity is None or self.comparison is None or (self.bound is None) == (self.other is None):
            raise UserError(
                f"the screen at step {self.step:,} has no rule: expected a quantity, a comparison (< or >) and either "
                "a bound or another layer."
            )
        of_a_layer = self.quantity in SYMBOLS
        if of_a_layer == (self.layer is None) or (self.other is not None and not of_a_layer):
            raise UserError(
                f"the screen at step {self.step:,} looks at {self.quantity}, which "
                f"{'every layer has' if of_a_layer else 'no layer has'}; {'give' if of_a_layer else 'leave out'} the "
                "layer."
            )
        if self.other is not None and self.other == self.layer:
            raise UserError(
                f"the screen at step {self.step:,} compares layer {self.layer} with itself, which never stops a run; "
                "give another layer or a bound."
            )
        if self.bound is not None and (self.bound < 0 or (self.bound > 100 and self._unit)):
            expected = "0 to 100 percent" if self._unit else "0 or more"
            raise UserError(
                f"the screen at step {self.step:,} has the bound {self.bound:g}, which {self.quantity} cannot come to: "
                f"expected {expected}."
            )

    def check(self, n_layers: int, steps: int, points: int) -> None:
        """Refuse what a run of so many layers, steps and measurements cannot be asked.

        Raises
        ------
        UserError
            For a layer that the model does not have, or a step at which the run measures nothing or ends.
        """
        for layer in (self.layer, self.other):
            if layer is not None and layer >= n_layers:
                raise UserError(
                    f"the screen at step {self.step:,} looks at layer {layer}, but the model has {n_layers} layers, "
                    f"counted from 0; choose one of 0 to {n_layers - 1}."
                )
        measured = measured_steps(steps, points)[1:-1]
        if self.step not in measured:
            near = sorted(sorted(measured, key=lambda step: abs(step - self.step))[:2])
            raise UserError(
                f"the screen at step {self.step:,} has nothing to look at: before its last step, {steps:,}, the run is "
                f"measured at {' and '.join(f'{step:,}' for step in near) or 'no step'} at the nearest; choose such "
                "a step."
            )

    @property
    def words(self) -> str:
        """The rule, such as "U_5 < 92 %"."""
        bound = self._named(self.other) if self.bound is None else f"{self.bound:g}{self._unit}"
        return f"{self._named(self.layer)} {self.comparison} {bound}"

    def stops(self, measured: Mapping[Any, Any]) -> str | None:
        """Why a run with these values at this step, by name, stops; None where it goes on."""
        values = np.asarray(measured[str(self.quantity)], dtype=np.float32)  # as a dataset keeps them
        value = values if self.layer is None else values[self.layer]
        factor = 100 if self._unit == " %" else 1
        bound = np.float32(self.bound / factor) if self.bound is not None else values[self.other]
        if not (value < bound if self.comparison == "<" else value > bound):
            return None
        digits = 1 if factor == 100 else 2
        side = "under" if self.comparison == "<" else "over"
        limit = f"{self.bound:g}{self._unit}" if self.other is None else f"{self._named(self.other)} = {bound:.2f}"
        if self.other is not None and factor == 100:
            limit = f"{self._named(self.other)} = {factor * bound:.1f} %"
        is_ = f"{self._named(self.layer)} = {factor * value:.{digits}f}{self._unit}"
        return f"{is_} is {side} {limit} at step {self.step:,}"

    def _named(self, layer: int | None) -> str:
        return "loss" if layer is None else f"{SYMBOLS[str(self.quantity)]}_{layer}"

    @property
    def _unit(self) -> str:
        return " %" if str(self.quantity).endswith("_use") else ""


def first_to_stop(screens: Iterable[Screen], rows: Mapping[int, Mapping[Any, Any]]) -> tuple[Screen, str] | None:
    """Of the screens that look at these measurements (step → values by name), the earliest that stops, and why."""
    for screen in sorted(screens, key=lambda screen: screen.step):
        if screen.step in rows and (why := screen.stops(rows[screen.step])):
            return screen, why
    return None


def in_words(screens: Iterable[Screen]) -> str:
    """Such as "at step 3,840 if U_5 < 92 % or γ_0 < γ_1, at step 7,360 if U_0 > 45 %"."""
    by_step: dict[int, list[str]] = {}
    for screen in sorted(screens, key=lambda screen: screen.step):
        by_step.setdefault(screen.step, []).append(screen.words)
    return ", ".join(f"at step {step:,} if {' or '.join(rules)}" for step, rules in by_step.items())
