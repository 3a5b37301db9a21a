"""Row 17's experiment: its arms are what they are called, and its rule comes out each way on made-up runs."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.experiments import planning, pruned_training
from relusparsity.prune_config import rounded_up
from relusparsity.store import results

pytestmark = pytest.mark.usefixtures("one_thread")
pytest_plugins = ("train_made",)


def test_planned_widths_are_those_that_the_recorded_runs_give() -> None:
    recorded = results.recorded("layer_patterns", "wide")
    points = (*pruned_training.POINTS, 1.0)
    for seed, (narrow, recommended) in pruned_training.PLANNED.items():
        run = recorded.sel(seed=seed)
        assert planning.recommend(run) == recommended
        tokens, mean = run["tokens"].values, points[0] * 32_768
        for point, until in pairwise(points):
            alive = 32_768 - run["dead_units"].values[np.searchsorted(tokens, point * tokens[-1], side="right") - 1]
            mean += (until - point) * np.mean([rounded_up(float(each), 128) for each in alive])
        assert narrow == rounded_up(float(mean), 128)
    assert tuple(pruned_training.PLANNED) == pruned_training.seeds("wide") and not pruned_training.RAN


def test_forks_of_a_seed_have_one_parent_and_the_others_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = pruned_training.arms("wide", 2)
    assert list(runs) == ["dense", "pruned", "narrow", "recommended"]
    assert runs["dense"].parent == runs["pruned"].parent == pruned_training.parent("wide", 2)
    assert runs["pruned"].prune.tokens == (22_937_600, 57_344_000, 114_688_000) and not runs["dense"].prune.tokens
    assert [runs[arm].fork.tokens for arm in ("narrow", "recommended")] == [0, 0]
    assert runs["recommended"].model.widths == pruned_training.PLANNED[2][1] and runs["narrow"].model.width == 17_280
    widths = tuple(range(128 * 24, 128 * 6, -128))
    monkeypatch.setattr(pruned_training, "WIDTHS", {2: widths})
    random = pruned_training.arms("wide", 2)["random"]
    assert random.prune.rule == "random" and random.prune.widths == widths
    assert random.prune.tokens == runs["pruned"].prune.tokens and random.parent == runs["dense"].parent
    assert len(pruned_training.config("smoke").runs) == 12, "where others are drawn than at Wide there is no twin"


def made(pruned: float = 1.0, narrow: float = 1.0, speed: float = 2.0, narrow_speed: float = 1.5) -> xr.Dataset:
    """Three seeds: the loss falls by 1 a step, from 100 to `1` or what is given; seconds a step from step 10 on."""
    steps, arms = np.arange(0, 101, 10), ["dense", "pruned", "narrow", "recommended"]
    ends = {"dense": 1.0, "pruned": pruned, "narrow": narrow, "recommended": narrow - 0.005}
    loss = np.stack([100 - steps * (100 - ends[arm]) / 100 for arm in arms])
    per_step = {"dense": 1.0, "pruned": 1 / speed, "narrow": 1 / narrow_speed, "recommended": 1 / narrow_speed}
    seconds = np.stack([steps * per_step[arm] for arm in arms])
    seconds[1] = 10 + (steps - 10) / speed
    both = {"heldout_loss": loss, "training_seconds": seconds}
    seeds = np.array([0.9, 1.0, 1.1])[None, :, None]  # how fast the seed's machine was
    values = {name: (("arm", "seed", "step"), np.repeat(of[:, None], 3, axis=1)) for name, of in both.items()}
    dataset = xr.Dataset(values, {"arm": arms, "seed": [2, 3, 4], "step": steps, "tokens": ("step", steps * 8)})
    dataset["training_seconds"] = dataset["training_seconds"] * seeds
    return dataset.assign_attrs(fork_tokens=80)


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({}, True),
        ({"speed": 1.3}, False),  # as fast as asked from the fork on, but narrow is faster
        ({"speed": 1.3, "narrow_speed": 1.1}, True),
        ({"speed": 1.29, "narrow_speed": 1.0}, False),
        ({"pruned": 1.006}, False),  # it never comes to L
        ({"pruned": 1.005}, True),
        ({"narrow": 1.1, "narrow_speed": 9.0}, True),  # nor does narrow, however fast it is
        ({"speed": 9.0, "narrow_speed": 9.5}, False),
    ],
)
def test_the_rule_comes_out_each_way(fields: dict[str, float], holds: bool) -> None:
    assert pruned_training.holds(made(**fields)) is holds
    first = pruned_training.sentences(made(**fields)).iloc[0]
    assert first["holds"] == holds and first["chance"] == 0.35


def test_ratios_are_counted_from_the_fork_and_what_is_missing_decides_nothing() -> None:
    table = pruned_training.judge(made(speed=3.0))
    np.testing.assert_allclose(table["dense / pruned"], 3.0)
    np.testing.assert_allclose(table["pruned"], [0.9 * 40, 40, 1.1 * 40])
    lacks = made()
    lacks["heldout_loss"].loc[{"arm": "pruned", "seed": 3}] = np.nan
    assert pruned_training.holds(lacks) is None
    said = pruned_training.sentences(lacks)["holds"].tolist()
    assert said[:3] == [None, None, None] and said[3:] == [True, True]
    lacks["heldout_loss"].loc[{"arm": "pruned", "seed": 2}] *= 1.1  # which never comes to L, whatever seed 3 does
    said_of = pruned_training.sentences(lacks).set_index("written before").loc["pruned comes to L in every seed"]
    assert said_of[["came", "holds"]].tolist() == ["1 of 2 seeds", False]
    assert pruned_training.predicted(made()).set_index("arm")["holds"].tolist() == [True, True, True]
    assert not pruned_training.predicted(made(pruned=1.02)).set_index("arm").loc["pruned", "holds"]


def test_whole_runs_become_one_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    small: Any = lambda scale, seed, recipe: tiny_run(seed=seed, **{"measure.earlier": 0})  # noqa: E731
    monkeypatch.setattr(pruned_training, "base", small)
    monkeypatch.setattr(pruned_training, "seeds", lambda scale: (2, 3))
    monkeypatch.setattr(pruned_training, "PLANNED", {2: (16_384, (20_480, 12_288))})
    parent = train.run(pruned_training.parent("smoke", 2), tiny_corpus()).dataset
    runs = [train.run(run, tiny_corpus()).dataset for run in pruned_training.arms("smoke", 2).values()]
    config = pruned_training.config("smoke")
    dataset = pruned_training.assemble(config, [*runs, *[None] * 4], [parent, None])
    assert dict(dataset.sizes) | {"step": 0} == {"arm": 4, "seed": 2, "step": 0, "layer": 2}
    assert dataset.attrs["fork_tokens"] == 4 * 64 and dataset["heldout_loss"].sel(seed=3).isnull().all()
    of = dataset.sel(seed=2)
    for arm, run in zip(of["arm"].values, runs, strict=True):
        known = of["heldout_loss"].sel(arm=arm).dropna("step")
        np.testing.assert_allclose(known, run["heldout_loss"])
    begun = float(of["training_seconds"].sel(arm="dense", step=4))
    assert begun == float(of["training_seconds"].sel(arm="pruned", step=4)) > 0, "their parent's seconds"
    assert float(of["training_seconds"].sel(arm="narrow", step=0)) == 0
    final = of["width"].sel(arm="pruned").isel(step=-1).values.tolist()
    assert pruned_training.came_to(runs[1])[-2:] == tuple(map(int, final)) and sum(final) < 64
    assert of["width"].sel(arm="dense").isel(step=-1).values.tolist() == [32, 32]
    assert float(of["removing_seconds"].sel(arm="pruned")) > 0 == float(of["removing_seconds"].sel(arm="dense"))
    assert pruned_training.holds(dataset) is None and len(results.provenance(dataset)["runs"]) == 4
