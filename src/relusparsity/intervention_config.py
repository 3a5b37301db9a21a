"""What can be done to a layer in training, as frozen data; `interventions` does it, and needs torch for that."""

from dataclasses import dataclass
from typing import Annotated, Literal

from . import checks
from .checks import Checked
from .errors import UserError


@dataclass(frozen=True)
class InterventionConfig(Checked):
    """What is done, all through the training and when read, to the input of one layer's MLP, after the norm."""

    kind: Literal["none", "centre", "add"] = "none"
    """centre: the running mean of the input is subtracted; add: strength · ‖σ‖ · e is added, see `interventions`."""
    layer: Annotated[int, checks.whole(0, 1023)] = 0
    """The one layer, counted from 0."""
    strength: Annotated[float, checks.real(0, 1e6)] = 0.0
    """add: c, in ‖σ‖ of the input."""
    direction: Literal["orthogonal", "along"] = "orthogonal"
    """add: e, a unit vector drawn from the seed and orthogonal to the running mean, or the direction of that mean."""
    placebo: bool = False
    """The same with a sign drawn for each token, so that nothing is common to all tokens."""
    seed: checks.Seed = 0
    """Of the drawn vector and signs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        unread = {
            "layer": self.kind == "none",
            "strength": self.kind != "add",
            "direction": self.kind != "add",
            "placebo": self.kind == "none",
            "seed": not self.placebo and (self.kind != "add" or self.direction == "along"),
        }
        for name, none_reads in unread.items():
            if none_reads and (given := getattr(self, name)) != getattr(type(self), name):
                raise UserError(
                    f"InterventionConfig.{name} = {given} is not read by an intervention of kind = {self.kind}"
                    f"{'' if self.kind != 'add' else ' along the mean without placebo'}; leave it out or change kind."
                )
        if self.kind == "add" and not self.strength:
            raise UserError("InterventionConfig.strength = 0 with kind = add adds nothing; give it above 0.")

    def check(self, n_layers: int, d_model: int) -> None:
        """Refuse what a model of so many layers, and numbers a token, has no place for.

        Raises
        ------
        UserError
            For a layer that the model does not have, or a direction where there is a single one.
        """
        if self.kind == "none":
            return
        if self.layer >= n_layers:
            raise UserError(
                f"InterventionConfig.layer = {self.layer}, but the model has {n_layers} layers, counted from 0; "
                f"choose one of 0 to {n_layers - 1}."
            )
        if self.kind == "add" and self.direction == "orthogonal" and d_model == 1:
            raise UserError("direction = orthogonal needs d_model of 2 or more, but it is 1; choose along.")
