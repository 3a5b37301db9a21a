"""What a killed run needs to go on to the bit: the log of its steps and its latest whole states."""

import hashlib
import json
import math
import shutil
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import distributed
from ..errors import UserError
from ..interventions.inputs import weights
from ..store import sealed
from .step import Trainer

ENVIRONMENT = "environment.json"
LOG = "metrics.jsonl"
"""Of a run's directory: what `Log` writes."""
STATES, STATE = "states", "state.safetensors"
FORK_STATES = "fork_states"
"""Folder of the states that forks go on from; they stay when the run has ended."""
KEPT_STATES = 2  # if the newest is damaged, the one before it still resumes


class Log:
    """metrics.jsonl: one line a step, kept on the device until a flush so that a GPU need not wait."""

    def __init__(self, path: Path, enabled: bool, begin: int = 0) -> None:
        """Of the steps after `begin`, which those before are not a fork's own."""
        self.path = path / LOG
        self.enabled, self.begin = enabled, begin
        self.losses: list[float] = []  # of steps begin + 1, begin + 2 …
        self.waiting: list[tuple[int, float, Tensor, Tensor]] = []
        self._written = hashlib.sha256()

    @property
    def last(self) -> int:
        """The last step that was written."""
        return self.begin + len(self.losses)

    @property
    def checksum(self) -> str:
        """sha256 of all lines written: a state keeps it, for the lines up to its step, since the file grows on."""
        return self._written.hexdigest()

    def keep(self, step: int, checksum: str) -> None:
        """Forget the lines after `step`: they will be made again.

        Raises
        ------
        UserError
            If those up to it are not the ones of this checksum.
        """
        own = step - self.begin
        with sealed.told(self.path, "read", "delete the run's folder to start again"):
            lines = self.path.read_bytes().splitlines(keepends=True)[:own] if own and self.path.exists() else []
        self._written = hashlib.sha256(b"".join(lines))
        if own and (len(lines) < own or self.checksum != checksum):
            raise UserError(
                f"{self.path} is damaged: expected the lines of steps {self.begin + 1} to {step} as they were written; "
                "delete the run's folder to start again."
            )
        self.losses = [json.loads(line)["loss"] for line in lines]
        if self.enabled:
            sealed.sidecar(self.path).unlink(missing_ok=True)
            with sealed.atomic_write(self.path) as temporary:
                temporary.write_bytes(b"".join(lines))

    def close(self) -> None:
        """Seal the file, now that it is complete."""
        if self.enabled:
            sealed.seal(self.path, self.checksum)

    def add(self, step: int, lr: float, loss: Tensor, gradient_norm: Tensor) -> None:
        self.waiting.append((step, lr, loss, gradient_norm))

    def flush(self) -> float:
        """Write what waits; the last loss.

        Raises
        ------
        FloatingPointError
            At the first step whose loss is not finite; earlier steps are written.
        """
        if self.waiting:
            numbers = torch.stack([torch.stack((loss, norm.to(loss))) for *_, loss, norm in self.waiting]).tolist()
            rows = [(step, lr, *pair) for (step, lr, *_), pair in zip(self.waiting, numbers, strict=True)]
            self.waiting = []
            good = list(takewhile(lambda row: math.isfinite(row[2]), rows))
            self.losses += [loss for _, _, loss, _ in good]
            if self.enabled:
                made = [dict(zip(("step", "lr", "loss", "gradient_norm"), row, strict=True)) for row in good]
                lines = "".join(json.dumps(row) + "\n" for row in made).encode()
                with sealed.told(self.path), open(self.path, "ab") as file:
                    file.write(lines)
                self._written.update(lines)
            if len(good) < len(rows):
                step, lr, loss, _ = rows[len(good)]
                raise FloatingPointError(
                    f"the loss became {loss} at step {step} (learning rate {lr:.3g}); everything measured before is "
                    "kept. Lower lr, lengthen warmup or lower clip."
                )
        return self.losses[-1] if self.losses else math.nan

    def mean(self, after: int, until: int) -> float:
        """Mean loss of the steps after `after` up to `until`."""
        part = self.losses[after - self.begin : until - self.begin]
        return math.fsum(part) / len(part) if part else math.nan


def tidy(path: Path) -> None:
    """Remove what a killed process left half written; the caller holds the run's lock. No link is followed."""
    for folder in (path, *(each for each in path.iterdir() if each.is_dir() and not each.is_symlink())):
        for leftover in folder.glob(".*"):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def forget(path: Path) -> None:
    """Remove the states of a run that has ended: nothing is left to resume."""
    if distributed.rank() == 0:
        shutil.rmtree(path / STATES, ignore_errors=True)


