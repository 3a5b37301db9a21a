"""How long runs will take, roughly: said before they are trained, and corrected by every run that ends."""

from collections.abc import Sequence
from functools import reduce
from threading import Lock

from tqdm.auto import tqdm

from .. import corpora, distributed, train
from ..config import RunConfig
from ..experiments import shared
from ..identity import changed
from ..models import blocks, training_flops
from ..plots.reading import how_many
from ..screens import measured_steps
from ..store.schema import CONTROL, FALLS, FINAL, HISTORY
from ..train import predictions

GPU = (480e12, 7.5e-3 / 12, 25.0)
"""An H200's floating-point operations per second, its seconds per step and block besides, and those per run.

As measured on decoders of six layers, each of two blocks, in bf16 by AdamW; so what is in float32, such as vision
Transformers, takes longer, and by Adafactor it takes several times as long.
"""
CORE = (24e9, 2e-3 / 12, 1.3)
"""The same of a core of a server's processor, where another trains beside it."""
FEW = 10
"""Seconds below which nobody asks how many."""
SMALL = 60_000
"""Bytes of a run's dataset beside what is kept of single units."""


def seconds(run: RunConfig, together: int = 1) -> float:
    """What a run takes on so many GPUs like an H200, or without one on so many cores, if no screen stops it: roughly.

    What is measured counts on a core alone, where it takes a good part of the time: a third of training's a token. How
    predictions are judged counts on a GPU, too: two thirds a picture that is attacked, and its batches as steps.
    """
    rate, block, start = CORE if _on_cores() else GPU
    of, steps = run.measure, run.end_step - run.begin_step
    share = steps / max(1, run.train.steps)  # of its parent's steps and measurements, a fork's own
    final = of.final_sets * (1 + _counted(run))
    read = of.set_tokens * (of.sets * of.points * share + final) / 3 if _on_cores() else 0
    if of.predictions:
        work = predictions.work(run.corpus.source, round(of.points * share))
        read += run.model.seq_len * (work.read + 2 * work.attacked) / 3
        steps += work.batches
    flops = training_flops(run.model) * (run.train.tokens * share + read)
    return flops / rate / together + steps * blocks(run.model) * block + start


def size(run: RunConfig) -> int:
    """Bytes of a run's dataset, roughly: as measured, two a value of the drift and one a number kept of a unit."""
    of, model = run.measure, run.model
    # a fork's, as many as its parent's at most
    steps = min(of.histories, len(measured_steps(run.end_step - run.begin_step, of.points)))
    axis = max(model.widths)  # that of the units is as long in every layer
    drift = len(HISTORY) * steps * min(of.history_units, axis)
    kept = FINAL | (CONTROL if run.control.kind != "none" else {}) | (FALLS if run.control.follow_falls else {})
    of_units = sum("unit" in dims for dims, *_ in kept.values()) + _counted(run) + bool(run.fork.tokens)
    at_the_end = of_units * axis
    return SMALL + model.n_layers * (2 * drift + at_the_end)


def _counted(run: RunConfig) -> int:
    """How often the final sets are read besides at the end."""
    return (1 + bool(run.fork.tokens)) * bool(run.measure.earlier)


def like() -> str:
    """What `seconds` takes this machine for."""
    return "a core each" if _on_cores() else "GPUs like an H200"


def _on_cores() -> bool:
    return distributed.device().type == "cpu"


def lasting(seconds: float) -> str:
    """A time in words: seconds below two minutes, else minutes.

    >>> lasting(1.2), lasting(41.2), lasting(119.6), lasting(500)
    ('a few seconds', '41 seconds', '2 minutes', '8 minutes')
    """
    if seconds < FEW:
        return "a few seconds"
    return f"{seconds:.0f} seconds" if round(seconds) < 120 else f"{seconds / 60:.0f} minutes"


def about(seconds: float) -> str:
    """A time that is thought, not measured, in words."""
    return f"about {lasting(seconds)}" if seconds >= FEW else lasting(seconds)


class Plan:
    """The runs that `shared.train_all` is about to train: says what is planned, then a line for each that ends."""

    def __init__(self, runs: Sequence[RunConfig]) -> None:
        self.runs, self.waiting = list(runs), shared.missing(runs)
        self.apart = shared.in_processes(self.waiting)
        self.workers = shared.side_by_side(len(self.apart))[0] if self.apart else 1
        self.left, self.done, self.expected, self.taken = list(self.waiting), 0, 0.0, 0.0
        self.lock = Lock()

    def __str__(self) -> str:
        there = len(self.runs) - len(self.waiting)
        if not self.waiting:
            return f"{how_many(len(self.runs), 'run')}, trained before"
        before = f", {there} trained before" if there else ""
        beside = f", {self.workers} at a time" if self.workers > 1 else ""
        return (
            f"{how_many(len(self.runs), 'run')}{before}; {len(self.waiting)} to train{beside}: "
            f"{about(self._remaining())}"
        )

    def trained(self, run: RunConfig, took: float) -> None:
        """Say that a run has ended, and how long those that are left will take."""
        with self.lock:
            self.left.remove(run)
            self.done += 1
            self.expected += seconds(run)
            self.taken += took
            rest = f"; {about(self._remaining())} left" if self.left else ""
            with tqdm.external_write_mode():
                print(f"{self.done} of {len(self.waiting)}: {self._name(run)}, {lasting(took)}{rest}", flush=True)

    def _remaining(self) -> float:
        slower = self.taken / self.expected if self.expected else 1.0
        together = sum(seconds(run) for run in self.left if run in self.apart)
        alone = sum(seconds(run) for run in self.left if run not in self.apart)
        return slower * (together / self.workers + alone)

    def _name(self, run: RunConfig) -> str:
        """The run's folder, and the fields by which it differs from others of the plan."""
        fields = {name: None for each in self.waiting for name in changed(each)}
        given = {name: [reduce(getattr, name.split("."), each) for each in (run, *self.waiting)] for name in fields}
        own = [f"{name.rpartition('.')[2]} {of[0]}" for name, of in given.items() if any(each != of[0] for each in of)]
        path = train.run_path(run, corpora.load(run.corpus)).name
        return f"{path} ({', '.join(own)})" if own else path
