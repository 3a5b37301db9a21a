"""Lazy neurons in an encoder-decoder: the dataset against its runs, and rules and forecasts on made-up ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fixtures_core import VOCABULARY, tiny_corpus
from lazy_text_made import NAMES, made
from relusparsity import corpora, train
from relusparsity.book import recorded
from relusparsity.book.recorded import Recorded
from relusparsity.errors import UserError
from relusparsity.experiments import lazy_text
from relusparsity.experiments.lazy_text import ADAFACTOR, CHANGES, RANDOM
from relusparsity.scales import spans
from relusparsity.store import results
from relusparsity.train import golden
from spans_made import text, tiny_spans

AS_IS = "as it is"
FEWER = {"train.tokens": 24 * 128, "train.resume_every": 0, "train.snapshots": 0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[xr.Dataset, list[xr.Dataset]]:
    """Small runs of the first seed, and the dataset in which all others but the base are missing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(tmp_path_factory.mktemp("lazy")))
        patched.setattr(golden, "meaning", lambda: "1")  # these runs are of this code, whatever its golden numbers
        patched.setattr(lazy_text, "spans", lambda scale, seed: tiny_spans(seed=seed, **FEWER))
        config = lazy_text.config("smoke")
        runs = [train.run(config.runs[at], text(config.runs[at].corpus)).dataset for at in (0, 1, 2, 3, 6)]
        return lazy_text.assemble(config, [*runs[:4], None, None, runs[4], None, None]), runs[:3]


