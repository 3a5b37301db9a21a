"""After which steps a run is measured and its weights are saved; a fork as its parent, from where it leaves it."""

from pathlib import Path

import numpy as np

from ..config import RunConfig
from ..screens import measured_steps


def snapshot_steps(steps: int, count: int) -> list[int]:
    """After which steps weights are saved."""
    return measured_steps(steps, count) if count else [steps]


def own_steps(config: RunConfig, steps: list[int]) -> list[int]:
    """Of a run's steps, or a fork's parent's, those at which it is looked at itself: with its first and its last."""
    if not config.fork.tokens:
        return steps
    first, last = config.begin_step, config.end_step
    return [*([first] if steps[0] < first else []), *(step for step in steps if first < step < last), last]


def saved_steps(config: RunConfig, count: int) -> list[int]:
    """After which of its steps a run's weights are saved; a fork's as its parent's, with its first and its last."""
    return own_steps(config, snapshot_steps(config.train.steps, count))


def history_steps(measured: list[int], count: int) -> list[int]:
    """`count` of the measured steps, spread evenly over their list, first and last included."""
    places = np.unique(np.linspace(0, len(measured) - 1, min(count, len(measured))).round().astype(int))
    return [measured[i] for i in places]


def history_units(d_ff: int, count: int) -> np.ndarray:
    """`count` units, evenly spaced: chosen before the run, and as good as random since units start exchangeable."""
    return np.arange(min(count, d_ff)) * d_ff // min(count, d_ff)


def weights_file(path: Path, step: int) -> Path:
    """Where a run keeps its weights after a step."""
    return path / "weights" / f"{step:08d}.safetensors"
