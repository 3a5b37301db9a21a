"""The search for the source's two numbers: its rows are what they say, its screens and its target decide as written."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from relusparsity import scales
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import endings, factorial, other_half, search, sweep_table
from relusparsity.screens import first_to_stop, measured_steps
from relusparsity.source import BATCH_USE
from relusparsity.store import results

FULL = (30.0, 50.0, 80.0, 90.0, 95.0, 94.0)
GAMMA = (2.0, 1.0, 0.5, 0.4, 0.3, 0.2)


def test_rows_have_names_of_their_own_and_can_run() -> None:
    rows = (*search.ROWS, *search.MORE)
    assert len({row.name for row in rows}) == len(rows) <= search.MOST
    for row in rows:
        for low, high in (row.u0, row.u5, row.loss):
            assert 0 <= low < high <= 100
        run = replace(scales.base("wide", search.SEED, "first"), **row.fields)
        assert f"{run.train.steps:,} steps" in row.said or row.name.startswith("decay"), row.name
        assert run.train.warmup // run.train.batch_tokens == 1000
        assert (run.model.d_ff, run.seed) == (32_768, search.SEED)


def test_equal_passes_read_as_many_tokens_as_the_first_row() -> None:
    tokens = [search.row(name).fields["train.tokens"] for name in ("decay 1", "batch × 2, equal passes")]
    assert tokens[0] == tokens[1] == 229_376_000


def test_an_unknown_row_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="no row 'decay 3'; it has decay 1, "):
        search.row("decay 3")


@pytest.mark.parametrize(
    "use, gamma, why",
    [
        ({5: 91.9}, {}, "U_5 = 91.9"),
        ({5: 92.0}, {}, None),
        ({}, {0: 0.9}, "γ_0 = 0.90 is under γ_1 = 1.00"),
        ({0: 45.1}, {}, "U_0 = 45.1"),
        ({0: 45.0}, {}, None),
        ({0: 99.0, 5: 10.0}, {}, "U_5 = 10.0"),  # the earlier look decides
    ],
)
def test_what_the_screens_stop(use: dict[int, float], gamma: dict[int, float], why: str | None) -> None:
    run = replace(scales.base("wide", search.SEED, "first"), **search.row("batch × 2").fields)
    row = {
        "batch_use": np.array([use.get(layer, value) for layer, value in enumerate(FULL)]) / 100,
        "gamma": np.array([gamma.get(layer, value) for layer, value in enumerate(GAMMA)]),
    }
    found = first_to_stop(search.screens(run), {step: row for step in measured_steps(run.train.steps, 50)})
    assert found is None if why is None else found is not None and found[1].startswith(why)


def test_each_screen_looks_at_the_first_measurement_at_or_after_its_step() -> None:
    for row in (*search.ROWS, *search.MORE):
        run = replace(scales.base("wide", search.SEED, "first"), **row.fields)
        measured = measured_steps(run.train.steps, run.measure.points)
        screens = search.screens(run)
        for screen, step in zip(screens, (3_700, 3_700, 7_300), strict=True):
            assert screen.step in measured and max(each for each in measured if each < step) < step <= screen.step
            assert not any(step <= each < screen.step for each in measured)
        assert replace(run, screens=screens).train == run.train, "accepted"


def test_rows_to_come_are_sweeps_of_their_own_with_the_screens() -> None:
    coming = {next(iter(each.changes)): each for each in sweep_table.TABLE if each.name.startswith("search_")}
    assert list(coming) == [row.name for row in (*search.ROWS[3:], *search.MORE)]
    for name, sweep in coming.items():
        (run,) = sweep.config().runs
        assert run.screens == search.screens(run) and sweep.seed == search.SEED
        u0 = search.row(name).u0
        assert f"U_0 {u0[0]:g}–{u0[1]:g} %" in sweep.predicted
        assert (name in search.NOW) == (search.LATER in sweep.predicted and search.DATE in sweep.predicted)
    assert len(search.ROWS) + len(search.MORE) <= search.MOST
    assert all(not run.screens for run in sweep_table.row("lead", "wide").config().runs), "exempt"


def test_forecasts_of_the_first_rows_against_their_runs() -> None:
    lead = results.recorded("lead", "wide").isel(seed=0)
    table = endings.searched({name: lead.sel(recipe=name) for name in lead["recipe"].values.tolist()})
    assert len(table) == 12 and table["holds"].sum() == 11 and set(table["date"]) == {search.DATE}
    stopped = lead.sel(recipe="decay 1").map(lambda values: xr.full_like(values, np.nan, dtype=float))
    table = endings.searched({"batch × 2": stopped})
    assert table["holds"].isna().all() and len(table) == 7 and set(table["date"]) == {search.DATE, search.LATER}
    ends = lead.sel(recipe="decay 1").assign(final_loss=3.634)
    first, now = endings.searched({"batch × 2": ends}).query("number == 'loss'")["holds"]
    assert first and now, "rounded as the interval is: 3.634 is 3.63"


def test_the_target_is_within_five_points_of_both_numbers_and_layer_0_the_lowest() -> None:
    for layer, (low, high) in search.TARGET.items():
        assert low == pytest.approx(BATCH_USE[layer] - 5)
        assert high == pytest.approx(min(100, BATCH_USE[layer] + 5))
    assert search.met([13.3, 50, 80, 90, 95, 95.6])
    assert not search.met([18.4, 50, 80, 90, 95, 95.6]) and not search.met([13.3, 50, 80, 90, 95, 90.5])
    assert not search.met([13.3, 13.2, 80, 90, 95, 95.6])


def test_both_halves_are_the_whole_factorial() -> None:
    first, second = factorial.config("mid"), other_half.config("mid")
    assert len({*first.levels, *second.levels}) == 32
    assert len({*first.runs, *second.runs}) == 64
    assert {run.seed for run in second.runs} == set(factorial.SEEDS)


def half(which: int, logit: np.ndarray) -> xr.Dataset:
    """A half of the factorial in which every layer's use has these logits (recipe, layer), in two seeds alike."""
    cells = list(factorial.cells(which))
    use = np.repeat((1 / (1 + np.exp(-logit)))[:, None, None], 4, axis=2).repeat(2, axis=1)
    levels = {
        name: ("recipe", [str(high if cell[i] > 0 else low) for cell in cells], {"long_name": field})
        for i, (name, (field, low, high)) in enumerate(factorial.FACTORS.items())
    }
    coords = {"recipe": [factorial.named(cell) for cell in cells], "layer": np.arange(6)} | levels
    return xr.Dataset({"final_batch_use": (("recipe", "seed", "set", "layer"), use)}, coords, {"d_ff": 10**9})


