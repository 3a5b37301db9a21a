"""Chapter 13, live: dense and Top-k on digits, with 40 % of the labels replaced, a few seconds each; one seed.

Calibration is judged at the end alone, and nothing is corrupted or attacked: that takes longer than training.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

from ... import corpora, packages, train
from ...claims.short import Said
from ...classifiers import calibration
from ...classifiers.calibration import Predictions
from ...config import RunConfig, replace
from ...corpora import tasks
from ...experiments import shared, top_k_tuning
from ...experiments.top_k_tuning import DENSE, TOP_K
from ...scales import pictures
from ...train import evaluate

NOISE = 0.4
SHORT: dict[str, dict[str, Any]] = {
    "smoke": {},
    "digits": {"train.tokens": 153_600, "train.warmup": 7_680, "measure.points": 2},
}
"""Shape → what is cut of its run: a quarter of its steps, hardly measured on the way."""
AT_ONCE = 256
"""Pictures that are read at a time."""


def runs(scale: str) -> dict[str, RunConfig]:
    """Arm → its run, of one seed: in Smoke as Smoke has it, else on digits."""
    shape = "smoke" if scale == "smoke" else "digits"
    of = pictures(shape)
    return {arm: replace(of, **top_k_tuning.arm(shape, arm, NOISE), **SHORT[shape]) for arm in (DENSE, TOP_K)}


def shown(scale: str) -> pd.DataFrame | Said:
    """Both arms at their end on this machine; or, where the digits are not fetched, a sentence."""
    if lacking := packages.absent("digits"):
        return Said(lacking)
    both = runs(scale)
    shared.train_all(list(both.values()))  # side by side
    rows = {arm: judged(train.run(run)) for arm, run in both.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def judged(run: train.Run) -> dict[str, str]:
    """What a run is worth on the test, by the temperature that fits the validation, and the units that are left."""
    task = tasks.of(run.config, corpora.load(run.config.corpus))
    test, by = _read(run, task.final), calibration.temperature(_read(run, task.heldout))
    silent = 100 * float((run.dataset["final_firing_count"] == 0).mean())
    return {
        "accuracy, %": f"{100 * calibration.accuracy(test):.1f}",
        "ECE": f"{100 * calibration.calibration_error(test):.1f}",
        "ECE, by temperature": f"{100 * calibration.calibration_error(test.at(by)):.1f}",
        "temperature": f"{by:.2f}",
        "fire at a patch, %": f"{100 * float(run.dataset['final_token_use'].mean()):.1f}",
        "never chosen, %": f"{silent:.1f}",
    }


@torch.no_grad()
def _read(run: train.Run, arrays: tasks.Arrays) -> Predictions:
    """What the model says of pictures, and their labels."""
    model, device = run.model(), torch.device("cpu")
    parts = (evaluate.some(arrays, at, at + AT_ONCE) for at in range(0, len(arrays[0]), AT_ONCE))
    scores = [model.predict(*evaluate.on(device, part))[0].numpy() for part in parts]
    return Predictions(np.concatenate(scores), arrays[1])
