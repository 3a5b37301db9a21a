"""When a run is measured, what is kept each time, and what comes of it in the end."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from .. import distributed
from ..config import RunConfig, to_dict
from ..corpora.tasks import Task
from ..counting import DeathTracker
from ..screens import Screen, measured_steps
from ..store import results, sealed
from ..store.schema import (
    ASKED_FOR,
    CONTROL,
    FALLS,
    FINAL,
    HISTORY,
    MEASURED,
    OF_TEXT,
    PREDICTED,
    PREDICTED_AT_THE_END,
)
from . import evaluate, predictions, provenance
from .axis import COUNTERS, UnitAxis
from .resuming import Log
from .step import Trainer
from .timetable import history_steps, history_units, own_steps, saved_steps, weights_file

STOPPED = "stopped.nc"
"""Of a run that diverged, or that a screen stopped: what was measured before, and why."""


class Recorder:
    """Measures a trainer at its steps; each measurement is one small file, so a kill loses at most one."""

    def __init__(self, config: RunConfig, task: Task, path: Path, enabled: bool) -> None:
        self.config, self.task, self.path, self.enabled = config, task, path, enabled
        train, measure = config.train, config.measure
        steps = measured_steps(train.steps, measure.points)
        self.steps = own_steps(config, steps)
        self.history = own_steps(config, history_steps(steps, measure.histories))
        self.units = history_units(max(config.model.widths), measure.history_units)
        self.snapshots = set(saved_steps(config, train.snapshots))
        self.counted = (  # step → what the units' firings on the final sets are called there
            {config.end_step - measure.earlier: "earlier_firing_count"} if measure.earlier else {}
        ) | ({config.begin_step: "fork_firing_count"} if measure.earlier and config.fork.tokens else {})
        self.set_sequences = measure.set_tokens // config.model.seq_len

    def due(self, step: int) -> bool:
        return step in self.steps

    def _file(self, step: int) -> Path:
        return self.path / "measurements" / f"{step:08d}.npz"

    @property
    def _again(self) -> str:
        return f"without it the run would have a gap: delete the folder {self.path} to train again"

    def check_kept(self, step: int, snapshots: int) -> None:
        """Before a run goes on from a step: that all measurements and weights up to there are whole.

        Parameters
        ----------
        snapshots
            As many as the run was begun with; it may go on with another number.

        Raises
        ------
        UserError
            Naming the file that is lost or damaged.
        """
        kept = [self._file(each) for each in self.steps if each <= step]
        kept += [weights_file(self.path, each) for each in saved_steps(self.config, snapshots) if each <= step]
        kept += [self._counts_file(name) for at, name in self.counted.items() if at <= step]
        for path in kept if step > self.config.begin_step else ():
            sealed.check(path, self._again)

    def measure(self, trainer: Trainer, log: Log) -> dict[str, Any]:
        """Measure after the current step and write it down; what was measured, by name."""
        row = self.row(trainer, log)
        if self.enabled:
            with sealed.sealed_write(self._file(trainer.step)) as temporary:
                np.savez(temporary, **row)
        return row

    def row(self, trainer: Trainer, log: Log) -> dict[str, Any]:
        """What is kept of one measurement, by name."""
        step, measure = trainer.step, self.config.measure
        with distributed.gathered(trainer.model):
            seen = evaluate.measure(
                trainer.model,
                evaluate.some(self.task.heldout, 0, measure.sets * self.set_sequences),
                self.set_sequences,
                trainer.axis.indices(self.units) if step in self.history else (),
                self.config.train.precision,
            )
        previous = max((s for s in self.steps if s < step), default=step)
        deaths, axis = trainer.deaths, trainer.axis
        return {
            "batch_use": seen.batch_use.mean(0) * axis.share,
            **{name: _of_all(getattr(seen.use, name)(), axis) for name in _SHARES},
            "firing_rate_percentiles": seen.use.firing_rate_percentiles(),
            "silent_units": seen.use.silent_units(),
            "heldout_loss": seen.score.loss,
            **self._bits("heldout", seen.score),
            "heldout_accuracy": seen.score.accuracy,
            "train_loss": log.mean(previous, step),
            "dead_units": _dead_units(deaths, trainer.tokens),
            "deaths": _per_layer(deaths, deaths.deaths) + axis.gone("deaths"),
            "revivals": _per_layer(deaths, deaths.revivals) + axis.gone("revivals"),
            "stream_firings": np.array(deaths.stream_firings.tolist()),  # copies: the tracker counts on in place
            "stream_sequence_units": np.array(deaths.stream_sequence_units.tolist()),
            "width": np.array(deaths.widths),
            "training_seconds": trainer.laps.seconds["training"],
            **{name: axis.of(self.units, each) for name, each in seen.drift.items() if name in HISTORY},
            "gamma": np.stack(seen.drift["gamma"]),
            **(predictions.at_a_step(trainer.model, self.task) if measure.predictions else {}),
        }

    @property
    def _tokens_per_byte(self) -> float | None:
        return self.task.tokens_per_byte

    def _bits(self, when: str, score: evaluate.Score) -> dict[str, float]:
        """Bits per byte by their name, of text."""
        rate = self._tokens_per_byte
        return {} if rate is None else {f"{when}_bits_per_byte": score.bits_per_byte(rate)}

    def _counts_file(self, name: str) -> Path:
        return self.path / "measurements" / f"{name}.npz"

    def count_firings(self, trainer: Trainer) -> None:
        """Read the final sets before the end, in float32, and write down at how many tokens each unit fired."""
        name = self.counted[trainer.step]
        seen = self._final(trainer, name.replace("_", " ")).use.counts()
        counts = trainer.axis.table([use.unit_tokens.int().cpu().numpy() for use in seen])
        if self.enabled:
            with sealed.sealed_write(self._counts_file(name)) as temporary:
                np.savez(temporary, allow_pickle=False, **{name: counts})

    def _final(self, trainer: Trainer, progress: str) -> evaluate.Measurement:
        """What is read of the final sets."""
        with distributed.gathered(trainer.model):
            return evaluate.measure(
                trainer.model,
                evaluate.some(self.task.final, 0, self.config.measure.final_sets * self.set_sequences),
                self.set_sequences,
                progress=progress,
            )

    def finish(self, trainer: Trainer) -> None:
        """Measure the end, in float32 on the final sets, and write the whole dataset."""
        end = self.end(trainer)
        if self.enabled:
            rows = self.rows(self.steps)
            values = self.over(rows) | end | self.asked_for(trainer)
            results.save(self._dataset(values, rows, trainer, trainer.step), self.path / "dataset.nc")

    def end(self, trainer: Trainer) -> dict[str, tuple[tuple[str, ...], Any]]:
        """Dimensions and values of what is measured once, at the end, by name."""
        values = self._at_the_end(trainer, self._final(trainer, "final measurement"))
        judged = predictions.at_the_end(trainer.model, self.task) if self.config.measure.predictions else {}
        return values | {name: (PREDICTED_AT_THE_END[name][0], value) for name, value in judged.items()}

    def asked_for(self, trainer: Trainer) -> dict[str, tuple[tuple[str, ...], Any]]:
        """Dimensions and values of what is measured in a fork alone, or where a field asks for it, by name."""
        values: dict[str, Any] = {}
        for name in self.counted.values():
            values |= np.load(io.BytesIO(sealed.read(self._counts_file(name), self._again)), allow_pickle=False)
        if trainer.hazard:
            before = trainer.hazard.before.cpu().numpy()
            values["fork_last_fired"] = UnitAxis(widths := self.config.model.widths).table(
                np.split(before, np.cumsum(widths)[:-1])
            )
        values |= {name: of for each in trainer.followed.values() for name, of in each.arrays().items()}
        if self.config.prune.tokens:
            values["removed_at"] = trainer.axis.removed_at
        return {name: ((ASKED_FOR | FALLS)[name][0], value) for name, value in values.items()}

    def keep_stopped(self, trainer: Trainer, last: int, why: str, screen: Screen | None = None) -> None:
        """After a run that had to stop, `last` its last step in order: what was measured, and why, as stopped.nc."""
        # it may have stopped in measuring the last step itself
        steps = [step for step in self.steps if step < last or (step == last and self._file(step).is_file())]
        if self.enabled and steps:
            rows = self.rows(steps)
            dataset = self._dataset(self.over(rows), rows, trainer, last)
            dataset.attrs |= {"stopped_after_step": last, "stopped": why}
            if screen:
                dataset.attrs["screen"] = json.dumps(to_dict(screen) | {"rule": screen.words})
            results.save(dataset, self.path / STOPPED)

    def rows(self, steps: Iterable[int]) -> dict[int, dict[str, Any]]:
        """What was written down of these steps: step → values by name."""
        files = {step: io.BytesIO(sealed.read(self._file(step), self._again)) for step in steps}
        return {step: dict(np.load(file, allow_pickle=False)) for step, file in files.items()}

    def over(self, rows: dict[int, dict[str, Any]]) -> dict[str, tuple[tuple[str, ...], Any]]:
        """Dimensions and values of measurements, (step → row), by name."""
        steps = list(rows)
        model, batch = self.config.model, self.config.train.batch_tokens
        tokens = np.array(steps, dtype=np.int64) * batch
        out: dict[str, tuple[tuple[str, ...], Any]] = {"step": (("step",), steps), "tokens": (("step",), tokens)}
        since = np.diff(tokens, prepend=0)[:, None].astype(float)
        since[0] = np.nan  # nothing was trained before the first measurement
        sequences = since / model.seq_len

        def change(name: str) -> np.ndarray:  # of a sum since the start of training, or of a fork's parent
            total = np.stack([rows[step][name] for step in steps])
            return np.diff(total, axis=0, prepend=total[:1])

        derived = {
            "deaths": change("deaths"),
            "revivals": change("revivals"),
            "train_token_use": change("stream_firings") / (sequences * model.layer_positions * model.widths),
            "train_sequence_use": change("stream_sequence_units") / (sequences * model.widths),
        }
        judged = self.config.measure.predictions
        for name, (dims, *_) in (MEASURED | (PREDICTED if judged else {})).items():
            if name in OF_TEXT and self._tokens_per_byte is None:
                continue
            value = derived.get(name)
            out[name] = (("step", *dims), np.stack([rows[s][name] for s in steps]) if value is None else value)
        drift = [step for step in steps if step in self.history]
        if model.is_uneven or self.config.prune.tokens:
            out["width"] = (ASKED_FOR["width"][0], np.stack([rows[step]["width"] for step in steps]))
        out["history_step"] = (("history_step",), drift)
        out["history_tokens"] = (("history_step",), np.array(drift, dtype=np.int64) * batch)
        for name, (dims, *_) in HISTORY.items():
            out[name] = (("history_step", *dims), np.stack([_rounded(rows[s][name]) for s in drift]))
        return out

    def _at_the_end(self, trainer: Trainer, final: evaluate.Measurement) -> dict[str, tuple[tuple[str, ...], Any]]:
        tracked, axis = trainer.deaths, trainer.axis

        def table(rows: Iterable[Tensor], counter: str | None = None) -> np.ndarray:
            return axis.table([row.cpu().numpy() for row in rows], counter)

        deaths = {name: table(tracked.rows(getattr(tracked, name)), name) for name in COUNTERS}
        values = {
            "final_batch_use": final.batch_use * axis.share,
            **{f"final_{name}": _of_all(getattr(final.use, name)(), axis) for name in _FINAL_SHARES},
            "position_use": _of_all(final.use.position_use(), axis),
            "final_firing_count": table(use.unit_tokens.int() for use in final.use.counts()),
            "final_sequences_fired": table(use.unit_sequences.int() for use in final.use.counts()),
            "last_fired": deaths["last_fired"],
            "death_onset": np.where(deaths["onset"] >= 0, deaths["onset"], np.nan),
            "death_count": deaths["deaths"],
            "revival_count": deaths["revivals"],
            "final_loss": final.score.loss,
            **self._bits("final", final.score),
            "final_accuracy": final.score.accuracy,
        }
        values |= trainer.control.measured()
        return {name: ((FINAL | CONTROL)[name][0], value) for name, value in values.items()}

    def _dataset(
        self, values: dict[str, Any], rows: dict[int, dict[str, Any]], trainer: Trainer, last: int
    ) -> xr.Dataset:
        values |= {"history_unit": (("history_unit",), self.units)}
        values |= predictions.COORDINATES if self.config.measure.predictions else {}
        seconds = [float(row["training_seconds"]) for row in rows.values()]
        return provenance.dataset(values, self.config, self.task, trainer, self.path, last, seconds, self._again)


_FINAL_SHARES = ("token_use", "sequence_use", "window_use", "rarefied_use")
_SHARES = (*_FINAL_SHARES, "token_use_percentiles", "sequence_use_percentiles")


def _of_all(share: np.ndarray, axis: UnitAxis) -> np.ndarray:
    """A share of the units that a layer has, (layer, …), as one of those that it began with."""
    return share * axis.share.reshape(-1, *[1] * (share.ndim - 1))


def _per_layer(deaths: DeathTracker, of_units: Tensor) -> np.ndarray:
    """Sums over the units of each layer: (layer)."""
    return torch.stack([row.sum() for row in deaths.rows(of_units)]).cpu().numpy()


def _dead_units(deaths: DeathTracker, tokens: int) -> np.ndarray:
    """Dead units after so many training tokens, NaN where a layer could not have any yet: (layer)."""
    known = tokens >= np.array(deaths.dead_after)
    dead = _per_layer(deaths, deaths.dead)
    return dead if known.all() else np.where(known, dead, np.nan)


def _rounded(values: np.ndarray) -> np.ndarray:
    """float32 with 11 significant bits (error ≤ 0.05 %): drift is read off a figure, and compresses threefold."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << 11)) & np.uint32(0xFFFFF000)).view(np.float32)
