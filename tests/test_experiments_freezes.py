"""What moves a unit to its death: parts against the formula of the Shapley value, and the sentences each way."""

from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
import scipy
import xarray as xr

from relusparsity.experiments import freezes
from relusparsity.experiments.freezes import ARMS, CHANCES, EXPECTED, FREE, PARTS, STILL, named

SEEDS = (2, 3, 4, 5, 6)
W, B, U = PARTS


def made(died: Any, came_back: Any = lambda arm, seed: 300.0) -> xr.Dataset:
    """Forks with so many deaths and revivals in layer 2, of an arm and a seed; in the others, much else."""
    values = {
        name: np.array([[[7.0, 9.0, of(arm, seed), 1e4, 3.0, 0.0] for seed in SEEDS] for arm in ARMS])
        for name, of in (("died", died), ("came_back", came_back))
    }
    dims = ("arm", "seed", "layer")
    coordinates = {"arm": list(ARMS), "seed": list(SEEDS), "layer": range(6)}
    return xr.Dataset({name: (dims, of) for name, of in values.items()}, coordinates)


def drawn(arm: str, seed: int) -> float:
    order = list(ARMS).index(arm)
    return float(
        np.random.default_rng([order, seed]).integers(0, 200) + 100 * (7 - order) + (900 if arm == FREE else 0)
    )


def shapley(worth: Any, part: str) -> float:
    """The textbook's sum over coalitions of the others, of three players."""
    others = [name for name in PARTS if name != part]
    return sum(
        factorial(size) * factorial(2 - size) / 6 * (worth({*some, part}) - worth(set(some)))
        for size in range(3)
        for some in combinations(others, size)
    )


@pytest.mark.parametrize("what", ["died", "came_back"])
def test_parts_are_shapley_values_and_add_up_to_what_is_beyond_the_floor(what: str) -> None:
    dataset = made(drawn, lambda arm, seed: drawn(arm, seed + 10))
    table, summary = freezes.by_seed(dataset, what), freezes.parts(dataset, what)
    assert table.index.tolist() == list(SEEDS) and table.columns.tolist() == summary.index.tolist() == list(PARTS)
    np.testing.assert_allclose(table.sum(axis=1), 100)
    found: dict[str, list[tuple[float, float, float]]] = {part: [] for part in PARTS}
    for seed in SEEDS:

        def worth(moving: set[str], seed: int = seed) -> float:
            return drawn(named(*(part for part in PARTS if part not in moving)), seed + 10 * (what == "came_back"))

        beyond = worth(set(PARTS)) - worth(set())
        for part in PARTS:
            alone, last = worth({part}) - worth(set()), worth(set(PARTS)) - worth(set(PARTS) - {part})
            found[part].append((100 * shapley(worth, part) / beyond, 100 * alone / beyond, 100 * last / beyond))
    for part, of in found.items():
        each, alone, last = np.array(of).T
        np.testing.assert_allclose(table[part], each)
        low, high = scipy.stats.ttest_1samp(each, 0).confidence_interval(0.95)
        np.testing.assert_allclose(summary.loc[part], [each.mean(), low, high, alone.mean(), last.mean()])


def test_seeds_with_few_deaths_or_a_missing_fork_are_not_parted() -> None:
    few = made(lambda arm, seed: 150.0 if arm == FREE else 51.0 if seed == 3 else 50.0)
    assert freezes.by_seed(few).isna().all(axis=1).tolist() == [False, True, False, False, False]
    assert freezes.parts(few)["mean, %"].tolist() == pytest.approx([100 / 3] * 3)
    lost = made(lambda arm, seed: np.nan if (arm, seed) == (named(W, U), 5) else 500.0 if arm == FREE else 50.0)
    assert freezes.by_seed(lost).isna().any(axis=1).tolist() == [False, False, False, True, False]
    assert (
        freezes.parts(lost).iloc[:, :3].notna().all(axis=None) and freezes.sentences(lost)["holds"].tolist()[1] is None
    )
    none = freezes.parts(made(lambda arm, seed: 0.0))
    assert none.isna().all(axis=None)


