"""Golden runs: a few tiny trainings whose numbers change only where `identity.MEANING` must be raised.

They are made in float64, and no pre-activation of theirs lies nearer to zero than `MARGIN`, so that no rounding decides
a firing: counts are the same integers on every processor, losses and norms agree to `TOLERANCE`. Together they take
every choice that a configuration has of model, optimiser and schedule.

Code that gives other numbers, an edit under way perhaps, names its runs apart: what is loaded is what is named.
`python -m relusparsity.golden` shows what differs; with `--renew`, once `MEANING` is raised, it keeps the new numbers.
"""

import argparse
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import evaluate, identity, loaded
from .config import CorpusConfig, MeasureConfig, ModelConfig, RunConfig, TrainConfig, replace, to_dict
from .step import Trainer

KEPT = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-5
"""Largest relative difference of a loss or norm: losses are taken in float32, whose last digits differ."""
MARGIN = 1e-5
"""Least distance of a pre-activation from zero; the seeds of the runs were chosen for it."""

STEPS = 4
_TINY = RunConfig(
    ModelConfig(n_layers=2, d_model=16, d_ff=32, n_heads=2, seq_len=16, vocab_size=64),
    CorpusConfig(vocab_size=64),
    TrainConfig(tokens=STEPS * 64, batch_tokens=64, warmup=128, dead_after=64, resume_every=0, lr=0.02),
    MeasureConfig(set_tokens=64),
)

RUNS: dict[str, dict[str, Any]] = {
    "plain": {"seed": 27},
    "modern": {
        "model.norm": "rmsnorm",
        "model.bias": False,
        "model.tied": False,
        "model.init": "fan_in",
        "train.schedule": "cosine",
        "train.beta2": 0.95,
        "train.clip": 0.5,
        "seed": 4,
    },
    "post-norm": {
        "model.norm_place": "post",
        "model.embedding_norm": True,
        "model.positions": "sinusoidal",
        "model.init": "xavier",
        "model.embedding_std": 0.5,
        "train.optimizer": "sgd",
        "train.schedule": "rsqrt",
        "seed": 1,
    },
    "parallel": {
        "model.norm_place": "parallel",
        "model.positions": "learned",
        "model.activation": "gelu",
        "model.logit_scale": 0.25,
        "train.optimizer": "adafactor",
        "train.clip": 0.0,
        "seed": 20,
    },
    "no positions": {"model.positions": "none", "train.weight_decay": 2.0, "seed": 22},
}


def run_id(config: RunConfig, checksum: str) -> str:
    """Name of a run's directory that this code makes of a text of this checksum; see `identity.run_id`."""
    return identity.run_id(config, checksum, meaning())


@cache
def meaning() -> str:
    """`identity.MEANING` where the loaded code gives its golden numbers; else that and a digest of this code."""
    if not differences():
        return str(identity.MEANING)
    return f"{identity.MEANING}, but {loaded.code('golden')}"


def differences() -> list[str]:
    """What the loaded code's golden runs give otherwise than what is kept for `identity.MEANING`, a sentence each."""
    kept = json.loads(KEPT.read_text())
    if kept["meaning"] != identity.MEANING:
        return [f"golden.json is of MEANING {kept['meaning']}, the code of {identity.MEANING}"]
    found, said = measured(), []
    for name in sorted({*found, *kept["runs"]}):
        ours, theirs = found.get(name, {}), kept["runs"].get(name, {})
        # a new field is named when it is set, so that its default needs no raising
        for what in sorted(theirs if name == "defaults" else {*ours, *theirs}):
            if not _agree(ours.get(what), theirs.get(what)):
                said.append(f"{name}, {what}: {ours.get(what)}, kept {theirs.get(what)}")
    return said


def _agree(ours: Any, theirs: Any) -> bool:
    if not (isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs)):
        return bool(ours == theirs)
    if any(isinstance(value, float) for value in (*ours, *theirs)):
        return bool(np.allclose(ours, theirs, rtol=TOLERANCE, atol=0))
    return bool(ours == theirs)


def measured() -> dict[str, dict[str, Any]]:
    """The numbers of every golden run: lists of integers, which are counts, and of floats; and `defaults`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small are done before a second thread has begun
    try:
        return {name: _run(replace(_TINY, **changes)) for name, changes in RUNS.items()} | {"defaults": _defaults()}
    finally:
        torch.set_num_threads(threads)


def _defaults() -> dict[str, Any]:
    """Fields that are not named while they are at their default: another default gives the same name another run."""
    return {name: str(value) for name, value in _flat(to_dict(RunConfig())).items()}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in values.items():
        out |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return out


def _run(config: RunConfig) -> dict[str, Any]:
    rng = np.random.PCG64([1, config.model.vocab_size])
    text = (rng.random_raw(64 * 40) % np.uint64(config.model.vocab_size)) ** 2 // np.uint64(config.model.vocab_size)
    corpus = _Text(text.astype(np.int64))
    trainer = Trainer(config, corpus, torch.device("cpu"), alone=True)
    trainer.model.double()
    steps = [[float(value) for value in trainer.advance()] for _ in range(STEPS)]
    length = config.model.seq_len + 1
    seen = evaluate.measure(trainer.model, corpus.train[: 8 * length].reshape(8, -1), 4, (0, 5))
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


@dataclass(frozen=True)
class _Text:
    """As much of a corpus as a step reads."""

    train: np.ndarray


def main() -> None:
    """Compare, or renew what is kept."""
    parser = argparse.ArgumentParser(prog="python -m relusparsity.golden", description=__doc__)
    parser.add_argument("--renew", action="store_true", help="keep the numbers of this code, for its MEANING")
    if parser.parse_args().renew:
        KEPT.write_text(json.dumps({"meaning": identity.MEANING, "runs": measured()}, indent=1, sort_keys=True) + "\n")
    for sentence in differences() or [f"golden runs as kept for MEANING {identity.MEANING}"]:
        print(sentence)


if __name__ == "__main__":
    main()
