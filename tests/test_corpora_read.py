"""How a corpus is read in training: its order, its ranks, its held-out text."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpora_made import texts
from relusparsity import corpora
from relusparsity.config import CorpusConfig
from relusparsity.corpora import batch, chunks, heldout_sequences, load, text
from relusparsity.corpora.batches import order
from relusparsity.errors import UserError

# Batches

texts_of_numbers = st.integers(12, 90).map(np.arange)


@given(texts_of_numbers, st.integers(1, 10), st.integers(1, 12), st.integers(0, 5))
def test_every_chunk_comes_exactly_once_an_epoch(tokens: np.ndarray, seq_len: int, sequences: int, seed: int) -> None:
    count = chunks(len(tokens), seq_len)
    assert count * seq_len + 1 <= len(tokens) < (count + 1) * seq_len + 1
    epochs = 3
    steps = -(-epochs * count // sequences)
    seen = np.concatenate([batch(tokens, seq_len, sequences, seed, step) for step in range(steps)])
    assert seen.shape == (steps * sequences, seq_len + 1)
    assert (np.diff(seen, axis=1) == 1).all()  # each row is a run of the text, targets included
    for epoch in range(epochs):
        starts = seen[epoch * count : (epoch + 1) * count, 0]
        assert sorted(starts) == [i * seq_len for i in range(count)]
        assert (starts == order(count, seed, epoch) * seq_len).all()


@given(texts_of_numbers, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 50))
def test_the_slices_of_the_ranks_are_the_batch(
    tokens: np.ndarray, seq_len: int, each: int, ranks: int, step: int
) -> None:
    whole = batch(tokens, seq_len, each * ranks, 7, step)
    parts = [batch(tokens, seq_len, each * ranks, 7, step, rank, ranks) for rank in range(ranks)]
    assert (np.concatenate(parts) == whole).all()


def test_the_order_differs_by_seed_and_epoch_and_never_changes() -> None:
    orders = {tuple(order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert order(8, 0, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]  # recorded runs depend on it


@given(texts_of_numbers, st.integers(1, 11))
def test_heldout_sequences_are_the_text_in_order(tokens: np.ndarray, seq_len: int) -> None:
    sequences = heldout_sequences(tokens, seq_len)
    targets = sequences[:, 1:].ravel()
    assert (targets == tokens[1 : len(targets) + 1]).all()
    assert (sequences[:, :-1].ravel() == tokens[: len(targets)]).all()
    assert len(tokens) - 1 - len(targets) < seq_len


def test_too_short_a_text_is_said() -> None:
    with pytest.raises(UserError, match="the held-out text has 8 tokens, too few for one sequence of 8"):
        heldout_sequences(np.arange(8), 8)
    with pytest.raises(UserError, match="the training text has 8 tokens"):
        batch(np.arange(8), 8, 1, 0, 0)
    with pytest.raises(UserError, match="2 processes do not divide a batch of 3"):
        batch(np.arange(9), 2, 3, 0, 0, 0, 2)


def test_text_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "text.jsonl"
    file.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts(100)))
    config = CorpusConfig(source="text", paths=(str(file),), vocab_size=270)
    read = text.documents

    def changing(*given: Any, **named: Any) -> Any:
        file.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts(100, seed=1)))
        return read(*given, **named)

    monkeypatch.setattr(text, "documents", changing)
    with pytest.raises(UserError, match="changed while it was read"):
        load(config, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_process_reads_a_corpus_once_until_a_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    for word in ("one two three\n\n", "four five six\n\n"):
        file.write_text("".join(f"{word * 40}{number}\n" for number in range(400)))
        config = CorpusConfig(source="text", paths=(str(file),), vocab_size=300)
        first = load(config, tmp_path / "cache")
        assert load(config, tmp_path / "cache") is first
    os.utime(first.folder / "train.bin")
    again = load(config, tmp_path / "cache")
    assert again is not first and again.checksum == first.checksum


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text("one")
    times, config = file.stat(), CorpusConfig(source="text", paths=(str(file),))
    before = corpora._state(config, tmp_path / "no tokens")
    assert corpora._state(config, tmp_path / "no tokens") == before
    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert corpora._state(config, tmp_path / "no tokens") != before