def test_the_arms_are_the_design_and_what_each_takes_away_is_of_all_free() -> None:
    fields = [frozenset(changes) for _, changes in ARMS.values()]
    assert len(set(fields)) == 8 and {layer for _, changes in ARMS.values() for layer in changes.values()} == {2}
    assert ARMS[named(W, U)][1] == {"fork.freeze_input_weights": 2, "fork.freeze_before": 2}
    dataset = made(lambda arm, seed: 0.0 if seed == 6 else drawn(arm, seed))
    found = freezes.removed(dataset)
    assert found.dims == ("arm", "seed") and np.isnan(found.sel(seed=6)).all()
    for arm in ARMS:
        for seed in SEEDS[:-1]:
            assert float(found.sel(arm=arm, seed=seed)) == pytest.approx(1 - drawn(arm, seed) / drawn(FREE, seed))


def test_forecasts_hold_within_their_intervals_and_are_open_without_a_fork() -> None:
    def of(which: Any) -> xr.Dataset:
        return made(lambda arm, seed: 1000 * (1 - which(*EXPECTED.get(arm, (0, 0)))))

    inside = freezes.predicted(of(lambda low, high: (low + high) / 2))
    assert inside["arm"].tolist() == list(EXPECTED) and inside["holds"].all()
    assert inside.loc[0, ["written before", "came"]].tolist() == ["0.1 to 0.8", 0.45]
    for by in (-0.01, 0.01):
        outside = made(lambda arm, seed, by=by: 1000 * (1 - (EXPECTED.get(arm, (0, 0))[by > 0] + by * (arm != FREE))))
        assert freezes.predicted(outside)["holds"].tolist() == [False] * 7
    missing = freezes.predicted(made(lambda arm, seed: np.nan if arm == STILL else 500.0)).set_index("arm")
    assert missing["holds"].isna().tolist() == [arm == STILL for arm in EXPECTED]
    less = freezes.predicted(made(lambda arm, seed: np.nan if arm == STILL and seed == SEEDS[-1] else 500.0))
    assert less["holds"].isna().tolist() == missing["holds"].isna().tolist(), "four seeds are no mean of five"


def additive(weights: float, biases: float, upstream: float, floor: float) -> Any:
    own = {W: weights, B: biases, U: upstream}
    frozen = {name: {part for part in PARTS if part in name} for name in ARMS}
    return lambda arm, seed: floor + sum(value for part, value in own.items() if part not in frozen[arm])


@pytest.mark.parametrize(
    ("deaths", "revivals", "holds"),
    [
        (additive(500, 100, 300, 90), additive(10, 90, 200, 5), [True, True, True, True, True]),
        (additive(100, 150, 50, 90), additive(200, 90, 10, 5), [False, False, False, True, False]),
        (additive(200, 200, 500, 100), additive(100, 0, 100, 0), [True, False, True, False, False]),
        (additive(500, 100, 300, 90), additive(10, 20, 30, 5), [True, True, True, True, None]),
    ],
)
def test_the_sentences_come_out_each_way(deaths: Any, revivals: Any, holds: list[bool | None]) -> None:
    table = freezes.sentences(made(deaths, revivals))
    assert table["written before"].tolist() == list(CHANCES) and table["chance"].tolist() == list(CHANCES.values())
    assert table["holds"].tolist() == holds and table["came"].isna().tolist() == [of is None for of in holds]
    if holds == [True] * 5:
        assert table["came"].tolist() == [
            "9 %",
            "56 % of 56, 11, 33",
            "33 and 11 %",
            "390 and 690 deaths",
            "67 %",
        ]


@pytest.mark.parametrize("lost", [FREE, STILL, named(U)])
def test_a_fork_without_an_end_leaves_open_what_reads_it(lost: str) -> None:
    whole = additive(500, 100, 300, 90)
    dataset = made(lambda arm, seed: np.nan if (arm, seed) == (lost, 4) else whole(arm, seed), additive(10, 90, 200, 5))
    first = None if lost in (FREE, STILL) else True
    fourth = None if lost == named(U) else True
    assert freezes.sentences(dataset)["holds"].tolist() == [first, None, None, fourth, True]
