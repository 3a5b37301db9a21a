"""The tuning of chapter 13: every setting once, on seeds that judge nothing; which is chosen, and when none can be."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import pictures_made
from relusparsity import corpora, scales, train
from relusparsity.config import to_dict
from relusparsity.corpora import pictures, tasks
from relusparsity.errors import UserError
from relusparsity.experiments import top_k, top_k_sizes, top_k_tuning, variants
from relusparsity.experiments.top_k_tuning import ARMS, DENSE, DROPOUT, NOISES, TOP_K
from relusparsity.store import results

pytest_plugins = ("pictures_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = list(top_k_tuning.changes("fashion"))


def made(better: dict[str, Any]) -> xr.Dataset:
    """A tuning in which every setting comes to 80 %, but for those given: both seeds, or one and the other."""
    end = np.array([np.broadcast_to(better.get(name, 0.8), 2) for name in NAMES], dtype=np.float32)
    values = np.stack([np.full_like(end, 0.1), end], axis=2)
    about = {"units": "1", "long_name": "accuracy"}
    return xr.Dataset(
        {name: (("recipe", "seed", "step"), values, about) for name in top_k_tuning.KEPT},
        {
            "recipe": ("recipe", NAMES, about),
            "seed": ("seed", list(top_k_tuning.SEEDS), about),
            "step": ("step", [0, 2000], about),
        },
        {"scale": "fashion", "provenance": json.dumps({"runs": np.full((54, 2), "ab").tolist()})},
    )


def test_every_arm_and_noise_has_the_same_budget_on_seeds_that_judge_nothing() -> None:
    runs, base = top_k_tuning.config("fashion").runs, scales.pictures("fashion")
    assert len(runs) == len(set(runs)) == 108 and not {run.seed for run in runs} & set(top_k.SEEDS["fashion"])
    assert {run.seed for run in runs[:54]} == {10} and {run.seed for run in runs[54:]} == {11}
    for (arm, noise), of in zip(product(ARMS, NOISES), np.array(runs[:54], dtype=object).reshape(9, 6), strict=True):
        assert {run.corpus.noise for run in of} == {noise} and {run.train.lr for run in of} == {5e-4, 1e-3, 2e-3}
        assert {run.model.top_k for run in of} == ({64} if arm == TOP_K else {None})
        strengths = {(run.train.weight_decay, run.model.dropout) for run in of}
        assert strengths == ({(0.05, 0.1), (0.05, 0.3)} if arm == DROPOUT else {(0.05, 0.0), (0.2, 0.0)})
        first = of[0].train.lr, of[0].train.weight_decay
        assert first == (base.train.lr, base.train.weight_decay), "the shape's own comes first"


@pytest.mark.usefixtures("own_runs")
def test_all_of_the_validation_is_read() -> None:
    pictures_made.digits()
    assert {source: validation for source, (validation, _) in pictures.HELD_OUT.items()} == {
        "digits": 512,
        "fashion": 8192,
    }
    for scale in top_k_tuning.MEASURED:
        for run in (top_k_tuning.config(scale).runs[0], scale != "fashion" and top_k.config(scale).runs[0]):
            sequences = run.measure.sets * run.measure.set_tokens // run.model.seq_len if run else 8192
            assert sequences == (8192 if scale == "fashion" else 512)
    run = top_k_tuning.config("smoke").runs[0]
    tasks.of(run, corpora.load(run.corpus)).check(run.measure, run.model.seq_len)


def test_the_most_accurate_setting_is_chosen_and_of_equal_ones_the_shapes_own() -> None:
    found = top_k_tuning.chosen(made({}))
    assert set(found) == set(product(ARMS, NOISES))
    assert found[DENSE, 0.4] == found[TOP_K, 0.8] == {"train.lr": 1e-3, "train.weight_decay": 0.05}
    assert found[DROPOUT, 0.0] == {"train.lr": 1e-3, "model.dropout": 0.1}
    better = {
        "dense, noise 0.4, rate × 0.5, decay × 4": (0.79, 0.83),  # the mean decides
        "dense, noise 0.4, rate × 2, decay × 1": (0.84, 0.77),
        "dense with dropout, noise 0.8, rate × 2, dropout 0.3": 0.81,
        "k = d_ff/12, noise 0, rate × 0.5, decay × 1": 0.9,
        "k = d_ff/12, noise 0, rate × 2, decay × 4": (0.99, np.nan),  # diverged in a seed
    }
    found = top_k_tuning.chosen(made(better))
    assert found[DENSE, 0.4] == {"train.lr": 5e-4, "train.weight_decay": 0.2}
    assert found[DROPOUT, 0.8] == {"train.lr": 2e-3, "model.dropout": 0.3}
    assert found[TOP_K, 0.0] == {"train.lr": 5e-4, "train.weight_decay": 0.05}
    assert found[DENSE, 0.0] == {"train.lr": 1e-3, "train.weight_decay": 0.05}


def test_nothing_is_chosen_of_a_part_of_the_runs_or_where_all_diverged() -> None:
    part = made({})
    facts = results.provenance(part)
    facts["runs"][3][1] = facts["runs"][50][0] = variants.NOT_RUN
    with pytest.raises(UserError, match=r"^2 of 108 runs of top_k_tuning are not made yet, .*; record it to its end.$"):
        top_k_tuning.chosen(part.assign_attrs(provenance=json.dumps(facts)))
    gone = {name: np.nan for name in NAMES if name.startswith("dense, noise 0.8")}
    with pytest.raises(UserError, match=r"^every setting of dense, noise 0.8 diverged, .*; lower its rates.$"):
        top_k_tuning.chosen(made(gone))


def test_the_runs_that_judge_are_trained_as_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path)
    said = 'top_k_tuning-fashion.nc is not there; `make record SCALE=fashion ONLY="top_k_tuning"` makes it.$'
    for experiment in (top_k, top_k_sizes):
        with pytest.raises(UserError, match=f"^top_k at scale fashion is trained as its tuning says, and {said}"):
            experiment.config("fashion")
    best = ("k = d_ff/12, noise 0.4, rate × 0.5, decay × 4", "dense with dropout, noise 0, rate × 2, dropout 0.3")
    results.save(made(dict.fromkeys(best, 0.9)), results.recorded_path("top_k_tuning", "fashion"))
    runs, sizes = top_k.config("fashion").runs, top_k_sizes.config("fashion").runs
    assert len(runs) == len(set(runs)) == 90 and len(sizes) == len(set(sizes)) == 18
    assert all(run.measure.predictions and run.measure.points == 20 for run in (*runs, *sizes))
    assert [run.seed for run in runs[::9]] == list(range(10)) and [run.seed for run in sizes[::6]] == [0, 1, 2]
    by_name = dict(zip(top_k.changes("fashion"), runs, strict=False))
    assert by_name["dense with dropout, noise 0"].model.dropout == 0.3
    chosen = by_name["k = d_ff/12, noise 0.4"].train
    assert (chosen.lr, chosen.weight_decay) == (5e-4, 0.2)
    others = dict(zip(top_k_sizes.changes("fashion"), sizes, strict=False))
    assert {name: run.model.top_k for name, run in others.items()} == {
        f"k = d_ff/{parts}, noise {noise}": 768 // parts for parts in (24, 6, 3) for noise in ("0", "0.4")
    }
    for parts in (24, 6, 3):
        assert others[f"k = d_ff/{parts}, noise 0.4"].train == chosen


@pytest.mark.slow
@pytest.mark.usefixtures("own_runs")
def test_in_smoke_it_runs_to_its_end() -> None:
    pictures_made.digits()
    config = top_k_tuning.config("smoke")
    dataset = top_k_tuning.run(config)
    assert set(dataset.data_vars) == set(top_k_tuning.KEPT), "nothing of the test"
    assert dict(dataset.sizes) == {"recipe": 12, "seed": 1, "step": 9}
    for run, name in zip(config.runs, top_k_tuning.changes("smoke"), strict=True):
        own = train.run(run).dataset
        np.testing.assert_array_equal(dataset.heldout_accuracy.sel(recipe=name, seed=10), own.heldout_accuracy)
    fields = top_k_tuning.chosen(dataset)[DENSE, 0.4]
    both = dataset.heldout_accuracy.isel(step=-1, seed=0).sel(
        recipe=[f"dense, noise 0.4, rate × 1, decay × {times}" for times in (1, 4)]
    )
    assert fields["train.weight_decay"] == (0.4 if both[1] > both[0] else 0.1)
    facts = results.provenance(dataset)
    assert facts["configs"]["k = d_ff/12, noise 0.4, rate × 1, decay × 1"]["model"]["top_k"] == 5
    assert len(set(np.ravel(facts["checksums"]))) == 2 and to_dict(config.runs[0])["corpus"]["noise"] == 0.0
