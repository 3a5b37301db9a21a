"""Chapter 11: a model reads the same alone and among others, fresh ones have one seed, chance is as stated."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from relusparsity import plots
from relusparsity.chapters.ch11_measure_any_model import experiment, tables
from relusparsity.errors import UserError
from relusparsity.experiments import shared
from relusparsity.measure import report
from relusparsity.plots import measured
from relusparsity.store import results

RELU = ["trained", "untrained", "OPT"]


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return experiment.run(experiment.config("smoke"))


def test_a_model_reads_the_same_alone_and_among_others(dataset: xr.Dataset) -> None:
    config = experiment.config("smoke")
    (finished,) = shared.train_all(config.runs)
    for name in ("trained", "Llama, CETT 0.2"):
        alone, among = experiment._one(name, finished, config), tables.one(dataset, name)
        alone = alone.drop_vars(experiment.LEFT_OUT)
        assert set(alone.variables) == set(among.variables)
        for variable in alone.variables:
            np.testing.assert_array_equal(among[variable], alone[variable], str(variable))
        assert among.attrs.keys() == alone.attrs.keys() and among.attrs["rule"] == alone.attrs["rule"]
        assert results.provenance(among).keys() == results.provenance(alone).keys()


def test_every_model_is_measured_on_one_text(dataset: xr.Dataset) -> None:
    facts = results.provenance(dataset)["models"].values()
    assert len({fact["text"]["sha256"] for fact in facts}) == 1
    assert {fact["text"]["tokens"] for fact in facts} == {8_192}
    assert list(tables.about(dataset)) == list(experiment.READINGS)


@pytest.mark.parametrize("kind", ["opt", "llama"])
def test_fresh_models_have_the_weights_of_their_seed(kind: str) -> None:
    config = experiment.config("smoke")
    before = torch.get_rng_state()
    first, second = (experiment.fresh(kind, config).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before), "nobody else's random numbers are touched"
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_random_weights_read_as_the_chapter_says(dataset: xr.Dataset) -> None:
    use = dataset["final_token_use"].isel(seed=0)
    np.testing.assert_allclose(use.sel(model=["untrained", "OPT"]), 0.5, atol=0.08)
    assert float(use.sel(model="Llama").min()) > 0.999
    assert float(use.sel(model="Llama, CETT 0.2").max()) < 0.6
    fresh = dataset.sel(model=["untrained", "OPT", "Llama"])
    np.testing.assert_allclose(fresh["final_loss"], math.log(512), atol=0.1)
    assert float(abs(fresh["loss"] / fresh["baseline_loss"] - 1).max()) < 0.01, "where nothing was learned"
    assert float(dataset["final_loss"].sel(model="trained").item()) < float(fresh["final_loss"].min())


def test_the_rule_of_a_smooth_model_keeps_its_error(dataset: xr.Dataset) -> None:
    table = tables.rules(dataset)
    assert len(table) == 6 and table["its tail error"].between(0, 0.2 + 1e-9).all()
    part = tables.one(dataset, "Llama, CETT 0.2")
    assert part.attrs["rule"] == json.loads(part.attrs["provenance"])["rule"]["name"] != "not exactly zero"


def test_chance_is_the_normal_distributions_own() -> None:
    low, high = 0.0, 3.0
    for _ in range(60):  # the threshold below which 4 % of the energy of normal numbers lie
        t = (low + high) / 2
        energy = math.erf(t / math.sqrt(2)) - t * math.sqrt(2 / math.pi) * math.exp(-t * t / 2)
        low, high = (t, high) if energy < 0.04 else (low, t)
    assert tables.by_chance(0.2, 1) == pytest.approx(100 * (1 - math.erf(low / math.sqrt(2))), abs=0.2)
    assert tables.by_chance(0.2, 2) < tables.by_chance(0.2, 1)


def test_tables_count_what_the_dataset_counts(dataset: xr.Dataset) -> None:
    silent = (dataset["final_firing_count"].sel(model=RELU) == 0).sum(["layer", "unit"]).isel(seed=0)
    assert tables.evidence(dataset, RELU)["silent units"].tolist() == silent.values.tolist()
    costs = tables.costs(dataset, RELU)
    assert costs.iloc[0].tolist() == [0] * 6 and list(costs["trained"]) == ["rate", "random"]
    shown = tables.units(dataset, "trained")
    assert set(shown.index.get_level_values("chosen as")) == {"most selective", "median selectivity", "most clustered"}


def test_figures_and_the_report_read_it(dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"drawings": {size: {"svg": "<svg></svg>"} for size in ("wide", "narrow")}}
    monkeypatch.setattr("relusparsity.plots.moves.figure", lambda chart: empty)
    one = {name: tables.one(dataset, name) for name in ("untrained", "trained")}
    for figure in (measured.layer_use, measured.windows, measured.firing_rates, measured.silent):
        assert figure(one).csv
    assert measured.changes(*one.values()) and plots.specificity(one["trained"]) and plots.pruning(one["trained"])
    report.write(list(one.values()), tmp_path / "report.html")
    assert "untrained" in (tmp_path / "report.html").read_text()


def test_bad_names_and_short_text_are_said(dataset: xr.Dataset) -> None:
    with pytest.raises(UserError, match=r"no model 'GPT' was measured; there are 'trained'"):
        tables.one(dataset, "GPT")
    with pytest.raises(UserError, match=r"are read; give more of it"):
        experiment.text(replace(experiment.config("smoke"), tokens=10**9))
