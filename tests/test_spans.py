"""Span corruption against a reading token by token: nothing is lost, lengths are full, all cuts are equally likely."""

import itertools
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relusparsity.corpora import spans
from relusparsity.corpora.spans import Ids
from relusparsity.errors import UserError
from relusparsity.span_config import Lengths, SpanConfig

IDS = Ids(types=50, eos=7, sentinels=100)
LENGTHS = SpanConfig().lengths(64)


def text(tokens: int, seed: int = 0) -> np.ndarray:
    """Ids of a text, `<eos>` among them."""
    return np.random.default_rng(seed).integers(0, IDS.types, tokens).astype(np.uint16)


def read(inputs: np.ndarray, targets: np.ndarray, ids: Ids = IDS) -> tuple[list[int], list[bool]]:
    """The text that a sequence was made of, and which of its tokens were cut out: one token after the other."""
    assert inputs[-1] == targets[-1] == ids.eos
    parts: list[list[int]] = []
    for token in targets[:-1].tolist():
        if token >= ids.types:
            assert token == ids.types + len(parts) < ids.start, "sentinels come in order, each once"
            parts.append([])
        else:
            parts[-1].append(token)
    whole: list[int] = []
    cut: list[bool] = []
    seen = 0
    for token in inputs[:-1].tolist():
        if token >= ids.types:
            assert token == ids.types + seen and parts[seen], "a sentinel stands for one token at least"
            whole, cut, seen = whole + parts[seen], cut + [True] * len(parts[seen]), seen + 1
        else:
            whole, cut = [*whole, token], [*cut, False]
    assert seen == len(parts)
    return whole, cut


