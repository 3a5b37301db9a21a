"""What seals death: revivals beyond the floor against loops over made-up counts, the rule and forecasts each way."""

from typing import Any

import numpy as np
import pytest
import scipy
import xarray as xr

from claims_made import told
from relusparsity.experiments import forked, sealing
from relusparsity.experiments.sealing import ARMS, CHANCES, EXPECTED, floor, named

SEEDS = (2, 3, 4, 5, 6)
BIASES, SPARED = named(biases=True), named(dead=False)
FROZEN, STILL = named(frozen=2), named(dead=False, frozen=2)


def made(came_back: Any, dead: float = 1000, seeds: tuple[int, ...] = SEEDS) -> xr.Dataset:
    """Forks with so many revivals, a number or one a layer, of an arm and a seed, and so many dead in each layer."""
    counts = np.array([[np.broadcast_to(came_back(arm, seed), 6) for seed in seeds] for arm in ARMS], dtype=float)
    dims = ("arm", "seed", "layer")
    dataset = xr.Dataset(
        {"came_back": (dims, counts), "dead_at_fork": (dims, np.where(np.isnan(counts), np.nan, dead))},
        {"arm": list(ARMS), "seed": list(seeds), "layer": range(6)},
    )
    return told(dataset, np.isnan(counts).all(2))


def row(free: Any, frozen: Any, still: Any) -> Any:
    """Counts by seed, or one of all seeds, of the three arms that row 16 compares in each layer."""

    def of(arm: str, seed: int) -> float:
        given = still if arm.startswith("all that moves") else free if arm == named() else frozen
        return float(np.broadcast_to(given, len(SEEDS))[SEEDS.index(seed)])

    return of


@pytest.mark.parametrize(
    ("free", "frozen", "still", "holds"),
    [
        (300, 60, 50, True),
        (300, (60, 70, 80, 60, 70), 50, True),
        (300, 75, 50, True),
        (300, 76, 50, False),
        (300, (10, 10, 10, 10, 250), 0, False),
        (149, 50, 50, None),
        (150, 55, 50, True),
        (300, (60, 60, 60, 60, np.nan), 50, None),
        ((900, 900, 900, 900, 40), 60, 50, None),
    ],
)
def test_row_16_comes_out_each_way(free: Any, frozen: Any, still: Any, holds: bool | None) -> None:
    dataset = made(row(free, frozen, still))
    table = sealing.removed(dataset)
    assert table.index.tolist() == list(sealing.LAYERS) and table["holds"].tolist() == [holds] * 4
    given = [np.broadcast_to(each, 5).astype(float).tolist() for each in (free, frozen, still)]
    gone = [100 * (a - b) / (a - c) if a > c else np.nan for a, b, c in zip(*given, strict=True)]
    expected = [np.mean([a - c for a, _, c in zip(*given, strict=True)]), np.mean(gone)]
    np.testing.assert_allclose(table[["revivals beyond the floor", "removed, %"]].astype(float), [expected] * 4)
    if not np.isnan(gone).any():
        interval = scipy.stats.ttest_1samp(gone, 0).confidence_interval(0.95)
        np.testing.assert_allclose(table[["low", "high"]].astype(float), [list(interval)] * 4)
    said = sealing.sentences(dataset)
    assert said["holds"].tolist()[0] is holds
    if holds is not None:
        assert said["came"][0] == f"{4 * holds} of 4 layers"


def test_a_mean_that_is_large_enough_does_not_do_where_forks_differ() -> None:
    dataset = made(row(1000, (0, 0, 0, 0, 490), 0))
    table = sealing.removed(dataset)
    assert (table["removed, %"] > 90).all() and (table["low"] < 75).all() and not table["holds"].any()


