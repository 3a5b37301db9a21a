"""How a fork begins: from a state that its parent keeps, which it reads and never copies."""

from importlib.metadata import version
from pathlib import Path

from ..config import RunConfig
from ..errors import UserError
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
