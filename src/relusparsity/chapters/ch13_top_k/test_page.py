"""What the page of chapter 13 says, tabulates and draws of small runs, against loops; and of runs that are missing."""

import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy
import xarray as xr

from relusparsity.experiments import top_k, top_k_sizes
from relusparsity.experiments.top_k_tuning import ARMS, DENSE, DROPOUT, NOISES, TOP_K, named
from relusparsity.plots.chart import Panel, State
from relusparsity.plots.figure import Figure
from relusparsity.plots.written import from_json
from relusparsity.store import results
from relusparsity.train import golden, predictions

from . import figures, read, tables, units, words

SEEDS = 10
NAMES = [named(arm, noise) for arm, noise in product(ARMS, NOISES)]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xr.Dataset]:
    """Six small runs, trained here: three arms, two noises, one seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELUSPARSITY_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.syspath_prepend(str(Path(__file__).parents[4] / "tests"))
        patch.setattr(predictions, "ATTACKED", 32)
        patch.setattr(golden, "meaning", lambda: "1")  # which it would change
        import pictures_made

        pictures_made.digits()
        yield top_k.run(top_k.config("smoke"))
        sys.modules.pop("pictures_made", None)


@pytest.fixture(scope="module")
def whole(smoke: xr.Dataset) -> xr.Dataset:
    """Ten seeds of nine arms, each cell one of the six small runs: all that is in it was measured, if not there."""
    cells = smoke.stack(run=("recipe", "seed")).reset_index("run", drop=True)
    drawn = np.random.default_rng(1).integers(0, cells.sizes["run"], (len(NAMES), SEEDS))
    by_arm = [xr.concat([cells.isel(run=int(of)) for of in row], "seed") for row in drawn]
    made = xr.concat(by_arm, "recipe").assign_coords(recipe=NAMES, seed=range(SEEDS)).transpose("recipe", "seed", ...)
    facts = results.provenance(smoke)
    configs = {name: facts["configs"][name.replace("0.8", "0.4")] for name in NAMES}
    told = facts | {"configs": configs, "runs": np.full(drawn.shape, "a").tolist()}
    return made.assign_attrs(smoke.attrs, scale="fashion", provenance=json.dumps(told))


def without(dataset: xr.Dataset, *recipes: str, seed: int = 3) -> xr.Dataset:
    """Those runs are missing."""
    gone = dataset["recipe"].isin(recipes) & (dataset["seed"] == seed)
    return dataset.map(lambda of: of.where(~gone) if {"recipe", "seed"} <= set(of.dims) else of)


def ending(dataset: xr.Dataset, gains: dict[str, float], spread: float = 0.1) -> xr.Dataset:
    """Accuracies at the end of 80 %, alike in all arms but for the gains (points) of some, give or take a little."""
    made, accuracy = dataset.copy(deep=True), np.empty((len(NAMES), SEEDS))
    for at, name in enumerate(NAMES):
        accuracy[at] = 80 + gains.get(name, 0.0) + spread * np.random.default_rng(at).normal(size=SEEDS)
    made["test_accuracy"].loc[{"step": made["step"][-1]}] = (accuracy / 100).astype(np.float32)
    return made


def accuracy(dataset: xr.Dataset, arm: str, noise: float) -> np.ndarray:
    """Percent at the end, by seed."""
    return 100 * dataset["test_accuracy"].sel(recipe=named(arm, noise)).values[:, -1].astype(float)


def test_differences_are_those_of_pairs(whole: xr.Dataset) -> None:
    of, table = read.quality(whole), tables.differences(whole)
    for noise, over in product(NOISES, (DENSE, DROPOUT)):
        pairs = accuracy(whole, TOP_K, noise) - accuracy(whole, over, noise)
        at = of.sel(noise=100 * noise, over=over)
        ends = scipy.stats.ttest_1samp(pairs, 0).confidence_interval(0.95)
        np.testing.assert_allclose(at["gain"], pairs, atol=1e-4)
        assert (float(at["low"]), float(at["high"])) == pytest.approx((ends.low, ends.high), abs=1e-4)
        signs = product((1, -1), repeat=SEEDS)
        means = sorted(abs(sum(s * p for s, p in zip(each, pairs, strict=True))) / SEEDS for each in signs)
        beyond = [mean for mean in means if mean > float(at["by_chance"]) + 1e-6]
        assert len(beyond) / len(means) <= 0.05 < (len(beyond) + means.count(means[-1 - len(beyond)])) / len(means)
        row = table.loc[f"{100 * noise:g} %", over]
        assert row["above in"] == f"{(pairs > 0).sum()} of 10" and row["mean"][1:] == f"{abs(pairs.mean()):.2f}"
    five, six = (read.gains(of["accuracy"].isel(seed=slice(seeds))) for seeds in (5, 6))
    assert five["by_chance"].isnull().all() and five["low"].notnull().all(), "five pairs cannot lie beyond 95 %"
    assert six["by_chance"].notnull().all()


def test_the_diagram_has_every_picture_once(whole: xr.Dataset) -> None:
    of = read.calibrated(whole)
    assert of["arm"].values.tolist() == [TOP_K, DENSE, DROPOUT]
    for arm, noise, scaling in product(ARMS, NOISES, ("as it is", "temperature")):
        at = of.sel(arm=arm, noise=100 * noise, scaling=scaling)
        run = whole.sel(recipe=named(arm, noise), scaling=scaling)
        for place in range(15):
            of_all = (run[f"final_bin_{name}"] for name in ("pictures", "correct", "confidence"))
            count, right, sure = (sum(float(each[seed, place]) for seed in range(SEEDS)) for each in of_all)
            assert float(at["pictures"][place]) == count
            assert bool(np.isnan(at["right"][place])) is (not count)
            if count:
                assert float(at["right"][place]) == pytest.approx(100 * right / count, rel=1e-5)
                assert float(at["confidence"][place]) == pytest.approx(100 * sure / count, rel=1e-5)
        assert float(at["share"].sum()) == pytest.approx(100)
        full, hits, sums = (run[f"final_bin_{name}"] for name in ("pictures", "correct", "confidence"))
        gaps = abs(hits - sums).sum("bin") / full.sum("bin")
        np.testing.assert_allclose(at["error"], 100 * gaps, rtol=1e-4)


def live(figure: Figure) -> tuple[list[Panel], list[State], list[list[str]]]:
    """Panels, states and the answers to each question."""
    chart = from_json(figure.chart)
    assert chart.control is not None
    return chart.panels, chart.control.states, list((chart.control.questions or {}).values())


def test_a_state_of_the_diagram_has_the_numbers_of_its_answers(whole: xr.Dataset) -> None:
    of = read.calibrated(whole, as_sizes(whole))
    shown = figures.reliability(of)
    (diagram, below), states, questions = live(shown)
    assert questions[0] == ["k = d_ff/24", TOP_K, "k = d_ff/6", "k = d_ff/3", DENSE, DROPOUT]
    assert [len(answers) for answers in questions] == [6, 3, 2]
    _, bars, points = diagram.marks
    for at, state in zip(product(*questions), states, strict=True):
        now = of.sel(arm=at[0], noise=float(at[1].split()[0]), scaling=at[2].removeprefix("by "))
        if at[0] not in ARMS and at[1] == "80 %":
            assert state.titles[diagram].endswith("not run") and set(state.marks[points]["y"]) == {None}
            continue
        filled = now["pictures"].values >= 10
        drawn = np.array([np.nan if value is None else value for value in state.marks[points]["y"]], dtype=float)
        np.testing.assert_allclose(drawn, np.where(filled, now["right"], np.nan), rtol=1e-3)
        np.testing.assert_allclose(state.marks[below.marks[0]]["y"], now["share"].fillna(0), rtol=1e-3)
        spans = zip(state.marks[bars]["base"], state.marks[bars]["y"], strict=True)
        tops = [base + up for base, up in spans if base is not None]
        np.testing.assert_allclose(tops, now["right"].values[filled], atol=0.02)
        ran = read.known(now["error"].values)
        assert f"ECE {ran.mean():.2f} % ({ran.min():.2f} to {ran.max():.2f})" in state.titles[diagram]
    assert states[shown.chart["control"]["active"]].label == f"{TOP_K}, 0 %, as it is"


def as_sizes(whole: xr.Dataset) -> xr.Dataset:
    """Runs of other k, three seeds and two noises."""
    names = [named(top_k_sizes.size(parts), noise) for parts, noise in product(top_k_sizes.PARTS, NOISES[:2])]
    return whole.isel(recipe=slice(6), seed=slice(3)).assign_coords(recipe=names)


def test_pictures_that_are_not_spoilt_are_the_test_as_it_is(whole: xr.Dataset) -> None:
    of = read.robustness(whole)
    for arm, noise in product(ARMS, NOISES):
        run, at = whole.sel(recipe=named(arm, noise)), {"arm": arm, "noise": 100 * noise}
        clean, attacked = np.repeat(accuracy(whole, arm, noise)[:, None], 3, 1), of["attacked"].sel(at)
        np.testing.assert_allclose(of["noisy"].sel(at | {"strength": 0}), clean, rtol=1e-5)
        np.testing.assert_allclose(attacked.sel(epsilon=0, attack="PGD"), 100 * run["unattacked_accuracy"])
        for epsilon in (1, 2, 4, 8):
            own = 100 * run["attacked_accuracy"].sel(epsilon=epsilon)
            np.testing.assert_allclose(attacked.sel(epsilon=epsilon), own, rtol=1e-5)
    pairs = [whole["corrupted_accuracy"].sel(recipe=named(arm, 0.4)).sel(corruption="shot", strength=3) for arm in ARMS]
    ends = scipy.stats.ttest_1samp(100 * (pairs[2] - pairs[0]).values, 0).confidence_interval(0.95)
    found = of.sel(over=DENSE, noise=40.0, corruption="shot", strength=3)
    assert (float(found["noisy_low"]), float(found["noisy_high"])) == pytest.approx((ends.low, ends.high), abs=1e-4)
    panels, states, questions = live(figures.robustness(of))
    assert [len(answers) for answers in questions] == [3, 3, 2]
    state = states[1 * 6 + 1 * 2 + 1]
    assert state.label == "40 %, shot, PGD"
    wanted = of["noisy"].sel(arm=TOP_K, noise=40.0, corruption="shot").mean("seed")
    np.testing.assert_allclose(state.marks[panels[0].marks[2]]["y"], wanted, rtol=1e-3)
    assert state.titles[panels[2]] == "right under PGD, %\ntrained on 40 % of the labels replaced"


def test_units_that_are_left_are_counted_by_layer(whole: xr.Dataset) -> None:
    of = read.used(whole)
    assert of.attrs["most"] == pytest.approx(100 * 5 / 64)
    for noise, seed in product(NOISES, range(SEEDS)):
        uses = []
        for arm in ARMS:
            run = whole.sel(recipe=named(arm, noise), seed=seed)
            at = of.sel(arm=arm, noise=100 * noise, seed=seed)
            np.testing.assert_allclose(at["silent"], 100 * run["final_silent_units"] / 64, rtol=1e-5)
            uses.append(100 * run["final_token_use"].values)
        ranks = float(of["alike"].sel(noise=100 * noise, seed=seed))
        flat = any(max(of) - min(of) <= 0.01 * max(of) for of in uses[::2])
        assert np.isnan(ranks) if flat else ranks == scipy.stats.spearmanr(uses[2], uses[0]).statistic
    panels, states, _ = live(figures.units(of))
    wanted = of["silent"].sel(arm=TOP_K, noise=40.0).mean("seed")
    mean = panels[1].marks[5]
    np.testing.assert_allclose(states[1].marks[mean]["y"], wanted, rtol=1e-3)
    said = units.never_chosen(whole).text
    more = (of["silent"].sel(arm=TOP_K, noise=0.0) - of["silent"].sel(arm=DENSE, noise=0.0)).mean("layer")
    assert f"more in Top-k than in dense in {int((more > 0).sum())} of 10 pairs" in said


TOP = {noise: named(TOP_K, noise) for noise in NOISES}


COSTS = [
    ({TOP[0.0]: 0.05}, 0.05, "costs little**", "reproduced"),
    ({TOP[0.0]: 2.0}, 0.05, "Top-k gains accuracy.**", "not reproduced"),
    ({TOP[0.0]: -2.0}, 0.05, "Top-k costs accuracy.**", "not reproduced"),
    ({}, 3.0, "that is open.**", "not reproduced"),
]


@pytest.mark.parametrize("case", COSTS)
def test_what_it_costs_is_said_by_the_interval(
    whole: xr.Dataset, case: tuple[dict[str, float], float, str, str]
) -> None:
    gains, spread, said, verdict = case
    dataset = ending(whole, gains, spread)
    text, pairs = words.cost(dataset).text, accuracy(dataset, TOP_K, 0.0) - accuracy(dataset, DENSE, 0.0)
    ends = scipy.stats.ttest_1samp(pairs, 0).confidence_interval(0.9)
    assert said in text and text.endswith(f"row 25: *{verdict}*.")
    plain = text.replace("−", "-")
    assert f"It ends {pairs.mean():+.2f} points (90 %: {ends.low:+.2f} to {ends.high:+.2f}) from dense" in plain
    missing = words.cost(without(dataset, TOP[0.0])).text
    assert "is open.**" in missing and "in 9 of 10 pairs, the others to come" in missing


def test_help_under_noise_is_claimed_where_every_interval_says_so(whole: xr.Dataset) -> None:
    better, worse = ({TOP[noise]: by for noise in NOISES[1:]} for by in (1.0, -1.0))
    assert "Top-k helps, over dense and over dropout.**" in words.under_noise(ending(whole, better)).text
    assert "ahead in 0 of 4 comparisons, and surely behind in 4.**" in words.under_noise(ending(whole, worse)).text
    mixed = ending(whole, better | {named(DROPOUT, noise): 2.0 for noise in NOISES[1:]})
    assert "surely ahead in 2 of 4 comparisons, and surely behind in 2.**" in words.under_noise(mixed).text
    assert "10 of 10 and 0 of 10 seeds" in words.under_noise(mixed).text
    assert "is open.**" in words.under_noise(without(ending(whole, better), TOP[0.8])).text


def test_calibration_at_equal_accuracy_is_said_each_way(whole: xr.Dataset) -> None:
    dense, top = named(DENSE, 0.0), TOP[0.0]
    dataset = whole.copy(deep=True)
    dataset["calibration_error"].loc[{"recipe": dense}] = 0.05
    for plain, scaled, said in (
        (0.03, 0.04, "is better calibrated, as it is and by temperature.**"),
        (0.06, 0.07, "is worse calibrated, as it is and by temperature.**"),
        (0.03, 0.07, "calibration is better as it is, worse by temperature, and otherwise not surely different.**"),
    ):
        for scaling, error in (("as it is", plain), ("temperature", scaled)):
            jitter = 0.001 * np.random.default_rng(2).normal(size=(SEEDS, dataset.sizes["step"]))
            at = {"recipe": top, "scaling": scaling}
            dataset["calibration_error"].loc[at] = error + jitter
        assert said in words.at_equal_accuracy(dataset).text
    table = tables.at_equal_accuracy(dataset)
    assert table[f"{DENSE}: ECE"].tolist() == ["5.00"] * 10 and table.shape == (10, 8)
    assert "is open.**" in words.at_equal_accuracy(without(dataset, dense)).text
    assert tables.at_equal_accuracy(without(dataset, dense)).loc[3].tolist() == ["to come"] * 8


def test_a_page_of_missing_runs_says_so(whole: xr.Dataset) -> None:
    for seeds in (range(SEEDS), range(1, SEEDS)):
        dataset = whole.where(~whole["seed"].isin(list(seeds))).assign_coords(changed=whole["changed"])
        said = [make(dataset).text for make in (words.recipe, words.cost, words.under_noise, words.robustness)]
        assert f"{9 * len(seeds)} of 90 runs are to come" in said[0] and all("open" in each for each in said[1:])
        if len(seeds) < SEEDS:
            continue
        assert tables.quality(dataset)["accuracy, %"].tolist() == ["to come"] * 9
        assert "to come" in words.calibration(dataset).text and "is to come" in units.pattern(dataset).text
    drawn = [figures.quality(read.quality(dataset)), figures.units(read.used(dataset))]
    drawn += [figures.reliability(read.calibrated(dataset)), figures.robustness(read.robustness(dataset))]
    assert all(each.alt and each.png for each in drawn), "one seed of ten is drawn"
    assert words.or_to_come(lambda of: of, None, "Other k are").text == "**Other k are to come.**"


def test_tables_have_the_means_of_the_runs(whole: xr.Dataset) -> None:
    quality, calibration, spoilt = tables.quality(whole), tables.calibration(whole), tables.robustness(whole)
    for noise, arm in product(NOISES, ARMS):
        run, row = whole.sel(recipe=named(arm, noise)), (f"{100 * noise:g} %", arm)
        ends = accuracy(whole, arm, noise)
        assert quality.loc[row, "accuracy, %"] == f"{ends.mean():.2f} ({ends.min():.2f} to {ends.max():.2f})"
        loss = run["test_loss"].isel(step=-1).sel(scaling="temperature").values.mean()
        assert float(quality.loc[row, "loss, by temperature"]) == pytest.approx(loss, abs=6e-4)
        silent = 100 * run["final_silent_units"].values.sum(-1).mean() / 128
        assert float(quality.loc[row, "never chosen, %"]) == pytest.approx(silent, abs=0.06)
        brier = run["test_brier"].isel(step=-1).sel(scaling="as it is").values.mean()
        assert float(calibration.loc[row, "Brier"]) == pytest.approx(brier, abs=6e-4)
        worst = 100 * run["attacked_accuracy"].sel(attack="PGD", epsilon=8).values.mean()
        assert float(spoilt.loc[row, "PGD, ε = 8"]) == pytest.approx(worst, abs=0.06)
    others = tables.sizes(as_sizes(whole), whole)
    assert others.loc[("40 %", DENSE), "accuracy, %"] == f"{accuracy(whole, DENSE, 0.4)[:3].mean():.2f}"
    assert others.loc["0 %"].index.tolist() == ["k = d_ff/24", TOP_K, "k = d_ff/6", "k = d_ff/3", DENSE]
    beside = tables.beside_source(whole)
    noisy = [
        100 * whole["corrupted_accuracy"].sel(recipe=named(arm, 0.0), corruption="shot").values.mean() for arm in ARMS
    ]
    assert float(beside.loc["shot noise", "ours: Top-k"]) == pytest.approx(noisy[2], abs=6e-3)
    assert beside.loc["ECE", "change"] == "−0.94" and len(beside) == 7
