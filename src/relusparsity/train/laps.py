"""Where a run's seconds go: training, the first step after a compilation, removals, and everything else."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import torch
from torch import Tensor

KINDS = ("training", "first_steps", "removing", "other")
"""first_steps: the first of a process and the first after each removal, which compile; other: measuring, saving …"""


class Laps:
    """Seconds of each kind so far; what a process before this one spent until the last state is part of them."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(KINDS, 0.0)
        self._since = monotonic()

    @property
    def total(self) -> float:
        """All seconds, those that no lap has ended yet too."""
        return sum(self.seconds.values()) + monotonic() - self._since

    def end(self, kind: str) -> None:
        """Put down the seconds since the last lap, once the device is done with what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = monotonic()
        self.seconds[kind] += now - self._since
        self._since = now

    @contextmanager
    def apart(self, kind: str) -> Iterator[None]:
        """Put down the seconds before the block as training, and those in it as something else."""
        self.end("training")
        yield
        self.end(kind)

    def state(self) -> Tensor:
        """The seconds by kind; `load` takes them back."""
        self.end("other")
        return torch.tensor([self.seconds[kind] for kind in KINDS], dtype=torch.float64)

    def load(self, seconds: Tensor) -> None:
        """Go on from a state; in one of before there is a single number, whose parts are not known."""
        given = seconds.reshape(-1).tolist()
        for kind, spent in zip(KINDS[-len(given) :], given, strict=True):
            self.seconds[kind] += spent