def test_each_layer_is_compared_with_its_own_forks_and_all_must_hold() -> None:
    by_layer = {named(frozen=layer): layer for layer in range(4)} | {floor(layer): layer for layer in range(4)}

    def counts(arm: str, seed: int, bad: int = -1) -> Any:
        if arm == named():
            return 200 + 100 * np.arange(6)
        layer = by_layer.get(arm, 2)
        return np.where(np.arange(6) == layer, 20 if arm == floor(layer) else 150 if layer == bad else 30, 10_000)

    table = sealing.removed(made(counts))
    assert table["holds"].tolist() == [True] * 4
    np.testing.assert_allclose(table["removed, %"], [100 * (200 + 100 * i - 30) / (180 + 100 * i) for i in range(4)])
    dataset = made(lambda arm, seed: counts(arm, seed, bad=3))
    assert sealing.removed(dataset)["holds"].tolist() == [True, True, True, False]
    assert sealing.sentences(dataset).loc[0, ["came", "holds"]].tolist() == ["3 of 4 layers", False]


@pytest.mark.parametrize("seeds", [SEEDS[:1], SEEDS[:4]])
def test_fewer_than_five_forks_are_no_verdict(seeds: tuple[int, ...]) -> None:
    dataset = made(row(300, 50, 40), seeds=seeds)
    assert sealing.removed(dataset)["holds"].tolist() == [None] * 4
    assert sealing.sentences(dataset).loc[0, "holds"] is None


def test_a_layer_whose_forks_are_missing_leaves_the_row_open() -> None:
    dataset = made(row(300, 50, 40))
    dataset["came_back"].loc[{"arm": floor(3), "seed": 4}] = np.nan
    assert sealing.removed(dataset)["holds"].tolist() == [True, True, True, None]
    assert sealing.sentences(dataset)["holds"].tolist()[0] is None


def test_shares_are_of_the_dead_and_none_of_no_dead() -> None:
    rng = np.random.default_rng(2)
    dataset = made(lambda arm, seed: rng.integers(0, 50, 6))
    dataset["dead_at_fork"].values[:] = rng.integers(0, 3, (15, 5, 6)) * 50
    found = sealing.share(dataset)
    assert found.dims == ("arm", "seed", "layer") and np.isnan(found).any()
    for place in np.ndindex(15, 5, 6):
        back, dead = dataset["came_back"].values[place], dataset["dead_at_fork"].values[place]
        np.testing.assert_allclose(found.values[place], 100 * back / dead if dead else np.nan)


def test_the_rest_is_parted_into_decay_moments_and_floor() -> None:
    counts = {FROZEN: 90, STILL: 60, sealing.floor(2): 25}
    parts = sealing.rest(made(lambda arm, seed: counts.get(arm, 400) + (seed == SEEDS[0]) * 5))
    assert parts.to_dict() == {"decay": 30, "moments": 35, "floor": 26}
    assert sealing.rest(made(lambda arm, seed: np.nan if arm == STILL and seed == 3 else 9)).isna().tolist() == [
        True,
        True,
        False,
    ]


def test_forecasts_are_of_layer_2_and_open_without_a_fork() -> None:
    def of(which: Any) -> Any:
        return made(lambda arm, seed: np.where(np.arange(6) == 2, 10 * which(*EXPECTED.get(arm, (0, 0))), 999))

    inside = sealing.predicted(of(lambda low, high: (low + high) / 2))
    assert inside["arm"].tolist() == list(EXPECTED) and inside["holds"].all()
    assert inside.loc[0, ["written before", "came"]].tolist() == ["10 to 50", 30.0]
    for outside in (of(lambda low, high: low - 0.1), of(lambda low, high: high + 0.1)):
        assert sealing.predicted(outside)["holds"].tolist() == [False] * len(EXPECTED)
    missing = sealing.predicted(made(lambda arm, seed: np.nan if arm == named() else 20))
    assert missing["holds"].isna().tolist() == [arm == named() for arm in EXPECTED]
    less = sealing.predicted(made(lambda arm, seed: np.nan if arm == named() and seed == SEEDS[-1] else 20))
    assert less["holds"].isna().tolist() == missing["holds"].isna().tolist(), "four seeds are no mean of five"


