"""The course of a training as its death tracker saw it: totals of every layer, at a bounded number of steps."""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from .. import distributed
from ..counting.deaths import DeathTracker
from ..errors import UserError
from ..store import results
from ..store.schema import UNITS
from .ruled import LAYER_NAME

POINTS = 1000
"""Steps that are kept at most, besides the last one."""
TOTALS = ("dead", "deaths", "revivals", "stream_firings", "stream_sequence_units")
"""Rows of a `Now`: the first three summed over the layer's units."""


class Seen:
    """What a layer has seen since the last optimiser step."""

    def __init__(self, units: int, device: torch.device) -> None:
        self.unit_tokens = torch.zeros(units, dtype=torch.int64, device=device)  # tokens at which each unit fired
        self.sequence_units = torch.zeros((), dtype=torch.int64, device=device)  # units firing, summed over sequences
        self.not_a_number = torch.zeros((), dtype=torch.bool, device=device)
        self.tokens = self.sequences = 0

    def clear(self) -> None:
        self.unit_tokens.zero_()
        self.sequence_units.zero_()
        self.tokens = self.sequences = 0


@dataclass(frozen=True)
class Now:
    """Totals after one step, still on the device of the tracker."""

    step: int
    tokens: int
    sequences: int
    totals: Tensor
    """(total, layer): `TOTALS`, int64."""

    @classmethod
    def of(cls, tracker: DeathTracker, step: int, tokens: int, sequences: int) -> Self:
        of_units = torch.stack([getattr(tracker, name).long() for name in TOTALS[:3]])
        of_layers = [part.sum(1) for part in of_units.split(tracker.widths, dim=1)]
        rest = [getattr(tracker, name)[None] for name in TOTALS[3:]]
        return cls(step, tokens, sequences, torch.cat([torch.stack(of_layers, dim=1), *rest]))


@dataclass
class Course:
    """Every `every`-th step; when they become too many, every second goes, so that any training keeps 500 to 1,000."""

    every: int = 1
    kept: list[Now] = field(default_factory=list)

    def takes(self, step: int) -> bool:
        return step % self.every == 0

    def add(self, now: Now) -> None:
        self.kept.append(now)
        if len(self.kept) > POINTS:
            self.every *= 2
            self.kept = [each for each in self.kept if self.takes(each.step)]

    def state(self) -> dict[str, Tensor]:
        when = [(each.step, each.tokens, each.sequences) for each in self.kept]
        totals = [each.totals.cpu() for each in self.kept]
        return {
            "every": torch.tensor(self.every),
            "kept_when": torch.tensor(when, dtype=torch.int64).view(-1, 3),
            "kept_totals": torch.stack(totals) if totals else torch.zeros(0, len(TOTALS), 0, dtype=torch.int64),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        pairs = zip(state["kept_when"].tolist(), state["kept_totals"].unbind(), strict=True)
        return cls(int(state["every"]), [Now(*when, totals=totals.clone()) for when, totals in pairs])

    def dataset(self, tracker: DeathTracker, last: Now, names: list[str]) -> xr.Dataset:
        """All that is known after the last step, of layers of one width with these names; `seed` has length one."""
        kept = self.kept if self.kept and self.kept[-1].step == last.step else [*self.kept, last]
        # (total, step, layer); a state that was loaded may have left the earlier ones on another device
        totals = torch.stack([each.totals.cpu() for each in kept], dim=1).numpy()
        tokens, sequences = (np.array([getattr(each, name) for each in kept]) for name in ("tokens", "sequences"))
        change = np.diff(totals, axis=1, prepend=0)
        units = np.array(tracker.widths, dtype=float)
        of_units = {
            name: torch.stack(tracker.rows(getattr(tracker, name))).cpu().numpy()
            for name in ("last_fired", "onset", "deaths", "revivals")
        }
        by_step = {
            "dead_units": np.where(tokens[:, None] >= tracker.dead_after, totals[0], np.nan),
            "deaths": change[1],
            "revivals": change[2],
            "train_token_use": change[3] / (np.diff(tokens, prepend=0)[:, None] * units),
            "train_sequence_use": change[4] / (np.diff(sequences, prepend=0)[:, None] * units),
        }
        by_unit = {
            "last_fired": of_units["last_fired"],
            "death_onset": np.where(of_units["onset"] >= 0, of_units["onset"], np.nan),
            "death_count": of_units["deaths"],
            "revival_count": of_units["revivals"],
        }
        values: dict[str, tuple[tuple[str, ...], Any]] = {
            "seed": (("seed",), [0]),
            "step": (("step",), [each.step for each in kept]),
            "layer": (("layer",), np.arange(len(names))),
            "tokens": (("step",), tokens),
            "layer_name": (("layer",), names),
        }
        values |= {name: (("seed", "step", "layer"), value[None]) for name, value in by_step.items()}
        values |= {name: (("seed", "layer", "unit"), value[None]) for name, value in by_unit.items()}
        facts = {
            "environment": results.environment(str(tracker.last_fired.device)),
            "tokens_seen": last.tokens,
            "processes": distributed.world(),
        }
        dataset = results.described(values, UNITS | LAYER_NAME).set_coords(["tokens", "layer_name"])
        return dataset.assign_attrs(
            provenance=json.dumps(facts, sort_keys=True), d_ff=tracker.widths[0], dead_after=tracker.dead_after
        )


def check_state(state: object) -> None:
    """Raise UserError if this is not what the `state_dict` of a death tracker gave."""
    held = state if isinstance(state, Mapping) else {}
    widths = held.get("widths") or []
    if not isinstance(widths, list) or not all(_is_number(each) and each for each in widths):
        raise _damaged(f"its widths are {reprlib.repr(widths)}, not numbers of units")
    plain = ("layers", "widths", "rule", "dead_after", "steps", "tokens", "sequences")
    tensors = dict(Course().state() | (DeathTracker(widths, 1).state() if widths else {}))
    missing = [name for name in (*plain, *tensors) if name not in held]
    if missing:
        raise UserError(f"this is no state of a death tracker (no {missing[0]!r}); give what its state_dict() gave.")
    for name in tensors:
        if not isinstance(held[name], Tensor):
            raise _damaged(f"its {name} is of type {type(held[name]).__name__}, not a tensor")
    for name in plain[3:]:
        if not _is_number(held[name]):
            raise _damaged(f"its {name} is {reprlib.repr(held[name])}, not a number of 0 or more")
    shapes = {name: value.shape for name, value in tensors.items() if not name.startswith("kept_")}
    kept = len(held["kept_when"]), len(TOTALS), len(widths)
    shapes |= {"kept_when": torch.Size((kept[0], 3)), "kept_totals": torch.Size(kept)}
    for name, shape in shapes.items():
        if held[name].shape != shape:
            raise _damaged(f"its {name} is of shape {tuple(held[name].shape)}, not {tuple(shape)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _damaged(what: str) -> UserError:
    return UserError(f"the state is damaged: {what}; give what state_dict() gave.")
