"""Widths recommended from a run's beginning are what fired then, in multiples; what is no beginning is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import corpora
from relusparsity.config import to_dict
from relusparsity.errors import UserError
from relusparsity.experiments import planning
from relusparsity.train import evaluate
from train_made import trained


def made(use: list[list[float]], tokens: list[int], **changes: Any) -> xr.Dataset:
    config = tiny_run(**{"model.d_ff": (1024, 512)} | changes)
    return xr.Dataset(
        {"batch_use": (("step", "layer"), np.array(use, dtype=np.float32)), "tokens": ("step", tokens)},
        attrs={"provenance": json.dumps({"config": to_dict(config)})},
    )


def test_widths_are_what_fires_at_the_last_measurement_of_the_beginning() -> None:
    run = made([[1, 1], [0.9, 0.9], [385 / 1024, 0.25], [0.1, 0.1]], [0, 64, 256, 320])  # of 2,560 tokens
    assert planning.recommend(run) == (512, 128), "at 256 tokens; a quarter of 512 is one multiple and no more"
    assert planning.recommend(run, share=0.05) == (1024, 512), "at 64 tokens, and no layer gets more than it has"
    assert planning.recommend(run, share=1.0) == (128, 128), "one multiple at least"
    assert planning.recommend(run, multiple=1) == (385, 128)
    assert planning.uniform((512, 128)) == 384 and planning.uniform((1024, 512)) == 768


@pytest.mark.parametrize(
    ("run", "share", "said"),
    [
        (made([[1, 1], [1, 1]], [0, 320]), 0.1, "not measured in its first 256 training tokens; raise share"),
        (made([[1, 1]], [0]), 1.5, "share = 1.5: expected a share of the run's tokens, above 0 and at most 1"),
        (made([[1, 1]], [0]).expand_dims("seed"), 0.1, "with batch_use .step, layer., but its dimensions are seed, "),
        (xr.Dataset(), 0.1, "expected the dataset of one run, .* its dimensions are none"),
    ],
)
def test_what_is_no_beginning_of_a_run_is_refused(run: xr.Dataset, share: float, said: str) -> None:
    with pytest.raises(UserError, match=said):
        planning.recommend(run, share)


def test_of_a_real_run_they_are_the_units_of_its_snapshot_and_train_from_scratch(tmp_path: Path) -> None:
    run = trained(tmp_path, **{"train.snapshots": 20})
    sequences = corpora.heldout_sequences(tiny_corpus().heldout, 8)[:16]
    fired = evaluate.measure(run.model(step=4), sequences, 8).batch_use.mean(0) * 32
    widths = planning.recommend(run.dataset, multiple=2)
    assert widths == tuple(int(-(-n // 2) * 2) for n in fired) and min(widths) < 32
    narrow = trained(tmp_path, **{"model.d_ff": widths, "train.tokens": 640})
    assert narrow.model().widths() == list(widths)