def check_begun(path: Path, environment: dict[str, Any], snapshots: int) -> int:
    """How many snapshots a run was begun with, if it is one to go on with; else as many as now.

    Raises
    ------
    UserError
        If another PyTorch began it, naming both versions: to the bit, it goes on in the same one only.
    """
    if not sealed.numbered(path / STATES):
        return snapshots
    advice = f"delete the folder {path} to train again"
    began = sealed.read_json(path / ENVIRONMENT, advice)["packages"]["torch"]
    if began != (here := environment["packages"]["torch"]):
        raise UserError(
            f"{path} was begun with PyTorch {began}, this is {here}: it would not go on to the bit; use that version, "
            "or delete the folder to train again."
        )
    return int(sealed.read_json(path / "config.json", advice)["train"]["snapshots"])


def save(trainer: Trainer, path: Path, log: str, states: str = STATES) -> None:
    """Write model, optimiser and trackers after the current step; older states go when it is whole.

    Parameters
    ----------
    log
        Checksum of the log up to this step.
    states
        The folder, in the run's; in that for forks, older states stay.
    """
    moments = [trainer.optimizer.state.get(parameter, {}) for parameter in trainer.numbered]
    tensors = {f"optimizer/{i}/{name}": value for i, row in enumerate(moments) for name, value in row.items()}
    tensors = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    tensors |= {f"model/{name}": value for name, value in weights(trainer.model).items()}  # tied ones once
    # whatever the number of processes, the state is that of one: any other number can take it up
    tensors = {name: distributed.whole(value.detach()).cpu() for name, value in tensors.items()}
    if distributed.rank():
        return
    folder = path / states
    temporary, target = folder / f".{trainer.step:08d}", folder / f"{trainer.step:08d}"
    tensors |= {f"deaths/{name}": value for name, value in trainer.deaths.state().items()}
    for name, part in trainer.followed.items():
        tensors |= {f"{name}/{of}": value for of, value in part.state().items()}
    tensors |= {f"control/{name}": value for name, value in trainer.control.state().items()}
    if trainer.config.prune.tokens:
        tensors |= {f"units/{name}": value for name, value in trainer.axis.state().items()}
    tensors |= {"step": torch.tensor(trainer.step), "seconds": trainer.laps.state()}
    tensors["log"] = torch.tensor(list(bytes.fromhex(log)), dtype=torch.uint8)
    with sealed.told(target):
        shutil.rmtree(temporary, ignore_errors=True)
        with sealed.sealed_write(temporary / STATE) as file:
            save_file({name: value.contiguous() for name, value in tensors.items()}, file)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        for old in list(sealed.numbered(folder).values())[:-KEPT_STATES] if states == STATES else ():
            shutil.rmtree(old)


def restore(trainer: Trainer, path: Path) -> str:
    """Load the newest state, if any, into the trainer, with the seconds spent before it; the log's checksum then.

    Raises
    ------
    UserError
        If the state is damaged; deleting its folder resumes from the one before.
    """
    states = sealed.numbered(path / STATES)
    if not states:
        return ""
    step, newest = max(states.items())
    tensors = take_up(trainer, newest, step, f"delete the folder {newest} to resume from the state before")
    for name, part in trainer.followed.items():
        part.load(_part(tensors, f"{name}/"))
    trainer.laps.load(tensors["seconds"])
    return bytes(tensors["log"].tolist()).hex()


def take_up(trainer: Trainer, folder: Path, step: int, advice: str, moments: bool = True) -> dict[str, Tensor]:
    """Load the state of a step into the trainer; its tensors, by name.

    Parameters
    ----------
    advice
        What to do if it is damaged.
    moments
        Whether the optimiser's state is taken up too; of parameters that it does not have, none is.

    Raises
    ------
    UserError
        If it is damaged.
    """
    sealed.check(folder / STATE, advice)
    with sealed.told(folder / STATE, "read", advice):
        tensors = load_file(folder / STATE, device=str(trainer.device))
    if int(tensors["step"]) != step:
        raise UserError(f"{folder} holds the state of step {int(tensors['step'])}; {advice}.")
    if gone := _part(tensors, "units/"):
        trainer.shrink(gone)
    with torch.no_grad():
        for name, tensor in weights(trainer.model).items():
            tensor.copy_(distributed.as_held(tensors[f"model/{name}"], tensor))
    for part, name in ((trainer.deaths, "deaths/"), (trainer.control, "control/")):
        part.load(_part(tensors, name))
    state: dict[int, dict[str, Tensor]] = {}
    held = [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]
    places = {parameter: place for place, parameter in enumerate(held)}
    for name, value in _part(tensors, "optimizer/").items() if moments else ():
        index, key = name.split("/")
        if (parameter := trainer.numbered[int(index)]) in places:
            # step counts live on the CPU unless the optimiser is fused; load_state_dict moves them then
            mine = value.cpu() if key == "step" else distributed.as_held(value, parameter)
            state.setdefault(places[parameter], {})[key] = mine
    trainer.optimizer.load_state_dict(trainer.optimizer.state_dict() | {"state": state})
    trainer.step = step
    return tensors


def _part(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """Those whose names begin so, by the rest of it."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
