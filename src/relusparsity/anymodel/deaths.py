"""`track_deaths`: which hidden units of any model die and come back while anyone's loop trains it."""

import numbers
from collections.abc import Iterator, Mapping
from typing import Any, Self

import torch
import xarray as xr
from torch import Tensor, nn

from .. import distributed
from ..counting import metrics
from ..counting.call import Call
from ..counting.deaths import DeathTracker
from ..errors import UserError
from .attach import Choice, Side
from .lives import Course, Now, Seen, check_state
from .place import Place
from .ruled import Ruled, not_a_number, one_width, same_layer
from .rules import Rule

NUMBERS = ("dead_after", "steps", "tokens", "sequences")  # of a state


class Deaths(Ruled):
    """Deaths and revivals in a training stream; counted between `start` and `stop`, or inside a `with` block.

    Attributes
    ----------
    places : the layers attached to, in order.
    dead_after : n: a unit is dead that has not fired in the last n tokens of the training stream.
    steps, tokens, sequences : optimiser steps taken, and what was read in them by all processes together.
    """

    def __init__(
        self,
        model: nn.Module,
        dead_after: int,
        choose: Choice | None = None,
        of: Side | None = None,
        rule: Rule | None = None,
    ) -> None:
        if isinstance(dead_after, bool) or not isinstance(dead_after, numbers.Integral) or dead_after < 1:
            raise UserError(f"dead_after = {dead_after!r}: expected how many training tokens, 1 or more.")
        super().__init__(model, choose, of, rule)
        self.dead_after: int = int(dead_after)
        self.steps: int = 0
        self.tokens: int = 0
        self.sequences: int = 0
        self._seen: list[Seen | None] = [None] * len(self.places)
        self._widths: list[int | None] = [None] * len(self.places)
        self._tracker: DeathTracker | None = None
        self._course: Course = Course()

    def start(self) -> Self:
        """Begin to count, as entering a `with` block does."""
        return self.__enter__()

    def stop(self) -> None:
        """End counting, as leaving the block does; raises what it raises, and may be called again."""
        self.__exit__(None)

    def passes_over(self) -> bool:
        return not self.model.training  # evaluation is no training text

    def flags(self) -> Iterator[tuple[Place, Tensor]]:
        for place, seen in zip(self.places, self._seen, strict=True):
            if seen is not None:
                yield place, seen.not_a_number

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        place, seen, units = self.places[layer], self._seen[layer], activation.shape[-1]
        if seen is None:
            self.rule.check_width(layer, place, units)
            if self._widths[layer] not in (None, units):
                said = f"{place.name} has {units} units, and the state that was loaded {self._widths[layer]}"
                raise UserError(f"{said}; load the state that was saved with this model.")
            seen, self._widths[layer] = Seen(units, activation.device), units
            self._seen[layer] = seen
        else:
            same_layer(place, activation, len(seen.unit_tokens), seen.unit_tokens.device)
        seen.not_a_number |= not_a_number(activation, call)
        fired = self.rule.fired(layer, place, activation)
        if call.real is not None:
            fired = fired & call.real[..., None]
        if fired.device.type == "cpu":
            # seen anew, since a dimension of one may have any stride, which reading eight units at once does not bear
            per_unit = metrics.unit_counts(fired.contiguous().view(fired.shape))
        else:  # the same in one launch
            per_unit = fired.sum(1, dtype=torch.int32)
        seen.unit_tokens += per_unit.sum(0)
        seen.sequence_units += (per_unit > 0).sum()
        lengths = call.lengths_of(activation.shape[0], activation.shape[1])
        seen.tokens += lengths.tokens
        seen.sequences += lengths.begun

    def step(self) -> None:
        """Say that the optimiser took a step, on every process: the forward passes since the last one are its text.

        Raises
        ------
        UserError
            If the model read nothing in training mode since, or some layers read more of it than others.
        """
        self.whole()
        seen = self._read_alike()
        device = seen[0].unit_tokens.device
        by_layer = torch.stack([each.sequence_units.to(device) for each in seen])
        counts = [torch.cat([each.unit_tokens.to(device) for each in seen]), by_layer]
        tokens, sequences = seen[0].tokens, seen[0].sequences
        if distributed.world() > 1:  # one message; what is NaN on one process is so on all
            counts += [torch.stack([each.not_a_number.to(device) for each in seen]).long()]
            counts += [torch.tensor([tokens, sequences], device=device)]
            *counts, nan, read = distributed.sum_(torch.cat(counts)).split([len(each) for each in counts])
            for each, found in zip(seen, nan, strict=True):
                each.not_a_number |= (found > 0).to(each.not_a_number.device)
            tokens, sequences = read.tolist()
        if not tokens:
            raise UserError(
                "no training text since the last step: call step() once after an optimiser step, on a model that "
                "is in training mode (model.train()) and was run inside the block."
            )
        for each in seen:
            each.clear()
        self.steps, self.tokens, self.sequences = self.steps + 1, self.tokens + tokens, self.sequences + sequences
        tracker, (unit_tokens, sequence_units) = self._tracker_on(device), counts
        firings = torch.stack([row.sum() for row in tracker.rows(unit_tokens)])
        tracker.update(unit_tokens, firings, sequence_units, self.tokens)
        if self._course.takes(self.steps):
            self._course.add(self._now(tracker))

    def _read_alike(self) -> list[Seen]:
        """What every layer has seen, which must be the same text."""
        seen = [each for each in self._seen if each is not None]
        read = [0 if each is None else each.tokens for each in self._seen]
        if len(set(read)) > 1:
            least, most = (self.places[read.index(some(read))].name for some in (min, max))
            raise UserError(
                f"since the last step {least} read {min(read):,} tokens and {most} {max(read):,}: these are not one "
                "stream of text; track layers that read the same, chosen by a pattern, in a tracker of their own."
            )
        if not seen:
            said = "no training text yet: run the model in training mode (model.train()) inside the block before step()"
            raise UserError(said + ".")
        return seen

    def _tracker_on(self, device: torch.device | str) -> DeathTracker:
        """What knows who is dead, moved there if it is elsewhere; the one rule of death is its `update`."""
        held = self._tracker
        if held is None or held.last_fired.device != torch.device(device):
            widths = [width for width in self._widths if width is not None]
            self._tracker = DeathTracker(widths, self.dead_after, device)
            if held is not None:
                self._tracker.load(held.state())
        assert self._tracker is not None
        return self._tracker

    def _now(self, tracker: DeathTracker) -> Now:
        return Now.of(tracker, self.steps, self.tokens, self.sequences)

    def since_fired(self) -> list[Tensor]:
        """Training tokens since each unit last fired, or since the beginning, layer by layer: (unit)."""
        return (tracker := self._begun()).rows(self.tokens - tracker.last_fired)

    def _begun(self) -> DeathTracker:
        self.check()
        if self._tracker is None:
            raise UserError("no training step was counted: call step() once after every optimiser step.")
        return self._tracker

    def state_dict(self) -> dict[str, Any]:
        """What goes into a checkpoint, the same on every process; to be taken between steps.

        Raises
        ------
        UserError
            If text was read since the last step, which would be lost.
        FloatingPointError
            If an activation was NaN.
        """
        self.check()
        if any(seen is not None and seen.tokens for seen in self._seen):
            raise UserError("text was read since the last step, which a state does not hold: call step() before.")
        held = {} if self._tracker is None else {name: value.clone() for name, value in self._tracker.state().items()}
        return {
            "layers": [place.name for place in self.places],
            "widths": list(self._widths) if held else [],
            "rule": self.rule.name,
            **{name: getattr(self, name) for name in NUMBERS},
            **held,
            **self._course.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, to the bit; on any number of processes.

        What was read since the last step is forgotten, and so is what went wrong in it, such as a NaN.

        Raises
        ------
        UserError
            If it is of other layers, another rule or another n, or no state of a death tracker.
        """
        check_state(state)
        ours = {"layers": [place.name for place in self.places], "rule": self.rule.name, "dead_after": self.dead_after}
        ours |= {"widths": self._widths} if state["widths"] and None not in self._widths else {}
        for name, value in ours.items():
            if state[name] != value:
                said = f"the state has {name} = {state[name]!r}, and this tracker {value!r}"
                raise UserError(f"{said}; load the state that was saved with this model and this tracker.")
        self.steps, self.tokens, self.sequences = (int(state[name]) for name in NUMBERS[1:])
        self._seen, self.failed, self._calls.cut = [None] * len(self.places), "", False
        self._course = Course.from_state(state)
        self._tracker = None
        if state["widths"]:
            self._widths = list(state["widths"])
            self._tracker_on("cpu").load(dict(state))

    def dataset(self) -> xr.Dataset:
        """Deaths and revivals under the names of the book's chapter on death; `results.save` writes it.

        `dead_units`, `deaths`, `revivals`, `train_token_use`, `train_sequence_use` (seed, step, layer) at up to a
        thousand evenly spaced steps and the last; `last_fired`, `death_onset`, `death_count`, `revival_count` (seed,
        layer, unit). `seed` has length one.

        Raises
        ------
        UserError
            If no step was counted, or layers differ in width; see `since_fired` then.
        """
        tracker = self._begun()
        one_width(tracker.widths, "since_fired()")
        found = self._course.dataset(tracker, self._now(tracker), [place.name for place in self.places])
        found.attrs |= {"name": type(self.model).__name__, "rule": self.rule.name}
        return found

    def __repr__(self) -> str:
        lines = [f"{type(self.model).__name__}, {self.steps:,} steps, {self.tokens:,} tokens; {self.rule.name}"]
        if self._tracker is None:
            return "\n".join([*lines, *(f"  {place}: not counted yet" for place in self.places), *self._rest()])
        tracker = self._begun()
        totals = self._now(tracker).totals[:3].T.tolist()
        for place, units, (dead, deaths, revivals) in zip(self.places, tracker.widths, totals, strict=True):
            early = f"none can be dead before {self.dead_after:,} tokens" if self.tokens < self.dead_after else ""
            said = early or f"{dead:,} dead, {deaths:,} deaths, {revivals:,} revivals"
            lines.append(f"  {place}: {units:,} units, {said}")
        return "\n".join([*lines, *self._rest()])


def track_deaths(
    model: nn.Module,
    dead_after: int = 1_048_576,
    layers: Choice | None = None,
    *,
    of: Side | None = None,
    rule: Rule | None = None,
) -> Deaths:
    """Follow which hidden units of a model die and come back while your own loop trains it, exactly.

    Parameters
    ----------
    model
        As for `track`. Wrapped in DistributedDataParallel or shared out by `fully_shard`, every process tracks its own
        copy, and takes part in `step`; each must read its own part of the text, as under data parallelism.
    dead_after
        n, in training tokens: a unit is dead once it has fired at none of the last n. Take a multiple of a step's.
    layers, of, rule
        As for `track`.

    Returns
    -------
    Deaths
        To be used with ``with``, or with ``start()`` and ``stop()``. Call ``step()`` once after every step of the
        optimiser; it is the resolution: a firing is dated to the end of its step. What the model reads in training
        mode counts, however many forward passes make a step; what it reads after ``model.eval()`` does not, nor does
        padding, nor what activation checkpointing runs again. A module that one call runs several times, as ALBERT's,
        reads its text as often. ``state_dict()`` goes into your checkpoint. Memory depends on the units, not on the
        text. Inside the block a compiled model runs uncompiled.

    Raises
    ------
    UserError
        As `track` does; if `dead_after` is no number of tokens.
    FloatingPointError
        At the end of the block or at the first reading, if an activation was NaN.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with track_deaths(model, dead_after=40, layers="1") as deaths:
    ...     for _ in range(3):
    ...         model(torch.ones(4, 5, 2)).sum().backward()
    ...         optimizer.step()
    ...         deaths.step()
    >>> deaths.tokens, deaths.dataset()["dead_units"].sizes["step"]
    (60, 3)
    """
    return Deaths(model, dead_after, layers, of, rule)
