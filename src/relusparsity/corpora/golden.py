"""Golden corpora: a few tiny texts whose tokens change only where `identity.TEXT_MEANING` must be raised.

They hold docstrings, every format of text files, both ways to hold text out, a trained and a given tokenizer; what is
fetched from the hub is a text file too. Code that makes other tokens of them makes its corpora apart: see `guard`.
Another version of tokenizers may do so: it is in the name of every corpus anyway, and the values are renewed alone.
"""

import contextlib
import gzip
import io
import json
import lzma
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from ..config import CorpusConfig
from ..store import sealed
from ..store.guard import Guard, Results
from ..store.results import runs_dir
from . import bpe, docs, document, sources, store, text

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
_SYLLABLES = ("la", "yer", "neu", "ron", "tok", "en", "é", "…", "🙂", "fire", "s", "<eos>", "don't", "12", "\n", "  ")
_CONFIG = CorpusConfig(source="text", vocab_size=280, heldout_share=0.3, tokenizer_bytes=800)


def measured() -> Results:
    """What `store` makes of each text: sha256 of every file, and counts."""
    where = runs_dir() / "corpora"  # where the corpora that they guard are about to be written
    with sealed.told(where):
        where.mkdir(parents=True, exist_ok=True)
    with sealed.told(where), tempfile.TemporaryDirectory(prefix=".golden-", dir=where) as made, _quietly():
        folder = Path(made)
        files = _text_files(folder / "files")
        split = sources.of_files((str(folder / "files"),), ())
        found = {
            "docstrings": _built(_docstrings(folder / "packages"), _CONFIG, folder / "docstrings"),
            "files": _built(split, _CONFIG, folder / "split"),
        }
        given = replace(_CONFIG, tokenizer=str(folder / "split" / "tokenizer.json"))
        apart = sources.of_files((files[4],), (files[5], files[2]))
        return found | {"held out apart": _built(apart, given, folder / "apart")}


def _built(source: store.Source, config: CorpusConfig, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    store.build(source, config, folder, folder.name)
    manifest = sealed.read_json(folder / store.MANIFEST, "")
    corpus = store.read(folder)
    arrays = {"token_bytes": corpus.token_bytes, **corpus.domains, **corpus.extra}
    return manifest["sha256"] | {
        "parts": manifest["parts"],
        "bytes": corpus.domain_bytes | corpus.extra_bytes,
        "arrays": {name: [values.dtype.str, len(values), int(values.sum())] for name, values in arrays.items()},
        "without_text": sum(source.without_text.values()),
        "facts": corpus.facts() | {"name": source.name, "eos": corpus.eos, "documents": corpus.documents},
    }


def _words(count: int, seed: int) -> str:
    """Made-up words, a few after a long gap; NumPy promises never to change these numbers."""
    drawn = np.random.PCG64([2, seed]).random_raw(4 * count) >> np.uint64(60)
    syllables = [_SYLLABLES[int(i)] for i in drawn]
    return " ".join("".join(syllables[i : i + 1 + i % 4]) for i in range(0, len(syllables), 4))


def _text_files(folder: Path) -> list[str]:
    """One of each format in `SUFFIXES`, and their paths."""
    folder.mkdir()
    for number, suffix in enumerate(text.SUFFIXES):
        if suffix.startswith(".txt"):
            # a line that is longer than what is tokenised, or cut, at once; and lines that are cut where one ends
            after = {0: "\n" + "one line " * 14_000, 1: "\r\n" * 21_000 + "end"}
            whole = _words(100, number) + after.get(number, "")
        else:
            rows: list[dict[str, Any]] = [{"text": _words(12, 100 * number + i)} for i in range(12)]
            rows[3]["source"], rows[4]["text"], rows[5]["text"] = "another", None, " \n"
            whole = "\n".join(json.dumps(row) for row in [*rows, rows[0]])
        packed = _PACKERS[suffix.removeprefix(".txt").removeprefix(".jsonl")](whole.encode())
        (folder / f"some{number}{suffix}").write_bytes(packed)
    return [str(path) for path in sorted(folder.iterdir())]


def _docstrings(folder: Path) -> store.Source:
    """Modules of two packages that have a docstring in common."""
    folder.mkdir()
    code = '"""{0}"""\nclass A:\n  """{1}"""\n  async def f():\n    """{2}"""\ntry:\n  def g(): "{3}"\nfinally: pass\n'
    modules = []
    for number in range(12):
        said = [_words(24 + seed % 16, seed).replace("\n", " ") for seed in (number % 8, 30 + number, 60 + number)]
        file = folder / f"{number}.py"
        file.write_text(code.format(*said, "short") if number else "no Python")
        modules.append((f"package {number // 6}", file.name, file))
    return store.Source("docs", None, lambda: ((None, each) for each in docs.documents(modules)))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """No bars on a terminal, and one thread: tokenizers warns in forks of a process in which it has used more."""
    name, said = "TOKENIZERS_PARALLELISM", io.StringIO()
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        with contextlib.redirect_stderr(said):
            yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
        sys.stderr.write(said.getvalue())


GUARD = Guard(
    number="TEXT_MEANING",
    kept=Path(__file__).with_name("golden.json"),
    module="corpora.golden",
    measured=lambda: measured(),
    watched=(bpe, docs, document, sources, store, text),
)
