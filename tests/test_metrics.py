"""Every metric as a law, against a few lines of NumPy on stored masks."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metrics_made import counts, laws
from relusparsity.counting import metrics
from relusparsity.counting.metrics import PERCENTILES

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))  # (sequence, position, unit)


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


def test_compiled_it_counts_the_same_and_views_no_bool_as_bytes() -> None:
    """PyTorch 2.11's compiler refuses such a view; what is not plain ReLU is counted inside the compiled graph."""
    graphs = []

    def keep(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    z = torch.randn(2, 300, 16, generator=torch.Generator().manual_seed(0))
    found = torch.compile(lambda z: metrics.unit_counts(z > 0), backend=keep, fullgraph=True)(z)
    assert found.equal(metrics.unit_counts(z > 0)) and found.dtype == torch.int32
    assert not [node for graph in graphs for node in graph.graph.nodes if torch.uint8 in node.args]
