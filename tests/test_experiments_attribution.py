"""What kills a unit: each number against a loop over made-up counts, and rules and forecasts each way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy
import xarray as xr

from claims_made import told
from relusparsity.experiments import attribution, forked
from relusparsity.experiments.attribution import ARMS, CHANCES, EXPECTED, named

SEEDS, LAYERS, TENTHS = (2, 3, 4, 5, 6), 6, 10
EXCHANGE, TWIN = named("25 %", "exchange"), named("25 %", "untreated")
Of = Callable[[str, int], Any]
"""A number, or one of each (layer, tenth), of an arm and a seed."""


def made(fraction: Of = lambda arm, seed: 0.0, deaths: float = 300) -> xr.Dataset:
    """Forks whose controls take away these fractions of so many deaths among a layer's treated units."""
    shape = (len(ARMS), len(SEEDS), LAYERS, TENTHS)
    without = np.full(shape, deaths / TENTHS)
    kept = np.array(
        [
            [
                np.broadcast_to(1 - np.array(0 if "untreated" in arm else fraction(arm, seed)), shape[2:])
                for seed in SEEDS
            ]
            for arm in ARMS
        ],
        dtype=float,
    )
    died = np.stack([9 * without, without * kept], -1)
    died[:, :, :, :, 0][np.isnan(kept)] = np.nan  # a fork without an end has no counts at all
    lived = np.stack([np.full(shape, 700.0), np.full(shape, 80.0)], -1)
    lived[np.isnan(died)] = np.nan
    there = np.where(np.isnan(kept).any((2, 3)), np.nan, 1.0)
    path = np.full((*shape[:3], 2), 20) * there[..., None, None]
    of_units = ("arm", "seed", "layer", "decile", "treated")
    return xr.Dataset(
        {
            "lived": (of_units, lived),
            "died": (of_units, died),
            "final_loss": (("arm", "seed"), 4.5 * there),
            "path_length": (("arm", "seed", "layer", "treated"), path),
        },
        {"arm": list(ARMS), "seed": list(SEEDS), "layer": range(LAYERS), "treated": [False, True]},
    )


def drawn() -> xr.Dataset:
    """Numbers that are drawn, with one fork that has no end and a layer in which none of the twins' treated dies."""
    rng, dataset = np.random.default_rng(3), made()
    for name in dataset.data_vars:
        dataset[name].values[:] = rng.integers(1, 60, dataset[name].shape)
    twins = [arm for arm in ARMS if "untreated" in arm]
    dataset["died"].loc[{"layer": 4, "treated": True, "arm": twins}] = 0
    for name in dataset.data_vars:
        dataset[name].loc[{"arm": EXCHANGE, "seed": 5}] = np.nan
    return dataset


def died(dataset: xr.Dataset, arm: str, seed: int, layers: Any, tenths: Any, treated: bool = True) -> float:
    of = dataset["died"].sel(arm=arm, seed=seed, treated=treated).values
    return float(sum(of[layer][tenth] for layer in layers for tenth in tenths))


@pytest.mark.parametrize("of_treated", [True, False])
@pytest.mark.parametrize("tenths", [None, slice(None, 5), slice(5, None)])
def test_the_fraction_is_that_of_the_same_units_in_the_twin(tenths: slice | None, of_treated: bool) -> None:
    dataset = drawn()
    found, whole = (of(dataset, tenths, of_treated) for of in (attribution.attributable, attribution.overall))
    assert found.dims == ("arm", "seed", "layer") and whole.dims == ("arm", "seed")
    assert (
        found["arm"].values.tolist() == [arm for arm in ARMS if "untreated" not in arm] == whole["arm"].values.tolist()
    )
    of = range(TENTHS)[tenths or slice(None)]
    for arm in found["arm"].values.tolist():
        twin = named(arm.removeprefix("at ").partition(":")[0], "untreated")
        for seed in SEEDS:
            for layer in range(LAYERS):
                with_it, without = (died(dataset, each, seed, [layer], of, of_treated) for each in (arm, twin))
                expected = 1 - with_it / without if without else np.nan
                np.testing.assert_allclose(found.sel(arm=arm, seed=seed, layer=layer), expected)
            with_it, without = (died(dataset, each, seed, range(LAYERS), of, of_treated) for each in (arm, twin))
            np.testing.assert_allclose(whole.sel(arm=arm, seed=seed), 1 - with_it / without)
    assert bool(np.isnan(found.sel(layer=4)).all()) == of_treated, "of the twins' treated there, none dies"
    assert np.isnan(found.sel(arm=EXCHANGE, seed=5)).all()
    assert int(np.isnan(whole).sum()) == 1


