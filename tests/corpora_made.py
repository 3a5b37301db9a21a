"""Texts of which corpora are made."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from relusparsity.config import CorpusConfig
from relusparsity.corpora import Corpus

SENTENCE = "the unit fires where its activation is above zero and the layer counts how many of them do"


def texts(count: int, seed: int = 0) -> list[str]:
    """Distinct short documents, with characters of one to four bytes and a written-out `<eos>`."""
    rng = np.random.default_rng(seed)
    return [f"{i}: {' '.join(rng.choice(SENTENCE.split(), 30))} é … 🙂 <eos>\n" for i in range(count)]


def made(cache: Path) -> list[Path]:
    """What stands in a cache, but for the locks."""
    return [path for path in cache.glob("*") if path.suffix != ".lock"]


def jsonl(path: Path, documents: list[str], source: str | None = None) -> Path:
    rows = [{"text": each} | ({"source": source} if source else {}) for each in documents]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(*paths: Path, **changes: object) -> CorpusConfig:
    plain = CorpusConfig(source="text", paths=tuple(map(str, paths)), vocab_size=300, heldout_share=0.3)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def decoded(corpus: Corpus, tokens: np.ndarray) -> list[str]:
    """The documents of a token array, cut at `<eos>`."""
    ends = np.flatnonzero(tokens == corpus.eos)
    pieces = np.split(tokens, ends + 1)
    assert len(pieces.pop()) == 0, "every document ends with <eos>"
    return [corpus.tokenizer.decode(piece[:-1].tolist(), skip_special_tokens=False) for piece in pieces]
