"""What a recorder has to train: the runs of recorded experiments, each once, and before a fork its parent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import RunConfig
from ..errors import UserError
from ..experiments import shared
from ..train import loop
from . import pieces
from .recorded import Recorded, runs_of


@dataclass(frozen=True)
class Job:
    """One run to train."""

    config: RunConfig
    path: Path
    """Its directory."""
    parent: Path | None = None
    """Of a fork: its parent's."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train: it came to its end, or stopped and would again."""
        there = [(self.path / name).is_file() for name in pieces.DATASETS]
        return there[0] or (there[1] and loop.stops_again(self.path, self.config) is not None)


def jobs(experiments: Sequence[Recorded]) -> list[Job]:
    """The runs of these experiments, each once, in their order, and before a fork its parent: see `with_parents`.

    Raises
    ------
    UserError
        For one that reads texts of its own, which has to be made whole by `make record`.
    """
    if own := [each.name for each in experiments if each.own_texts]:
        raise UserError(f"{', '.join(own)} reads a text of its own; make it with `make record` instead.")
    runs = shared.with_parents(run for each in experiments for run in runs_of(each.config()))
    return [Job(run, shared.path_of(run), shared.path_of(run.parent) if run.fork.tokens else None) for run in runs]