def test_a_seed_that_never_ran_is_missing_as_its_runs_are(
    trained: tuple[xr.Dataset, list[xr.Dataset]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_text, "spans", lambda scale, seed: tiny_spans(seed=seed, **FEWER))
    monkeypatch.setattr(lazy_text, "SEEDS", (7, 0, 8))
    some, runs = trained
    dataset = lazy_text.assemble(lazy_text.config("smoke"), [*[None] * 3, *runs, *[None] * 3])
    results.save(dataset, tmp_path / "some.nc")  # which asks for units and words
    facts = results.provenance(dataset)
    ids = [results.provenance(run)["run_id"] for run in runs]
    assert facts["runs"] == [["not run", each, "not run"] for each in ids]
    np.testing.assert_array_equal(dataset["final_token_use"].isel(seed=1), some["final_token_use"].isel(seed=0))
    assert dataset["final_loss"].isel(seed=[0, 2]).isnull().all() and dataset["tokens"].equals(some["tokens"])
    assert lazy_text.ends(dataset)["end"].notna().sum() == 3 and dataset.sizes == some.sizes
    assert [dataset[name].attrs for name in dataset.data_vars] == [some[name].attrs for name in dataset.data_vars]


def test_arms_change_what_their_names_say() -> None:
    runs = lazy_text.config("spans").runs
    assert len(runs) == 9 and [run.seed for run in runs] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    base, adafactor, drawn = runs[:3]
    assert base == spans("spans") and drawn.corpus.targets == "random" and drawn.train == base.train
    assert adafactor.train.optimizer == "adafactor" and adafactor.corpus == base.corpus
    decays = {run.train.lr * run.train.weight_decay for run in (base, adafactor)}
    assert max(decays) == pytest.approx(min(decays)), "a step takes as much off a weight"


def test_the_dataset_is_what_its_runs_measured(trained: tuple[xr.Dataset, list[xr.Dataset]]) -> None:
    dataset, runs = trained
    assert dataset["layer_name"].values.tolist() == ["encoder 0", "decoder 0", "decoder 1"]
    layers = lazy_text.by_layer(dataset.sel(seed=[0]), RANDOM)
    for arm, run in zip(CHANGES, runs, strict=True):
        of = dataset.sel(recipe=arm, seed=0)
        for name in ("token_use", "dead_units", "final_batch_use", "heldout_loss", "final_accuracy"):
            np.testing.assert_array_equal(of[name], run[name], name)
        fired = run["final_firing_count"].values
        rates = fired / (np.array([16, 5, 5]) * 24)[:, None]  # 3 sets of 8 sequences
        np.testing.assert_allclose(rates.mean(1), run["final_token_use"], rtol=1e-5)
        np.testing.assert_array_equal(of["final_silent_units"], (fired == 0).sum(1))
        np.testing.assert_array_equal(of["final_rare_units"], (rates < 0.1).sum(1))
        if arm == RANDOM:
            living = [100 * row[row > 0].mean() for row in rates]
            np.testing.assert_allclose(layers["living"], living, rtol=1e-5)
            np.testing.assert_allclose(layers["end"], 100 * rates.mean(1), rtol=1e-5)
            np.testing.assert_allclose(layers["batch"], 100 * run["final_batch_use"].mean("set"), rtol=1e-5)
    ends = lazy_text.ends(dataset)
    assert ends.loc[(RANDOM, 0), "end"] == pytest.approx(100 * rates.mean(), rel=1e-5)
    assert ends["start"].dropna().between(40, 60).all() and ends["end"].notna().sum() == 5
    losses = dataset["heldout_loss"].sel(seed=0).transpose("step", "recipe").values
    assert (losses[-1] < losses[0] - 0.1)[:2].all(), "it learns, by Adafactor too"
    assert ends.loc[(RANDOM, 0), "loss"] > np.log(VOCABULARY) - 0.02, "there is nothing to learn"


def test_what_was_not_run_is_missing_and_decides_nothing(trained: tuple[xr.Dataset, list[xr.Dataset]]) -> None:
    dataset, _ = trained
    runs = dict(zip(CHANGES, results.provenance(dataset)["runs"], strict=True))
    assert "not run" not in runs[AS_IS] and all(runs[arm][1:] == ["not run"] * 2 for arm in (ADAFACTOR, RANDOM))
    holds = lazy_text.sentences(dataset)["holds"]
    assert holds[[0, 1, 2]].isna().all() and holds[[4, 5, 6, 7]].notna().all()
    assert holds[3] is False, "the one run with random targets is against what is said of every seed"
    assert lazy_text.predicted(dataset)["holds"].notna().tolist() == [True, False, False]
    assert lazy_text.row_20(dataset)["holds"].isna().all(), "the model is small"
    assert (
        lazy_text.by_layer(dataset, RANDOM).isna().all(axis=None) and lazy_text.by_layer(dataset)["end"].notna().all()
    )


def test_what_is_recorded_is_known_as_made_of_its_runs_and_its_text(
    trained: tuple[xr.Dataset, list[xr.Dataset]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of one configuration on other targets have other names, and one text."""
    monkeypatch.setattr(lazy_text, "spans", lambda scale, seed: tiny_spans(seed=seed, **FEWER))
    monkeypatch.setattr(lazy_text, "SEEDS", (0,))
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(corpora, "load", lambda config: tiny_corpus())
    config = lazy_text.config("smoke")
    each = Recorded("lazy_text", "smoke", None, lazy_text)
    results.save(lazy_text.assemble(config, trained[1]), each.path)
    assert recorded.outdated(each) == ""
    recorded.check_text([each])
    monkeypatch.setitem(CHANGES, RANDOM, {"train.lr": 0.2})
    assert "(1 lacking, 1 left over)" in recorded.outdated(each)
    other = replace(tiny_corpus(), checksum="b" * 64)
    monkeypatch.setattr(corpora, "load", lambda config: other)
    with pytest.raises(UserError, match=r"lazy_text-smoke.nc from \w+ \(now bbbbbbbbbbbb\); set RELUSPARSITY_TEXT"):
        recorded.check_text([each])


def test_layers_are_named_and_counted() -> None:
    silent = np.arange(12) * 100.0
    dataset = made(lambda arm, seed: 0.04 * (1 + seed), final_silent_units=silent)
    table = lazy_text.by_layer(dataset)
    assert table.index.tolist() == NAMES
    np.testing.assert_allclose(table["end"], 8)
    np.testing.assert_allclose(table["living"], 8 / (1 - silent / 2048))
    together = lazy_text.row_20(dataset)["living"]
    np.testing.assert_allclose(together, np.array([4, 8, 12]) / (1 - silent.mean() / 2048), err_msg="no mean of ratios")
    np.testing.assert_allclose(table["silent"], 100 * silent / 2048)
    np.testing.assert_allclose(
        table[["start", "sequence", "batch", "dead", "rare"]].iloc[3], [50, 90, 80, 1.5625, 97.65625]
    )
    assert lazy_text.first_layer(dataset).loc[(RANDOM, 2)].tolist() == [0, 32, 2000]


@pytest.mark.parametrize(
    ("ends", "values", "holds"),
    [
        ({}, {}, [True, True, True, True, True, True, False, False]),
        ({AS_IS: 0.11}, {"final_rare_units": 1843}, [False, True, True, True, True, False, False, False]),
        (
            {RANDOM: 0.25, ADAFACTOR: 0.08},
            {"final_silent_units": 1},
            [True, True, False, False, False, True, False, False],
        ),
        ({AS_IS: np.nan}, {}, [None, None, None, True, None, None, None, None]),
        ({RANDOM: np.nan}, {}, [True, None, True, None, True, True, False, False]),
    ],
)
def test_sentences_come_out_each_way(ends: dict[str, float], values: Any, holds: list[bool | None]) -> None:
    shares = {AS_IS: 0.08, ADAFACTOR: 0.12, RANDOM: 0.2} | ends
    said = lazy_text.sentences(made(lambda arm, seed: shares[arm], **{"final_silent_units": 0} | values))
    assert said["holds"].tolist() == holds and said["came"].isna().tolist() == [each is None for each in holds]


def test_a_denser_decoder_and_fuller_batches_are_seen() -> None:
    dataset = made(lambda arm, seed: 0.08)
    dataset["final_token_use"].loc[{"layer": [7]}] += 0.01
    dataset["final_batch_use"] += 0.11
    assert lazy_text.sentences(dataset)["holds"].tolist()[-2:] == [True, True]
    assert lazy_text.sentences(made(lambda arm, seed: 0.08, 0.56))["holds"].tolist()[:2] == [False, False]


def test_forecasts_are_of_the_mean_of_all_seeds() -> None:
    inside = {arm: sum(ends) / 200 for arm, ends in lazy_text.EXPECTED.items()}
    assert set(inside) == set(CHANGES) and lazy_text.predicted(made(lambda arm, seed: inside[arm]))["holds"].all()
    low = made(lambda arm, seed: lazy_text.EXPECTED[arm][0] / 100 - 0.001 - 0.01 * (seed - 1))
    assert not lazy_text.predicted(low)["holds"].any() and lazy_text.predicted(low)["holds"].notna().all()