configs = st.builds(
    SpanConfig, density=st.floats(0.01, 0.9), mean_span=st.floats(1, 12) | st.just(1.0), sentinels=st.just(2000)
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(configs, st.integers(3, 300), st.integers(0, 2**63 - 1), st.integers(0, 10**9))
def test_the_text_comes_back_from_what_is_read_and_what_is_predicted(
    config: SpanConfig, seq_len: int, seed: int, step: int
) -> None:
    try:
        lengths = config.lengths(seq_len)
    except UserError as refused:
        assume("not one between each two" not in str(refused))
        raise
    ids = Ids(types=50, eos=0, sentinels=2000)
    tokens = text(5 * lengths.text + 1)
    pieces = tokens[:-1].reshape(5, -1).tolist()
    found = spans.batch(tokens, lengths, ids, 4, seed, step)
    assert found.inputs.shape == (4, seq_len) and found.targets.shape == found.before.shape == (4, lengths.targets)
    assert all(part.dtype == np.int64 for part in found)
    for inputs, before, targets in zip(*found, strict=True):
        whole, cut = read(inputs, targets, ids)
        assert whole in pieces
        assert sum(cut) == lengths.cut and not cut[0] and cut[-1]
        assert len(list(itertools.groupby(cut))) == 2 * lengths.spans
        assert before.tolist() == [ids.start, *targets[:-1].tolist()]
    assert max(found.inputs.max(), found.before.max()) < ids.vocabulary


def published(inputs_length: int, density: float, mean_span: float) -> tuple[int, int]:
    """Tokens of text and of targets by T5's rule, written from its description: the longest text that still fits."""

    def both(tokens: int) -> tuple[int, int]:
        noise = round(tokens * density)
        noise_spans = round(noise / mean_span)
        return tokens - noise + noise_spans + 1, noise + noise_spans + 1

    tokens = inputs_length
    while both(tokens + 1)[0] <= inputs_length:
        tokens += 1
    return tokens, both(tokens)[1]


@pytest.mark.parametrize(("density", "mean_span"), [(0.15, 3.0), (0.15, 8.0), (0.25, 2.0), (0.3, 3.0), (0.5, 16.0)])
def test_lengths_are_those_of_t5(density: float, mean_span: float) -> None:
    config = SpanConfig(density, mean_span, sentinels=1000)
    for seq_len in range(32, 1200, 7):
        found = config.lengths(seq_len)
        assert (found.text, found.targets) == published(seq_len, density, mean_span) and found.inputs == seq_len
    assert SpanConfig().lengths(512) == Lengths(text=568, cut=85, spans=28, inputs=512, targets=114)


def test_share_and_mean_length_are_those_that_were_asked() -> None:
    config = SpanConfig()
    found = spans.batch(text(568 * 40), config.lengths(512), IDS, 40, 0, 0)
    cuts = [read(*each)[1] for each in zip(found.inputs, found.targets, strict=True)]
    runs = Counter(len(list(run)) for cut in cuts for value, run in itertools.groupby(cut) if value)
    assert np.mean(cuts) == pytest.approx(config.density, abs=0.5 / 568)
    assert sum(n * runs[n] for n in runs) / sum(runs.values()) == pytest.approx(config.mean_span, rel=0.02)
    # 85 tokens in 28 spans: a span has one with probability 27/84, and spans of many tokens are rare
    assert runs[1] / sum(runs.values()) == pytest.approx(27 / 84, abs=0.05) and max(runs) > 8


def test_all_cuts_are_equally_likely() -> None:
    lengths = SpanConfig(density=0.5, mean_span=2.0).lengths(8)
    assert lengths == Lengths(text=10, cut=5, spans=2, inputs=8, targets=8)
    ways = 4 * 4  # of parting 5 tokens that stay, and 5 that do not, into two spans
    found = spans.batch(text(10), lengths, IDS, 12_000, 3, 5)
    seen = Counter(tuple(read(*each)[1]) for each in zip(found.inputs, found.targets, strict=True))
    assert len(seen) == ways
    expected = 12_000 / ways
    assert sum((n - expected) ** 2 / expected for n in seen.values()) < 37.7  # χ² of 15 degrees: once in a thousand


def test_the_slices_of_all_ranks_are_the_batch() -> None:
    tokens = text(LENGTHS.text * 9)
    whole = spans.batch(tokens, LENGTHS, IDS, 12, 4, 6)
    for ranks in (2, 3, 12):
        parts = [spans.batch(tokens, LENGTHS, IDS, 12, 4, 6, rank, ranks) for rank in range(ranks)]
        for at, part in enumerate(whole):
            np.testing.assert_array_equal(np.concatenate([each[at] for each in parts]), part)


def test_an_epoch_reads_every_text_once_and_the_next_cuts_otherwise() -> None:
    tokens = text(LENGTHS.text * 6 + LENGTHS.text - 1)
    epochs = []
    for epoch in range(2):
        steps = [spans.batch(tokens, LENGTHS, IDS, 3, 8, step) for step in (2 * epoch, 2 * epoch + 1)]
        rows = [read(*each) for found in steps for each in zip(found.inputs, found.targets, strict=True)]
        epochs.append({tuple(whole): tuple(cut) for whole, cut in rows})
    assert set(epochs[0]) == set(epochs[1]) == {tuple(row) for row in tokens[: LENGTHS.text * 6].reshape(6, -1)}
    assert all(epochs[0][whole] != epochs[1][whole] for whole in epochs[0])
    assert len(set(epochs[0].values())) == 6, "no two texts of a step are cut at the same places"


def test_seed_and_step_alone_decide_and_go_on_deciding() -> None:
    """Raw numbers of PCG64 are never changed; were they, or how they are used, runs would be others."""
    lengths = SpanConfig(density=0.4, mean_span=2.0).lengths(16)
    found = spans.batch(np.arange(50, dtype=np.uint16), lengths, IDS, 2, 1, 3)
    assert [part.tolist() for part in found] == PINNED
    for seed, step in ((2, 3), (1, 4)):
        other = spans.batch(np.arange(50, dtype=np.uint16), lengths, IDS, 2, seed, step)
        assert other.inputs.tolist() != PINNED[0]


PINNED = [
    [
        [0, 50, 2, 3, 4, 5, 6, 7, 8, 9, 51, 12, 52, 16, 53, 7],
        [19, 20, 21, 22, 50, 25, 26, 27, 51, 31, 32, 33, 52, 36, 53, 7],
    ],
    [[150, 50, 1, 51, 10, 11, 52, 13, 14, 15, 53, 17, 18], [150, 50, 23, 24, 51, 28, 29, 30, 52, 34, 35, 53, 37]],
    [[50, 1, 51, 10, 11, 52, 13, 14, 15, 53, 17, 18, 7], [50, 23, 24, 51, 28, 29, 30, 52, 34, 35, 53, 37, 7]],
]


def test_what_is_held_out_is_read_whole_in_order_and_cut_the_same_whatever_follows() -> None:
    tokens = text(LENGTHS.text * 5 + 3)
    found = spans.heldout(tokens, LENGTHS, IDS)
    rows = [read(*each) for each in zip(found.inputs, found.targets, strict=True)]
    assert [whole for whole, _ in rows] == tokens[: LENGTHS.text * 5].reshape(5, -1).tolist()
    assert len({tuple(cut) for _, cut in rows}) == 5
    for part, fewer in zip(found, spans.heldout(tokens[: LENGTHS.text * 2], LENGTHS, IDS), strict=True):
        np.testing.assert_array_equal(part[:2], fewer)


def test_random_targets_are_of_a_piece_and_the_seed_alone_and_equally_likely() -> None:
    tokens = text(LENGTHS.text * 6)
    inputs: list[set[bytes]] = []
    epochs: list[dict[bytes, bytes]] = []
    for seed, first in ((8, 0), (8, 2), (9, 0)):
        real = [spans.batch(tokens, LENGTHS, IDS, 3, seed, step) for step in (first, first + 1)]
        drawn = [spans.batch(tokens, LENGTHS, IDS, 3, seed, step, random=True) for step in (first, first + 1)]
        inputs.append({row.tobytes() for found in drawn for row in found.inputs})
        assert inputs[-1] == {row.tobytes() for found in real for row in found.inputs}, "what is read stays"
        pieces = [bytes(read(*each)[0]) for found in real for each in zip(found.inputs, found.targets, strict=True)]
        targets = np.concatenate([found.targets for found in drawn])
        assert targets.shape == (6, LENGTHS.targets) and targets.min() >= 0 and targets.max() < IDS.types
        before = np.concatenate([found.before for found in drawn])
        assert (before[:, 0] == IDS.start).all() and (before[:, 1:] == targets[:, :-1]).all()
        epochs.append(dict(zip(pieces, map(np.ndarray.tobytes, targets), strict=True)))
    assert epochs[0] == epochs[1] and inputs[0] != inputs[1], "the next epoch cuts otherwise, and predicts the same"
    assert len(set(epochs[0].values()) | set(epochs[2].values())) == 12
    found = spans.heldout(text(LENGTHS.text * 4000), LENGTHS, IDS, random=True)
    counts = np.bincount(found.targets.ravel(), minlength=IDS.types)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 85.4  # χ² of 49 degrees: once in a thousand
    assert len({row.tobytes() for row in found.targets}) == 4000
    np.testing.assert_array_equal(found.inputs, spans.heldout(text(LENGTHS.text * 4000), LENGTHS, IDS).inputs)


def test_random_targets_go_on_being_those_and_ranks_share_them() -> None:
    lengths = SpanConfig(density=0.4, mean_span=2.0).lengths(16)
    tokens = np.arange(3 * lengths.text, dtype=np.uint16)
    found = spans.batch(tokens, lengths, IDS, 3, 1, 3, random=True)
    raw = np.random.PCG64([1, 0, 3]).random_raw(3 * 13).reshape(3, 13) % 50
    places = [int(row[0]) // lengths.text for row in found.inputs]
    assert sorted(places) == [0, 1, 2] and found.targets.tolist() == raw[places].tolist()
    parts = [spans.batch(tokens, lengths, IDS, 3, 1, 3, rank, 3, random=True) for rank in range(3)]
    np.testing.assert_array_equal(np.concatenate([part.targets for part in parts]), found.targets)


REFUSED: list[tuple[Any, str]] = [
    (lambda: SpanConfig().lengths(2), "no text fills 2 tokens of which a span is cut out: expected one token, a"),
    (
        lambda: SpanConfig(sentinels=27).lengths(512),
        "SpanConfig.sentinels = 27: inputs of 512 tokens have 28 spans; give",
    ),
    (
        lambda: SpanConfig(0.8, 1.0, 10**6).lengths(64),
        "which is not one between each two; lower density or raise mean_",
    ),
    (lambda: SpanConfig(density=0.0), "SpanConfig.density = 0.0: expected a share between 0 and 1"),
    (lambda: SpanConfig(mean_span=0.5), "SpanConfig.mean_span = 0.5: expected a number from 1 to"),
    (
        lambda: spans.batch(text(LENGTHS.text - 1), LENGTHS, IDS, 2, 0, 0),
        "the training text has 69 tokens, too few for",
    ),
    (
        lambda: spans.heldout(text(3), LENGTHS, IDS),
        "the held-out text has 3 tokens, too few for one sequence of 64, wh",
    ),
    (lambda: spans.batch(text(500), LENGTHS, IDS, 3, 0, 0, 0, 2), "2 processes do not divide a batch of 3 sequences"),
]


@pytest.mark.parametrize(("ask", "says"), REFUSED)
def test_what_cannot_be_cut_is_refused_in_a_sentence(ask: Any, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as refused:
        ask()
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")