def test_as_many_deaths_are_expected_as_among_the_twins_untreated() -> None:
    dataset = drawn()
    found = attribution.expected_deaths(dataset, "50 %")
    twin = dataset.sel(arm=named("50 %", "untreated"))
    for seed in SEEDS:
        for layer in range(LAYERS):
            here = twin.sel(seed=seed, layer=layer)
            dead, others, own = (
                sum(here[name].sel(treated=treated).values.tolist())
                for name, treated in (("died", False), ("lived", False), ("lived", True))
            )
            assert float(found.sel(seed=seed, layer=layer)) == pytest.approx(dead / others * own)


@pytest.mark.parametrize(
    ("loss", "path", "expected"),
    [
        (1.0099, 1.0, True),
        (0.9901, 0.951, True),
        (1.0101, 1.0, False),
        (0.98, 1.0, False),
        (1.0, 1.06, False),
        (1.0, 0.94, False),
        (np.nan, np.nan, False),
    ],
)
def test_a_control_counts_where_loss_and_path_are_the_twins(loss: float, path: float, expected: bool) -> None:
    dataset = made()
    dataset["final_loss"].loc[{"arm": EXCHANGE, "seed": 4}] *= loss
    dataset["path_length"].loc[{"arm": EXCHANGE, "seed": 4, "treated": True}] *= path
    dataset["path_length"].loc[{"arm": EXCHANGE, "seed": 3, "treated": False}] *= 9  # of units that nobody treats
    dataset["path_length"].loc[{"arm": EXCHANGE, "seed": 2, "layer": 0}] *= 1.2  # less than 5 % of all layers
    table = attribution.counts(dataset, EXCHANGE)
    assert table.index.tolist() == list(SEEDS) and table["counts"].tolist() == [True, True, expected, True, True]
    np.testing.assert_allclose(table.loc[4, ["loss, relative", "path, relative"]].astype(float), [loss - 1, path - 1])
    assert table.loc[2, "path, relative"] == pytest.approx(0.2 / 6)
    assert attribution.counts(dataset, named("25 %", "reflect"))["counts"].all()


def by_seed(*values: float) -> Of:
    """So much of exchanging, seed by seed; of the other controls nothing."""
    return lambda arm, seed: values[SEEDS.index(seed)] if arm.endswith("exchange") else 0.0


@pytest.mark.parametrize(
    ("values", "deaths", "holds"),
    [
        ((0.5, 0.6, 0.5, 0.6, 0.7), 300, True),
        ((0.5, 0.5, 0.5, 0.5, 0.5), 300, True),
        ((0.4, 0.5, 0.5, 0.5, 0.5), 300, False),
        ((0.9, 0.9, 0.9, -0.2, 0.1), 300, False),
        ((0.6, 0.6, 0.6, 0.6, np.nan), 300, None),
        ((0.6, 0.6, 0.6, 0.6, 0.6), 80, None),
        ((0.1, 0.1, 0.1, 0.1, 0.1), 80, None),
    ],
)
def test_row_10b_comes_out_each_way(values: tuple[float, ...], deaths: float, holds: bool | None) -> None:
    """The fourth has a mean of 0.52, and an interval far below 0.25."""
    dataset = made(by_seed(*values), deaths)
    table = attribution.judge(dataset)
    assert table.index.tolist() == list(range(LAYERS)) and table["holds"].tolist() == [holds] * LAYERS
    known = [value for value in values if value == value]
    low, high = scipy.stats.ttest_1samp(known, 0).confidence_interval(0.95)
    expected = [deaths * 9 / 7000 * 800, np.mean(known), low, high, len(known)]
    columns = ["deaths expected", "AF", "low", "high", "seeds"]
    np.testing.assert_allclose(table[columns].astype(float), [expected] * LAYERS, atol=1e-12)
    table = attribution.sentences(dataset)
    assert table["holds"].tolist()[0] is holds
    if holds is not None:
        assert table["came"][0] == f"{6 * holds} of 6 layers"


