"""Controls on the updates of some units, and rare large gradients, in training: see `ControlConfig`.

Let w be a unit's incoming row and bias, one vector, and d the data-driven part of a step's update of it:
w after the step − w before it · (1 − learning rate · weight decay). A control puts another d in its place, after the
optimiser's step and outside the compiled graph; the optimiser's own moments stay as its gradients made them.

- **exchange**: a treated unit gets the d of another one of its group. Groups are the deciles of firing rate among the
  treated units of a layer (fewer where a group would have a single unit). Partners form one cycle through a group,
  in random order, so that none keeps its own d.
- **signs**: d is multiplied by +1 or −1, drawn for each unit and block.
- **reflect**: d becomes d − 2 (d · m) m, with m the unit vector along the mean of the MLP's input, followed by 1 for
  the bias. So the change of the unit's mean pre-activation has the opposite sign.
- **winsorise**: a d that is longer than the cap is shortened to it. The cap is the 99th percentile (inverted CDF) of
  the lengths of d, before the cap, of the layer's treated units at all steps of the block before; the first block has
  none.

Firing rates and means are read at a block's first step, under the weights of then, from the last `READ` batches of the
training stream: a forward pass that moves nothing. Counts of that text are exact, there from the first block on, and
of one model, and nothing has to be counted between. What a block holds is saved with states; draws are hashes.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..control_config import ControlConfig, OutlierConfig
from ..errors import UserError
from ..models import Hidden, Model
from .inputs import mixed

GROUPS = 10
"""Groups of an exchange in each layer."""
READ = 8
"""Training batches from which a block's firing rates and means are read."""
CAP = 0.99
"""Share of the lengths, of the block before, that the cap lets pass."""

Read = Callable[[], tuple[Float[Tensor, "layer d_model"], Int[Tensor, "layer unit"]]]
"""Reads the mean of each MLP's input, and the tokens at which each unit fires, off the last `READ` batches."""
See = Callable[[list[list[Tensor]]], None]
"""Is shown a step's data-driven updates before the control: of each layer, those of its rows, and of its biases."""

_CHOSEN, _TIES, _ORDER, _SIGNS, _BATCHES = range(1, 6)  # what a draw is for
_MASK = 0xFFFF_FFFF


def hashed(seed: int, *parts: Any) -> Any:
    """A number below 2³², as good as drawn, for a seed and whole numbers below 2³²; for a tensor, one for each."""
    value: Any = 0
    for part in (seed & _MASK, seed >> 32, *parts):
        value = mixed(value ^ part)
    return value


def chosen(config: ControlConfig, layer: int, units: int) -> Int[Tensor, " treated"]:
    """The treated units of a layer of so many, in order; from the seed and the layer alone."""
    if config.kind == "none" or layer < config.first_layer:
        return torch.zeros(0, dtype=torch.int64)
    drawn = hashed(config.seed, _CHOSEN, layer, torch.arange(units))
    return drawn.argsort()[: config.treated(units)].sort().values


