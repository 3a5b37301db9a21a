"""The search for the source's two numbers: its rows are what they say, its screens and its target decide as written."""

import pytest

from relusparsity import scales
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import exploration, lead, other_half, recipes, search

FULL = (30.0, 50.0, 80.0, 90.0, 95.0, 94.0)
GAMMA = (2.0, 1.0, 0.5, 0.4, 0.3, 0.2)


def test_rows_have_names_of_their_own_and_can_run() -> None:
    assert len({row.name for row in search.ROWS}) == len(search.ROWS) <= search.MOST
    for row in search.ROWS:
        for low, high in (row.u0, row.u5, row.loss):
            assert 0 <= low < high <= 100
        if row.fields is not None:
            run = replace(scales.base("paper_first", search.SEED), **row.fields)
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
        assert low == pytest.approx(exploration.SOURCE[layer] - 5)
        assert high == pytest.approx(min(100, exploration.SOURCE[layer] + 5))
    assert search.met([13.3, 50, 80, 90, 95, 95.6])
    assert not search.met([18.4, 50, 80, 90, 95, 95.6]) and not search.met([13.3, 50, 80, 90, 95, 90.5])
    assert not search.met([13.3, 13.2, 80, 90, 95, 95.6])


def test_the_lead_differs_from_row_to_row_in_its_decay_alone() -> None:
    runs = lead.config("paper_first").runs
    assert [run.train.weight_decay for run in runs] == [1.0, 1.5, 2.0]
    assert {replace(run, **{"train.weight_decay": 1.0}) for run in runs} == {runs[0]}
    assert runs[0].train.steps == 28_000 and runs[0].model.init == "fan_in"
    assert lead.config("smoke").runs[0].train.tokens == scales.base("smoke").train.tokens


def test_both_halves_are_the_whole_factorial() -> None:
    first, second = recipes.config("factorial"), other_half.config("factorial")
    assert len({*first.levels, *second.levels}) == 32
    assert len({*first.runs, *second.runs}) == 64
    assert {run.seed for run in second.runs} == set(recipes.SEEDS)
