"""The streaming accumulators against the stored masks they never keep: exact, however the stream is cut."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from relusparsity.config import LEVELS
from relusparsity.counting import metrics
from relusparsity.counting.deaths import DeathTracker
from relusparsity.counting.use import UseTracker

laws = settings(deadline=None, derandomize=True, max_examples=60)

lengths = st.sampled_from([1, 2, 4, 8])


def stored_masks(layers: int, sequences: int, seq_len: int, units: int, seed: int) -> np.ndarray:
    """Firing (layer, sequence, position, unit), clustered in sequences, units of very different rates, some silent."""
    rng = np.random.default_rng(seed)
    rate = rng.random((layers, 1, 1, units)) ** 4 * (rng.random((layers, 1, 1, units)) < 0.8)
    here = rng.random((layers, sequences, 1, units)) < 0.6
    return (rng.random((layers, sequences, seq_len, units)) < rate) & here


def tracked(fired: np.ndarray, cuts: list[int] | None = None) -> UseTracker:
    """A tracker fed with the masks, in the pieces that `cuts` makes of the sequences."""
    layers, sequences, seq_len, units = fired.shape
    tracker = UseTracker([units] * layers, seq_len)
    for start, stop in pairwise([0, *sorted(cuts or []), sequences]):
        for layer in range(layers):
            tracker.update(layer, torch.from_numpy(fired[layer, start:stop]))
    return tracker


def assert_same(one: UseTracker, other: UseTracker) -> None:
    """Equal counts; what waits for its other half is compared by what follows."""
    for ours, theirs in zip(one.layers, other.layers, strict=True):
        for name, value in ours.state().items():
            if name not in ("pending", "not_a_number", "mixed"):
                assert value.dtype == torch.int64 and torch.equal(value, theirs.state()[name]), name
    assert torch.equal(one.position_units, other.position_units)


def whole_windows(fired: np.ndarray, n: int) -> np.ndarray:
    """(window, n, unit): aligned windows of n tokens of one layer, in recorded order; the partial last one dropped."""
    flat = fired.reshape(-1, fired.shape[-1])
    return flat[: len(flat) // n * n].reshape(-1, n, flat.shape[1])


@laws
@given(st.integers(1, 3), st.integers(1, 21), lengths, st.integers(1, 7), st.integers(0, 999), st.data())
def test_every_statistic_is_the_brute_force_one(
    layers: int, sequences: int, seq_len: int, units: int, seed: int, data: st.DataObject
) -> None:
    fired = stored_masks(layers, sequences, seq_len, units, seed)
    cuts = data.draw(st.lists(st.integers(0, sequences), max_size=4))
    use = tracked(fired, cuts)

    tokens = sequences * seq_len
    assert use.tokens == tokens
    assert use.windows == [2**i for i in range(seq_len.bit_length() + LEVELS)]
    np.testing.assert_array_equal(use.unit_tokens, fired.sum((1, 2)))
    np.testing.assert_array_equal(use.unit_sequences, fired.any(2).sum(1))
    np.testing.assert_array_equal(use.position_units, fired.sum((1, 3)))
    np.testing.assert_allclose(use.token_use(), fired.mean((1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(use.sequence_use(), fired.any(2).mean((1, 2)), rtol=1e-12)
    np.testing.assert_allclose(use.position_use(), fired.mean((1, 3)), rtol=1e-12)
    np.testing.assert_array_equal(use.silent_units(), (~fired.any((1, 2))).sum(1))

    by_window, rarefied = use.window_use(), use.rarefied_use()
    assert by_window.shape == rarefied.shape == (layers, len(use.windows))
    for i, n in enumerate(use.windows):
        if n > tokens:
            assert np.isnan(by_window[:, i]).all() and np.isnan(rarefied[:, i]).all()
            continue
        for layer in range(layers):
            windows = whole_windows(fired[layer], n)
            assert int(use.window_units[layer, i]) == windows.any(1).sum(), "the count is exact"
            assert by_window[layer, i] == pytest.approx(windows.any(1).mean(), rel=1e-12)
    for layer in range(layers):
        k = fired[layer].sum((0, 1))
        np.testing.assert_array_equal(rarefied[layer], metrics.rarefied_use(k, tokens, use.windows))
        np.testing.assert_array_equal(
            use.rarefied_use([tokens, 1])[layer], metrics.rarefied_use(k, tokens, [tokens, 1])
        )

    def shares(values: np.ndarray, of: int) -> np.ndarray:
        return metrics.percentiles(np.bincount(values.ravel())) / of

    for layer, row in enumerate(fired):
        np.testing.assert_array_equal(use.token_use_percentiles()[layer], shares(row.sum(2), units))
        np.testing.assert_array_equal(use.sequence_use_percentiles()[layer], shares(row.any(1).sum(1), units))
        np.testing.assert_array_equal(use.firing_rate_percentiles()[layer], shares(row.sum((0, 1)), tokens))


def test_one_set_of_the_papers_batch() -> None:
    """8,192 tokens in 64 sequences: window_use at 8,192 is batch_use, and one more sequence changes nothing there."""
    fired = stored_masks(1, 65, 128, 5, seed=3)
    use = tracked(fired, [10, 11, 64])
    at = use.windows.index(8192)
    assert use.window_use()[0, at] == fired[0, :64].any((0, 1)).mean()
    assert np.isnan(use.window_use()[0, at + 1 :]).all()


@laws
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 16), lengths, st.integers(0, 999), st.booleans())
def test_adjacent_aligned_ranges_merge_as_if_seen_by_one(
    power: int, times: int, following: int, seq_len: int, seed: int, go_on: bool
) -> None:
    here = times * 2**power
    following = following if here == 0 else min(following, 2**power)
    fired = stored_masks(2, here + following + 9 * go_on, seq_len, 5, seed)
    first, second = tracked(fired[:, :here]), tracked(fired[:, here : here + following])
    untouched = copy.deepcopy(second)
    first.append(second)
    assert_same(second, untouched)
    whole = tracked(fired[:, : here + following])
    assert_same(first, whole)
    for layer in range(2 * go_on):  # the windows that were open at the boundary are still right
        for tracker in (first, whole):
            tracker.update(layer, torch.from_numpy(fired[layer, here + following :]))
    assert_same(first, whole)


@laws
@given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 5))
def test_a_sample_split_over_processes_merges_in_order(ranks: int, sets: int, power: int) -> None:
    """The split that evaluation makes: shares of a power of two sets, each of a power of two sequences."""
    fired = stored_masks(1, sets << power, 2, 4, seed=sets)
    share = 1
    while share * ranks < sets:
        share *= 2
    parts = [tracked(fired[:, rank * share << power : (rank + 1) * share << power]) for rank in range(ranks)]
    first = parts[0]
    for part in parts[1:]:
        first.append(part)
    assert_same(first, tracked(fired))


def test_an_append_that_cuts_a_window_is_refused() -> None:
    fired = stored_masks(1, 5, 2, 4, seed=0)
    first, second = tracked(fired[:, :2]), tracked(fired[:, 2:])
    before = copy.deepcopy(first)
    with pytest.raises(ValueError, match="6 tokens cannot follow 4"):
        first.append(second)
    assert_same(first, before)
    assert torch.equal(first.layers[0].pending, before.layers[0].pending)
    with pytest.raises(ValueError, match="different shapes"):
        first.append(UseTracker([5], 2))


def test_windows_stop_at_the_widest() -> None:
    """2**LEVELS sequences and more: the widest window is whole, merged and counted on."""
    widest = 2**LEVELS
    fired = stored_masks(1, 2 * widest + 5, 1, 3, seed=1)
    use = tracked(fired, [1000, widest])
    first = tracked(fired[:, :widest])
    first.append(tracked(fired[:, widest:], [7]))
    assert use.windows[-1] == widest
    assert_same(first, use)
    assert use.window_use()[0, -1] == whole_windows(fired[0], widest).any(1).mean()


@laws
@given(st.integers(1, 12), st.integers(0, 12), lengths, st.integers(0, 99))
def test_a_saved_tracker_continues_exactly(before: int, after: int, seq_len: int, seed: int) -> None:
    fired = stored_masks(2, before + after, seq_len, 5, seed)
    saved = [save(layer.state()) for layer in tracked(fired[:, :before]).layers]
    use = UseTracker([5] * 2, seq_len)
    for layer, state in zip(use.layers, saved, strict=True):
        layer.load(load(state))
    for layer in range(2):
        use.update(layer, torch.from_numpy(fired[layer, before:]))
    use.position_units = tracked(fired).position_units  # of whole samples only
    assert_same(use, tracked(fired))


def test_layers_that_saw_different_text_are_noticed() -> None:
    use = UseTracker([3, 3], 4)
    use.update(0, torch.zeros(5, 4, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"different numbers of sequences: \[5, 0\]"):
        use.token_use()


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 3, 3), (2, 8, 3)])
def test_masks_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(sequence, 4, 3\)"):
        UseTracker([3], 4).update(0, torch.zeros(shape, dtype=torch.bool))


@pytest.mark.parametrize("seq_len", [3, 6, 100])
def test_windows_need_a_power_of_two(seq_len: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        UseTracker([3], seq_len)


def test_memory_does_not_grow_with_the_tokens_seen() -> None:
    use, deaths = UseTracker([32_768] * 6, 512), DeathTracker([32_768] * 6, 8)
    states = [*(layer.state() for layer in use.layers), deaths.state(), {"position": use.position_units}]
    sizes = [value.numel() * value.element_size() for state in states for value in state.values()]
    assert sum(sizes) <= 16 * 2**20
    before = {name: value.shape for name, value in use.layers[0].state().items()}
    for _ in range(3):
        use.update(0, torch.zeros(2, 512, 32_768, dtype=torch.bool))
    assert {name: value.shape for name, value in use.layers[0].state().items()} == before


# Death


def brute_force_deaths(stream: np.ndarray, batch: int, dead_after: int) -> dict[str, np.ndarray]:
    """From the whole stream (step, layer, token, unit): walk back from every step's end."""
    steps, layers, _, units = stream.shape
    fired = stream.any(2)
    out = {name: np.zeros((layers, units), int) for name in ("last_fired", "deaths", "revivals")}
    out["onset"], dead = np.full((layers, units), -1), np.zeros((layers, units), bool)
    for step in range(1, steps + 1):
        for layer, unit in np.ndindex(layers, units):
            ends = np.flatnonzero(fired[:step, layer, unit]) + 1
            last = int(ends[-1]) * batch if len(ends) else 0
            now = step * batch >= dead_after and not fired[:step, layer, unit][-(dead_after // batch) :].any()
            if now and not dead[layer, unit]:
                out["deaths"][layer, unit] += 1
                if out["onset"][layer, unit] < 0:
                    out["onset"][layer, unit] = last
            if dead[layer, unit] and not now:
                out["revivals"][layer, unit] += 1
            dead[layer, unit], out["last_fired"][layer, unit] = now, last
    return out | {"dead": dead}


@laws
@given(st.integers(1, 14), st.integers(1, 5), st.integers(1, 3), st.integers(0, 999), st.data())
def test_deaths_against_the_whole_stream(steps: int, window: int, batch: int, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    stream = rng.random((steps, 2, batch, 6)) < rng.random((1, 2, 1, 6)) ** 3
    kill_at = data.draw(st.integers(0, steps))
    tracker = DeathTracker([6, 6], window * batch)
    for step, fired in enumerate(torch.from_numpy(stream)):
        if step == kill_at:
            saved = save(tracker.state())
            tracker = DeathTracker([6, 6], window * batch)
            tracker.load(load(saved))
        # batch sequences of one token: units fired, summed over sequences, are firings
        tracker.update(
            fired.sum(1, dtype=torch.int32).flatten(), fired.sum((1, 2)), 10 * fired.sum((1, 2)), (step + 1) * batch
        )
    for name, expected in brute_force_deaths(stream, batch, window * batch).items():
        np.testing.assert_array_equal(torch.stack(tracker.rows(getattr(tracker, name))), expected, err_msg=name)
    np.testing.assert_array_equal(tracker.stream_firings, stream.sum((0, 2, 3)))
    np.testing.assert_array_equal(tracker.stream_sequence_units, 10 * stream.sum((0, 2, 3)))


def test_nothing_is_dead_before_its_time() -> None:
    tracker = DeathTracker([1], dead_after=30)
    none, no = torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int64)
    for tokens, dead in ((10, False), (20, False), (30, True)):
        tracker.update(none, no, no, tokens)
        assert bool(tracker.dead) == dead
    assert int(tracker.onset) == 0, "never fired: its last firing is before the first token"
    tracker.update(none + 1, no + 1, no + 1, 40)
    assert not tracker.dead and int(tracker.revivals) == 1 and int(tracker.last_fired) == 40
    for tokens, deaths in ((50, 1), (60, 1), (70, 2)):
        tracker.update(none, no, no, tokens)
        assert int(tracker.deaths) == deaths
    assert int(tracker.onset) == 0, "the onset of the first death stays"
