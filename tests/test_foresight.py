"""How early one can tell which units die: areas under ROC curves against pairs, and what chapter 3 says of them."""

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch03_neuron_death import figures, foresight, words
from relusparsity.chapters.ch03_neuron_death.foresight import LEAST, SCORES

SEEDS, LAYERS, UNITS, STEPS = 2, 2, 60, 3
FOLLOWED = np.arange(0, UNITS, 2)
TOKENS = np.array([0, 100, 200])


@pytest.fixture
def drawn() -> xr.Dataset:
    """Units with drawn fates and numbers, ties among them; in layer 1 of seed 1 hardly one lives."""
    rng = np.random.default_rng(7)
    of_units, of_history = (SEEDS, LAYERS, UNITS), (SEEDS, STEPS, LAYERS, len(FOLLOWED))
    died = rng.integers(0, 3, of_units)
    back = np.minimum(died, rng.integers(0, 3, of_units))
    died[1, 1], back[1, 1] = 1, 0
    onset = np.where(died > 0, rng.integers(0, 400, of_units), np.nan)
    units, history = ("seed", "layer", "unit"), ("seed", "history_step", "layer", "history_unit")
    values = {
        name: (history, rng.integers(1, 9, of_history).astype(float))
        for name in ("input_weight_norm", "preactivation_std", "preactivation_p99", "preactivation_mean")
    }
    return xr.Dataset(
        values | {"death_count": (units, died), "revival_count": (units, back), "death_onset": (units, onset)},
        {"seed": [0, 1], "layer": range(LAYERS), "history_unit": FOLLOWED, "history_step": range(STEPS)}
        | {"history_tokens": ("history_step", TOKENS)},
    )


def test_areas_are_shares_of_pairs_among_units_whose_silence_has_not_begun(drawn: xr.Dataset) -> None:
    found = foresight.areas(drawn)
    followed = drawn.isel(unit=FOLLOWED)
    for seed, step, layer in np.ndindex(SEEDS, STEPS, LAYERS):
        of = followed.isel(seed=seed, layer=layer)
        left = [n for n, onset in enumerate(of["death_onset"].values) if not onset <= TOKENS[step]]
        here = found.isel(seed=seed, history_step=step, layer=layer)
        assert int(here["left"]) == len(left)
        dead = [n for n in left if of["death_count"][n] > of["revival_count"][n]]
        living = [n for n in left if n not in dead]
        if min(len(dead), len(living)) < LEAST:
            assert here["area"].isnull().all() and np.isnan(here["error"])
            continue
        for name, score in SCORES.items():
            marks = score(drawn).isel(seed=seed, history_step=step, layer=layer).values
            pairs = [
                (marks[one] > marks[other]) + 0.5 * (marks[one] == marks[other]) for one in dead for other in living
            ]
            assert float(here["area"].sel(score=name)) == pytest.approx(np.mean(pairs)), name
        assert float(here["error"]) == pytest.approx(np.sqrt((len(left) + 1) / (12 * len(dead) * len(living))))
    assert found["area"].isnull().any() and found["area"].notnull().any(), "both cases are among them"
    assert foresight.at(found, 0.4)["history_tokens"] == 100 and foresight.at(found, 1.0)["history_tokens"] == 200


def test_a_mark_that_knows_the_fate_sorts_every_pair(drawn: xr.Dataset) -> None:
    dead = (drawn["death_count"] > drawn["revival_count"]).isel(unit=FOLLOWED).rename(unit="history_unit")
    norm = xr.where(dead.drop_vars("unit", errors="ignore"), 1.0, 2.0)
    told = drawn.assign(input_weight_norm=norm.broadcast_like(drawn["input_weight_norm"]))
    area = foresight.areas(told)["area"].sel(score="small input weights")
    assert (area.dropna("history_step", how="all").fillna(1) == 1).all()


@pytest.mark.parametrize(("shape", "recipe"), [("wide", "nearest"), ("mid", "first")])
def test_what_chapter_3_says_is_that_of_the_recorded_runs(shape: str, recipe: str) -> None:
    found = foresight.areas(store.recorded("neuron_death", shape, recipe))
    said, mean = words.foresight(found).text, 100 * found["area"].mean("seed")
    tokens = found["history_tokens"].values / found["history_tokens"].values[-1]
    near = [int(np.abs(tokens - share).argmin()) for share in (0, 0.04, 0.25)]
    start, first, second = (mean.isel(history_step=at) for at in near)
    assert f"it is so in {start.min():.0f} to {start.max():.0f} %" in said
    assert f"After {100 * tokens[near[1]]:.0f} % of the tokens it is {first.min():.0f} to {first.max():.0f} %" in said
    best = second.mean("layer").idxmax("score").item()
    of_best = second.sel(score=best)
    assert f"*{best}* tell best: {of_best.min():.0f} to {of_best.max():.0f} %" in said
    known = [layer for layer in range(6) if np.isfinite(of_best.values[layer])]
    left = found["left"].isel(history_step=near[2]).transpose("seed", "layer").values[:, known].mean(0)
    assert f"in {len(known)} of 6 layers, in which {left.min():.0f} to {left.max():.0f} units" in said
    off = []
    for layer in range(6):
        errors = [e for e in found["error"].isel(history_step=0, layer=layer).values if np.isfinite(e)]
        for score in SCORES:
            beyond = abs(float(start.sel(score=score).isel(layer=layer)) / 100 - 0.5)
            off.append(beyond / (np.sqrt(sum(e**2 for e in errors)) / len(errors)))
    assert f"at most {max(off):.1f} standard errors off" in said
    assert "none of 4 scores tells" in said and max(off) < 3


def test_its_figure_has_a_state_for_each_mark_and_layer() -> None:
    found = foresight.areas(store.recorded("neuron_death", "mid"))
    figure, of = figures.foresight(found), 100 * found["area"].sel(score="small input weights").mean("seed")
    assert [state["label"] for state in figure.chart["control"]["states"]] == list(SCORES)
    tokens = found["history_tokens"].values
    places = 1, int(np.abs(tokens - tokens[-1] / 4).argmin())
    ends = [f"{of[at].min():.0f} to {of[at].max():.0f} %" for at in places]
    assert f"sort {ends[0]} of a layer's pairs right, at a quarter of the training {ends[1]}" in figure.title
    curves = [mark for panel in figure.chart["panels"] for mark in panel["marks"] if mark.get("legend") == "2"]
    drawn = np.array(curves[0]["y"], dtype=float)
    np.testing.assert_allclose(drawn, of.sel(layer=2).values[1:], rtol=1e-3)


def test_a_model_whose_scores_tell_before_training_is_said_to() -> None:
    wide, laptop = (foresight.areas(store.recorded("neuron_death", shape)) for shape in ("wide", "laptop"))
    low, high, off = foresight.before(laptop)
    assert off > words.SURE and "some of 4 scores tell which units of Laptop" in words.foresight(laptop).text
    beside = words.foresight(wide, laptop).text
    assert f"in Laptop, default, {low:.0f} to {high:.0f} % ({off:.1f})" in beside and "none of 4 scores tells" in beside
