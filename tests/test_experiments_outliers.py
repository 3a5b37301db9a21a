"""Whether outliers kill: ratios and medians against loops over made-up counts, row 11b and the forecasts each way."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy
import xarray as xr

from claims_made import told
from relusparsity.claims import Verdict
from relusparsity.experiments import attribution, outlier_row, outliers
from relusparsity.experiments.outliers import (
    ARMS,
    CHANCES,
    DRAWN,
    EXPECTED,
    LARGEST,
    TENFOLD,
    TWINS,
    UNCLIPPED,
    UNTREATED,
)

SEEDS = (2, 3, 4, 5, 6)
Of = Callable[[str, int], float]
"""A number of an arm and a seed."""


def made(ratio: Of = lambda arm, seed: 1.0, percent: Callable[..., float] = lambda arm, seed, dead: 8.0) -> xr.Dataset:
    """Forks with so many times 600 deaths, and all shares of falls just below so many percent."""
    kept = np.array([[ratio(arm, seed) for seed in SEEDS] for arm in ARMS])
    counts = np.zeros((len(ARMS), 5, 6, 2, 100))
    for (row, arm), (column, seed), dead in product(enumerate(ARMS), enumerate(SEEDS), (False, True)):
        value = percent(arm, seed, dead)
        counts[row, column, :, int(dead), int(np.nan_to_num(value, nan=1)) - 1] = np.nan if value != value else 10
    counts[np.isnan(kept)] = np.nan
    died = np.broadcast_to(100 * kept[..., None], (*kept.shape, 6)).copy()
    dataset = xr.Dataset(
        {
            "died": (("arm", "seed", "layer"), died),
            "falls_in_largest": (("arm", "seed", "layer", "dead", "share"), counts),
        },
        {"arm": list(ARMS), "seed": list(SEEDS), "dead": [False, True], "share": range(1, 101)},
    )
    return told(dataset, np.isnan(counts).any((2, 3, 4)))


def drawn() -> xr.Dataset:
    """Numbers that are drawn, with a fork that has no end, and one in which no unit died."""
    rng, dataset = np.random.default_rng(5), made()
    for name in dataset.data_vars:
        dataset[name].values[:] = rng.integers(0, 9, dataset[name].shape)
        dataset[name].loc[{"arm": LARGEST, "seed": 4}] = np.nan
    dataset["died"].loc[{"arm": UNCLIPPED, "seed": 6}] = 0
    dataset["falls_in_largest"].loc[{"arm": UNCLIPPED, "seed": 6, "dead": True}] = 0
    return dataset


def test_ratios_and_medians_are_those_of_loops() -> None:
    dataset = drawn()
    for arm in ARMS:
        for place, seed in enumerate(SEEDS):
            here = dataset.sel(arm=arm, seed=seed)
            if arm in TWINS:
                twin = sum(dataset["died"].sel(arm=TWINS[arm], seed=seed).values.tolist())
                expected = sum(here["died"].values.tolist()) / twin if twin else np.nan
                np.testing.assert_allclose(outliers.ratio(dataset, arm)[place], expected)
            for dead in (False, True):
                counts = here["falls_in_largest"].sel(dead=dead).values
                found = outliers.median(dataset, arm, dead)[place]
                if np.isnan(counts).any() or not counts.sum():
                    assert np.isnan(found)
                    continue
                units = sorted(p for layer in counts for p in range(1, 101) for _ in range(int(layer[p - 1])))
                assert found == units[(len(units) + 1) // 2 - 1]
    assert np.isnan(outliers.ratio(dataset, LARGEST)).tolist() == [False, False, True, False, False]
    assert np.isnan(outliers.ratio(dataset, TENFOLD)).tolist() == [False] * 4 + [True], "none died in the twin"


def by_seed(arm: str, *values: float) -> Of:
    return lambda of, seed: values[SEEDS.index(seed)] if of == arm else 1.0


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ((1.25, 1.25, 1.25, 1.25, 1.25), True),
        ((1.0, 1.1, 1.6, 1.4, 1.3), True),
        ((1.2, 1.2, 1.3, 1.2, 1.3), False),
        ((1.0, 0.9, 1.0, 0.9, 1.0), False),
        ((1.5, 1.5, 1.5, 1.5, np.nan), None),
        ((0.5, 0.5, 0.5, 0.5, np.nan), None),
    ],
)
def test_the_positive_control_comes_out_each_way(values: tuple[float, ...], holds: bool | None) -> None:
    dataset = made(by_seed(TENFOLD, *values))
    came, found = outliers.raised(dataset)
    assert found is holds and outliers.sentences(dataset)["holds"].tolist()[0] is holds
    if holds is not None and len(set(values)) > 1:
        low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert came == f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})"


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ((5, 4, 3, 5, 1), True),
        ((5, 4, 3, 6, 1), False),
        ((7, 8, 9, 20, 100), False),
        ((5, 4, 3, np.nan, 1), None),
        ((5, 4, 6, np.nan, 1), False),
        ((np.nan,) * 5, None),
    ],
)
def test_how_the_dying_fall_comes_out_each_way(values: tuple[float, ...], holds: bool | None) -> None:
    def percent(arm: str, seed: int, dead: bool) -> float:
        return values[SEEDS.index(seed)] if (arm, dead) == (UNTREATED, True) else 50.0 if holds else 2.0

    dataset = made(percent=percent)
    came, found = outliers.gradual(dataset)
    assert found is holds and outliers.sentences(dataset)["holds"].tolist()[1] is holds
    known = [value for value in values if value == value]
    lacks = ", 4 of 5 known" if len(known) == 4 else ""
    assert came == ("" if holds is None else f"{min(known)} to {max(known)} %{lacks}")


def capped(fraction: np.ndarray) -> xr.Dataset:
    """Controls of which that which caps updates takes away such fractions of the deaths, seed by seed."""
    arms = [attribution.named("25 %", kind) for kind in (attribution.TWIN, "winsorise")]
    died = np.zeros((2, 5, 1, 1, 2))
    died[0, ..., 1], died[1, ..., 1] = 100, 100 * (1 - fraction)[:, None, None]
    by = ("arm", "seed", "layer", "decile", "treated")
    dataset = xr.Dataset({"died": (by, died)}, {"arm": arms, "seed": list(SEEDS), "treated": [False, True]})
    return told(dataset, np.isnan(died).any((2, 3, 4)))


GOOD, BAD, OPEN = (0.95, 1.05), (0.8, 1.05), (np.nan, np.nan)


@pytest.mark.parametrize(
    ("tenfold", "winsorised", "percent", "verdict"),
    [
        (1.5, GOOD, 4, Verdict.REPRODUCED),
        (1.5, (0.9, 1.1), 5, Verdict.REPRODUCED),
        (1.5, GOOD, 6, Verdict.NOT_REPRODUCED),
        (1.5, BAD, 4, Verdict.NOT_REPRODUCED),
        (1.5, (0.95, 1.11), 4, Verdict.NOT_REPRODUCED),
        (1.5, OPEN, 6, Verdict.NOT_REPRODUCED),
        (1.5, BAD, np.nan, Verdict.NOT_REPRODUCED),
        (1.5, OPEN, 4, Verdict.NOT_YET_TESTED),
        (1.5, GOOD, np.nan, Verdict.NOT_YET_TESTED),
        (1.1, GOOD, 4, Verdict.NOT_TESTABLE),
        (1.1, OPEN, np.nan, Verdict.NOT_TESTABLE),
        (np.nan, GOOD, 4, Verdict.NOT_YET_TESTED),
        (np.nan, BAD, 6, Verdict.NOT_YET_TESTED),
    ],
)
def test_row_11b_has_each_word(tenfold: float, winsorised: Any, percent: float, verdict: Verdict) -> None:
    dataset = made(lambda arm, seed: tenfold if arm == TENFOLD else 1.0, lambda arm, seed, dead: percent)
    word, table = outliers.row_11b(dataset, winsorised)
    assert word is verdict and len(table) == 3
    low, high = winsorised
    parts = [tenfold >= 1.25, low >= 0.9 and high <= 1.1, percent <= 5]
    known = [value == value for value in (tenfold, low, percent)]
    assert table["holds"].tolist() == [of if there else None for of, there in zip(parts, known, strict=True)]
    assert (table["came"] == "").tolist() == [not there for there in known]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribution, "equivalent", lambda controls: winsorised)
        finding = outlier_row.finding(capped(np.full(5, 0.02)), dataset)
        some = outlier_row.finding(capped(np.array([0.02, 0.01, 0.02, np.nan, 0.01])), dataset)
    unknown, _ = outliers.row_11b(dataset, (np.nan, np.nan))
    open_ = {Verdict.NOT_YET_TESTED: None}.get(unknown, False)
    assert [each.holds for each in some.readings] == [open_] * 5, "with a seed of (b) missing, (b) is not known"
    holds = {Verdict.REPRODUCED: True, Verdict.NOT_YET_TESTED: None}.get(verdict, False)
    assert [(each.seed, each.holds) for each in finding.readings] == [(seed, holds) for seed in SEEDS]
    assert len(finding.limits) == (verdict is Verdict.NOT_TESTABLE)
    assert finding.limits == () or f"{tenfold:.2f} (" in finding.limits[0]
    lacks = 15 if np.isnan(percent) else 5 * bool(np.isnan(tenfold))  # of three arms, beside two of the controls
    for found, waiting, waits in ((finding, lacks, holds is None), (some, lacks + 1, open_ is None)):
        said = f"{waiting} of 25 runs {'is' if waiting == 1 else 'are'} still to come"
        assert found.to_come == (said if waiting and waits else "")


def test_forecasts_hold_within_their_intervals_and_are_open_without_a_fork() -> None:
    def chain(which: Callable[[float, float], float]) -> xr.Dataset:
        """So that each arm has that ratio to its twin."""
        own = {arm: which(*EXPECTED[arm]) for arm in EXPECTED}
        of = {UNTREATED: 1.0, **{arm: own[arm] for arm in (UNCLIPPED, LARGEST, DRAWN)}}
        return made(lambda arm, seed: of.get(arm, own[TENFOLD] * of[UNCLIPPED]))

    inside = outliers.predicted(chain(lambda low, high: (low + high) / 2))
    assert inside["arm"].tolist() == list(EXPECTED) and inside["holds"].all()
    assert inside.loc[0, ["written before", "came"]].tolist() == ["0.8 to 1.2", 1.0]
    for outside in (chain(lambda low, high: low - 0.01), chain(lambda low, high: high + 0.01)):
        assert outliers.predicted(outside)["holds"].tolist() == [False] * 4
    missing = outliers.predicted(made(lambda arm, seed: np.nan if arm == LARGEST else 1.0)).set_index("arm")
    assert missing["holds"].isna().tolist() == [arm == LARGEST for arm in EXPECTED]
    assert outliers.predicted(made(by_seed(LARGEST, 1.06, 1.06, 1.06, 1.06, np.nan)))["holds"].isna().tolist()[2]


@pytest.mark.parametrize(
    ("largest", "drawn_out", "clipless", "dying", "living", "tenfold", "holds"),
    [
        (0.95, 1.0, 1.05, 9, 7, 20, [True, True, True, True, True]),
        (1.2, 1.0, 0.8, 7, 9, 3, [False, False, False, False, False]),
        (1.0, 1.0, 1.0, 7, 7, 9, [True, False, True, False, False]),
        (np.nan, 1.0, 1.0, 9, 7, 20, [None, None, True, True, True]),
        (0.95, np.nan, np.nan, np.nan, 7, np.nan, [True, None, None, None, None]),
    ],
)
def test_the_other_sentences_come_out_each_way(
    largest: float, drawn_out: float, clipless: float, dying: float, living: float, tenfold: float, holds: Any
) -> None:
    """A number that is missing is so in one seed; the dying of the unclipped twin have 9 %."""
    ratios = {LARGEST: largest, DRAWN: drawn_out, UNCLIPPED: clipless}
    shares = {(UNTREATED, True): dying, (UNTREATED, False): living, (TENFOLD, True): tenfold, (UNCLIPPED, True): 9.0}

    def seed_of(value: float, seed: int) -> float:
        return value if value == value or seed == 4 else 1.0

    dataset = made(
        lambda arm, seed: seed_of(ratios.get(arm, 1.0), seed),
        lambda arm, seed, dead: seed_of(shares.get((arm, dead), 33.0), seed),
    )
    table = outliers.sentences(dataset)
    assert table["written before"].tolist() == list(CHANCES) and table["chance"].tolist() == list(CHANCES.values())
    assert table["holds"].tolist()[2:] == holds
    assert table["came"].isna().tolist() == table["holds"].isna().tolist()
    if holds == [True] * 5:
        assert table["came"].tolist()[2:] == ["0.95", "0.95 and 1.00", "1.05", "9.0 and 7.0 %", "20.0 and 9.0 %"]
