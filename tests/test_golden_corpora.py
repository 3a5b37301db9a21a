"""Golden corpora: what they hold still, and what becomes of corpora where code makes other tokens of the same text."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relusparsity import corpora, identity
from relusparsity.config import CorpusConfig
from relusparsity.corpora import bpe, docs, document, golden, store, text
from relusparsity.errors import UserError
from relusparsity.store import guard
from relusparsity.train import golden as of_runs


@pytest.fixture(autouse=True)
def forgotten() -> Any:
    guard._meanings.clear()
    yield
    guard._meanings.clear()


def test_this_code_makes_the_golden_corpora_of_its_meaning() -> None:
    """If this fails, corpora have changed: raise identity.TEXT_MEANING; python -m relusparsity.train.golden --renew."""
    assert golden.GUARD.differences() == []
    assert golden.GUARD.meaning() == identity.TEXT_MEANING


def longer(texts: Any, limit: int) -> list[str]:
    return bpe_sample(texts, 2 * limit)


def cut(given: str) -> list[str]:
    return [given[:7], given[7:]]


bpe_sample, read, domains = bpe.sample, store.read, docs.documents


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (bpe, "sample", longer),
        (bpe, "token_bytes", lambda tokenizer: np.ones(tokenizer.get_vocab_size(), np.int64)),
        (docs, "SHORTEST", 180),
        (docs, "_encodes", lambda text: "é" not in text),
        (identity, "TEXT_MEANING", identity.TEXT_MEANING + 1),
        (store, "draw", lambda data: document.draw(data[::-1])),
        (store, "pieces", cut),
        (store, "read", lambda folder: replace(read(folder), documents=1)),
        (text, "LONGEST", 50_000),
        (text, "PIECE", 15_000),
        (text, "stem", lambda name: name),
    ],
)
def test_other_tokens_are_another_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, owner: Any, name: str, value: Any
) -> None:
    written = tmp_path / "some.jsonl"
    written.write_text("".join(json.dumps({"text": f"{i} {golden._words(100, i)}"}) + "\n" for i in range(20)))
    config = CorpusConfig(source="text", paths=(str(written),), vocab_size=300)
    before = corpora.load(config, tmp_path / "cache")
    assert corpora.load(config, tmp_path / "cache") is before
    corpora._loaded.clear()
    assert corpora.load(config, tmp_path / "cache").folder == before.folder
    corpora._loaded.clear()
    monkeypatch.setattr(owner, name, value)
    assert golden.GUARD.differences()
    assert corpora.load(config, tmp_path / "cache").folder != before.folder


def test_a_full_disk_is_no_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._Part, "add", full)
    with pytest.raises(UserError, match=r"corpora cannot be written \(No space left on device\); make room"):
        golden.GUARD.meaning()


def test_code_that_refuses_the_golden_text_is_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "SHORTEST", 10_000)
    assert [said.partition(":")[0] for said in golden.GUARD.differences()] == ["the golden runs stop"]


def test_every_format_and_every_way_to_hold_out_is_among_them() -> None:
    found = golden.measured()
    assert {f"some{i}" for i in range(len(text.SUFFIXES))} >= set(found["files"]["bytes"]) - {"another"}
    parts = {name: set(each["parts"]) for name, each in found.items()}
    assert parts == {
        "docstrings": {"train", "heldout"},
        "files": {"train", "heldout"},
        "held out apart": {"train", "heldout", "extra:some2"},
    }
    assert found["files"]["tokenizer.json"] == found["held out apart"]["tokenizer.json"], "the second one was given"
    assert found["files"]["without_text"] == sum(suffix.startswith(".jsonl") for suffix in text.SUFFIXES)


def test_their_making_leaves_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    stderr, known = sys.stderr, dict(os.environ)
    golden.measured()
    assert (sys.stderr, dict(os.environ)) == (stderr, known)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    golden.measured()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    assert capfd.readouterr() == ("", "")
    with golden._quietly():
        print("a warning", file=sys.stderr)
    assert capfd.readouterr().err == "a warning\n"


def test_the_command_says_what_differs_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.json"
    monkeypatch.setattr(golden, "GUARD", replace(golden.GUARD, kept=kept))
    monkeypatch.setattr(of_runs, "GUARD", replace(of_runs.GUARD, kept=kept, measured=lambda: {}, watched=()))
    kept.write_text('{"meaning": 2, "runs": {"docstrings": {"heldout.bin": "0"}}}')
    monkeypatch.setattr(sys, "argv", ["golden"])
    of_runs.main()
    said = capsys.readouterr().out
    assert "docstrings, heldout.bin: " in said and ", kept 0\n" in said
    assert "raise it in identity.py and run python -m relusparsity.train.golden --renew" in said
    assert "kept.json is of MEANING 2, the code of 1" in said
    monkeypatch.setattr(sys, "argv", ["golden", "--renew"])
    of_runs.main()
    assert capsys.readouterr().out == "golden runs as kept for TEXT_MEANING 2\ngolden runs as kept for MEANING 1\n"
