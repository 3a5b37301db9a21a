"""Golden runs: four tiny trainings in float64, which give other numbers only where `identity.MEANING` must be raised.

In float64 a firing hangs on no rounding, so counts are the same integers on every processor; losses and gradient norms
agree to `TOLERANCE`. Together the four take every choice that a configuration has of model, optimiser and schedule.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import evaluate
from .config import CorpusConfig, MeasureConfig, ModelConfig, RunConfig, TrainConfig, replace
from .train import Trainer

KEPT = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-9
"""Largest relative difference of a loss, norm or share: float64 leaves 1e-15 a step to the order of a sum."""

STEPS = 4
_TINY = RunConfig(
    ModelConfig(n_layers=2, d_model=16, d_ff=32, n_heads=2, seq_len=16, vocab_size=64),
    CorpusConfig(vocab_size=64),
    TrainConfig(tokens=STEPS * 64, batch_tokens=64, warmup=128, dead_after=64, resume_every=0, lr=0.02),
    MeasureConfig(set_tokens=64),
)

RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "modern": {
        "model.norm": "rmsnorm",
        "model.bias": False,
        "model.tied": False,
        "model.init": "fan_in",
        "train.schedule": "cosine",
        "train.beta2": 0.95,
        "train.clip": 0.5,
    },
    "post-norm": {
        "model.norm_place": "post",
        "model.embedding_norm": True,
        "model.positions": "sinusoidal",
        "model.init": "xavier",
        "model.embedding_std": 0.5,
        "train.optimizer": "sgd",
        "train.schedule": "rsqrt",
    },
    "parallel": {
        "model.norm_place": "parallel",
        "model.positions": "learned",
        "model.activation": "gelu",
        "model.logit_scale": 0.25,
        "train.optimizer": "adafactor",
        "train.clip": 0.0,
        "seed": 3,
    },
    "no positions": {"model.positions": "none", "train.weight_decay": 2.0},
}


def measured() -> dict[str, dict[str, Any]]:
    """The numbers of every golden run, by name: lists of integers (counts) and of floats, by what they are."""
    return {name: _run(replace(_TINY, **changes)) for name, changes in RUNS.items()}


def _run(config: RunConfig) -> dict[str, Any]:
    rng = np.random.Generator(np.random.PCG64(1))
    text = rng.zipf(1.3, 64 * 40).clip(max=config.model.vocab_size) - 1
    corpus = _Text(text.astype(np.int64))
    trainer = Trainer(config, corpus, torch.device("cpu"))  # type: ignore[arg-type]
    trainer.model.double()
    steps = [[float(value) for value in trainer.advance()] for _ in range(STEPS)]
    seq_len = config.model.seq_len
    seen = evaluate.measure(trainer.model, text[: 8 * (seq_len + 1)].reshape(8, -1), 4, (0, 5))
    return {
        "loss": [loss for loss, _ in steps] + [seen.score.loss],
        "gradient_norm": [norm for _, norm in steps],
        "gamma": seen.drift["gamma"].astype(float).tolist(),
        "unit_tokens": seen.use.unit_tokens.sum(1).tolist(),
        "unit_sequences": seen.use.unit_sequences.sum(1).tolist(),
        "window_units": seen.use.window_units.sum(1).tolist(),
        "stream_firings": trainer.deaths.stream_firings.tolist(),
        "deaths": trainer.deaths.deaths.sum(1).tolist(),
        "revivals": trainer.deaths.revivals.sum(1).tolist(),
    }


class _Text:
    """As much of a corpus as a step reads."""

    def __init__(self, train: np.ndarray) -> None:
        self.train = train
