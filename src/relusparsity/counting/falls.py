"""How far each unit's high pre-activations fall, step by step, and how much of the fall its largest steps make.

A unit's **high quantile** is the 99.9th percentile (inverted CDF) of its pre-activation over a fixed probe: of 8,192
tokens, the ninth largest. While the token at which it lies stays the same, its derivative by the unit's incoming row
is the MLP's input at that token, and by its bias 1. So the **first-order change** that an update makes of it is

    update of the row · input + update of the bias.

The update is the data-driven one of `interventions.updates`, without decay. What moves upstream of the layer moves the
quantile too, and is not in it. Token and input are those under the weights of a block's first step; a block has
`EVERY` steps.

A change below zero is a **fall**. Of each unit are kept the sums of its falls and of its rises, and its largest falls,
as many as 1 % of all steps: memory does not grow with a history. Of a unit that last fired after n of the steps, the
largest 1 % are its ⌈n / 100⌉ largest falls. What its moments still do to it later is in the sum.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .deaths import DeathTracker

QUANTILE = 0.999
EVERY = 10
"""Steps of a block."""
LARGEST = 100
"""One of so many steps, begun ones counted whole, is among a unit's largest."""


class FallTracker:
    """Follows all units of a run, layer after layer, from one of its steps on."""

    def __init__(self, deaths: DeathTracker, begin: int, steps: int, batch_tokens: int, d_model: int) -> None:
        """Of so many steps, after `begin` others, of a model whose MLPs read d_model numbers.

        Parameters
        ----------
        deaths
            Says which token each unit fired at last; all layers have one width.
        """
        self.deaths, self.begin, self.batch_tokens = deaths, begin, batch_tokens
        units, device = sum(deaths.widths), deaths.last_fired.device
        self.falls = torch.zeros(units, dtype=torch.float64, device=device)
        self.rises = torch.zeros_like(self.falls)
        self.largest = torch.zeros(units, -(-steps // LARGEST), device=device)  # in no order
        self.inputs = torch.zeros(units, d_model, device=device)

    def due(self, step: int) -> bool:
        """Whether a block begins with the step that follows `step` others."""
        return (step - self.begin) % EVERY == 0

    def begin_block(self, inputs: Sequence[Float[Tensor, "unit d_model"]]) -> None:
        """Take up what each layer's MLP is given where its units have their quantiles; see `at_quantile`."""
        torch.cat(list(inputs), out=self.inputs)

    def add(self, updates: Sequence[Sequence[Float[Tensor, "unit _"]]]) -> None:
        """Add a step: of each layer, the data-driven updates of its units' rows, and of their biases if it has any."""
        parts = self.inputs.split(self.deaths.widths)
        changes = [
            (rows * inputs).sum(1) + sum(bias[:, 0] for bias in biases)
            for (rows, *biases), inputs in zip(updates, parts, strict=True)
        ]
        change = torch.cat(changes)
        fall = (-change).clamp(min=0)
        self.falls += fall
        self.rises += change.clamp(min=0)
        least, place = self.largest.min(1, keepdim=True)
        self.largest.scatter_(1, place, torch.maximum(least, fall[:, None]))

    def arrays(self) -> dict[str, np.ndarray]:
        """What `schema.FALLS` names, (layer, unit)."""
        steps = (self.deaths.last_fired - self.begin * self.batch_tokens) // self.batch_tokens
        count = -(-steps // LARGEST)[:, None]
        ranked = self.largest.double().sort(1, descending=True).values.cumsum(1)
        most = ranked.gather(1, (count - 1).clamp(min=0))[:, 0]
        found = {"falls": self.falls, "rises": self.rises, "largest_falls": torch.where(steps > 0, most, torch.nan)}
        return {name: torch.stack(self.deaths.rows(value)).cpu().numpy() for name, value in found.items()}

    def state(self) -> dict[str, Tensor]:
        """What is to be kept, by name; `load` takes it back."""
        return {name: getattr(self, name) for name in ("falls", "rises", "largest", "inputs")}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])


def at_quantile(
    inputs: Float[Tensor, "token d_model"], preactivation: Float[Tensor, "token unit"]
) -> Float[Tensor, "unit d_model"]:
    """The input of the token at which each unit's pre-activation is its high quantile over all of them."""
    above = len(preactivation) - math.ceil(QUANTILE * len(preactivation)) + 1  # counted from the top
    # a unit's numbers side by side: read in strides of a layer's width, they would take a GPU many times as long
    return inputs[preactivation.T.contiguous().topk(above, dim=1).indices[:, -1]]
