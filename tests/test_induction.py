"""Prefix matching against a loop over occurrences, copying against the whole circuit's eigenvalues."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_made import drawn, matrix
from relusparsity.attention import HeadUse, Scores
from relusparsity.attention.induction import between, copying, repeated, usual


@given(st.integers(2, 6), st.integers(2, 4), st.integers(0, 3), st.integers(0, 99), st.sampled_from([1, 30, 2**20]))
@settings(max_examples=40, deadline=None)
def test_prefix_matching_is_attention_after_earlier_occurrences(
    period: int, times: int, begin: int, seed: int, block: int
) -> None:
    ids = torch.arange(20, 40)
    (row,) = repeated(ids, torch.arange(begin), period, times, draws=1, seed=seed)
    tokens = row.tolist()
    assert tokens[:begin] == list(range(begin))
    q, k = drawn(1, 3, len(row), 4, seed=seed, size=2), drawn(1, 3, len(row), 4, seed=seed + 1, size=2)
    scores = Scores(scale=0.5)
    weights = matrix(q[0], k[0], scores)
    expected = [
        sum(weights[:, i, j + 1] for j in range(i) if tokens[j] == tokens[i])
        for i in range(len(tokens))
        if tokens[i] in tokens[:i]
    ]
    use = HeadUse(3, period=period, begin=begin)
    use.update(q, k, scores, block=block)
    np.testing.assert_allclose(use.mean("repeat"), np.mean(expected, axis=0), rtol=0, atol=1e-12)
    bare = HeadUse(3)
    bare.update(q, k, scores)
    assert np.isnan(bare.mean("repeat")).all()


def test_an_induction_head_scores_one_and_a_previous_token_head_none() -> None:
    """Heads made by hand: the keys of one are moved by a token, so that a token finds what came after its like."""
    (row,) = repeated(torch.arange(10), torch.empty(0, dtype=torch.int64), period=10, times=2, draws=1)
    token, place = torch.eye(10)[row], torch.eye(20)
    before = torch.cat((torch.zeros(1, 10), token[:-1]))
    blank = torch.zeros(20, 10)
    q = torch.stack((torch.cat((token, blank, blank), 1), torch.cat((blank, place), 1)))
    k = torch.stack((torch.cat((before, blank, blank), 1), torch.cat((blank, place.roll(-1, 0)), 1)))
    k[1, -1] = 0
    use = HeadUse(2, period=10)
    use.update(q[None], k[None], Scores(scale=50.0))
    assert use.mean("repeat") == pytest.approx([1, 0], abs=1e-9)
    assert use.mean("previous")[1] == pytest.approx(1, abs=1e-9)


def test_draws_differ_and_what_cannot_be_drawn_is_refused() -> None:
    none = torch.empty(0, dtype=torch.int64)
    rows = repeated(torch.arange(100), none, period=50, draws=3, seed=1)
    assert rows.shape == (3, 100)
    assert all(len(set(row.tolist())) == 50 for row in rows)
    assert len({tuple(row.tolist()) for row in rows}) == 3
    assert torch.equal(rows, repeated(torch.arange(100), none, period=50, draws=3, seed=1))
    with pytest.raises(ValueError, match="9 token types"):
        repeated(torch.arange(9), none, period=10)
    with pytest.raises(ValueError, match="do not repeat"):
        repeated(torch.arange(9), none, period=5, times=1)
    assert usual(100, {4, 50, 99}).tolist() == [each for each in range(5, 96) if each != 50]


@pytest.mark.parametrize("seed", range(3))
def test_copying_by_the_eigenvalues_of_the_whole_circuit(seed: int) -> None:
    read, written = drawn(30, 12, seed=seed), drawn(30, 12, seed=seed + 10)
    value, output = drawn(4, 12, seed=seed + 20), drawn(12, 4, seed=seed + 30)
    whole = np.linalg.eigvals((written.double() @ output.double() @ value.double() @ read.T.double()).numpy())
    assert copying(value, between(read, written), output) == pytest.approx(
        whole.real.sum() / np.abs(whole).sum(), abs=1e-6
    )


def test_a_head_that_copies_has_one_and_one_that_suppresses_minus_one() -> None:
    read, value = drawn(30, 12), drawn(4, 12, seed=1)
    assert copying(value, between(read, read), value.T) == pytest.approx(1)
    assert copying(value, between(read, read), -value.T) == pytest.approx(-1)


def test_scores_of_a_sink_leave_less_for_repeats() -> None:
    q, k = drawn(1, 1, 8, 4), drawn(1, 1, 8, 4, seed=1)
    plain, taken = HeadUse(1, period=4), HeadUse(1, period=4)
    plain.update(q, k, Scores(scale=1.0))
    taken.update(q, k, replace(Scores(scale=1.0), sink=torch.tensor([2.0])))
    assert taken.mean("repeat")[0] < plain.mean("repeat")[0]
    assert taken.mean("learned_sink")[0] > 0.1
    assert plain.mean("learned_sink")[0] == pytest.approx(0, abs=1e-12)
