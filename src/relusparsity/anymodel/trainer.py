"""`TrackDeaths`: deaths and revivals while `transformers.Trainer` trains, saved and resumed with its checkpoints."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import TrainerCallback

from ..errors import UserError
from ..store import sealed
from .attach import Choice, Side
from .deaths import Deaths, track_deaths
from .rules import Rule

FILE = "deaths.safetensors"
"""In the folder of a checkpoint, with its checksum beside it."""


class TrackDeaths(TrainerCallback):  # type: ignore[misc]
    """Follows which hidden units die and come back while a `Trainer` trains; see `track_deaths`.

    Parameters
    ----------
    dead_after, layers, of, rule
        As for `track_deaths`.
    resume_from
        Folder of the checkpoint that training goes on from, if it is neither `TrainingArguments.resume_from_checkpoint`
        nor the one of that step in the output folder.

    Attributes
    ----------
    deaths : what is counted; after training, read its `dataset()`. None before training.

    Raises
    ------
    UserError
        When training begins: what `track_deaths` raises, or if training goes on from a checkpoint that has no deaths.

    Examples
    --------
    >>> callback = TrackDeaths(dead_after=262_144)
    >>> # Trainer(model, arguments, train_dataset=text, callbacks=[callback]).train()
    >>> # callback.deaths.dataset()
    """

    def __init__(
        self,
        dead_after: int = 1_048_576,
        layers: Choice | None = None,
        *,
        of: Side | None = None,
        rule: Rule | None = None,
        resume_from: Path | str | None = None,
    ) -> None:
        self.dead_after, self.layers, self.of, self.rule = dead_after, layers, of, rule
        self.resume_from = resume_from
        self.deaths: Deaths | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.deaths is not None:  # a training that ended with an error left it running
            self.deaths.leave()
        self.deaths = track_deaths(given["model"], self.dead_after, self.layers, of=self.of, rule=self.rule)
        if state.global_step:
            self.deaths.load_state_dict(read(self._checkpoint(args, state) / FILE))
        self.deaths.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self.deaths is not None
        self.deaths.step()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self.deaths is not None
        held = self.deaths.state_dict()
        if state.is_world_process_zero:
            write(held, self._newest(args, state) / FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self.deaths is not None
        self.deaths.stop()

    def _checkpoint(self, args: Any, state: Any) -> Path:
        named = self.resume_from or args.resume_from_checkpoint
        return Path(named) if isinstance(named, str | Path) else self._newest(args, state)

    @staticmethod
    def _newest(args: Any, state: Any) -> Path:
        return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def write(state: dict[str, Any], path: Path) -> None:
    """A death tracker's state as one file that is whole or absent: its tensors, the rest as JSON in the head."""
    tensors = {name: value.cpu().contiguous() for name, value in state.items() if isinstance(value, Tensor)}
    plain = {name: value for name, value in state.items() if name not in tensors}
    with sealed.sealed_write(path) as temporary:
        save_file(tensors, temporary, {"state": json.dumps(plain)})


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote; it runs no code.

    Raises
    ------
    UserError
        If it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(
            f"training goes on from a checkpoint, and there is no {path}: name the folder that has the deaths up to "
            "there with TrackDeaths(resume_from=…), or train without the callback."
        )
    sealed.check(path, "resume from another checkpoint")
    with sealed.told(path, "read", "resume from another checkpoint"), safe_open(path, "pt") as file:
        plain = json.loads(file.metadata()["state"])
        return plain | {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
