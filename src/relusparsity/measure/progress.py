"""Which stage a measurement is in, and how long it will take: on stderr, bars in a terminal, lines where there is none.

Long stages are those that read text; they are measured in tokens, and nothing is estimated before some were read.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from torch import Tensor, nn
from tqdm import tqdm

EVERY = 30.0  # seconds from a line to the next, within a stage
CALLS = 2  # calls of the model in a stage before its speed is taken for that of the rest
Stage = Literal["reading the model", "converting", "calibrating", "reading the text", "loss without units",
                "attention", "describing the units", "writing the report"]  # fmt: skip


class Progress:
    """The stages of a command's models, one after the other.

    Parameters
    ----------
    models
        How many there are to measure.
    lines
        Whether stages are named, a line each; otherwise bars are shown in a terminal, and nothing elsewhere.
    """

    def __init__(self, models: int = 1, lines: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.models, self.lines, self.clock = models, lines, clock
        self.took: list[float] = []  # seconds of each model that is done
        self.begin("")

    def begin(self, name: str) -> None:
        """A model's measurement begins."""
        self.name, self.began = name, self.clock()
        self.ahead: dict[Stage, int] = {}
        self.tokens, self.seconds = 0, 0.0  # read in stages that are over, and how long that took
        self.total = self.read = self.calls = 0  # of this stage
        self.since = self.began

    def end(self) -> None:
        """It is done."""
        self.took.append(self.clock() - self.began)

    def plan(self, tokens: Mapping[Stage, int]) -> None:
        """How many tokens are read in each of the stages to come."""
        self.ahead = dict(tokens)

    @contextmanager
    def stage(self, what: Stage, model: nn.Module | None = None, tokens: int = 0) -> Iterator[None]:
        """A stage for as long as the block lasts; the tokens that `model` reads in it are counted, of about so many."""
        self.ahead.pop(what, None)
        self._say(f"{what}, {tokens:,} tokens" if model is not None else what)
        if model is None:
            yield
            return
        self.total, self.read, self.calls, self.since = tokens, 0, 0, self.clock()
        said = [self.since]
        form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} tokens{postfix}"
        bar = tqdm(total=tokens, desc=self._named(what), leave=False, disable=None, unit_scale=True, bar_format=form)

        def count(_: nn.Module, args: tuple[Any, ...], given: dict[str, Any], out: Any) -> None:
            self.read, self.calls = self.read + _tokens(args, given), self.calls + 1
            self.total = max(self.total, self.read)
            bar.total, bar.n = self.total, self.read
            bar.set_postfix_str(self.left(), refresh=False)
            bar.update(0)
            if bar.disable and self.clock() - said[0] > EVERY:
                said[0] = self.clock()
                left = f"; {self.left()}" if self.left() else ""
                self._say(f"{what}, {self.read:,} of {self.total:,} tokens{left}")

        hook = model.register_forward_hook(count, with_kwargs=True)
        try:
            with bar:
                yield
        finally:
            hook.remove()
            self.tokens, self.seconds = self.tokens + self.read, self.seconds + self.clock() - self.since
            self.total = self.read = self.calls = 0

    def seconds_left(self) -> float | None:
        """Of all reading that is ahead, at the speed that was measured; None: too little was."""
        tokens, seconds = self.tokens, self.seconds
        mine = None
        if self.calls >= CALLS:
            spent = self.clock() - self.since
            mine = spent / self.read
            tokens, seconds = tokens + self.read, seconds + spent
        if not tokens or (mine is None and self.total):
            return None
        rest = (self.total - self.read) * (mine or 0) + sum(self.ahead.values()) * seconds / tokens
        others = self.models - len(self.took) - 1
        return rest + (others * sum(self.took) / len(self.took) if self.took else 0)

    def left(self) -> str:
        """The same in words; empty: it is not known."""
        seconds = self.seconds_left()
        if seconds is None:
            return ""
        of = " of this model" if self.models > 1 and not self.took else ""
        return f"about {_lasting(seconds)} left{of}, then the report"

    def _named(self, what: str) -> str:
        return f"{self.name}: {what}" if self.name else what

    def _say(self, what: str) -> None:
        if self.lines:
            tqdm.write(self._named(what), file=sys.stderr)
            sys.stderr.flush()


_CURRENT: ContextVar[Progress | None] = ContextVar("progress", default=None)


def current() -> Progress:
    """The progress that is shown here; one that names no stage if there is none."""
    return _CURRENT.get() or Progress()


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Have all stages inside the block shown by this one."""
    token = _CURRENT.set(progress)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _tokens(args: tuple[Any, ...], given: Mapping[str, Any]) -> int:
    ids = given.get("input_ids", given.get("tokens", args[0] if args else None))
    return ids.numel() if isinstance(ids, Tensor) else 0


def _lasting(seconds: float) -> str:
    """A time as precise as an estimate can be.

    >>> _lasting(3), _lasting(42), _lasting(200), _lasting(8000)
    ('5 s', '40 s', '3 min', '2.2 h')
    """
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
