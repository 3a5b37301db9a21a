"""What a killed run needs to go on to the bit: the log of its steps and its latest whole states."""

import json
import math
import shutil
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import distributed, results
from .errors import UserError

if TYPE_CHECKING:
    from .train import Trainer

STATE = "state.safetensors"
KEPT_STATES = 2  # if the newest is damaged, the one before it still resumes


class Log:
    """metrics.jsonl: one line a step, kept on the device until a flush so that a GPU need not wait."""

    def __init__(self, path: Path, enabled: bool) -> None:
        self.path = path / "metrics.jsonl"
        self.enabled = enabled
        self.losses: list[float] = []  # of steps 1, 2 …
        self.waiting: list[tuple[int, float, Tensor, Tensor]] = []

    def keep(self, step: int) -> None:
        """Forget the lines after `step`: they will be made again."""
        lines = self.path.read_text().splitlines()[:step] if step and self.path.is_file() else []
        try:
            rows = [json.loads(line) for line in lines]
            whole = [row["step"] for row in rows] == list(range(1, step + 1))
            self.losses = [row["loss"] for row in rows]
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise UserError(
                f"{self.path} is damaged: expected lines for steps 1 to {step}; delete the run's folder to start again."
            )
        if self.enabled:
            with results.atomic_write(self.path) as temporary:
                temporary.write_text("".join(line + "\n" for line in lines))

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
                with open(self.path, "a") as file:
                    for step, lr, loss, norm in good:
                        file.write(json.dumps({"step": step, "lr": lr, "loss": loss, "gradient_norm": norm}) + "\n")
            if len(good) < len(rows):
                step, lr, loss, _ = rows[len(good)]
                raise FloatingPointError(
                    f"the loss became {loss} at step {step} (learning rate {lr:.3g}); everything measured before is "
                    "kept. Lower lr, lengthen warmup or lower clip."
                )
        return self.losses[-1] if self.losses else math.nan

    def mean(self, after: int, until: int) -> float:
        """Mean loss of the steps after `after` up to `until`."""
        part = self.losses[after:until]
        return math.fsum(part) / len(part) if part else math.nan


def tidy(path: Path) -> None:
    """Remove what a killed process left half written; the caller holds the run's lock."""
    for leftover in [*path.glob(".*"), *path.glob("*/.*")]:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def save(trainer: "Trainer", path: Path, seconds: float) -> None:
    """Write model, optimiser and death tracker after the current step; older states go when it is whole."""
    moments = trainer.optimizer.state_dict()["state"]
    tensors = {f"optimizer/{i}/{name}": value for i, row in moments.items() for name, value in row.items()}
    tensors = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    tensors |= {f"model/{name}": value for name, value in trainer.model.named_parameters()}  # tied ones once
    # whatever the number of processes, the state is that of one: any other number can take it up
    tensors = {name: distributed.whole(value.detach()).cpu() for name, value in tensors.items()}
    if distributed.rank():
        return
    folder = path / "states"
    temporary, target = folder / f".{trainer.step:08d}", folder / f"{trainer.step:08d}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    tensors |= {f"deaths/{name}": value for name, value in trainer.deaths.state().items()}
    tensors |= {"step": torch.tensor(trainer.step), "seconds": torch.tensor(seconds, dtype=torch.float64)}
    with results.sealed_write(temporary / STATE) as file:
        save_file({name: value.contiguous() for name, value in tensors.items()}, file)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    for old in sorted(folder.glob("[0-9]*"))[:-KEPT_STATES]:
        shutil.rmtree(old)


def restore(trainer: "Trainer", path: Path) -> float:
    """Load the newest state, if any, into the trainer; the seconds spent before it.

    Raises
    ------
    UserError
        If the state is damaged; deleting its folder resumes from the one before.
    """
    states = sorted((path / "states").glob("[0-9]*"))
    if not states:
        return 0.0
    results.check(states[-1] / STATE, f"delete the folder {states[-1]} to resume from the state before")
    tensors = load_file(states[-1] / STATE, device=str(trainer.device))
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            parameter.copy_(distributed.as_held(tensors[f"model/{name}"], parameter))
    trainer.deaths.load({n.removeprefix("deaths/"): t for n, t in tensors.items() if n.startswith("deaths/")})
    moments: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            # step counts live on the CPU unless the optimiser is fused; load_state_dict moves them then
            held = value.cpu() if key == "step" else distributed.as_held(value, parameters[int(index)])
            moments.setdefault(int(index), {})[key] = held
    trainer.optimizer.load_state_dict(trainer.optimizer.state_dict() | {"state": moments})
    trainer.step = int(tensors["step"])
    return float(tensors["seconds"])
