"""Chapter 08: every recorded run of Wide's width is there once; levers and sentences are those of the data."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from relusparsity import claims, store
from relusparsity.chapters.ch08_two_numbers import figures, runs, tables, words
from relusparsity.experiments import endings, search, sweep_table
from relusparsity.source import BATCH_USE


@pytest.fixture(scope="module")
def wide() -> dict[str, xr.Dataset]:
    return runs.recorded()


@pytest.fixture(scope="module")
def ends(wide: dict[str, xr.Dataset]) -> pd.DataFrame:
    return runs.ends(wide)


def test_every_recorded_run_of_the_width_is_there_once(ends: pd.DataFrame) -> None:
    every = claims.ends([store.load(path) for path in sorted(store.data_dir().glob("*.nc"))], "P")
    here = ends[list(range(6))].to_numpy(float)
    assert len(every) == len(here)
    np.testing.assert_allclose(sorted(map(list, every)), sorted(map(list, here)), atol=1e-4)


def test_ends_are_those_of_the_datasets(wide: dict[str, xr.Dataset], ends: pd.DataFrame) -> None:
    for name, dataset in wide.items():
        use = 100 * dataset["final_batch_use"].values.astype(float).reshape(-1, 6)[:64].mean(0)
        assert dataset.sizes["seed"] == 1
        np.testing.assert_allclose(ends.loc[name, list(range(6))].to_numpy(float), use)
        far = np.sqrt(((use[0] - BATCH_USE[0]) ** 2 + (use[5] - BATCH_USE[5]) ** 2) / 2)
        assert ends.loc[name, "distance"] == pytest.approx(far) and ends.loc[name, "lowest"] == use.argmin()


def test_a_pair_differs_in_what_its_row_says_and_in_nothing_else(wide: dict[str, xr.Dataset]) -> None:
    for before, after in runs.PAIRS:
        assert 1 <= len(runs.changed(wide[before], wide[after])) <= 2
        others = runs.others_changed(wide[before], wide[after])
        assert others <= {"n_heads"}, "a wider stream has more heads of one size"
    for family in runs.FAMILIES:
        decays = []
        for weak, strong in zip(family[1:], family, strict=False):
            assert set(runs.changed(wide[weak], wide[strong])) == {"weight_decay"}
            assert not runs.others_changed(wide[weak], wide[strong])
            decays.append(runs.changed(wide[weak], wide[strong])["weight_decay"])
        assert all(weak < strong for weak, strong in decays)
    table = tables.levers(wide)
    assert "positions learned → rotary" in table["change"].tolist()
    assert table.loc["fan-in, decay 1", "layer 0, points"] == "−10.0"


def test_what_was_written_of_earlier_sweeps_is_judged_as_it_stands(wide: dict[str, xr.Dataset]) -> None:
    sum_said, rotary_said = (sweep_table.row(name, "wide").predicted for name in ("equal_decay", "rotary"))
    assert "Layer 0 ends under 30 % in each" in sum_said and "above the 74.5 % of that run" in sum_said
    assert "above 85 % in both modern recipes, further up at the lower rate" in sum_said
    assert "the lowest of all and under 30 % in both" in rotary_said
    assert (
        "layer 5 ends above 60 % at 5.3 and above 75 % at 2.6" in rotary_said and "than the 30.6 points" in rotary_said
    )
    table = tables.earlier(wide)
    assert len(table) == 4 + 1 + 2 + 1 + 1 + 2 * 4
    assert set(table["run"]) <= set(wide)
    failed = table[~table["holds"].astype(bool)]
    assert set(failed["run"]) == {"modern, rate ÷ 2, decay 3.5", "rate ÷ 4, decay 7", "modern, decay 1.75"}


def test_sentences_follow_the_runs(wide: dict[str, xr.Dataset], ends: pd.DataFrame) -> None:
    assert (
        "None of the 20" in words.closest(ends).text
        and "*fan-in, decay 1*, ends 10 points above" in words.closest(ends).text
    )
    met = ends.copy()
    met.loc["modern", [0, 5]] = 14.0, 95.0
    assert words.closest(met).text == "**1 of 20 runs have both numbers**: modern."
    assert "only *fan-in, decay 2* has that" in words.order(wide, ends).text
    assert "all with rotary positions" in words.order(wide, ends).text
    assert "0.7 to 2.3 points of layer 5 per point" in words.exchanged(ends).text
    both = words.both_ways(wide, ends).text
    assert both.startswith("In 3 of these 9 pairs") and "tokens and matrices" in both


def test_the_prose_of_the_chapter_holds(wide: dict[str, xr.Dataset], ends: pd.DataFrame) -> None:
    low, high = (ends.loc[name, "distance"] for name in ("fan-in, decay 1", "fan-in, decay 1.5"))
    assert (round(low, 1), round(high, 1)) == (8.3, 9.4)
    seeds = ends.loc[[name for name in ends.index if name.startswith("nearest, seed")][:3]]
    assert 6.5 < max(np.ptp(seeds[layer].to_numpy(float)) for layer in (0, 5)) < 7.5
    helped = [("rotary, decay 1", "fan-in, decay 1"), ("rate ÷ 2, decay 3.5", "rate ÷ 4, decay 7")]
    assert ends.loc["fan-in, decay 1", "lowest"] == 0
    loss = [ends.loc[after, "loss"] - ends.loc[before, "loss"] for before, after in helped]
    assert loss[0] < 0 < loss[1]
    assert ends.loc["rate ÷ 4, decay 7", "loss"] - ends.loc["first, seed 2", "loss"] > 0.5
    first, rotary, fan = (
        endings.setting(wide[name]) for name in ("first, seed 2", "rotary, decay 1", "fan-in, decay 1")
    )
    assert (first.model.positions, first.model.init, first.train.lr) == ("learned", "xavier", 6e-4)
    assert (rotary.model.positions, rotary.model.init, rotary.train.lr) == ("rotary", "xavier", 3e-4)
    assert (fan.model.init, fan.train.tokens / rotary.train.tokens) == ("fan_in", 1.75)


def test_the_figure_has_every_run_and_the_box_that_is_sought(wide: dict[str, xr.Dataset], ends: pd.DataFrame) -> None:
    drawn = figures.frontier(ends, wide, runs.FAMILIES)
    rows = [line for line in drawn.csv.splitlines() if not line.startswith("#")]
    assert rows[0] == "run,layer_0_batch_use_percent,layer_5_batch_use_percent,loss,distance_points"
    assert len(rows) == 1 + len(wide) and drawn.title.startswith("None of 20 runs has both numbers")
    assert {figures.NEAR} == {BATCH_USE[layer] - low for layer, (low, _) in search.TARGET.items()}
    assert "points" in json.dumps(drawn.chart) and set(figures.LABELS) <= set(wide)


def test_runs_to_come_are_those_without_a_day() -> None:
    table = tables.to_come()
    rows = [row for row in (*search.ROWS, *search.MORE) if not row.date]
    assert len(table) == len(rows) == len(set(table.index))
    said = [search.NOW.get(row.name, (row.u0, row.u5)) for row in rows]
    assert table["layer 0, %"].tolist() == [f"{u0[0]:g} to {u0[1]:g}" for u0, *_ in said]
    reach = sum(u0[0] <= 18.3 and u5[1] >= 90.6 for u0, u5, *_ in said)
    assert words.expected().text.startswith(
        f"{len(rows)} runs are to come. The forecasts of {reach} reach into the box"
    )


def test_the_rules_of_the_search_are_read_from_where_they_are_written() -> None:
    said = words.sought().text
    assert "8.3 to 18.3 %" in said and "90.6 to 100 %" in said and f"after {search.MOST}" in said
    run = sweep_table.row("lead", "wide").config().runs[0]
    for screen in search.screens(run):
        assert screen.words in said and f"at step {screen.step:,}" in said
    assert f"the first {sum(not row.screened for row in search.ROWS)} runs" in said


def test_the_two_frozen_recipes_differ_in_the_words_of_three_rows() -> None:
    names = ("layer_patterns", "neuron_death", "pruning", "feature_specificity")
    found = {}
    for by in runs.FROZEN:
        data = {(name, "wide"): store.recorded(name, "wide", by) for name in names}
        found[by] = {o.row.number: o.verdict for o in claims.evaluate(data) if o.scale == "P" and o.verdict}
    assert [row for row in found["first"] if found["first"][row] != found["nearest"][row]] == ["1", "3", "13"]
