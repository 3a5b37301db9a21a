"""Old names: recorded files keep them, and what is read has those of today."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import h5py
import numpy as np
import pytest

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import identity, train
from relusparsity.book import recorded
from relusparsity.config import RunConfig, from_dict, replace
from relusparsity.errors import UserError
from relusparsity.experiments import repetition, variants
from relusparsity.store import ondisk, renamed, results
from relusparsity.train import golden

RECORDED = sorted(path.stem for path in results.data_dir().glob("*.nc"))
OF_MODELS = "any_model"
"""Measures models, of which the laptop's run is one: its configuration is in the other datasets of that scale."""
OF_OTHERS = ("real_checkpoints-laptop-default", "real_heads-laptop-default")
"""Measure models that others trained: no run of ours is behind them."""


@cache
def as_recorded(name: str) -> dict[str, Any]:
    """The provenance in a file, with the names that are in it."""
    with h5py.File(results.data_dir() / f"{name}.nc") as file:
        facts: dict[str, Any] = json.loads(file.attrs["provenance"])
        return facts


def listed(file: h5py.File, name: str) -> list[Any]:
    kept = file[name]
    return (kept.asstr() if kept.dtype.kind == "O" else kept)[...].tolist()


def as_read(name: str) -> dict[str, Any]:
    return json.loads(renamed.with_todays_runs(json.dumps(as_recorded(name))))


def by_recipe(runs: list[Any]) -> list[list[str]]:
    return [each if isinstance(each, list) else [each] for each in runs]


def ids(facts: dict[str, Any]) -> set[str]:
    """Of every run that a provenance names as made."""
    found = {id for ids in by_recipe(facts["runs"]) for id in ids} | {facts.get("run_id", variants.NOT_RUN)}
    return {id.removeprefix("run-") for id in found} - {variants.NOT_RUN}


def changes(said: str, of: RunConfig) -> dict[str, Any]:
    """Fields by dotted name, from how a dataset says what a recipe changes, such as "lr 0.0006, positions rotary"."""
    found = {}
    for field, value in re.findall(r"(\w+) (\S+)", "" if said == "nothing changed" else said.replace(",", "")):
        (part,) = [part for part in ("model", "train") if hasattr(getattr(of, part), field)]
        found[f"{part}.{field}"] = typed(value)
    return found


def typed(said: str) -> Any:
    return ast.literal_eval(said) if re.fullmatch(r"True|False|[\d.e-]+", said) else said


