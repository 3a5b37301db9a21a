"""Chapter 03: what weight decay alone makes of the weights of a unit that gets no gradient, beside what is recorded."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from ...config import TrainConfig
from ...store import results
from ...train.step import learning_rate

OF_DECAY = ("tokens", "batch_tokens", "warmup", "lr", "schedule", "weight_decay", "resume_every")
"""Fields of a run's training that say how its weights decay, and that go with the size of its steps."""


def train_config(dataset: xr.Dataset) -> TrainConfig:
    """The part of a recorded run's configuration that the learning rate and the decay are made of."""
    made = results.provenance(dataset)["config"]["train"]
    return TrainConfig(**{name: made[name] for name in OF_DECAY})


def decay_alone(train: TrainConfig, since: np.ndarray) -> np.ndarray:
    """The share of its weights that decay alone leaves at the end, from some moments (tokens) on."""
    starts = np.arange(0, train.tokens, train.batch_tokens)
    kept = np.log1p([-learning_rate(train, int(tokens)) * train.weight_decay for tokens in starts])
    left = np.append(np.cumsum(kept[::-1])[::-1], 0.0)
    return np.exp(left[np.round(np.asarray(since) / train.batch_tokens).astype(int)])


@dataclass(frozen=True)
class Shrunk:
    """Followed units that died once and never came back: the norm of their input weights at the end, as a share of
    that at the first look after their last firing, (unit): as recorded, and as decay alone makes it."""

    recorded: np.ndarray
    alone: np.ndarray


def shrunk(dataset: xr.Dataset) -> Shrunk:
    """What became of the weights of the units that died once and never came back, unit by unit.

    Parameters
    ----------
    dataset : Dataset
        `input_weight_norm` (seed, history_step, layer, history_unit); `death_onset`, `revival_count` (seed, layer,
        unit); `history_tokens` (history_step).
    """
    seen = dataset["history_tokens"].values.astype(float)
    norm = dataset["input_weight_norm"].transpose("seed", "layer", "history_unit", "history_step").values.astype(float)
    followed = dataset.isel(unit=dataset["history_unit"].values.astype(int))
    onset = followed["death_onset"].transpose("seed", "layer", "unit").values.astype(float)
    back = followed["revival_count"].transpose("seed", "layer", "unit").values
    once = np.isfinite(onset) & (back == 0)
    first = np.searchsorted(seen, onset[once])
    early = first < len(seen) - 1  # else there is no time left in which to shrink
    first, norms = first[early], norm[once][early]
    recorded = norms[:, -1] / norms[np.arange(len(norms)), first]
    return Shrunk(recorded, decay_alone(train_config(dataset), seen[first]))
