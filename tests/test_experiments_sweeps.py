"""Sweeps: what each row changes, that a dataset says so, and that a diverged run is marked and not dropped."""

from dataclasses import replace as but
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from relusparsity import experiments, recipes, scales, train
from relusparsity.chapters.ch06_limits_and_capacity import experiment as capacity
from relusparsity.config import RunConfig, from_dict, replace
from relusparsity.errors import UserError
from relusparsity.experiments import endings, layer_patterns, search, sweep_table, variants
from relusparsity.experiments.sweeps import Config, Sweep
from relusparsity.store import results

ROWS = [pytest.param(row, id=f"{row.name}-{row.scale}") for row in sweep_table.TABLE]


def row(name: str, scale: str = "wide") -> Sweep:
    return sweep_table.row(name, scale)


@pytest.mark.parametrize("sweep", ROWS)
def test_every_run_differs_from_its_recipe_in_what_the_row_says(sweep: Sweep) -> None:
    config = sweep.config()
    common = {name: value for name, value in sweep.common.items() if name != "screens"}  # of the run's own steps
    start = replace(scales.base(sweep.scale, sweep.seed, sweep.recipe), **common)
    assert len(set(config.runs)) == len(config.runs) == len(sweep.changes)
    for changes, run in zip(sweep.changes.values(), config.runs, strict=True):
        for field, value in changes.items():
            part, _, name = field.partition(".")
            assert getattr(getattr(run, part), name) == value
        parts = {field: getattr(getattr(start, field.partition(".")[0]), field.partition(".")[2]) for field in changes}
        assert replace(run, screens=(), **parts) == start, "and in nothing else"


@pytest.mark.parametrize("sweep", ROWS)
def test_a_row_says_what_was_predicted_and_its_dataset_what_was_run(sweep: Sweep) -> None:
    assert sweep.predicted.endswith(".") and len(sweep.predicted) > 20 and sweep.recipe in recipes.RECIPES
    if not sweep.date:
        pytest.skip("yet to run")
    dataset = results.recorded(sweep.name, sweep.scale)
    facts = results.provenance(dataset)
    assert dataset.attrs["scale"] == sweep.scale and dataset["seed"].values.tolist() == [sweep.seed]
    names = dataset["recipe"].values.tolist() if "recipe" in dataset.dims else list(sweep.changes)
    assert names == list(sweep.changes) and ("recipe" in dataset.dims) == (sweep.stacked_by == "recipe")
    kept = facts.get("configs", {names[0]: facts["config"]})
    for name, run in zip(names, sweep.config().runs, strict=True):
        if name in kept:
            was = from_dict(RunConfig, kept[name])  # a field that came since has its default
            same = {"train.resume_every": was.train.resume_every}  # states to go on from change no result
            assert replace(run, corpus=was.corpus, **same) == was


def test_a_row_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="no sweep 'lead' at scale 'laptop'; there are exploration at mid, longer at"):
        row("lead", "laptop")


def test_a_sweep_is_found_like_an_experiment() -> None:
    assert experiments.rotary is row("rotary")
    with pytest.raises(AttributeError, match="has no attribute 'rotary_2'"):
        experiments.rotary_2  # noqa: B018


def test_recipes_by_name_are_those_of_the_sweeps() -> None:
    explored = dict(zip(sweep_table.RECIPES, row("exploration", "mid").config().runs, strict=True))
    few = row("exploration", "mid").common
    for name, recipe in {"base": "base", "lr × 2": "first", "modern": "modern"}.items():
        assert explored[name] == replace(scales.base("mid", 0, recipe), **few)
    (modern,) = row("modern").config().runs
    assert modern == scales.base("wide", 2, "modern")


def test_what_a_search_found_is_judged_by_other_seeds() -> None:
    (picked,) = row("stronger_decay").config().runs
    nearest = recipes.RECIPES["nearest"]
    assert picked == scales.base("wide", picked.seed, "nearest") and picked.seed in nearest.searched
    assert picked.train.steps == 28_000 and (picked.train.lr, picked.train.weight_decay) == (3e-4, 2.0)
    assert {run.seed for run in layer_patterns.config("wide").runs} == {2, 3, 4}
    assert [run.seed for run in layer_patterns.config("mid").runs] == [2, 3, 4, 5, 6]
    for name, recipe in recipes.RECIPES.items():
        assert set(recipe.seeds("wide")).isdisjoint(recipe.searched), name
        assert bool(recipe.searched) == (recipe.frozen is not None), name


