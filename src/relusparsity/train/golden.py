"""Golden runs: a few tiny trainings whose numbers change only where `identity.MEANING` must be raised.

They are made in float64, and no pre-activation of theirs lies nearer to zero than `MARGIN`, so that no rounding decides
a firing: counts are the same integers on every processor, losses and norms agree to `TOLERANCE`. Together they take
every choice that a configuration has of model, optimiser and schedule.

See `guard`; `python -m relusparsity.train.golden` also compares and renews what `corpora.golden` keeps.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import corpora, distributed, identity
from ..classifiers import attacks, calibration, corruptions
from ..config import CorpusConfig, MeasureConfig, ModelConfig, RunConfig, TrainConfig, replace, to_dict
from ..corpora import tasks
from ..corpora.pictures import Labelled, Pictures
from ..corpora.spans import SpanCorpus
from ..counting import deaths, fused, layer, metrics, sequences, use
from ..encoder_decoder_config import EncoderDecoderConfig
from ..interventions import inputs, units, updates
from ..models import attention, decoder, encoder_decoder, feedforward, vit
from ..pictures_config import PicturesConfig
from ..span_config import SpanConfig, SpanCorpusConfig
from ..store.guard import Guard, Results
from ..store.schema import HISTORY
from ..vit_config import VitConfig
from . import axis, evaluate, measurements, predictions, shrinking, step, timetable
from .measurements import Recorder
from .resuming import Log
from .step import Trainer

TOLERANCE = 1e-5
"""Largest relative difference of a loss or norm: losses are taken in float32, whose last digits differ."""
ROUNDED = 2e-3
"""The same for what is recorded with 11 significant bits."""
MARGIN = 1e-5
"""Least distance of a pre-activation from zero; the seeds of the runs were chosen for it."""

STEPS = 4
_TINY = RunConfig(
    ModelConfig(n_layers=2, d_model=16, d_ff=32, n_heads=2, seq_len=16, vocab_size=64),
    CorpusConfig(vocab_size=64),
    TrainConfig(tokens=STEPS * 64, batch_tokens=64, warmup=128, dead_after=64, resume_every=0, lr=0.02),
    MeasureConfig(points=2, sets=1, final_sets=4, set_tokens=64, history_units=4, histories=2),
)

_CONTROLLED = {"control.share": 0.25, "control.every": 2}
_SPANS = {
    "model": EncoderDecoderConfig(1, 2, d_model=16, d_ff=32, n_heads=2, seq_len=16, target_len=5, vocab_size=67),
    "corpus": SpanCorpusConfig(CorpusConfig(vocab_size=64), SpanConfig(sentinels=2), seq_len=16),
}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {"seed": 22},
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
        "seed": 0,
    },
    "parallel": {
        "model.norm_place": "parallel",
        "model.positions": "learned",
        "model.activation": "gelu",
        "model.logit_scale": 0.25,
        "train.optimizer": "adafactor",
        "train.clip": 0.0,
        "seed": 80,
    },
    "top-k": {"model.activation": "topk", "model.top_k": 8, "seed": 5},
    "vit": {
        "model": VitConfig(n_layers=2, d_model=16, d_ff=32, n_heads=2, image_size=28, patch_size=14),
        "corpus": PicturesConfig(padding=0),
        "measure.predictions": True,
        "seed": 24,
    },
    "encoder-decoder": _SPANS | {"seed": 14},
    "random targets": _SPANS | {"corpus.targets": "random", "seed": 5},
    "off by one": {"model.attention": "off_by_one", "model.positions": "learned", "seed": 91},
    "sink": {"model.attention": "sink", "train.decay_vectors": True, "seed": 146},
    "sigmoid": {"model.attention": "sigmoid", "seed": 157},
    "gate": {"model.attention": "gate", "model.init": "xavier", "model.norm_place": "parallel", "seed": 1},
    "key and value": {"model.attention": "kv_bias", "model.init": "fan_in", "seed": 0},
    "no positions": {"model.positions": "none", "train.weight_decay": 2.0, "seed": 65},
    "centred": {"intervention.kind": "centre", "intervention.layer": 1, "seed": 126},
    "added": {"model.norm_place": "parallel", "intervention.kind": "add", "intervention.strength": 2.0, "seed": 1},
    "added along": {
        "model.norm_place": "post",
        "intervention.kind": "add",
        "intervention.layer": 1,
        "intervention.strength": 0.5,
        "intervention.direction": "along",
        "intervention.placebo": True,
        "seed": 54,
    },
    "rates": {
        "model.positions": "learned",
        "train.embedding_rate": 4.0,
        "train.position_rate": 0.5,
        "train.fc_out_rate": 0.25,
        "train.decay_vectors": True,
        "seed": 127,
    },
    "scales": {
        "model.positions": "learned",
        "model.position_std": 1.0,
        "model.init": "xavier",
        "model.mlp_std": 0.05,
        "train.optimizer": "sgd",
        "train.embedding_rate": 4.0,
        "train.fc_out_rate": 0.25,
        "train.decay_vectors": True,
        "seed": 24,
    },
    "exchanged": _CONTROLLED | {"control.kind": "exchange", "control.first_layer": 1, "seed": 139},
    "signed": _CONTROLLED | {"control.kind": "signs", "train.optimizer": "adafactor", "seed": 11},
    "reflected": _CONTROLLED | {"control.kind": "reflect", "train.decay_vectors": True, "seed": 208},
    "winsorised": _CONTROLLED
    | {
        "control.kind": "winsorise",
        "control.outliers.share": 0.5,
        "control.outliers.seed": 12,  # in the second block, which has a cap
        "train.optimizer": "sgd",
        "train.clip": 0.0,
        "seed": 130,
    },
    "shrunk": {"model.d_ff": (32, 24), "prune.tokens": (128,), "prune.multiple": 4, "seed": 34},
    "shrunk at random": {
        "prune.tokens": (64, 192),
        "prune.rule": "random",
        "prune.widths": (24, 32, 16, 8),
        "prune.multiple": 8,
        "train.optimizer": "adafactor",
        "seed": 188,
    },
}


def run_id(config: RunConfig, checksum: str) -> str:
    """Name of a run's directory that this code makes of a text of this checksum; see `identity.run_id`."""
    return identity.run_id(config, checksum, meaning())


