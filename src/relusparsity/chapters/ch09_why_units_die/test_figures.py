"""Figures of forks against what is computed of made-up ones: intervals, bars of layers, what is not known."""

import io

import numpy as np
import pandas as pd
import pytest
import scipy
import xarray as xr

from . import figures, words
from .figures.forks import interval


def found(*overall: float) -> xr.Dataset:
    """Two controls of these fractions, seed by seed; the second takes away a tenth more."""
    seeds = len(overall)
    died = np.full((3, seeds, 6), 40.0)
    died[:, :, 0] = 0
    fraction = np.stack([np.repeat(np.array(overall)[:, None], 6, 1) + more for more in (0, 0.1)])
    fraction[:, :, 0] = np.nan
    died[1:] *= 1 - np.nan_to_num(fraction)
    controls, coords = ["exchange", "reflect"], {"seed": range(seeds), "layer": range(6)}
    return xr.Dataset(
        {
            "fraction": (("control", "seed", "layer"), fraction),
            "overall": (("control", "seed"), fraction[:, :, 1]),
            "died": (("fork", "seed", "layer"), died),
        },
        coords | {"control": controls, "fork": ["untreated", *controls]},
        {"scale": "mid", "recipe": "first", "treated_share": 0.1},
    )


def test_controls_have_an_interval_where_seeds_allow_one() -> None:
    values = (0.1, 0.3, 0.2, 0.45, 0.3)
    drawn = figures.by_control(found(*values))
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(np.array(values)) == pytest.approx((low, high))
    (span,) = [mark for mark in drawn.chart["panels"][0]["marks"] if mark["kind"] == "bars"]
    assert span["base"][0] == pytest.approx(low, rel=1e-3) and span["y"][0] == pytest.approx(high - low, rel=1e-3)
    assert "reflect takes away 37 %, exchange takes away 27 %" in drawn.title and "95 % interval" in drawn.caption
    table = pd.read_csv(io.StringIO(drawn.csv), comment="#")
    assert table[table["control"] == "exchange"]["attributable_fraction"].tolist() == list(values)
    few = figures.by_control(found(0.1, 0.3))
    assert "too few seeds for an interval" in few.caption and "95 %" not in few.caption
    assert all(mark["kind"] != "bars" for mark in few.chart["panels"][0]["marks"])
    assert all(np.isnan(interval(np.array([0.1, 0.3, np.nan]))))


def test_bars_of_layers_are_missing_where_nobody_dies() -> None:
    drawn = figures.by_layer(found(-0.25))
    deaths, fractions = (panel["marks"] for panel in drawn.chart["panels"])
    assert [mark["y"] for mark in deaths] == [[0, *[40] * 5], [0, *[50] * 5], [0, *[46] * 5]]
    assert [mark["y"][1] for mark in fractions] == [-0.25, -0.15]
    assert "In layer 0 none dies: nothing is known there" in drawn.caption
    assert drawn.title == "Of 200 deaths among the treated units exchange adds 25 %, reflect adds 15 %"


def test_the_hazard_is_firings_over_unit_steps_and_says_from_where_on_units_are_dead() -> None:
    fired = np.array([[[90, 10, 0], [80, 10, 10]], [[50, 0, 0], [50, 5, 0]]])
    dims = ("fork", "seed", "silent_steps")
    given = xr.Dataset(
        {
            "fired": (dims, fired),
            "at_risk": (dims, np.full((2, 2, 3), 100)),
            "dead": (("fork", "seed"), [[30, 20], [30, 20]]),
            "came_back": (("fork", "seed"), [[4, 6], [1, 0]]),
        },
        {"fork": ["nothing frozen", "upstream frozen"], "seed": [0, 1], "silent_steps": [0, 1, 2]},
        {"scale": "mid", "recipe": "first", "layer": 3, "dead_steps": 2},
    )
    drawn = figures.hazard(given)
    panel = drawn.chart["panels"][0]
    lines = [mark["y"] for mark in panel["marks"] if mark["kind"] == "line"]
    assert lines == [[85, 10, 5], [50, 2.5, None]] and panel["cursor"] == 1.5
    assert drawn.title == (
        "Of 100 unit-steps of layer 3's dead there are firings in 5 with nothing frozen, 0 with upstream frozen"
    )
    assert panel["x"]["ticks"][1] == ["0", "1", "2"]


def test_chance_alone_moves_a_fraction_of_few_deaths() -> None:
    rng = np.random.default_rng(0)
    low, high = words.by_counting(100, 50)
    drawn = 1 - rng.poisson(50, 20_000) / rng.poisson(100, 20_000)
    np.testing.assert_allclose((low, high), np.percentile(drawn, [2.5, 97.5]), atol=0.02)
    assert all(np.isnan(words.by_counting(0, 3)))
