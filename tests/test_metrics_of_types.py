"""Metrics of sequences and token types as laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metrics_made import laws
from relusparsity.counting import metrics


def test_random_firing_has_the_random_within_sequence_rate() -> None:
    rng = np.random.default_rng(0)
    fired = rng.random((2000, 32, 5)) < np.array([0.01, 0.05, 0.2, 0.5, 0.001])
    observed, random = metrics.within_sequence_rate(fired.sum((0, 1)), fired.any(1).sum(0), 2000, 32)
    np.testing.assert_allclose(observed[:4], random[:4], rtol=0.03)
    assert np.isnan(observed[4]) and np.isnan(random[4]), "under 100 firings it is missing"
    exactly = np.array([99, 100]), np.array([50, 50])
    for values in metrics.within_sequence_rate(*exactly, 400, 32):
        assert np.isnan(values).tolist() == [True, False]


def entropy(k: np.ndarray) -> float:
    share = k[k > 0] / k.sum()
    return float(-(share * np.log(share)).sum())


@laws
@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(0, 9)))
def test_type_entropy_is_shannons(table: np.ndarray) -> None:
    found = metrics.type_entropy(torch.from_numpy(table))
    for unit, value in enumerate(found):
        if table[:, unit].any():
            assert value == pytest.approx(entropy(table[:, unit]), abs=1e-12)
        else:
            assert np.isnan(value)


def test_type_entropy_of_more_types_than_are_read_at_once() -> None:
    table = np.random.default_rng(0).integers(0, 9, (2500, 3))
    found = metrics.type_entropy(torch.from_numpy(table))
    np.testing.assert_allclose(found, [entropy(table[:, unit]) for unit in range(3)], rtol=1e-12)


def brute_random_entropy(totals: np.ndarray, k: int, draws: int = 1000) -> tuple[float, float]:
    """Mean entropy over types of k tokens drawn without replacement, and four standard errors of eight such draws."""
    rng = np.random.default_rng(1)
    text = np.repeat(np.arange(len(totals)), totals)
    drawn = [entropy(np.bincount(rng.choice(text, k, replace=False))) for _ in range(draws)]
    return float(np.mean(drawn)), 4 * float(np.std(drawn)) / math.sqrt(8)


def test_random_type_entropy_is_that_of_tokens_drawn_at_random() -> None:
    totals = np.array([50, 20, 10, 5, 5, 3, 3, 2, 1, 1])
    k = np.array([2, 0, 3, 10, 11, 60, 100, 10])
    found = metrics.random_type_entropy(totals, k)
    assert np.isnan(found[1]) and found[3] == found[7]
    assert found[6] == pytest.approx(entropy(totals)), "all tokens: no chance left"
    for i in (0, 2, 3, 4, 5):
        expected, error = brute_random_entropy(totals, int(k[i]))
        assert found[i] == pytest.approx(expected, abs=error)
    np.testing.assert_array_equal(found, metrics.random_type_entropy(totals, k, seed=0))
    assert found[3] != metrics.random_type_entropy(totals, k, seed=1)[3]
    assert np.isnan(metrics.random_type_entropy(totals, np.zeros(3, int))).tolist() == [True] * 3
    many = metrics.random_type_entropy(np.full(1000, 100), np.geomspace(2, 1e5, 200).round().astype(int))
    np.testing.assert_allclose(np.diff(many).min(), 0, atol=0.05)  # rises with k, up to the noise of its draws
    assert many[-1] == pytest.approx(math.log(1000)) and many[0] == pytest.approx(math.log(2), rel=0.02)


def test_random_type_entropy_draws_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, original = [], metrics.type_entropy
    monkeypatch.setattr(metrics, "type_entropy", lambda table: drawn.append(table.shape[1]) or original(table))
    metrics.random_type_entropy(np.full(400, 500), np.array([1_000, 100_000]))
    assert drawn == [8] * 33


def test_random_type_entropy_between_its_sampled_points() -> None:
    """More distinct counts than sampled points: interpolated in log k, close to the exact expectation everywhere."""
    totals, k = np.full(400, 50), np.arange(1, 2001)
    found = metrics.random_type_entropy(totals, k)
    assert found[0] == 0
    for count in (7, 40, 333, 1234, 2000):
        expected, error = brute_random_entropy(totals, count, 50)
        assert found[count - 1] == pytest.approx(expected, abs=error + 0.03), count


def test_token_selectivity_of_known_units() -> None:
    totals = np.array([400, 300, 200, 100])
    rng = np.random.default_rng(0)
    at_random = rng.multivariate_hypergeometric(totals, 300)
    counts = np.stack([[0, 250, 0, 0], totals, at_random, [50, 49, 0, 0], [50, 50, 0, 0], [0, 0, 0, 0]], axis=1)
    table = torch.from_numpy(counts)
    found = metrics.token_selectivity(table, totals)
    assert found[0] == 1, "one type only"
    assert found[1] == pytest.approx(0), "every token"
    assert abs(found[2]) < 0.02, "random firing"
    assert np.isnan(found[[3, 5]]).all(), "under 100 firings"
    random, _ = brute_random_entropy(totals, 100)
    assert found[4] == pytest.approx(1 - math.log(2) / random, abs=0.02)
    everything = metrics.token_selectivity(table, totals, least=1, seed=5)
    used = counts.sum(0) > 0
    expected = 1 - metrics.type_entropy(table[:, used]) / metrics.random_type_entropy(
        totals, counts.sum(0)[used], seed=5
    )
    np.testing.assert_array_equal(everything[used], expected)
    assert not np.array_equal(everything, metrics.token_selectivity(table, totals, least=1, seed=6), equal_nan=True)
    assert np.isnan(metrics.token_selectivity(table[:, 3:4], totals)).all()
    np.testing.assert_array_equal(found, metrics.token_selectivity(table, totals, seed=0))


# Survival


@laws
@given(
    hnp.arrays(float, st.integers(1, 9), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0, np.nan])),
    st.sampled_from([3.0, 5.0]),
)
def test_survival_is_the_share_not_yet_dead(onset: np.ndarray, followed: float) -> None:
    times = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    found = metrics.survival(onset, followed, times)
    for time, value in zip(times, found, strict=True):
        if time > followed:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(np.mean([not each <= time for each in onset]))
