"""Every metric as a law, against a few lines of NumPy on stored masks."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relusparsity.counting import metrics
from relusparsity.counting.metrics import PERCENTILES

laws = settings(deadline=None, derandomize=True)

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))  # (sequence, position, unit)
counts = hnp.arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 30))


# Firing


@laws
@given(hnp.arrays(np.float32, (2, 3, 4), elements=st.sampled_from([-1.0, -0.0, 0.0, 1e-45, 2.0, np.inf, -np.inf])))
def test_a_unit_fires_strictly_above_zero(activation: np.ndarray) -> None:
    fired = metrics.fires(torch.from_numpy(activation))
    assert fired.dtype == torch.bool
    np.testing.assert_array_equal(fired.numpy(), activation > 0)


@laws
@given(st.sampled_from([torch.float32, torch.bfloat16]), st.integers(0, 23), st.sampled_from([0.0, 1.0, math.inf]))
def test_nan_is_an_error_wherever_it_stands(dtype: torch.dtype, place: int, others: float) -> None:
    activation = torch.full((2, 3, 4), others, dtype=dtype)
    metrics.fires(activation)
    activation.view(-1)[place] = math.nan
    with pytest.raises(FloatingPointError, match=r"^an activation is NaN; firing is undefined there"):
        metrics.fires(activation)


def test_no_mask_of_nan_is_made_while_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, isnan = [], torch.isnan
    monkeypatch.setattr(torch, "isnan", lambda tensor: seen.append(tensor.numel()) or isnan(tensor))
    metrics.fires(torch.ones(2, 3, 4))
    assert seen == [1]


def test_opposite_infinities_are_not_nan() -> None:
    activation = torch.tensor([math.inf, -math.inf, 1.0]).view(1, 1, 3)
    assert metrics.fires(activation).tolist() == [[[True, False, True]]]


@laws
@given(masks)
def test_firing_counts_are_sums_over_tokens_and_over_units(fired: np.ndarray) -> None:
    per_unit, per_token = metrics.firing_counts(torch.from_numpy(fired))
    assert per_unit.dtype == per_token.dtype == torch.int32
    np.testing.assert_array_equal(per_unit.numpy(), fired.sum(1))
    np.testing.assert_array_equal(per_token.numpy(), fired.sum(2))


@pytest.mark.parametrize("positions", [1, 255, 256, 511])
@pytest.mark.parametrize("units", [8, 9, 2040, 2048, 2049, 4096])
def test_firing_counts_do_not_overflow_a_byte(positions: int, units: int) -> None:
    fired = np.random.default_rng(0).random((2, positions, units)) < 0.9
    fired[0] = True
    per_unit, per_token = metrics.firing_counts(torch.from_numpy(fired))
    np.testing.assert_array_equal(per_unit, fired.sum(1))
    np.testing.assert_array_equal(per_token, fired.sum(2))
    assert per_unit.dtype == per_token.dtype == torch.int32


def test_firing_counts_of_a_view() -> None:
    fired = np.random.default_rng(0).random((3, 16, 5)) < 0.5
    per_unit, per_token = metrics.firing_counts(torch.from_numpy(fired).transpose(1, 2))
    np.testing.assert_array_equal(per_unit, fired.sum(2))
    np.testing.assert_array_equal(per_token, fired.sum(1))


@laws
@given(hnp.arrays(np.int32, hnp.array_shapes(max_dims=3, max_side=6), elements=st.integers(0, 9)), st.integers(9, 12))
def test_a_histogram_counts_every_value_once(values: np.ndarray, largest: int) -> None:
    bins = metrics.histogram(torch.from_numpy(values), largest)
    assert bins.dtype == torch.int64
    np.testing.assert_array_equal(bins.numpy(), [(values == value).sum() for value in range(largest + 1)])


def test_a_histogram_stays_on_its_device() -> None:
    assert metrics.histogram(torch.zeros(3, dtype=torch.int32, device="meta"), 4).device.type == "meta"


# Percentiles


def inverted_cdf(values: np.ndarray, level: int) -> float:
    """The smallest value with at least `level` % of the values at or below it."""
    return min(v for v in values if 100 * (values <= v).sum() >= level * len(values))


@laws
@given(hnp.arrays(np.int64, st.integers(1, 260), elements=st.integers(0, 40)))
def test_percentiles_are_the_inverted_cdf_or_missing(values: np.ndarray) -> None:
    found = metrics.percentiles(np.bincount(values, minlength=50))
    for level, value in zip(PERCENTILES, found, strict=True):
        # a level strictly inside needs one value beyond it: n ≥ 100 / min(level, 100 − level)
        told_apart = level in (0, 100) or len(values) >= Fraction(100, min(level, 100 - level))
        assert np.isnan(value) != told_apart
        if told_apart:
            assert value == inverted_cdf(values, level)
            assert value == np.percentile(values, level, method="inverted_cdf")


def test_percentiles_at_the_smallest_sample_that_has_them() -> None:
    def missing(n: int) -> list[int]:
        found = metrics.percentiles(np.array([0, n]))
        return [level for level, value in zip(PERCENTILES, found, strict=True) if np.isnan(value)]

    assert missing(1) == [1, 5, 25, 50, 75, 95, 99]
    assert missing(16) == [1, 5, 95, 99]
    assert missing(19) == [1, 5, 95, 99] and missing(20) == [1, 99]
    assert missing(99) == [1, 99] and missing(100) == []
    assert missing(0) == list(PERCENTILES)


def test_percentiles_of_chosen_levels() -> None:
    assert metrics.percentiles(np.array([0, 10, 0, 30]), [10, 25, 26, 100]).tolist() == [1, 1, 3, 3]
    assert metrics.percentiles(np.array([2, 2]), (0, 50)).tolist() == [0, 0]


# Rarefaction


def missed(tokens: int, k: int, n: int) -> Fraction:
    return Fraction(math.comb(tokens - k, n), math.comb(tokens, n))


@laws
@given(counts, st.integers(0, 30), st.data())
def test_rarefied_use_is_hurlberts_formula(k: np.ndarray, more: int, data: st.DataObject) -> None:
    tokens = max(1, int(k.max()) + more)
    sizes = data.draw(st.lists(st.integers(1, tokens + 3), min_size=1, max_size=5))
    found = metrics.rarefied_use(k, tokens, sizes)
    assert found.shape == (len(sizes),)
    for n, value in zip(sizes, found, strict=True):
        if n > tokens:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(
                float(1 - sum(missed(tokens, int(each), n) for each in k) / len(k)), abs=1e-12
            )


@laws
@given(masks)
def test_rarefied_use_of_one_and_of_all_tokens_is_token_use_and_batch_use(fired: np.ndarray) -> None:
    flat = fired.reshape(-1, fired.shape[2])
    one, whole = metrics.rarefied_use(flat.sum(0), len(flat), [1, len(flat)])
    assert one == pytest.approx(flat.mean(), abs=1e-12)
    assert whole == pytest.approx(flat.any(0).mean(), abs=1e-12)


def test_rarefied_use_is_exact_at_the_size_of_a_final_sample() -> None:
    tokens, n = 524_288, 8192
    k = np.array([0, 1, 77, 10_000, tokens])
    exact = 1 - sum(missed(tokens, int(each), n) for each in k) / len(k)
    assert metrics.rarefied_use(k, tokens, [n])[0] == pytest.approx(float(exact), rel=1e-11)


# Specificity


@laws
@given(st.integers(1, 6), st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**32 - 1), st.integers(0, 9))
def test_within_sequence_rate_against_masks(sequences: int, seq_len: int, seed: int, least: int) -> None:
    rng = np.random.default_rng(seed)
    fired = rng.random((sequences, seq_len, 7)) < rng.random(7)
    k, hit = fired.sum((0, 1)), fired.any(1).sum(0)
    observed, random = metrics.within_sequence_rate(k, hit, sequences, seq_len, least)
    for unit in range(7):
        if k[unit] < max(least, 1):
            assert np.isnan(observed[unit])
            assert np.isnan(random[unit])
            continue
        in_hit = fired[fired[:, :, unit].any(1), :, unit]
        assert observed[unit] == pytest.approx(in_hit.mean())
        expected_hit = sequences * (1 - missed(sequences * seq_len, int(k[unit]), seq_len))
        assert random[unit] == pytest.approx(float(k[unit] / (expected_hit * seq_len)))


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