def meaning() -> str:
    """`identity.MEANING` where the loaded code gives its golden numbers; else that and a digest of this code."""
    return str(GUARD.meaning())


def _agree(what: str, ours: Any, theirs: Any) -> bool:
    if not (isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs)):
        return bool(ours == theirs)
    if any(isinstance(value, float) for value in (*ours, *theirs)):
        rtol = ROUNDED if what in HISTORY else TOLERANCE
        near = [np.array(values, dtype=float) for values in (ours, theirs)]
        return bool(np.allclose(near[0], near[1], rtol=rtol, atol=TOLERANCE, equal_nan=True))
    return bool(ours == theirs)


def measured() -> Results:
    """The numbers of every golden run: lists of integers, which are counts, and of floats; and `defaults`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small are done before a second thread has begun
    try:
        with distributed.alone():
            found = {name: _run(replace(_TINY, **changes)) for name, changes in RUNS.items()}
        return found | {"defaults": _defaults()}
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
    trainer = Trainer(config, _made_up(config), torch.device("cpu"))
    trainer.model.double()
    log = Log(Path(), enabled=False)  # nothing is written
    recorder = Recorder(config, trainer.task, Path(), enabled=False)
    rows, norms = {0: recorder.row(trainer, log)}, []
    while trainer.step < STEPS:
        loss, norm = trainer.advance()
        norms.append(float(norm))
        log.add(trainer.step, 0.0, loss, norm)
        log.flush()
        if recorder.due(trainer.step):
            rows[trainer.step] = recorder.row(trainer, log)
    found = {name: value for name, (_, value) in (recorder.over(rows) | recorder.end(trainer)).items()}
    return {name: _listed(value) for name, value in found.items()} | {"loss": log.losses, "gradient_norm": norms}


def _made_up(config: RunConfig) -> Any:
    """As much of a text, or of pictures, as is read."""
    if isinstance(config.corpus, PicturesConfig):
        side, classes = config.corpus.side, np.uint64(config.corpus.classes)
        drawn = np.random.PCG64([2, side]).random_raw(128 * (side * side + 1))
        pixels = (drawn[128:] % np.uint64(256)).astype(np.uint8).reshape(128, side, side)
        whole = Labelled(pixels, (drawn[:128] % classes).astype(np.int64))
        return Pictures(config.corpus, whole, *2 * (Labelled(*(each[:64] for each in whole)),), checksum="")
    spanned = config.corpus if isinstance(config.corpus, SpanCorpusConfig) else None
    size = np.uint64((spanned.text if spanned else config.corpus).vocab_size)
    drawn = np.random.PCG64([1, int(size)]).random_raw(64 * 40) % size
    text = (drawn**2 // size).astype(np.int64)
    made: Any = _Text(text, text[: 64 * 12], int(size))
    return SpanCorpus(spanned, made) if spanned else made


def _listed(value: Any) -> list[Any]:
    """Flat; floats to 7 digits, which is as many as they are compared to."""
    flat = np.ravel(value)
    if flat.dtype.kind != "f":
        return [int(each) for each in flat]
    return [None if math.isnan(each) else float(f"{each:.7g}") for each in flat.tolist()]


@dataclass(frozen=True)
class _Text:
    """As much of a corpus as is read."""

    train: np.ndarray
    heldout: np.ndarray
    vocab_size: int
    heldout_bytes: int = 3000
    eos: int = 0


GUARD = Guard(
    number="MEANING",
    kept=Path(__file__).with_name("golden.json"),
    module="train.golden",
    measured=lambda: measured(),
    watched=(
        *(corpora.batches, corpora.spans, tasks),
        *(attacks, calibration, corruptions),
        *(deaths, fused, layer, metrics, sequences, use),
        *(attention, decoder, encoder_decoder, feedforward, vit),
        *(inputs, units, updates),
        *(axis, evaluate, measurements, predictions, shrinking, step, timetable),
    ),
    agree=_agree,
    grows=("defaults",),  # a new field is named when it is set, so that its default needs no raising
)


def main() -> None:
    """Compare, or renew what is kept."""
    parser = argparse.ArgumentParser(prog="python -m relusparsity.train.golden", description=__doc__)
    parser.add_argument("--renew", action="store_true", help="keep what this code gives, for its numbers of now")
    renew = parser.parse_args().renew
    for guard in (corpora.golden.GUARD, GUARD):
        if renew:
            guard.renew()
        print(*guard.said(), sep="\n")


if __name__ == "__main__":
    main()
