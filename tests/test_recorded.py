"""What is committed in data/: whole, described, within range, and of the size that it says it has."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from relusparsity import claims, recipes, scales
from relusparsity.book import front, outside, recorded
from relusparsity.chapters.ch11_measure_any_model import public
from relusparsity.chapters.ch19_specialised_heads import public as heads
from relusparsity.config import RunConfig, replace
from relusparsity.errors import UserError
from relusparsity.experiments import variants
from relusparsity.store import renamed, results

NAMES = sorted(path.stem for path in results.data_dir().glob("*.nc"))
SLACK = 1e-6  # shares are quotients of exact counts, kept in 32 or 64 bits
SHARES = ("token_use", "sequence_use", "batch_use")
LARGE = {  # datasets from before there was a limit, in megabytes
    "factorial-mid": 1.2,
    "feature_specificity-wide-first": 1.5,
    "feature_specificity-wide-nearest": 1.3,
    "layer_patterns-wide-first": 1.2,
    "neuron_death-laptop-default": 1.9,
    "neuron_death-mid-first": 1.6,
    "neuron_death-wide-first": 2.4,
    "neuron_death-wide-nearest": 2.4,
}
SHARED_AT = (("laptop", "default"), ("mid", "first"), ("wide", "first"), ("wide", "nearest"))


@pytest.fixture(scope="module", params=NAMES)
def dataset(request: pytest.FixtureRequest) -> xr.Dataset:
    return results.recorded(*request.param.split("-"))


def test_something_is_recorded() -> None:
    shared = ("layer_patterns", "neuron_death", "feature_specificity", "pruning")
    assert {f"{name}-{scale}-{recipe}" for name in shared for scale, recipe in SHARED_AT} <= set(NAMES)
    every = recorded.everything()
    made = {each.path.stem for each in every}
    waiting = {each.path.stem for each in every if not each.ran}
    assert made - waiting | {public.FILE, heads.FILE} == set(NAMES), (
        "each file is made by an experiment, a sweep or of others' models, and each of these has its file"
    )


@pytest.mark.parametrize("each", recorded.everything(), ids=lambda each: each.path.stem)
def test_it_was_made_of_the_runs_that_its_experiment_has(each: recorded.Recorded) -> None:
    assert recorded.outdated(each) == ""


def test_a_dataset_of_other_runs_is_named_with_what_renews_it() -> None:
    (patterns,) = (each for each in recorded.recorded_at("laptop") if each.name == "layer_patterns")
    runs, module = patterns.config().runs, "relusparsity.chapters.ch24_made_up.experiment"

    def said(*runs: RunConfig, **attributes: Any) -> str:
        made_by = SimpleNamespace(config=lambda scale, recipe: SimpleNamespace(runs=runs), **attributes)
        return recorded.outdated(dataclasses.replace(patterns, made_by=made_by))

    assert said(*runs) == said(*reversed(runs)) == ""
    told = "layer_patterns-laptop-default.nc was made of other runs than its experiment has by now"
    all_of_it = f'{told} (0 lacking, 1 left over); renew it: `make record SCALE=laptop ONLY="layer_patterns"`.'
    assert said(*runs[:2]) == all_of_it
    assert said(*runs, replace(runs[0], seed=9), __name__=module) == (
        f"{told} (1 lacking, 0 left over); renew it: `make record CHAPTER=24`."
    )
    assert "(1 lacking, 1 left over)" in said(*runs[:2], replace(runs[2], **{"model.d_model": 32}))
    assert said(*runs[:2], replace(runs[2], **{"train.resume_every": 0})) == "", "no part of what it computes"


@pytest.mark.parametrize("old", ["recipes-factorial", "lead-paper_first", "capacity-laptop", "pruning-paper"])
def test_a_dataset_is_found_under_its_old_name_too(old: str) -> None:
    xr.testing.assert_identical(results.recorded(*old.split("-")), results.recorded(*renamed.file(old).split("-")))
    assert renamed.file(old) in NAMES and renamed.file(renamed.file(old)) == renamed.file(old)


@pytest.mark.parametrize(
    ("lies", "name", "told"),
    [
        ("pruning-wide-first", "pruning-wide-nearest", "scale 'wide' with recipe 'first'"),
        ("pruning-wide-nearest", "pruning-wide-first", "scale 'wide' with recipe 'nearest'"),
        ("pruning-mid-first", "pruning-wide-first", "scale 'mid' with recipe 'first'"),
        ("capacity-laptop-default", "capacity-mid-first", "scale 'laptop' with a recipe it does not name"),
        ("lead-mid", "lead-wide", "scale 'mid' with a recipe it does not name"),
    ],
)
def test_a_file_under_the_name_of_another_is_refused(
    lies: str, name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for end in ("nc", "nc.sha256"):
        shutil.copy(results.data_dir() / f"{lies}.{end}", tmp_path / f"{name}.{end}")
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path)
    with pytest.raises(UserError, match=rf"{name}\.nc is not what its name says: it was recorded at {told}; restore"):
        results.recorded(*name.split("-"))


@pytest.mark.parametrize("recipe", ["first", None])
def test_a_new_file_says_its_recipe_itself(recipe: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path)
    says = xr.Dataset(attrs={"scale": "wide", "provenance": "{}"} | ({"recipe": recipe} if recipe else {}))
    results.save(says, tmp_path / "a-wide-first.nc")
    assert results.recorded("a", "wide", "first").attrs["recipe"] == "first"
    names = [("a", "mid", "first"), *([("a", "wide", "nearest"), ("a", "wide")] if recipe else [])]
    for name in names:
        results.save(says, path := tmp_path / f"{'-'.join(name)}.nc")
        with pytest.raises(UserError, match=r"is not what its name says: it was recorded at scale 'wide' with"):
            results.recorded(*name)
        path.unlink()


@pytest.mark.parametrize("name", NAMES)
def test_a_new_dataset_is_of_one_megabyte_at_most(name: str) -> None:
    """`LARGE` is closed: a chapter that needs more records less, or what can be computed when it is drawn."""
    allowed = LARGE.get(name, 1.0)
    assert (results.data_dir() / f"{name}.nc").stat().st_size <= allowed * 1e6


def test_what_is_committed_takes_40_megabytes_at_most(root: Path) -> None:
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says what is committed")
    files = [root / name for name in listed.stdout.split("\0") if name]
    assert len(files) > 300
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 40e6


def test_every_variable_says_its_unit_and_name(dataset: xr.Dataset) -> None:
    for name, variable in dataset.variables.items():
        assert {"units", "long_name"} <= set(variable.attrs), name


def test_provenance_is_complete(dataset: xr.Dataset) -> None:
    facts = results.provenance(dataset)
    assert {"runs", "environment", "wall_seconds"} <= set(facts)
    assert {"python", "device", "packages", "commit"} <= set(facts["environment"])
    assert {"source", "meaning"} & set(facts["environment"])  # by its source, the first ones; by its meaning since
    if "models" in facts:  # of models that nobody here trained: what each was, and the text it read
        assert all({"config", "model", "rule", "text"} <= set(each) for each in facts["models"].values())
    elif not facts["runs"]:  # of networks that are read before training, or trained by the experiment itself
        assert facts["config"] and len(facts["wall_seconds"]) == 1
    else:
        assert {"config", "run_id", "corpus", "tokens_seen"} <= set(facts)
        assert len(facts["corpus"]["checksum"]) == 64
    seconds = np.array(facts["wall_seconds"], dtype=float)
    assert (seconds >= 0).all()
    assert np.count_nonzero(seconds == 0) == np.count_nonzero(np.array(facts["runs"]) == variants.NOT_RUN)


def test_shape_and_tokens_are_those_of_its_scale(dataset: xr.Dataset, request: pytest.FixtureRequest) -> None:
    facts = results.provenance(dataset)
    if "models" in facts or not facts["runs"]:
        pytest.skip("not a training run: its models are described one by one")
    config, name = facts["config"], request.node.callspec.params["dataset"].split("-")
    (made,) = (
        each
        for each in recorded.recorded_at(*(name[1:] if name[2:] else [name[1]]))
        if each.path.stem == "-".join(name)
    )
    runs = made.config().runs
    run = runs[0]
    tokens = run.end_step * run.train.batch_tokens
    for size in {"n_layers", "d_ff", "d_model", "seq_len", "vocab_size"} & set(config["model"]):
        assert config["model"][size] == getattr(run.model, size), size
    assert config["train"]["tokens"] == run.train.tokens
    if "screens" in facts and dataset["final_loss"].isnull().all():  # a screen stopped the one run there is
        assert facts["tokens_seen"] == int(dataset["tokens"][-1]) < tokens
        return
    assert facts["tokens_seen"] == tokens
    if "layer" in dataset.sizes:
        assert dataset.sizes["layer"] == max(each.model.n_layers for each in runs)
    if "unit" in dataset.sizes:
        assert dataset.sizes["unit"] == run.model.d_ff
    if "step" in dataset.sizes:
        own = (run.end_step - run.begin_step) / run.train.steps  # of a fork, its part of its parent's measurements
        assert dataset.sizes["step"] >= min(30, own * run.measure.points)
        assert int(dataset["tokens"][0]) == min(each.fork.tokens for each in runs)
        assert int(dataset["tokens"][-1]) == max(each.end_step for each in runs) * run.train.batch_tokens


def test_shares_lie_between_zero_and_one(dataset: xr.Dataset) -> None:
    for name in dataset.variables:
        if str(name).endswith(("_use", "_rate", "_use_percentiles", "_rate_percentiles")):
            values = dataset[name].values
            assert np.nanmin(values) >= 0 and np.nanmax(values) <= 1 + SLACK, name


def test_wider_windows_use_more_units(dataset: xr.Dataset) -> None:
    if set(SHARES) <= set(dataset):
        token, sequence, batch = (dataset[name].transpose(..., "step", "layer").values for name in SHARES)
        assert not (token > sequence + SLACK).any() and not (sequence > batch + SLACK).any()  # NaN: not trained
    for name in ("window_use", "rarefied_use", "final_window_use", "final_rarefied_use"):
        if name in dataset:
            curve = dataset[name].transpose(..., "window").values.astype(float)
            known = curve[..., np.isfinite(curve).all(axis=tuple(range(curve.ndim - 1)))]
            assert known.shape[-1] >= 10 and (np.diff(known) >= -SLACK).all(), name


def test_percentiles_rise(dataset: xr.Dataset) -> None:
    for name in ("token_use_percentiles", "sequence_use_percentiles", "firing_rate_percentiles"):
        if name in dataset:
            values = dataset[name].transpose(..., "percentile").values.astype(float)
            rises = np.diff(values)
            assert (rises[np.isfinite(rises)] >= 0).all(), name


def test_counts_agree_with_use() -> None:
    for scale, recipe in SHARED_AT:
        data = results.recorded("layer_patterns", scale, recipe)
        tokens, d_ff = data.attrs["final_sample_tokens"], data.attrs["d_ff"]
        from_counts = data["final_firing_count"].astype(np.int64).sum("unit") / (tokens * d_ff)
        np.testing.assert_allclose(from_counts, data["final_token_use"], rtol=1e-5)
        assert (data["final_sequences_fired"] <= data["final_firing_count"]).all()


def test_contributing_says_how_each_dataset_of_the_gpu_scales_is_made_again(root: Path) -> None:
    rows = re.findall(
        r"^\| (`.+`) \| `(make .+)` \| (\d+) min, \D*(\d+) run", (root / "CONTRIBUTING.md").read_text(), re.M
    )
    found = []
    for datasets, command, minutes, runs in rows:
        names = [name.split("-") for name in re.findall(r"`(.+?)`", datasets)]
        found += ["-".join(name) for name in names]
        (scale, *recipe), only = names[0][1:], " ".join(name[0] for name in names)
        by = "".join(f" RECIPE={name}" for name in recipe if name != recipes.FROZEN.get(scale))
        assert command == f'make record SCALE={scale}{by} ONLY="{only}"'
        seconds = pd.Series(results.provenance(results.recorded(*names[0]))["wall_seconds"]).explode()
        seconds = seconds[seconds > 0]  # of what was run
        assert (round(seconds.sum() / 60), len(seconds)) == (int(minutes), int(runs)), datasets
    assert sorted(found) == [name for name in NAMES if scales.EVERY[name.split("-")[1]].train.compile]


def test_the_front_pages_show_what_these_data_say(root: Path) -> None:
    texts, shown = front.blocks(), set[str]()
    for page in front.pages(root):
        text = page.read_text()
        assert front.filled(text, texts) == text, f"{page.name} is behind the data; `make record` writes it"
        shown |= {name for _, name, _ in front.MARKED.findall(text)}
    assert shown == set(texts)
    found, verdicts = (outside.block((root / page).read_text(), name) for page, name in outside.BLOCKS)
    assert (found, verdicts) == (texts["findings"].strip(), texts["claims"].strip()), "what llms.txt says"


def test_verdicts_come_from_these_data_alone() -> None:
    """Every row at every scale that is recorded gives its reading; none stops at a missing number."""
    outcomes = claims.evaluate(front.recorded())
    judged = {(outcome.row.number, outcome.scale) for outcome in outcomes if outcome.readings}
    at_p = ("1", "2", "3", "3b", "4", "5", "6", "7", "8", "9", "12", "13")
    assert {(number, "P") for number in at_p} | {(number, "S") for number in at_p[1:]} <= judged
    assert ("14", "L + P") in judged
