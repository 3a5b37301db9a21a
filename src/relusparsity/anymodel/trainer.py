"""`TrackDeaths`: deaths and revivals while `transformers.Trainer` trains, saved and resumed with its checkpoints."""

import json
import re
from pathlib import Path
from typing import Any
from weakref import WeakSet

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
"""In the folder of a checkpoint, with its checksum beside it; with a name, `deaths-NAME.safetensors`."""
RUNNING: "WeakSet[TrackDeaths]" = WeakSet()
"""Those whose training has begun."""


class TrackDeaths(TrainerCallback):  # type: ignore[misc]
    """Follows which hidden units die and come back while a `Trainer` trains; see `track_deaths`.

    Parameters
    ----------
    dead_after, layers, of, rule
        As for `track_deaths`.
    resume_from
        Folder of the checkpoint that training goes on from, if it is neither `TrainingArguments.resume_from_checkpoint`
        nor the one of that step in the output folder.
    name
        Small letters, digits and hyphens that tell its file from those of others on one `Trainer`.

    Attributes
    ----------
    deaths : what is counted; after training, read its `dataset()`. None before training.

    Raises
    ------
    UserError
        If the name does not fit a file. When training begins: what `track_deaths` raises, if training goes on from a
        checkpoint that has no deaths, or if another of this name is on the same `Trainer`.

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
        name: str = "",
    ) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", name):
            raise UserError(f"TrackDeaths got name = {name!r}: expected small letters, digits and single hyphens.")
        self.dead_after, self.layers, self.of, self.rule = dead_after, layers, of, rule
        self.resume_from, self.file = resume_from, FILE.replace(".", f"-{name}.") if name else FILE
        self.deaths: Deaths | None = None
        self._of: Any = None  # the training's state: the Trainer makes one each time, for all its callbacks

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.deaths is not None:  # a training that ended with an error left it running
            self.deaths.leave()
        self._alone(state)
        self.deaths = track_deaths(given["model"], self.dead_after, self.layers, of=self.of, rule=self.rule)
        if state.global_step:
            self.deaths.load_state_dict(read(self._checkpoint(args, state) / self.file))
        self.deaths.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self.deaths is not None
        self.deaths.step()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self.deaths is not None
        held = self.deaths.state_dict()
        if state.is_world_process_zero:
            write(held, self._newest(args, state) / self.file)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self.deaths is not None
        self.deaths.stop()

    def _alone(self, state: Any) -> None:
        """Refuse a second of this name on one Trainer, whose file would take the place of the first one's."""
        others = [each for each in RUNNING if each is not self and each._of is state]
        if any(each.file == self.file for each in others):
            for each in others:  # the training that they followed ends here
                if each.deaths is not None:
                    each.deaths.leave()
            raise UserError(
                f"two TrackDeaths on one Trainer would both write {self.file}; tell them apart, such as with "
                'TrackDeaths(name="other").'
            )
        self._of = state
        RUNNING.add(self)

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
