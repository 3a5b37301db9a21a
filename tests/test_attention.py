"""Statistics of attention, streamed in blocks, equal those of whole matrices in float64."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attention_made import assert_same, drawn, matrix, statistics
from relusparsity.attention import HeadUse, Scores
from relusparsity.attention.heads import MEANS


@st.composite
def readings(draw: Any) -> dict[str, Any]:
    """Queries and keys of any shape with any kind of scores, padding, delimiters and size of block."""
    sequences, groups, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    length, width, seed = draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(0, 99))
    heads, draws = groups * per_group, np.random.default_rng(seed)
    scores = Scores(
        scale=draw(st.sampled_from([0.3, 1.0, 4.0])),
        causal=draw(st.booleans()),
        window=draw(st.none() | st.integers(1, length + 1)),
        softcap=draw(st.none() | st.just(2.0)),
        sink=draw(st.none() | st.just(drawn(heads, seed=seed + 1))),
        sink_key=draw(st.none() | st.just(drawn(heads, width, seed=seed + 4))),
        sigmoid=draw(st.none() | st.just(-1.5)),
        bias=draw(st.none() | st.just(drawn(1, heads, length, length, seed=seed + 2))),
    )
    real = np.ones((sequences, length), dtype=bool)
    for row in real:
        cut = draws.integers(0, length)
        row[slice(0, cut) if draws.random() < 0.5 else slice(length - cut, length)] = False
    return {
        "q": drawn(sequences, heads, length, width, seed=seed),
        "k": drawn(sequences, groups, length, width, seed=seed + 3),
        "scores": scores,
        "real": real if draw(st.booleans()) else np.ones_like(real),
        "delimiters": draws.random((sequences, length)) < 0.3,
        "block": draw(st.sampled_from([1, 7, 40, 2**20])),
    }


def masked(scores: Scores, real: np.ndarray) -> Scores:
    """The same where no token attends to padding; padding attends to itself, so that no row is empty."""
    length = real.shape[1]
    sees = torch.from_numpy(real)[:, None, None, :] | torch.eye(length, dtype=torch.bool)
    return replace(scores, mask=sees)


def of_sequence(scores: Scores, sequence: int) -> Scores:
    return scores if scores.mask is None else replace(scores, mask=scores.mask[sequence : sequence + 1])


@given(readings())
@settings(max_examples=60, deadline=None)
def test_streamed_in_blocks_they_equal_the_whole_matrix(reading: dict[str, Any]) -> None:
    q, k, real = reading["q"], reading["k"], reading["real"]
    scores = masked(reading["scores"], real)
    use = HeadUse(q.shape[1])
    use.update(
        q, k, scores, torch.from_numpy(real), delimiters=torch.from_numpy(reading["delimiters"]), block=reading["block"]
    )
    whole = [matrix(q[s], k[s], of_sequence(scores, s)) for s in range(len(q))]
    assert use.queries == real.sum()
    shared_out = scores.sigmoid is None
    assert_same(use, statistics(whole, real, reading["delimiters"], shared_out=shared_out), 1e-9)


@given(readings(), st.integers(1, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_adjacent_ranges_come_together_as_the_whole(reading: dict[str, Any], cut: int, forgets: bool) -> None:
    """A reading cut anywhere, the second part with a cache, which may have forgotten what no window reaches; and
    sequences counted apart and merged.
    """
    q, k, scores = reading["q"], reading["k"], replace(reading["scores"], causal=True, bias=None)
    cut = min(cut, q.shape[2])
    flags = torch.from_numpy(reading["delimiters"])
    whole, parts, merged = HeadUse(q.shape[1]), HeadUse(q.shape[1]), HeadUse(q.shape[1])
    whole.update(q, k, scores, delimiters=flags)
    parts.update(q[:, :, :cut], k[:, :, :cut], scores, delimiters=flags[:, :cut])
    for at in range(cut, q.shape[2]):
        gone = max(0, at - scores.window + 1) if forgets and scores.window is not None else 0
        parts.update(
            q[:, :, at : at + 1],
            k[:, :, gone : at + 1],
            scores,
            delimiters=flags[:, gone : at + 1],
            continues=True,
        )
    for s in range(len(q)):
        other = HeadUse(q.shape[1])
        other.update(q[s : s + 1], k[s : s + 1], scores, delimiters=flags[s : s + 1])
        merged.merge(other)
    for use in (parts, merged):
        assert use.queries == whole.queries
        assert torch.equal(use.pairs, whole.pairs)
        for name in set(MEANS) - {"next", "repeat"}:  # a call does not know the next
            np.testing.assert_allclose(use.mean(name), whole.mean(name), rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("left", [False, True])
def test_sinks_by_the_first_64_queries_of_each_sequence(left: bool) -> None:
    """Of three sequences one has 63 tokens; keys that all queries like more or less make sinks and none."""
    q, k = drawn(3, 4, 80, 8), drawn(3, 2, 80, 8, seed=1)
    real = np.ones((3, 80), dtype=bool)
    real[1, slice(0, 17) if left else slice(63, 80)] = False
    at = real.argmax(1)
    for sequence, head_bias in ((0, 8.0), (2, 1.0)):
        q[sequence, ..., 0] = 2.0
        k[sequence, :, at[sequence], 0] = head_bias
    scores = masked(Scores(scale=8**-0.5), real)
    whole = [matrix(q[s], k[s], of_sequence(scores, s)) for s in range(3)]
    expected = statistics(whole, real)
    assert 0 < expected["sinks"].mean() < 1
    use = HeadUse(4)
    use.update(q, k, scores, torch.from_numpy(real), block=500)
    assert int(use.sequences) == 2
    assert_same(use, expected, 1e-9)


@pytest.mark.parametrize(("last", "sink"), [(63, 1.0), (64, 0.0)])
def test_the_64th_query_is_the_last_that_tells_a_sink(last: int, sink: float) -> None:
    """Twenty queries see the first token alone, which is 31 % of 64, and one of them comes late."""
    at = torch.arange(66)
    to_first = (at < 19) | (at == last)
    sees = torch.where(to_first[:, None], at[None] == 0, at[None] == at[:, None])
    use = HeadUse(1)
    use.update(drawn(1, 1, 66, 4), drawn(1, 1, 66, 4, seed=1), Scores(scale=0.5, mask=sees[None, None]), block=200)
    assert use.sink_rate() == [sink]


def test_sinks_of_a_sequence_that_is_generated() -> None:
    q, k = drawn(2, 3, 70, 4, size=2), drawn(2, 3, 70, 4, seed=1, size=2)
    scores, whole, parts = Scores(scale=0.5), HeadUse(3), HeadUse(3)
    whole.update(q, k, scores)
    parts.update(q[:, :, :60], k[:, :, :60], scores)
    for at in range(60, 70):
        parts.update(q[:, :, at : at + 1], k[:, :, : at + 1], scores, continues=True)
        assert int(parts.sequences) == (2 if at >= 63 else 0)
    assert torch.equal(parts.sinks, whole.sinks)
    assert np.isnan(HeadUse(3).sink_rate()).all()


def test_some_tokens_are_read_and_not_counted() -> None:
    q, k = drawn(2, 2, 6, 4), drawn(2, 2, 6, 4, seed=1)
    counted = np.array([[0, 1, 1, 0, 1, 1], [0, 0, 1, 1, 1, 1]], dtype=bool)
    use, scores = HeadUse(2), Scores(scale=0.5)
    use.update(q, k, scores, counted=torch.from_numpy(counted))
    whole = [matrix(q[s], k[s], scores) for s in range(2)]
    assert_same(use, statistics(whole, np.ones((2, 6), dtype=bool), counted=counted), 1e-9)


def test_memory_is_flat_in_length() -> None:
    """No block of a reading of 5,000 tokens has more weights than asked for, and together they are all of them."""
    q = k = drawn(1, 2, 5_000, 1)
    sizes, rows = [], 0
    for part in Scores(scale=1.0).blocks(q, k, block=2**16):
        sizes.append(part.weights.numel())
        rows += part.weights.shape[2]
    assert max(sizes) <= 2**16
    assert rows == 5_000
    assert sum(sizes) < 0.52 * 2 * 5_000**2  # what lies after all queries of a block is not computed


def refused(*given: Tensor, **named: Any) -> str:
    with pytest.raises(ValueError) as error:
        HeadUse(2).update(*given, Scores(scale=1.0), **named)
    return str(error.value)


def test_what_does_not_fit_is_refused() -> None:
    q, k = drawn(1, 2, 3, 4), drawn(1, 2, 3, 4)
    assert "got 3 heads, expected 2" in refused(drawn(1, 3, 3, 4), k)
    assert "do not fit" in refused(q, drawn(2, 2, 3, 4))
    assert "do not fit" in refused(q, drawn(1, 2, 3, 5))
    assert "continue none" in refused(q, k, continues=True)
    with pytest.raises(ValueError, match="cannot be merged"):
        HeadUse(2).merge(HeadUse(3))
    with pytest.raises(ValueError, match="period of 2"):
        HeadUse(2, period=1)


def test_a_token_that_may_see_nothing_is_an_error() -> None:
    q = drawn(1, 1, 2, 4)
    use = HeadUse(1)
    use.update(q, q, Scores(scale=1.0, mask=torch.tensor([[[[False, False], [True, True]]]])))
    with pytest.raises(FloatingPointError, match="not a number"):
        use.mean("first")