def test_the_streams_read_what_the_widths_read() -> None:
    runs = row("residual_stream", "mid").config().runs
    assert runs[0] == layer_patterns.config("mid").runs[0]
    assert {run.seed for run in capacity.config("mid").others} == {runs[0].seed}
    for run in (*runs, *row("residual_stream").config().runs):
        assert run.model.d_model / run.model.n_heads == 64, "size of a head"


def test_one_sum_of_decay_in_four_recipes_and_three_with_rotary_positions() -> None:
    (longer,), four = row("stronger_decay").config().runs, row("equal_decay").config().runs
    for run in four:
        assert endings.summed_decay(run) == pytest.approx(endings.summed_decay(longer), rel=0.01)
    larger = four[list(row("equal_decay").changes).index("rate ÷ 2, rotary")]
    for run in row("rotary").config().runs:
        assert replace(run, **{"train.weight_decay": larger.train.weight_decay}) == larger


def test_the_lead_differs_from_row_to_row_in_its_decay_alone() -> None:
    runs = row("lead").config().runs
    assert [run.train.weight_decay for run in runs] == [1.0, 1.5, 2.0]
    assert {replace(run, **{"train.weight_decay": 1.0}) for run in runs} == {runs[0]}
    assert runs[0].train.steps == 28_000 and runs[0].model.init == "fan_in" and runs[0].seed == search.SEED
    (mid,) = row("lead", "mid").config().runs
    assert (mid.model.d_ff, mid.train.steps, mid.model.init, mid.train.weight_decay) == (8192, 6000, "fan_in", 1.0)


def test_a_diverged_run_is_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original = train.Trainer.advance
    changes = {"base": {}, "RMSNorm": {"model.norm": "rmsnorm"}, "batch × 4": {"train.batch_tokens": 1024}}
    lengths = {"train.tokens": 12_288, "train.dead_after": 2_048, "train.resume_every": 0}  # both batches divide them
    # a seed of its own: these runs are not those of any other test
    sweep = but(row("exploration", "mid"), scale="smoke", changes=changes, common=lengths, seed=77)
    kept = sweep.config().runs
    broken = kept[1]

    def advance(self: train.Trainer) -> object:
        loss, norm = original(self)
        return (loss * np.nan if self.config == broken and self.step > 30 else loss), norm

    monkeypatch.setattr(train.Trainer, "advance", advance)
    dataset = sweep.run(sweep.config())
    results.save(dataset, tmp_path / "saved.nc")  # whole: units and names everywhere
    assert dataset["batch_use"].dims == ("recipe", "seed", "step", "layer") and dataset.attrs["scale"] == "smoke"
    use = dataset["batch_use"].isel(seed=0)
    assert np.isfinite(use.isel(recipe=[0, 2])).all()
    seen = xr.where(np.isfinite(use.isel(recipe=1)).all("layer"), dataset["tokens"], 0)
    assert 0 < int(seen.max()) <= 30 * 256 < int(dataset["tokens"].max())
    assert np.isnan(dataset["final_loss"].values.ravel()).tolist() == [False, True, False]
    assert dataset["changed"].values.tolist() == ["nothing changed", "norm rmsnorm", "batch_tokens 1024"]
    assert "stopped_after_step" not in dataset.attrs, "one recipe stopped, not all"
    facts = results.provenance(dataset)
    assert facts["stopped_after_step"] == {"RMSNorm": 30}
    assert [facts["configs"][name]["train"]["batch_tokens"] for name in changes] == [256, 256, 1024]
    alone = variants.measured(broken)
    with pytest.raises(UserError, match="each of one, other diverged"):
        variants.stack([alone, alone], {"one": {}, "other": {}}, "smoke")
    whole = variants.measured(kept[0])
    another = whole.assign_attrs(provenance=whole.attrs["provenance"].replace('"seed": 77', '"seed": 78'))
    with pytest.raises(UserError, match=r"one, other have the seeds \[77, 78\]"):
        variants.stack([whole, another], {"one": {}, "other": {}}, "smoke")


def test_one_run_may_be_kept_as_chapter_2_keeps_its_runs() -> None:
    sweep = but(row("modern"), scale="smoke", seed=0)
    dataset = sweep.run(sweep.config())
    assert dataset["batch_use"].dims == ("seed", "step", "layer") and "final_firing_count" in dataset
    assert "search_seeds" not in dataset.attrs, "no verdict rests on it"


@pytest.mark.parametrize("changes", [{"scale": "huge"}, {"recipe": "none"}, {"runs": "all"}, {"stacked_by": "layer"}])
def test_a_configuration_is_checked(changes: dict[str, str]) -> None:
    config: Config = but(row("modern"), scale="smoke").config()
    with pytest.raises(UserError, match=next(iter(changes))):
        replace(config, **changes)