def test_a_seed_that_does_not_count_is_not_used_and_leaves_the_row_open() -> None:
    dataset = made(by_seed(0.6, 0.6, 0.6, 0.6, 0.0))
    dataset["final_loss"].loc[{"arm": EXCHANGE, "seed": 6}] *= 1.02
    table = attribution.judge(dataset)
    assert (table["seeds"] == 4).all() and table["holds"].isna().all()
    np.testing.assert_allclose(table["AF"], 0.6)
    assert attribution.sentences(dataset).loc[0, "holds"] is None
    assert (attribution.judge(dataset, "50 %")["seeds"] == 5).all()
    dataset["final_loss"].loc[{"arm": EXCHANGE}] *= np.nan
    assert attribution.judge(dataset)[["AF", "low", "high", "holds"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("taken", "loss", "path", "holds", "note"),
    [
        (0.6, 1, 1, [True] * 5, ""),
        (0.4, 1, 1, [False] * 5, ""),
        (0.6, 1, 1.08, [None] * 5, "exchange does not count, path more than 5 % from the twin's"),
        (0.6, 0.98, 1, [None] * 5, "exchange does not count, loss more than 1 % from the twin's"),
        (0.6, np.nan, np.nan, [None] * 5, "a fork has no end"),
    ],
)
def test_the_ledger_reads_row_10b_seed_by_seed(
    taken: float, loss: float, path: float, holds: list[bool | None], note: str
) -> None:
    dataset = made(by_seed(*[taken] * 5))
    dataset["final_loss"].loc[{"arm": EXCHANGE, "seed": 4}] *= loss
    dataset["path_length"].loc[{"arm": EXCHANGE, "seed": 4, "treated": True}] *= path
    found = attribution.RULES["10b"].find(told(dataset, dataset["final_loss"].isnull().values))
    readings, waits = found.readings, "1 of 10 runs is still to come"
    assert found.to_come == (waits if note == "a fork has no end" else "")
    assert [reading.seed for reading in readings] == list(SEEDS)
    assert [reading.holds for reading in readings] == holds and readings[2].note == note
    assert readings[0].note == ("no layer is decided" if note else "")
    assert list(readings[0].values.values()) == pytest.approx([100 * taken, 0, 0])


def test_the_row_is_asked_of_the_layers_with_enough_deaths() -> None:
    dataset = made(lambda arm, seed: np.where(np.arange(LAYERS)[:, None] == 1, 0.0, 0.6))
    assert attribution.judge(dataset)["holds"].tolist() == [True, False, True, True, True, True]
    assert attribution.sentences(dataset).loc[0, ["came", "holds"]].tolist() == ["5 of 6 layers", False]
    dataset["died"].loc[{"layer": 1}] *= 0.1
    assert attribution.judge(dataset)["holds"].tolist() == [True, None, True, True, True, True]
    assert attribution.sentences(dataset).loc[0, ["came", "holds"]].tolist() == ["5 of 5 layers", True]


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ((0.0, 0.02, -0.02, 0.01, -0.01), True),
        ((0.05, 0.05, 0.05, 0.05, 0.05), True),
        ((0.11, 0.11, 0.11, 0.11, 0.11), False),
        ((-0.11, -0.11, -0.11, -0.11, -0.11), False),
        ((0.2, -0.2, 0.1, -0.1, 0.0), False),
        ((0.0, 0.0, 0.0, 0.0, np.nan), None),
        ((np.nan, np.nan, np.nan, np.nan, 0.0), None),
        ((np.nan,) * 5, None),
    ],
)
def test_whether_winsorising_changes_deaths_comes_out_each_way(values: tuple[float, ...], holds: bool | None) -> None:
    dataset = made(lambda arm, seed: values[SEEDS.index(seed)] if "winsorise" in arm else 0.5)
    ratios = [1 - value for value in values if value == value]
    interval = (np.nan, np.nan)
    if len(ratios) > 1:
        interval = tuple(scipy.stats.ttest_1samp(ratios, 0).confidence_interval(0.9))
    np.testing.assert_allclose(attribution.equivalent(dataset), interval, atol=1e-12)
    assert attribution.sentences(dataset)["holds"].tolist()[1] is holds


