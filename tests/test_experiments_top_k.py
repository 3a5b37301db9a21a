"""Top-k against dense: what is kept of runs; at equal accuracy, rules and sentences against loops over made-up runs."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
import torch
import xarray as xr

import pictures_made
from claims_made import told
from relusparsity import claims, scales, train
from relusparsity.config import replace, to_dict
from relusparsity.experiments import top_k, top_k_rows, top_k_sizes
from relusparsity.experiments.top_k_tuning import ARMS, DENSE, DROPOUT, NOISES, TOP_K, named
from relusparsity.models import build
from relusparsity.store import results
from relusparsity.store.schema import PREDICTED, PREDICTED_AT_THE_END
from relusparsity.train import golden, predictions

pytest_plugins = ("pictures_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = [named(*each) for each in product(ARMS, NOISES)]
SEEDS = range(10)


def made(accuracy: dict[str, Any], error: dict[str, Any] | None = None, seeds: int = 10) -> xr.Dataset:
    """Runs of three measurements that end at an accuracy on the test (percent), and a calibration error.

    A number for all seeds, which then differ by a little, alike in all arms, or one of each.
    """
    drawn = np.random.default_rng(0).normal(0, 0.5, 10)
    shape = (len(NAMES), 10)
    ends, errors = np.empty(shape), np.empty((*shape, 2))
    for at, name in enumerate(NAMES):
        ends[at] = np.asarray(accuracy.get(name, 80.0)) + drawn
        errors[at] = (np.asarray((error or {}).get(name, 5.0)) + 0.1 * drawn)[:, None] * [1.0, 0.2]
    steps = np.array([0.1, 0.9, 1.0])
    tests = ends[..., None] * steps / 100
    flat = np.repeat(errors[:, :, None] / 100, 3, axis=2)
    dims = ("recipe", "seed")
    gone = np.isnan(ends)
    config = to_dict(scales.pictures("fashion"))
    made = xr.Dataset(
        {
            "heldout_accuracy": ((*dims, "step"), tests),
            "test_accuracy": ((*dims, "step"), tests),
            "calibration_error": ((*dims, "step", "scaling"), flat),
            "temperature": ((*dims, "step"), tests * 0 + 1.5),
            "final_token_use": ((*dims, "layer"), np.where(gone, np.nan, 0.2)[..., None] * np.ones(6)),
            "final_silent_units": ((*dims, "layer"), np.where(gone, np.nan, 7.0)[..., None] * np.ones(6)),
            "corrupted_accuracy": ((*dims, "corruption", "strength"), ends[..., None, None] / 200 * np.ones((3, 5))),
            "attacked_accuracy": ((*dims, "attack", "epsilon"), ends[..., None, None] / 300 * np.ones((2, 4))),
        },
        {
            "recipe": NAMES,
            "seed": list(SEEDS),
            "step": [0, 1000, 2000],
            "scaling": ["as it is", "temperature"],
            "corruption": ["gaussian", "shot", "impulse"],
            "strength": range(1, 6),
            "attack": ["FGSM", "PGD"],
            "epsilon": [1, 2, 4, 8],
        },
        {"scale": "fashion", "provenance": json.dumps({"config": config})},
    )
    return told(made, gone).isel(seed=slice(seeds))


def word(number: str, dataset: xr.Dataset) -> tuple[str, str]:
    """Verdict and reason of a row."""
    rows = tuple(row for row in claims.ADDED if row.number == number)
    outcome = claims.evaluate({("top_k", "fashion"): dataset}, rows=rows, rules=top_k_rows.RULES)[0]
    repr(claims.table([outcome]))  # says every number, or why there is none
    assert outcome.scale == "recorded" and outcome.n == dataset.sizes["seed"]
    return str(outcome.verdict), outcome.reason


def around(mean: float, spread: float) -> np.ndarray:
    """Ten numbers of a mean and a standard deviation."""
    drawn = np.random.default_rng(1).normal(size=10)
    return mean + spread * (drawn - drawn.mean()) / drawn.std(ddof=1)


def reach(level: float) -> float:
    """Half of the interval of ten numbers, in their standard deviation."""
    return float(scipy.stats.t.ppf((1 + level) / 2, 9) / np.sqrt(10))


@pytest.mark.parametrize(
    ("mean", "spread", "said"),
    [
        (0.1, 0.19 / reach(0.9), "reproduced"),
        (0.1, 0.21 / reach(0.9), "not reproduced"),
        (-0.1, 0.19 / reach(0.9), "reproduced"),
        (-0.1, 0.21 / reach(0.9), "not reproduced"),
        (1.0, 0.1, "not reproduced"),  # a gain is no cost, and outside all the same
    ],
)
def test_row_25_asks_for_an_interval_inside_three_tenths(mean: float, spread: float, said: str) -> None:
    top = named(TOP_K, 0.0)
    assert word("25", made({top: 80 + around(mean, spread)})) == (said, "")


@pytest.mark.parametrize(
    ("over_dense", "over_dropout", "said"),
    [
        (1.01 * reach(0.95), 1.01 * reach(0.95), "reproduced"),
        (1.01 * reach(0.95), 0.99 * reach(0.95), "not reproduced"),
        (0.99 * reach(0.95), 1.01 * reach(0.95), "not reproduced"),
        (-3.0, -3.0, "not reproduced"),
    ],
)
def test_row_26_asks_for_a_gain_over_both(over_dense: float, over_dropout: float, said: str) -> None:
    accuracy = {named(TOP_K, 0.4): around(70, 1), named(DENSE, 0.4): 70 - over_dense}
    accuracy |= {named(DROPOUT, 0.4): 70 - over_dropout, named(DENSE, 0.0): 99}
    assert word("26", made(accuracy)) == (said, "")


@pytest.mark.parametrize(
    ("by", "scaled", "said"),
    [
        (1.01 * reach(0.95), 1.0, "reproduced"),
        (0.99 * reach(0.95), 1.0, "not reproduced"),
        (1.01 * reach(0.95), -1.0, "not reproduced"),  # better as it is alone
        (-3.0, 1.0, "not reproduced"),
    ],
)
def test_row_27_asks_for_less_error_as_it_is_and_by_temperature(by: float, scaled: float, said: str) -> None:
    dataset = made({}, {named(TOP_K, 0.0): around(5 - by, 1)})
    error, at = dataset["calibration_error"], {"recipe": named(TOP_K, 0.0), "scaling": "temperature"}
    dense = error.sel(recipe=named(DENSE, 0.0), scaling="temperature", drop=True)
    error.loc[at] = dense + scaled * (error.sel(at, drop=True) - dense)
    assert word("27", dataset) == (said, "")


@pytest.mark.parametrize(("number", "noise", "reads"), [("25", 0.0, 20), ("26", 0.4, 30), ("27", 0.0, 20)])
def test_a_row_waits_while_a_run_is_missing_and_asks_for_ten_seeds(number: str, noise: float, reads: int) -> None:
    lacking = np.where(np.isin(SEEDS, [2, 7]), np.nan, 80.0)
    for arm in (DENSE, TOP_K):
        dataset = made({named(arm, noise): lacking})
        assert word(number, dataset) == ("not yet tested", f"2 of {reads} runs are still to come")
        diverged = word(number, told(dataset, np.zeros((len(NAMES), 10), bool)))
        assert diverged[0] == "not testable here" and "of seeds 2, 7 a run has no end" in diverged[1]
        readings = top_k_rows.RULES[number].find(made({named(arm, noise): lacking})).readings
        assert {reading.holds for reading in readings} == {None}, "no interval without them"
    assert word(number, made({named(TOP_K, 0.8): lacking}))[0] in ("reproduced", "not reproduced")
    assert word(number, made({}, seeds=9)) == ("not yet tested", "9 seeds of 10")


def test_equal_accuracy_is_where_each_arm_is_nearest_to_the_lower_end() -> None:
    rng = np.random.default_rng(5)
    dataset = made({})
    for name in ("heldout_accuracy", "test_accuracy", "calibration_error"):
        values = rng.integers(0, 12, dataset[name].shape) / 20 + 0.2  # equally near ones, too
        dataset[name] = (dataset[name].dims, values)
    dataset["heldout_accuracy"][0, 4] = np.nan
    one, other = NAMES[0], NAMES[6]
    found = top_k.at_equal_accuracy(dataset, one, other)
    ties = 0
    for seed in SEEDS:
        valid = {arm: dataset.heldout_accuracy.sel(recipe=arm, seed=seed).values.tolist() for arm in (one, other)}
        if seed == 4:
            assert found.xs(seed, level="seed").isna().all(axis=None)
            continue
        goal = min(of[-1] for of in valid.values())
        for arm, of in valid.items():
            far = [round(abs(each - goal), 9) for each in of]
            ties += far.count(min(far)) > 1
            place = max(step for step in range(3) if far[step] == min(far))
            error = dataset.calibration_error.sel(recipe=arm, seed=seed).values[place]
            expected = [1000 * place, 100 * of[place]]
            expected += [100 * float(dataset.test_accuracy.sel(recipe=arm, seed=seed)[place]), *(100 * error)]
            assert found.loc[(arm, seed)].tolist() == pytest.approx(expected)
    assert ties > 3 and {0, 1000, 2000} == set(found["step"].dropna())


def test_sentences_come_out_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    better = {named(TOP_K, noise): 81 for noise in NOISES}
    for accuracy, error, silent, expected in (
        (better, {named(TOP_K, 0.0): 4}, 8, [False, *9 * [True]]),
        ({}, {}, 7, [True, *9 * [False]]),
        ({named(TOP_K, noise): 79 for noise in NOISES}, {named(TOP_K, 0.0): 6}, 6, [False] * 10),
        (dict.fromkeys(NAMES, np.nan), {}, 7, [None] * 10),
    ):
        dataset = made(accuracy, error)
        more = dataset["recipe"].isin([named(TOP_K, noise) for noise in NOISES])
        known = dataset["final_silent_units"].notnull()
        dataset["final_silent_units"] = dataset["final_silent_units"].where(~(more & known), silent)
        came = top_k.come(dataset)
        assert [holds for _, holds in came.values()] == expected and len(came) == 10
    assert set(top_k.CHANCES) == set(came) and set(top_k.EXPECTED) == set(dataset["recipe"].values)
    monkeypatch.setattr(top_k, "CHANCES", {sentence: 0.3 for sentence in list(came)[::2]})
    said = top_k.sentences(made(better))
    assert said["chance"].tolist() == [0.3] * 5 and said["holds"].tolist() == [False, True, True, False, True]


def test_sentences_read_the_noise_the_attack_and_the_level_that_they_name() -> None:
    top = {"recipe": named(TOP_K, 0.0)}
    for name, at, starts in (
        ("corrupted_accuracy", {"corruption": "gaussian", "strength": 5}, "under the strongest Gaussian"),
        ("attacked_accuracy", {"attack": "PGD", "epsilon": 4}, "under PGD"),
    ):
        for here, holds in ((0.05, True), (-0.05, False)):  # better there alone, and worse there alone
            dataset = made({})
            dataset[name].loc[top] -= np.sign(here) * 0.1
            dataset[name].loc[top | at] += np.sign(here) * 0.1 + here
            (found,) = (of for sentence, (_, of) in top_k.come(dataset).items() if sentence.startswith(starts))
            assert found is holds, (name, here)
    differences = around(0.25, 0.08)
    dataset = made({named(DENSE, 0.0): 80.0, named(TOP_K, 0.0): 80.0 + differences})
    inner, outer = (scipy.stats.ttest_1samp(differences, 0).confidence_interval(level).high for level in (0.5, 0.95))
    middle = scipy.stats.ttest_1samp(differences, 0).confidence_interval(0.9).high
    assert inner < middle < outer
    (_, high), inside = top_k.costs_little(dataset)
    assert high == pytest.approx(middle) and inside is bool(middle <= 0.3)


def test_forecasts_are_of_the_mean_of_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    names = NAMES[0], NAMES[4], NAMES[8]
    dataset = made({names[1]: 84, names[2]: np.where(np.arange(10) == 3, np.nan, 80.0)})
    monkeypatch.setattr(top_k, "EXPECTED", dict.fromkeys(names, (79.0, 81.0)))
    assert top_k.predicted(dataset)["holds"].tolist() == [True, False, None]


def test_arms_of_a_seed_begin_with_the_same_weights_and_see_the_same_pictures() -> None:
    runs = top_k.config("smoke").runs
    first, *others = (build(run.model, run.seed).state_dict() for run in runs)
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)
    assert len({(run.seed, run.train.batch_tokens, run.train.tokens, run.corpus.source) for run in runs}) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("own_runs")
def test_in_smoke_it_runs_to_its_end_and_keeps_what_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures_made.digits()
    monkeypatch.setattr(predictions, "ATTACKED", 64)
    monkeypatch.setattr(golden, "meaning", lambda: "1")  # which it would change
    config = top_k.config("smoke")
    dataset = top_k.run(config)
    assert dict(dataset[["test_loss"]].sizes) == {"recipe": 6, "seed": 1, "step": 9, "scaling": 2}
    runs = dict(zip(top_k.changes("smoke"), (train.run(run).dataset for run in config.runs), strict=True))
    assert runs[named(TOP_K, 0.4)].final_loss != runs[named(TOP_K, 0.0)].final_loss
    for name, run in runs.items():
        kept = dataset.sel(recipe=name, seed=0)
        for each in ("token_use", "heldout_accuracy", "train_loss", "final_token_use", "test_brier", "temperature"):
            np.testing.assert_array_equal(kept[each], run[each], err_msg=each)
        for each in PREDICTED_AT_THE_END:
            np.testing.assert_array_equal(kept[each], run[each], err_msg=each)
        silent = [int((layer == 0).sum()) for layer in run.final_firing_count.values]
        assert kept.final_silent_units.values.tolist() == silent
        gaps = abs(kept.final_bin_correct - kept.final_bin_confidence).sum("bin") / 512
        np.testing.assert_allclose(kept.calibration_error.isel(step=-1), gaps, rtol=1e-5)
    assert {*PREDICTED} - set(top_k.BINS) < set(dataset) and dataset.test_brier.attrs == run.test_brier.attrs
    results.save(dataset, tmp_path / "kept.nc")
    xr.testing.assert_identical(results.load(tmp_path / "kept.nc"), dataset)

    part = top_k.assemble(config, [None if at == 1 else run for at, run in enumerate(runs.values())])
    missing = part.isel(recipe=1)
    assert all(missing[name].isnull().all() for name in part.data_vars)
    xr.testing.assert_equal(part.drop_isel(recipe=1), dataset.drop_isel(recipe=1))
    assert top_k.ends(part)["accuracy"].isna().tolist() == [False, True, *4 * [False]]

    facts = [results.provenance(run) for run in runs.values()]
    again = [  # a second seed, whose accuracies are higher by 1
        run.assign(test_accuracy=run.test_accuracy + 1).assign_attrs(
            provenance=json.dumps(of | {"config": of["config"] | {"seed": 1}})
        )
        for run, of in zip(runs.values(), facts, strict=True)
    ]
    two = replace(config, runs=(*config.runs, *(replace(run, seed=1) for run in config.runs)))
    both = top_k.assemble(two, [*runs.values(), *again])
    for seed in (0, 1):
        np.testing.assert_allclose(both.test_accuracy.sel(seed=seed), dataset.test_accuracy[:, 0] + seed)
    second = top_k.assemble(two, [*6 * [None], *again])
    xr.testing.assert_equal(second.sel(seed=[1]), both.sel(seed=[1]))
    assert top_k.ends(second).xs(0, level="seed").isna().all(axis=None)

    others = dict(zip(top_k_sizes.changes("smoke"), top_k_sizes.config("smoke").runs, strict=True))
    assert [run.model.top_k for run in others.values()] == [2, 2, 10, 10, 21, 21]
    wide = others["k = d_ff/3, noise 0.4"]
    of_sizes = top_k_sizes.assemble(top_k_sizes.config("smoke"), [*5 * [None], train.run(wide).dataset])
    assert of_sizes.test_accuracy.isel(step=-1).notnull().values.ravel().tolist() == [*5 * [False], True]