@pytest.mark.parametrize(
    ("numbers", "holds"),
    [
        ({BIASES: 300, SPARED: 250, FROZEN: 50, STILL: 40}, [True, True, True]),
        ({BIASES: 100, SPARED: 150, FROZEN: 50, STILL: 60}, [False, False, False]),
        ({BIASES: 200, SPARED: 200, FROZEN: 50, STILL: 50}, [False, False, False]),
        ({BIASES: 300, SPARED: 250, FROZEN: 50, STILL: np.nan}, [True, True, None]),
        ({BIASES: np.nan, SPARED: 250, FROZEN: 50, STILL: 40}, [None, True, True]),
    ],
)
def test_the_other_sentences_come_out_each_way(numbers: dict[str, float], holds: list[bool | None]) -> None:
    """A number that is missing is so in one seed; elsewhere than in layer 2 all is the other way around."""

    def of(arm: str, seed: int) -> Any:
        value = numbers.get(arm, 200.0)
        value = 111.0 if np.isnan(value) and seed != 5 else value
        return np.where(np.arange(6) == 2, value, 400 - value)

    table = sealing.sentences(made(of))
    assert table["written before"].tolist() == list(CHANCES) and table["chance"].tolist() == list(CHANCES.values())
    assert table["holds"].tolist()[1:] == holds
    assert table["came"].isna().tolist() == table["holds"].isna().tolist()
    if holds == [True] * 3:
        assert table["came"].tolist()[1:] == ["30.0 and 20.0 %", "25.0 and 20.0 %", "4.0 and 5.0 %"]


def test_without_dead_units_nothing_is_said() -> None:
    dataset = made(lambda arm, seed: 0, dead=0)
    assert sealing.sentences(dataset)["holds"].tolist() == [None] * 4
    assert sealing.predicted(dataset)["holds"].isna().all() and len(SEEDS) == forked.SEEDS


@pytest.mark.parametrize(
    ("free", "frozen", "still", "holds", "limit"),
    [
        (300, 60, 50, True, ""),
        (300, 200, 50, False, ""),
        (140, 60, 50, None, "90 in layer 0, 90 in layer 1, 90 in layer 2, 90 in layer 3; a layer counts with 100"),
        (50, 60, 60, None, "−10 in layer 0"),
        (99, 60, (60, 60, 60, 60, np.nan), None, "at most 51 in layer 3"),
        ((900, 900, 900, 900, 40), 60, 50, None, "layer 3 has no revivals beyond the floor in a seed"),
    ],
)
def test_the_ledger_reads_row_16_of_the_forks(free: Any, frozen: Any, still: Any, holds: Any, limit: str) -> None:
    found = sealing.RULES["16"].find(made(row(free, frozen, still)))
    assert [reading.holds for reading in found.readings] == [holds] * 5 and bool(found.limits) == bool(limit)
    assert limit in "; ".join(found.limits)
    first = np.broadcast_to(free, 5)[0] / 10
    assert found.readings[0].values["layer 2, back with nothing frozen (%)"] == pytest.approx(first)


def test_a_layer_with_too_few_revivals_leaves_the_others_to_decide() -> None:
    few = made(row(300, 60, 50))
    few["came_back"].loc[{"layer": 0}] = 1
    found = sealing.finding(few)
    assert not found.limits and all(reading.holds for reading in found.readings)
    few["came_back"].loc[{"arm": floor(1), "seed": 2}] = np.nan
    (limit,) = sealing.finding(few).limits
    assert limit == "layer 1 has no revivals beyond the floor in a seed, or a fork without an end"


def test_row_16_waits_for_the_forks_of_layers_that_may_count() -> None:
    dataset = made(row(300, 60, 50))
    dataset["came_back"].loc[{"arm": floor(1), "seed": [2, 3]}] = np.nan
    found = sealing.finding(told(dataset, dataset["came_back"].isnull().all("layer").values))
    assert found.to_come == "2 of 15 runs are still to come" and not found.limits, "of what layer 1 is read from"
    assert {reading.holds for reading in found.readings} == {None}
    usual = made(row((300, 300, 300, 300, np.nan), 60, 50))
    assert sealing.finding(usual).to_come == "1 of 45 runs is still to come", "that with nothing frozen serves all"
