"""What can be done to updates in training, as frozen data; `interventions.updates` does it, and needs torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from . import checks
from .checks import Checked
from .errors import UserError


@dataclass(frozen=True)
class OutlierConfig(Checked):
    """Rare large gradients, of all parameters: those of some batches are multiplied, before they are clipped."""

    share: checks.ShareOrNone = 0.0
    """Share of the batches, drawn by seed and step; 0: none."""
    factor: checks.Factor = 10.0
    """What their gradients are multiplied by."""
    seed: checks.Seed = 0
    """Of the draw."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("factor", "seed"):
            if not self.share and (given := getattr(self, name)) != getattr(type(self), name):
                raise UserError(
                    f"OutlierConfig.{name} = {given} is not read with share = 0; leave it out or give share."
                )
        if self.factor == 1:
            raise UserError("OutlierConfig.factor = 1 changes no gradient; give another, or leave share at 0.")


@dataclass(frozen=True)
class ControlConfig(Checked):
    """What is done to the data-driven part of the updates of some units in each layer, drawn at random.

    A unit's update is that of its incoming row and its bias, which make its pre-activation; its outgoing column trains
    as always. The data-driven part is all that an optimiser's step did beyond the decoupled weight decay.
    """

    kind: Literal["none", "watch", "exchange", "signs", "reflect", "winsorise"] = "none"
    """watch: all is recorded and nothing changed, for a control's twin; of the others see `interventions.updates`."""
    share: checks.Share = 0.1
    """Share of a layer's units that is treated, rounded to whole units."""
    first_layer: Annotated[int, checks.whole(0, 1023)] = 0
    """The first layer with treated units, counted from 0; all after it have some too."""
    seed: checks.Seed = 0
    """Of the treated units, and of what is drawn for them in training; a control and its twin have the same."""
    every: Annotated[int, checks.whole(1, 10**6)] = 100
    """Steps of a block, the first of which begins with the control; what is drawn or measured for one holds for it."""
    follow_falls: bool = False
    """watch alone: whether the first-order changes of each unit's high quantile are followed; see `counting.falls`."""
    outliers: OutlierConfig = field(default_factory=OutlierConfig)
    """Rare large gradients, whatever the kind."""

    def __post_init__(self) -> None:
        super().__post_init__()
        idle = self.kind == "none"
        for name, unread in {
            "share": idle,
            "first_layer": idle,
            "seed": idle,
            "every": idle or self.kind == "watch",
            "follow_falls": self.kind != "watch",
        }.items():
            if unread and (given := getattr(self, name)) != getattr(type(self), name):
                raise UserError(
                    f"ControlConfig.{name} = {given} is not read by a control of kind = {self.kind}; leave it out or "
                    "change kind."
                )

    def treated(self, units: int) -> int:
        """Treated units of a layer of so many.

        >>> ControlConfig(kind="signs").treated(8192)
        819
        """
        return round(self.share * units)

    def check(self, widths: Sequence[int]) -> None:
        """Refuse what a model with so many units in each layer has no place for.

        Raises
        ------
        UserError
            For a layer that the model does not have, layers of different widths, or a share that treats no unit, all,
            or too few to exchange.
        """
        if self.kind == "none":
            return
        n_layers, d_ff = len(widths), widths[0]
        if self.first_layer >= n_layers:
            raise UserError(
                f"ControlConfig.first_layer = {self.first_layer}, but the model has {n_layers} layers, counted from 0; "
                f"choose one of 0 to {n_layers - 1}."
            )
        if len(set(widths)) > 1:
            raise UserError(
                f"ControlConfig.kind = {self.kind} treats as many units in each layer, but they have "
                f"{', '.join(map(str, widths))}; give d_ff as a single number."
            )
        treated, least = self.treated(d_ff), 2 if self.kind == "exchange" else 1
        if not least <= treated < d_ff:
            raise UserError(
                f"ControlConfig.share = {self.share} of {d_ff} units treats {treated} of them: for kind = {self.kind} "
                f"expected {least} or more, and fewer than all; give another share."
            )