def made(name: str) -> Iterator[tuple[str, RunConfig, str]]:
    """Old id, configuration and checksum of the text of every run that a dataset names, out of what it holds."""
    facts = as_recorded(name)
    first, text = from_dict(RunConfig, facts["config"]), facts["corpus"]["checksum"]
    with h5py.File(results.data_dir() / f"{name}.nc") as file:
        seeds = listed(file, "seed")
        axis = "arm" if "arm" in file else "recipe"
        if axis not in file:
            for id, seed in zip(facts["runs"], seeds, strict=True):
                yield id, replace(first, seed=seed), text
            return
        recipes = listed(file, axis)[: len(facts["runs"])]  # arms that follow from what others came to are named apart
        texts = [text] * len(recipes)
        if "configs" in facts:
            configs = [from_dict(RunConfig, facts["configs"][recipe]) for recipe in recipes]
            texts = [each[0] for each in by_recipe(facts.get("checksums", texts))]
        elif name.startswith("repetition"):
            whole = as_recorded("factorial-mid")["corpus"]["checksum"]
            texts = [identity.digest(whole, first.train.tokens // repetition.PASSES[each] + 1) for each in recipes]
            configs = [first] * len(recipes)
        elif "changed" in file:
            configs = [replace(first, **changes(said, first)) for said in listed(file, "changed")]
        else:
            configs = cells(file, first)
    unlike = facts.get("unlike", [{}] * len(seeds))
    for recipe, config, of_recipe, its_text in zip(recipes, configs, by_recipe(facts["runs"]), texts, strict=True):
        for id, seed, of_seed in zip(of_recipe, seeds, unlike, strict=True):
            if id != variants.NOT_RUN:
                yield id, replace(config, seed=seed, **of_seed.get(recipe, {})), its_text


def cells(file: h5py.File, first: RunConfig) -> list[RunConfig]:
    """The configurations of the factorial, whose coordinates are its factors."""
    fields = {name: kept.attrs.get("long_name", "") for name, kept in file.items()}
    factors = {name: field for name, field in fields.items() if re.match(r"(model|train)\.", field)}
    levels = zip(
        *([(field, typed(said)) for said in listed(file, name)] for name, field in factors.items()), strict=True
    )
    found = []
    for cell in levels:
        config = replace(first, **dict(cell))
        as_t5 = config.model.tied and config.model.embedding_std == 1
        found.append(replace(config, **{"model.logit_scale": config.model.d_model**-0.5 if as_t5 else 1.0}))
    return found


def test_the_table_holds_recorded_runs_alone() -> None:
    assert set(renamed.RUNS) <= {id for name in RECORDED for id in ids(as_recorded(name))}
    assert not set(renamed.RUNS) & set(renamed.RUNS.values())


@pytest.mark.parametrize(
    "name", [n for n in RECORDED if not n.startswith(OF_MODELS) and n not in OF_OTHERS and as_recorded(n)["runs"]]
)
def test_todays_id_is_that_of_the_configuration_and_the_text_that_are_recorded(name: str) -> None:
    found = {old: identity.run_id(config, checksum, "1") for old, config, checksum in made(name)}
    # what was recorded since the ids are today's has no row
    assert found == {old: renamed.run(old) for old in ids(as_recorded(name))}


@pytest.mark.parametrize("name", [name for name in RECORDED if name not in OF_OTHERS])
def test_a_recorded_dataset_names_what_running_its_experiment_again_would_make(name: str) -> None:
    experiment, scale, *recipe = name.split("-")
    facts = as_read(name)
    (by,) = (each for each in recorded.recorded_at(scale, *recipe) if each.path.stem == name)
    like = facts if "corpus" in facts else as_read(f"layer_patterns-{scale}-{recipe[0]}")
    texts = recorded.checksums(facts, like["corpus"]["checksum"])
    named = {golden.run_id(config, text) for config, text in zip(by.config().runs, texts, strict=False)}
    if experiment == "repetition":  # its provenance has the first of its texts
        assert named < ids(facts)
    elif variants.NOT_RUN in np.ravel(facts["runs"]):  # some of its runs are yet to come
        assert ids(facts) < named
    else:
        assert ids(facts) == named


@pytest.mark.parametrize("name", RECORDED)
def test_but_for_names_of_runs_a_provenance_is_read_as_it_is_recorded(name: str) -> None:
    facts = as_recorded(name)

    def translated(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: translated(each) for name, each in value.items()}
        if isinstance(value, list):
            return [translated(each) for each in value]
        prefix, rest = ("run-", value[4:]) if str(value).startswith("run-") else ("", value)
        return prefix + renamed.RUNS[rest] if rest in renamed.RUNS else value

    assert as_read(name) == translated(facts)
    assert (translated(facts) != facts) == bool(ids(facts) & set(renamed.RUNS))


@pytest.mark.parametrize("name", ["lead-mid", "any_model-laptop-default"])
def test_a_dataset_that_is_loaded_has_todays_names(name: str) -> None:
    assert results.provenance(results.recorded(*name.split("-"))) == as_read(name)


def test_a_run_made_under_an_old_id_is_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, tiny: train.Run) -> None:
    old, new = "0" * 16, tiny.path.name[4:]
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    folder = tmp_path / f"run-{old}"
    as_then = tiny.dataset.assign_attrs(provenance=tiny.dataset.attrs["provenance"].replace(new, old))
    results.save(as_then, folder / "dataset.nc")
    (folder / "config.json").write_bytes((tiny.path / "config.json").read_bytes())
    monkeypatch.setitem(renamed.RUNS, old, new)
    assert ondisk.find(old) == folder
    assert f"run            {new}" in ondisk.summary(folder)
    results.save(as_then, tmp_path / f"run-{'1' * 16}" / "dataset.nc")
    with pytest.raises(UserError, match=f"holds the dataset of the run {new}"):
        ondisk.summary(tmp_path / f"run-{'1' * 16}")


def test_an_old_id_finds_the_run_that_was_made_again(monkeypatch: pytest.MonkeyPatch, tiny: train.Run) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tiny.path.parent))
    monkeypatch.setitem(renamed.RUNS, "0" * 16, tiny.path.name[4:])
    assert ondisk.find("0" * 16) == tiny.path
    with pytest.raises(UserError, match="no runs in"):
        ondisk.find("0" * 15)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> train.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELUSPARSITY_RUNS", str(tmp_path_factory.mktemp("runs")))
        return train.run(tiny_run(), tiny_corpus())
