"""What counters of watched models have in common: the rule by which units fire, and counts that are whole."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..counting.call import Call
from ..errors import UserError
from .attach import Choice, Side
from .place import Place
from .rules import Rule, exact
from .watch import Watch

LAYER_NAME = {"layer_name": ("1", "module that the layer's hidden activations were read from")}


class Ruled(Watch):
    """A watch that counts where units fire, by one rule."""

    def __init__(
        self,
        model: nn.Module,
        choose: Choice | None = None,
        of: Side | None = None,
        rule: Rule | None = None,
    ) -> None:
        if rule is not None and not isinstance(rule, Rule):
            raise UserError(f"rule = {rule!r}: expected a Rule, such as above(0.1, layers), or None.")
        super().__init__(model, choose, of if of is not None else rule.of if rule else "output")
        self.rule = exact(self.places) if rule is None else rule
        self.rule.check(self.places)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        super().__exit__(kind, *rest)
        if kind is None:
            self.check()

    @abstractmethod
    def flags(self) -> Iterator[tuple[Place, Tensor]]:
        """Of each layer that has run, whether an activation of its was NaN: a bool on the layer's device."""

    def whole(self) -> None:
        """Raise UserError if an error stopped a forward call halfway through the counting."""
        if self._calls.cut and not self.failed:
            self.failed = "a forward call ended with an error after some of its layers were counted"
        if self.failed:
            raise UserError(f"counting stopped halfway ({self.failed}); its counts are not whole, track again.")

    def check(self) -> None:
        """Raise if anything went wrong in counting.

        Raises
        ------
        FloatingPointError
            If an activation was NaN.
        UserError
            If an error stopped a forward call halfway through the counting.
        """
        self.whole()
        flags: dict[torch.device, dict[str, Tensor]] = {}  # one waiting for each device
        for place, flag in self.flags():
            flags.setdefault(flag.device, {})[place.name] = flag
        for found in flags.values():
            for name, nan in zip(found, torch.stack(list(found.values())).tolist(), strict=True):
                if nan:
                    raise FloatingPointError(f"{name}: an activation is NaN, firing is undefined; nothing is reported")


def not_a_number(activation: Tensor, call: Call) -> Tensor:
    """Whether an activation (sequence, position, unit) is NaN at a token; read it later, for a GPU need not wait."""
    nan = torch.isnan(activation.amax(-1))  # the largest is NaN if any is
    return (nan if call.real is None else nan & call.real).any()


def same_layer(place: Place, activation: Tensor, units: int, device: torch.device) -> None:
    """Raise UserError where a layer has not the width, or is not on the device, that it had in earlier calls."""
    if units != activation.shape[-1]:
        raise UserError(f"{place.name} gave {activation.shape[-1]} units, and {units} before; match one layer.")
    if device != activation.device:
        raise UserError(
            f"{place.name} runs on {activation.device}, and on {device} before; a tracker counts a layer on one "
            "device: in place of DataParallel use one process for each (torchrun), whose counts come together."
        )


def one_width(widths: Sequence[int], otherwise: str) -> int:
    """The width of all layers; UserError if they differ, which ends with what to read then."""
    if len(set(widths)) > 1:
        raise UserError(
            f"the layers have different widths ({', '.join(map(str, widths))}); choose layers of one width, or, in "
            f"Python, read {otherwise} one by one."
        )
    return widths[0]