def test_forecasts_hold_within_their_intervals_and_are_open_without_a_fork() -> None:
    inside = attribution.predicted(made(lambda arm, seed: sum(EXPECTED[arm]) / 2))
    assert inside["arm"].tolist() == list(EXPECTED) and inside["holds"].all()
    assert inside.loc[0, ["written before", "came"]].tolist() == ["-0.3 to 0.4", 0.05]
    for side, by in ((0, -0.01), (1, 0.01)):
        outside = attribution.predicted(made(lambda arm, seed, side=side, by=by: EXPECTED[arm][side] + by))  # type: ignore[misc]
        assert outside["holds"].tolist() == [False] * len(EXPECTED)
    missing = attribution.predicted(made(lambda arm, seed: np.nan if arm == EXCHANGE else 0.0))
    assert missing.set_index("arm")["holds"].isna().tolist() == [arm == EXCHANGE for arm in EXPECTED]
    one_seed = attribution.predicted(made(lambda arm, seed: np.nan if arm == EXCHANGE and seed else 0.0))
    assert one_seed["holds"].isna().tolist() == missing["holds"].isna().tolist(), "a seed alone is no mean of five"


@pytest.mark.parametrize(
    ("signs", "reflect", "rare", "often", "holds"),
    [
        (-0.1, 0.9, 0.2, 0.4, [True, True, True]),
        (0.1, 0.1, 0.4, 0.2, [False, False, False]),
        (0.0, 0.3, 0.3, 0.3, [False, False, False]),
        (np.nan, np.nan, 0.2, 0.4, [None, None, True]),
        (-0.1, 0.9, np.nan, 0.4, [True, None, None]),
    ],
)
def test_the_other_sentences_come_out_each_way(
    signs: float, reflect: float, rare: float, often: float, holds: list[bool | None]
) -> None:
    """A number that is missing is so in one seed."""
    numbers = {"signs of 1": signs, "reflect": reflect, "exchange": np.where(np.arange(TENTHS) < 5, rare, often)}

    def fraction(arm: str, seed: int) -> Any:
        value = numbers.get(arm.partition(": ")[2], 0.0) if arm.startswith("at 25 %") else 0.0
        return np.where(np.isnan(value), 0.25, value) if seed != 4 else value

    table = attribution.sentences(made(fraction))
    assert table["written before"].tolist() == list(CHANCES) and table["chance"].tolist() == list(CHANCES.values())
    assert table["holds"].tolist()[2:5] == holds
    assert table["came"].isna().tolist() == table["holds"].isna().tolist()
    if holds == [True] * 3:
        assert table["came"].tolist()[2:5] == ["AF -0.10", "0.90 and 0.30", "0.20 and 0.40"]


@pytest.mark.parametrize(("path", "holds"), [(1.04, True), (0.9, False), (1.2, False), (np.nan, None)])
def test_whether_exchange_counts_in_every_seed_comes_out_each_way(path: float, holds: bool | None) -> None:
    dataset = made()
    dataset["path_length"].loc[{"arm": EXCHANGE, "seed": 4, "treated": True}] *= path
    table = attribution.sentences(dataset)
    ends = sorted((0.0, 100 * path - 100))
    assert table["holds"].tolist()[-1] is holds
    assert holds is None or table["came"].tolist()[-1] == f"paths {ends[0]:+.1f} to {ends[1]:+.1f} %"
    dataset["path_length"].loc[{"arm": EXCHANGE, "seed": 3, "treated": True}] = np.nan
    assert attribution.sentences(dataset)["holds"].tolist()[-1] is (False if holds is False else None)


def test_the_rest_is_open_where_no_unit_of_a_twins_half_dies() -> None:
    dataset = made(lambda arm, seed: 0.6)
    dataset["died"].loc[{"seed": 3, "treated": True}][..., 5:] = 0
    assert attribution.sentences(dataset)["holds"].tolist()[3:5] == [False, None]
    assert TENTHS == forked.DECILES
