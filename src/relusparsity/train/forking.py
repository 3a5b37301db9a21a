"""How a fork begins: from a state that its parent keeps, which it reads and never copies."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..config import RunConfig
from ..errors import UserError
from ..interventions import forks
from ..store import sealed
from . import resuming
from .step import Trainer

PARENT = "parent.json"
"""Of a fork's directory: its parent's id, and the checksum of the state that it began from."""


def state(parent: Path, config: RunConfig) -> Path:
    """Folder of the state that a fork begins from, in its parent's directory.

    Raises
    ------
    UserError
        If the parent has none there, saying what to train.
    """
    folder = parent / resuming.FORK_STATES / f"{config.begin_step:08d}"
    if not folder.is_dir():
        before = f"delete {parent}, which was trained without, and " if (parent / "dataset.nc").is_file() else ""
        raise UserError(
            f"the fork has no state to go on from: {folder} does not exist; {before}train its parent, the same "
            f"configuration without a fork, with train.fork_states = ({config.fork.tokens},)."
        )
    return folder


def begin(trainer: Trainer, parent: Path, path: Path, enabled: bool) -> None:
    """Take up the parent's state, and keep in the fork's directory (`path`) which it was.

    Raises
    ------
    UserError
        If there is no such state, it is damaged, or another PyTorch made it.
    """
    config, folder = trainer.config, state(parent, trainer.config)
    advice = f"delete the folder {parent} and train it again, with train.fork_states = ({config.fork.tokens},)"
    made = sealed.read_json(parent / resuming.ENVIRONMENT, advice)["packages"]["torch"]
    if made != (here := version("torch")):
        raise UserError(
            f"{folder} was made with PyTorch {made}, this is {here}: the fork would not go on as its parent; use that "
            f"version, or {advice}."
        )
    resuming.take_up(trainer, folder, config.begin_step, advice, moments=not config.fork.zero_moments)
    if trainer.hazard:
        trainer.hazard.begin()
    if enabled:
        checksum = sealed.sha256(folder / resuming.STATE)
        sealed.write_json(path / PARENT, {"run_id": parent.name.removeprefix("run-"), "state": checksum})


def left_out(parent: Path, config: RunConfig) -> set[int]:
    """Steps before each of those that move nothing in a fork, read off its parent's log; see `forks.left_out`.

    Raises
    ------
    UserError
        If that log is lost or damaged, or ends before the fork does.
    """
    lines = sealed.read(parent / resuming.LOG, f"delete the folder {parent} and train it again").splitlines()
    if len(lines) < config.end_step:
        raise UserError(
            f"{parent / resuming.LOG} ends after step {len(lines)}, and the fork leaves out batches of steps up to "
            f"{config.end_step}; use leave_out = none, or a parent that did not stop."
        )
    norms = np.array([json.loads(line)["gradient_norm"] for line in lines[config.begin_step : config.end_step]])
    return {config.begin_step + step for step in forks.left_out(norms, config.fork, config.seed)}
