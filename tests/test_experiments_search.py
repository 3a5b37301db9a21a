"""The search for the source's two numbers: its rows are what they say, its screens and its target decide as written."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from relusparsity import scales
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import factorial, other_half, search
from relusparsity.source import BATCH_USE
from relusparsity.store import results

FULL = (30.0, 50.0, 80.0, 90.0, 95.0, 94.0)
GAMMA = (2.0, 1.0, 0.5, 0.4, 0.3, 0.2)


def test_rows_have_names_of_their_own_and_can_run() -> None:
    assert len({row.name for row in search.ROWS}) == len(search.ROWS) <= search.MOST
    for row in search.ROWS:
        for low, high in (row.u0, row.u5, row.loss):
            assert 0 <= low < high <= 100
        if row.fields is not None:
            run = replace(scales.base("wide", search.SEED, "first"), **row.fields)
            assert f"{run.train.steps:,} steps" in row.said or row.name.startswith("decay"), row.name
            assert run.train.warmup // run.train.batch_tokens == 1000
            assert (run.model.d_ff, run.seed) == (32_768, search.SEED)


def test_equal_passes_read_as_many_tokens_as_the_first_row() -> None:
    tokens = [(search.row(name).fields or {})["train.tokens"] for name in ("decay 1", "batch × 2, equal passes")]
    assert tokens[0] == tokens[1] == 229_376_000


def test_an_unknown_row_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="no row 'decay 3'; it has decay 1, "):
        search.row("decay 3")


@pytest.mark.parametrize(
    "before, step, use, gamma, why",
    [
        (3_699, 3_700, {5: 91.9}, {}, "U_5 = 91.9"),
        (3_699, 3_700, {5: 92.0}, {}, None),
        (3_360, 3_920, {}, {0: 0.9}, "γ_0 = 0.90 is under γ_1 = 1.00"),
        (3_700, 4_000, {5: 50.0}, {0: 0.0}, None),  # it has looked
        (3_000, 3_699, {5: 50.0}, {0: 0.0}, None),  # it has not yet
        (6_720, 7_300, {0: 45.1}, {}, "U_0 = 45.1"),
        (6_720, 7_300, {0: 45.0}, {}, None),
        (7_300, 7_301, {0: 99.0}, {}, None),
        (0, 7_300, {0: 99.0, 5: 10.0}, {}, "U_5 = 10.0"),  # measured seldom: both look at once
    ],
)
def test_each_screen_looks_once(
    before: int, step: int, use: dict[int, float], gamma: dict[int, float], why: str | None
) -> None:
    said = search.screen(
        before,
        step,
        [use.get(layer, value) for layer, value in enumerate(FULL)],
        [gamma.get(layer, value) for layer, value in enumerate(GAMMA)],
    )
    assert said is None if why is None else said is not None and said.startswith(why)


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