def partners(
    firings: Int[np.ndarray, " treated"], ties: Int[np.ndarray, " treated"], order: Int[np.ndarray, " treated"]
) -> Int[np.ndarray, " treated"]:
    """For each treated unit of a layer, the place of the one whose update it gets.

    Parameters
    ----------
    firings
        Tokens at which each fires; groups follow from their ranks.
    ties
        Drawn numbers that rank units of as many firings.
    order
        Drawn numbers that a group's cycle follows.
    """
    units = len(firings)
    group = np.empty(units, dtype=np.int64)
    group[np.lexsort((ties, firings))] = np.arange(units) * min(GROUPS, units // 2) // units
    cycle, found = np.lexsort((order, group)), np.empty(units, dtype=np.int64)
    for members in np.split(cycle, np.flatnonzero(np.diff(group[cycle])) + 1):
        found[members] = np.roll(members, 1)
    return found


def enlarge(parameters: Iterable[nn.Parameter], config: OutlierConfig, step: int) -> None:
    """Multiply the gradients of a step's batch if it is one of those that are drawn."""
    if hashed(config.seed, _BATCHES, step) < config.share * 2**32:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(config.factor)


class Control:
    """Acts on the updates of a model's treated units, and adds up the lengths of all units' updates.

    What it holds, by name: `begun`, the steps before its first one, −1 before that; `given` and `taken` (layer, unit),
    the sums of lengths before and after the control; and what its kind needs for a block, (treated layer, …).
    """

    def __init__(self, config: ControlConfig, model: Model) -> None:
        self.config, self.mlps = config, model.mlps()
        device, widths = next(model.parameters()).device, model.widths()
        self._held: dict[str, Tensor] = {}
        if config.kind == "none":
            return
        self.layers = torch.arange(config.first_layer, len(widths), device=device)
        self.units = torch.stack([chosen(config, layer, widths[layer]) for layer in self.layers.tolist()]).to(device)
        lengths = torch.zeros(len(widths), widths[0], dtype=torch.float64, device=device)
        self._held = {"begun": torch.tensor(-1), "given": lengths, "taken": lengths.clone()}

    @contextmanager
    def acting(self, step: int, optimizer: torch.optim.Optimizer, read: Read, see: See | None = None) -> Iterator[None]:
        """Around the optimiser's step that follows `step` others.

        Raises
        ------
        UserError
            If updates are to be reflected along the mean of an input, and it is zero.
        """
        if self.config.kind == "none":
            yield
            return
        if self._held["begun"] < 0:
            self._held["begun"] = torch.tensor(step)
        place = (step - int(self._held["begun"])) % self.config.every
        if place == 0:
            self._begin_block(step, read)
        before = [[_rows(weight).clone() for weight in _incoming(mlp)] for mlp in self.mlps]
        yield
        with torch.no_grad():
            self._part(before, optimizer)
            if see:
                see(before)
            self._act(before, place)

    def state(self) -> dict[str, Tensor]:
        """What a run needs to go on to the bit, by name; `load` takes it back. Without a control, nothing."""
        return dict(self._held)

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a state; from that of a run without a control, which is empty, it begins at the next step."""
        self._held |= {name: value.cpu() if name == "begun" else value for name, value in state.items()}

    def measured(self) -> dict[str, np.ndarray]:
        """What `schema.CONTROL` names, (layer, unit); without a control, nothing."""
        if self.config.kind == "none":
            return {}
        treated = torch.zeros_like(self._held["given"], dtype=torch.bool)
        treated[self.layers[:, None], self.units] = True
        found = {"treated": treated, "path_length": self._held["taken"], "path_length_given": self._held["given"]}
        return {name: value.cpu().numpy() for name, value in found.items()}

    def _begin_block(self, step: int, read: Read) -> None:
        """Draw or measure what holds for all of a block that begins with this step."""
        kind, layers, held = self.config.kind, self.layers[:, None], self._held
        if kind == "exchange":
            firings = read()[1][layers, self.units]
            drawn = [hashed(self.config.seed, why, step, layers, self.units) for why in (_TIES, _ORDER)]
            each = zip(*(part.cpu().numpy() for part in (firings, *drawn)), strict=True)
            held["partners"] = torch.from_numpy(np.stack([partners(*of_layer) for of_layer in each])).to(firings.device)
        elif kind == "signs":
            held["signs"] = 1 - 2 * (hashed(self.config.seed, _SIGNS, step, layers, self.units) >> 31)
        elif kind == "reflect":
            held["directions"] = self._directions(read()[0][self.layers].double(), step)
        elif kind == "winsorise":
            if "lengths" not in held:
                weight = self.mlps[0].fc_in.weight
                held["lengths"] = weight.new_zeros(len(self.layers), self.config.every, self.units.shape[1])
                held["caps"] = weight.new_full((len(self.layers),), torch.inf)
            else:
                ranked = held["lengths"].flatten(1).sort(dim=1).values
                held["caps"] = ranked[:, math.ceil(CAP * ranked.shape[1]) - 1]

    def _directions(self, means: Float[Tensor, "layer d_model"], step: int) -> Float[Tensor, "layer coordinate"]:
        """Unit vectors along the means of the inputs, with 1 for the bias, where there is one."""
        if self.mlps[0].fc_in.bias is not None:
            means = torch.cat((means, torch.ones_like(means[:, :1])), dim=1)
        lengths = means.norm(dim=1, keepdim=True)
        for layer, length in zip(self.layers.tolist(), lengths.flatten().tolist(), strict=True):
            if length == 0:
                raise UserError(
                    f"the mean input of layer {layer} is zero at step {step}: there is no direction to reflect "
                    "updates along; give the model biases, or choose a later control.first_layer."
                )
        return means / lengths

    def _part(self, before: list[list[Tensor]], optimizer: torch.optim.Optimizer) -> None:
        """Put the data-driven updates in the place of the weights before the step."""
        kept = {p: 1 - group["lr"] * group["decay"] for group in optimizer.param_groups for p in group["params"]}
        for mlp, weights in zip(self.mlps, before, strict=True):
            for weight, was in zip(_incoming(mlp), weights, strict=True):
                # a weight of no group stands still
                torch.sub(_rows(weight), was.mul_(kept.get(weight, 1.0)), out=was)

    def _act(self, updates: list[list[Tensor]], place: int) -> None:
        treated = list(zip(self.layers.tolist(), self.units, strict=True))
        given = torch.stack([torch.cat([part[units] for part in updates[layer]], dim=1) for layer, units in treated])
        lengths, length = torch.stack([_length(*parts) for parts in updates]), _length(given)
        taken = self._controlled(given, length, place)
        for name, of_treated in (("given", length), ("taken", length if taken is given else _length(taken))):
            lengths[self.layers[:, None], self.units] = of_treated
            self._held[name] += lengths
        if taken is given:
            return
        for (layer, units), change in zip(treated, taken - given, strict=True):
            rows = [_rows(weight) for weight in _incoming(self.mlps[layer])]
            for row, part in zip(rows, change.split([row.shape[1] for row in rows], dim=1), strict=True):
                row[units] += part

    def _controlled(
        self, given: Float[Tensor, "layer treated coordinate"], length: Float[Tensor, "layer treated"], place: int
    ) -> Float[Tensor, "layer treated coordinate"]:
        """What takes the place of the data-driven updates, of these lengths, at a place in the block."""
        kind, held = self.config.kind, self._held
        if kind == "exchange":
            return given.gather(1, held["partners"][..., None].expand_as(given))
        if kind == "signs":
            return given * held["signs"][..., None]
        if kind == "reflect":
            # a sum of products, for a matrix product might round its factors to TF32
            along = held["directions"].to(given.dtype)[:, None]
            return given - 2 * (given * along).sum(-1, keepdim=True) * along
        if kind == "winsorise":
            held["lengths"][:, place] = length
            cap = held["caps"][:, None]
            return given * torch.where(length > cap, cap / length, 1)[..., None]
        return given


def _incoming(mlp: Hidden) -> list[nn.Parameter]:
    """What makes a layer's pre-activations: the matrix, and the biases if it has any."""
    return [weight for weight in (mlp.fc_in.weight, mlp.fc_in.bias) if weight is not None]


def _rows(weight: nn.Parameter) -> Float[Tensor, "unit number"]:
    """A parameter's own numbers, a row a unit."""
    return weight.detach().view(len(weight), -1)


def _length(*parts: Tensor) -> Tensor:
    """Norms of vectors whose numbers stand in the last dimension, or in those of several tensors."""
    return torch.stack([torch.linalg.vector_norm(part, dim=-1) for part in parts]).square().sum(0).sqrt()
