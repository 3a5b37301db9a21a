"""Laws of the small statistics, against brute force."""

import math

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from relusparsity.claims import statistics

laws = settings(deadline=None, derandomize=True)  # the first example imports SciPy
NUMBERS = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12).map(np.array)


@laws
@given(NUMBERS, NUMBERS)
def test_cliffs_delta_counts_pairs(x: np.ndarray, y: np.ndarray) -> None:
    brute = sum(float(np.sign(b - a)) for a in x for b in y) / (len(x) * len(y))
    assert statistics.cliffs_delta(x, y) == pytest.approx(brute)


@laws
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_kendall_tau_counts_pairs(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, float).T
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    score = sum(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs)
    untied = sum(x[i] != x[j] for i, j in pairs) * sum(y[i] != y[j] for i, j in pairs)
    tau = statistics.kendall_tau(x, y)
    assert math.isnan(tau) if untied == 0 else tau == pytest.approx(score / math.sqrt(untied))


@given(st.lists(st.integers(0, 100), min_size=3, max_size=8), st.integers(1, 40), st.integers(0, 30))
def test_no_stretch_changes_more_than_the_largest(values: list[int], span: int, start: int) -> None:
    tokens = np.linspace(0, 100, len(values)) ** 1.1
    found = statistics.changes(tokens, np.array(values, float), span, start)
    begins = np.linspace(start, tokens[-1] - span, 301)
    dense = np.interp(begins + span, tokens, values) - np.interp(begins, tokens, values)
    assert found.max() >= dense.max() - 1e-9 and found.min() <= dense.min() + 1e-9
    assert found.max() <= dense.max() + 100 * len(values) * span / 30  # and it is a stretch that exists


def test_a_tau_of_six_tenths_is_not_below_it() -> None:
    y = np.arange(25.0)
    y[:11] = y[:11][::-1]  # 55 pairs discordant
    y[11:21] = y[11:21].reshape(5, 2)[:, ::-1].ravel()  # 5 more; of 300
    assert statistics.kendall_tau(np.arange(25.0), y) == 0.6


@laws
@given(st.lists(st.integers(0, 300), min_size=1, max_size=3))
def test_poisson_limits_leave_five_percent_below(counts: list[int]) -> None:
    for count, mean in zip(counts, statistics.poisson_upper(counts), strict=True):
        below = math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))
        assert below == pytest.approx(0.05, rel=1e-9)


def test_matching_by_rate_removes_a_difference_that_is_only_rate() -> None:
    rng = np.random.default_rng(0)
    count_x, count_y = rng.integers(100, 2000, 3000), rng.integers(500, 10_000, 3000)
    x, y = np.log(count_x) + rng.normal(0, 0.5, 3000), np.log(count_y) + rng.normal(0, 0.5, 3000)
    assert statistics.cliffs_delta(x, y) > 0.6
    matched, units = statistics.matched_delta(x, y, count_x, count_y)
    assert abs(matched) < 0.1 and 0 < units < 6000


def test_an_interval_is_students_and_none_of_one_value_or_a_missing_one() -> None:
    some = [0.154, 0.255, 0.401]
    for level in (0.9, 0.95):
        expected = scipy.stats.ttest_1samp(some, 0).confidence_interval(level)
        np.testing.assert_allclose(statistics.student(some, level), expected)
        assert statistics.half_width(some, level) == pytest.approx((expected.high - expected.low) / 2)
    for few in ([], [0.3], [0.3, math.nan, 0.4]):
        assert all(math.isnan(each) for each in (*statistics.student(few), statistics.half_width(few)))
