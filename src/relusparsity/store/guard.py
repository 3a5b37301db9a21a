"""Holds a number of `identity`, raised by hand, to its word: results kept for it are made again, and compared.

Code that gives others, an edit under way perhaps, names what it makes apart: what is loaded is what is named.
`python -m relusparsity.train.golden` shows what differs; with `--renew`, once the number is raised, it keeps the new
results.
"""

import json
import operator
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import identity
from ..errors import UserError
from . import loaded

Results = dict[str, dict[str, Any]]
"""Of each golden run, plain values by name."""

_meanings: dict[Path, list[tuple[Any, int | str]]] = {}  # in this process, each with the state of its code


@dataclass(frozen=True)
class Guard:
    """One number, the golden runs whose results are kept for it, and what makes them."""

    number: str
    """Its name in `identity`."""
    kept: Path
    """The file of the results; its name and its folder's are in sentences."""
    module: str
    """Of the package, such as ``"train.golden"``: it makes the results, and its digest names what gives others."""
    measured: Callable[[], Results]
    watched: tuple[types.ModuleType, ...]
    """What decides the results."""
    agree: Callable[[str, Any, Any], bool] = lambda what, ours, theirs: bool(operator.eq(ours, theirs))
    """Whether a value is the one that is kept, by its name."""
    grows: tuple[str, ...] = ()
    """Golden runs that may come to say more than what is kept."""

    def meaning(self) -> int | str:
        """The number where the loaded code gives what is kept for it; else that and a digest of this code."""
        state, known = self._state(), _meanings.setdefault(self.kept, [])
        for before, meaning in known:  # code that is changed back is not measured again
            if before == state:
                return meaning
        number = getattr(identity, self.number)
        known.append((state, f"{number}, but {loaded.code(self.module)}" if self.differences() else number))
        return known[-1][1]

    def _state(self) -> Any:
        """What tells cheaply that the process has changed the code that it loaded: a notebook that reloads, say."""
        held = [value for module in self.watched for value in vars(module).values()]
        held += [member for owner in held if isinstance(owner, type) for member in vars(owner).values()]
        some = [value for value in held if isinstance(value, types.FunctionType | int | float | str)]
        return getattr(identity, self.number), torch.get_default_dtype(), some

    def differences(self) -> list[str]:
        """What the loaded code gives otherwise than what is kept for the number, a sentence each.

        Raises
        ------
        UserError
            If the machine cannot make the golden runs, its disk being full, say.
        """
        kept, number = json.loads(self.kept.read_text()), getattr(identity, self.number)
        if kept["meaning"] != number:
            return [f"{self.kept.name} is of {self.number} {kept['meaning']}, the code of {number}"]
        try:
            found = self.measured()
        except UserError as error:
            if isinstance(error.__cause__, OSError):  # the machine's fault, not the code's
                raise
            return [f"the golden runs stop: {error}"]
        said = []
        for name in sorted({*found, *kept["runs"]}):
            ours, theirs = found.get(name, {}), kept["runs"].get(name, {})
            for what in sorted(theirs if name in self.grows else {*ours, *theirs}):
                if not self.agree(what, ours.get(what), theirs.get(what)):
                    said.append(f"{name}, {what}: {_short(ours.get(what))}, kept {_short(theirs.get(what))}")
        return said

    def renew(self) -> None:
        """Keep the results of the loaded code, for the number as it is now."""
        runs = {"meaning": getattr(identity, self.number), "runs": self.measured()}
        self.kept.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n")

    def said(self) -> list[str]:
        """A sentence for each difference and what to do then, or that there is none."""
        found = self.differences()
        if not found:
            return [f"golden runs as kept for {self.number} {getattr(identity, self.number)}"]
        what_to_do = "raise it in identity.py and run python -m relusparsity.train.golden --renew"
        return [*found, f"If results are meant to be others than {self.number} stands for, {what_to_do}."]


def _short(value: Any) -> str:
    return str(value) if len(str(value)) < 100 else f"{str(value)[:100]}…"
