"""Layers with other numbers of positions than the run's windows go by: exact counts, at the same places, own clocks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relusparsity.config import LEVELS
from relusparsity.counting import metrics
from relusparsity.counting.deaths import DeathTracker, waits
from relusparsity.counting.use import UseTracker
from test_tracking import stored_masks

laws = settings(deadline=None, derandomize=True, max_examples=60)
SEQ_LEN = 8
Masks = list[np.ndarray]


def masks(positions: list[int], sequences: int, seed: int) -> Masks:
    """Of each layer: firing (sequence, position, unit)."""
    return [stored_masks(1, sequences, own, 5, seed + layer)[0] for layer, own in enumerate(positions)]


def tracked(fired: Masks, cuts: list[int] | None = None) -> UseTracker:
    use = UseTracker([5] * len(fired), SEQ_LEN, positions=[layer.shape[1] for layer in fired])
    for start, stop in pairwise([0, *sorted(cuts or []), len(fired[0])]):
        for layer, of in enumerate(fired):
            use.update(layer, torch.from_numpy(of[start:stop]))
    return use


def windows(fired: np.ndarray, place: int) -> np.ndarray:
    """(window, unit) of one layer at a place: in a sequence, or of whole ones; whole windows alone."""
    inside, n = SEQ_LEN.bit_length() - 1, 2 ** max(place, 0)
    sequences, positions, units = fired.shape
    if place < inside:
        return fired[:, : positions // n * n].reshape(sequences * (positions // n), n, units).any(1)
    n = 2 ** (place - inside)
    return fired[: sequences // n * n].reshape(-1, n * positions, units).any(1)


@laws
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.integers(1, 21),
    st.integers(0, 999),
    st.data(),
)
def test_every_statistic_is_the_brute_force_one(own: list[int], sequences: int, seed: int, data: st.DataObject) -> None:
    fired = masks([SEQ_LEN, *own], sequences, seed)
    use = tracked(fired, data.draw(st.lists(st.integers(0, sequences), max_size=4)))
    assert use.tokens == sequences * SEQ_LEN and use.window_tokens.shape == (len(fired), len(use.windows))
    np.testing.assert_array_equal(use.window_tokens[0], use.windows)
    by_window, rarefied, at_place = use.window_use(), use.rarefied_use(), use.position_use()
    assert at_place.shape == (len(fired), max(SEQ_LEN, *own))
    for layer, of in enumerate(fired):
        counts, positions = use.counts()[layer], of.shape[1]
        assert counts.tokens == sequences * positions and counts.sequences == sequences
        np.testing.assert_array_equal(counts.unit_tokens, of.sum((0, 1)))
        np.testing.assert_array_equal(counts.unit_sequences, of.any(1).sum(0))
        np.testing.assert_allclose(use.token_use()[layer], of.mean(), rtol=1e-12)
        np.testing.assert_allclose(use.sequence_use()[layer], of.any(1).mean(), rtol=1e-12)
        np.testing.assert_allclose(at_place[layer, :positions], of.mean((0, 2)), rtol=1e-12)
        assert np.isnan(at_place[layer, positions:]).all()
        for place, size in enumerate(use.window_tokens[layer]):
            expected = windows(of, place)
            assert int(use.window_units[layer, place]) == expected.sum(), "the count is exact"
            assert int(counts.window_count[place]) == len(expected)
            if not len(expected):
                assert np.isnan(by_window[layer, place]) and (np.isnan(size) or size > sequences * positions)
                continue
            assert by_window[layer, place] == pytest.approx(expected.mean(), rel=1e-12)
        sizes = use.window_tokens[layer]
        np.testing.assert_array_equal(rarefied[layer], metrics.rarefied_use(of.sum((0, 1)), counts.tokens, sizes))


def test_windows_are_as_many_tokens_in_a_sequence_and_as_many_sequences_beyond() -> None:
    use = UseTracker([1, 1], 512, positions=[512, 114])
    encoder, decoder = use.window_tokens
    assert encoder.tolist() == use.windows and len(decoder) == 10 + LEVELS
    np.testing.assert_array_equal(decoder[:12], [1, 2, 4, 8, 16, 32, 64, np.nan, np.nan, 114, 228, 456])
    assert (decoder[9:] / 114 == encoder[9:] / 512).all()


@laws
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 16), st.integers(1, 20), st.integers(0, 999))
def test_adjacent_aligned_ranges_merge_as_if_seen_by_one(
    power: int, times: int, following: int, own: int, seed: int
) -> None:
    here = times * 2**power
    following = following if here == 0 else min(following, 2**power)
    fired = masks([SEQ_LEN, own], here + following + 9, seed)
    both = tracked([of[:here] for of in fired])
    both.append(tracked([of[here : here + following] for of in fired]))
    for layer, of in enumerate(fired):
        both.update(layer, torch.from_numpy(of[here + following :]))
    whole = tracked(fired)
    for ours, theirs in zip(both.layers, whole.layers, strict=True):
        for name, value in ours.state().items():
            if name not in ("pending", "not_a_number", "mixed"):
                assert torch.equal(value, theirs.state()[name]), name
    assert torch.equal(both.position_units, whole.position_units)


def test_what_is_no_whole_sequence_or_of_another_shape_is_refused() -> None:
    use = UseTracker([5, 5], SEQ_LEN, positions=[8, 3])
    with pytest.raises(ValueError, match=r"expected \(sequence, 3, 5\)"):
        use.update(1, torch.zeros(2, 8, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="got 2 tokens, expected whole sequences of 3"):
        use.layers[1].update(torch.zeros(1, 2, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="different shapes cannot be put together"):
        use.append(UseTracker([5, 5], SEQ_LEN, positions=[8, 4]))


# Deaths


@laws
@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 20), st.integers(0, 999))
def test_each_layer_dies_by_its_own_tokens(steps: int, window: int, own: int, seed: int) -> None:
    """A layer of `own` positions among those of SEQ_LEN: dead where it has been silent for n tokens of its own."""
    rng = np.random.default_rng(seed)
    fired = rng.random((steps, 2, 6)) < rng.random((1, 2, 6)) ** 3  # in a step of one sequence
    n = window * SEQ_LEN
    tracker = DeathTracker([6, 6], waits(n, SEQ_LEN, [SEQ_LEN, own]))
    deaths, onset = np.zeros((2, 6)), np.full((2, 6), -1)
    silent, last, before = np.zeros((2, 6)), np.zeros((2, 6)), np.zeros((2, 6), bool)
    for step, of in enumerate(fired):
        counts = torch.from_numpy(of.astype(np.int32))
        tracker.update(counts.flatten(), counts.sum(1), counts.sum(1), (step + 1) * SEQ_LEN)
        silent = np.where(of, 0, silent + 1)
        last = np.where(of, (step + 1) * SEQ_LEN, last)
        dead = silent * np.array([[SEQ_LEN], [own]]) >= n
        deaths += dead & ~before
        onset = np.where(dead & ~before & (onset < 0), last, onset)
        before = dead
        np.testing.assert_array_equal(torch.stack(tracker.rows(tracker.dead)), dead)
    np.testing.assert_array_equal(torch.stack(tracker.rows(tracker.deaths)), deaths)
    np.testing.assert_array_equal(torch.stack(tracker.rows(tracker.onset)), onset)


def test_who_stays_keeps_its_clock() -> None:
    tracker = DeathTracker([2, 2], [8, 16])
    tracker.keep([torch.tensor([0]), torch.tensor([0, 1])])
    none = torch.zeros(3, dtype=torch.int32), torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    tracker.update(*none, 8)
    assert [row.tolist() for row in tracker.rows(tracker.dead)] == [[True], [False, False]]
    assert not {"_n", "dead_after"} & set(tracker.state())