def logits(which: int, order: int) -> np.ndarray:
    """Effects of up to so many factors on each layer, the same for both halves."""
    rng, cells = np.random.default_rng(0), np.array(list(factorial.cells(which)))
    total = np.ones((16, 6))
    for size in range(1, order + 1):
        for factors in combinations(range(5), size):
            total += 0.4 * rng.normal(size=6) * cells[:, list(factors)].prod(axis=1)[:, None]
    return total


def test_the_forecast_is_exact_where_no_more_than_two_factors_act_together() -> None:
    first, second = half(1, logits(1, 2)), half(-1, logits(-1, 2))
    expected = other_half.forecast(first)
    np.testing.assert_allclose(expected, 100 * second["final_batch_use"].mean(["set", "seed"]), atol=1e-4)
    said = other_half.judged(first, second)
    assert said.loc[["shares within 15 points", "lowest layers"], "came"].tolist() == [96, 16]
    three = half(-1, logits(-1, 3) * 2)
    assert other_half.judged(first, three).loc["shares within 15 points", "came"] < 96


def test_names_of_the_first_half_are_those_that_were_recorded() -> None:
    recorded = results.recorded("factorial", "mid")
    assert recorded["recipe"].values.tolist() == [factorial.named(cell) for cell in factorial.cells()]
