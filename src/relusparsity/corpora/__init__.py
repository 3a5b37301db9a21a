"""Text source → tokenizer → memory-mapped tokens.

`load` gives a `Corpus`; `batch` and `heldout_sequences` say which tokens the model sees when.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache as cache_once
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..config import CorpusConfig
from ..errors import UserError
from . import docs, hf, text
from .batches import batch, chunks, heldout_sequences, order_digest
from .document import Document
from .store import EXTRA, HELDOUT, TRAIN, Corpus, Part, Source, open_or_build

__all__ = ["Corpus", "batch", "chunks", "heldout_sequences", "load", "order_digest"]


_loaded: dict[tuple[CorpusConfig, Path], tuple[list[Any], Corpus]] = {}  # in this process, with the state of its files


def load(config: CorpusConfig, cache: Path | None = None) -> Corpus:
    """The corpus a config describes: tokenised the first time (minutes for hundreds of MB), then read back.

    Processes side by side, such as torchrun's, may all call it: one makes the token files, the others wait for them. A
    process reads and checks a corpus once, unless a file of the text or of the tokens has changed since.

    Parameters
    ----------
    config
        What text, how it is split and tokenised.
    cache
        Folder for the token files; `corpora` in the directory of runs if not given.

    Raises
    ------
    UserError
        For text that is missing, empty, binary or damaged, a vocabulary that does not fit it, or a damaged cache.
    """
    if cache is None:
        from ..results import runs_dir

        cache = runs_dir() / "corpora"
    known = _loaded.get((config, cache))
    if known is None or known[0] != _state(config, known[1].folder):
        corpus = _load(config, cache)
        known = _loaded[config, cache] = _state(config, corpus.folder), corpus
    return known[1]


def _state(config: CorpusConfig, folder: Path) -> list[Any]:
    """Size and time of every file that a corpus was read from; installed packages stay while a process lives."""
    texts = [path for _, path in text.files((*config.paths, *config.heldout_paths))]
    others = [Path(config.tokenizer).expanduser()] if config.tokenizer else []
    found = [(path, path.stat()) for path in (*texts, *others, *sorted(folder.glob("*")))]
    return [(path, stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in found]


def _load(config: CorpusConfig, cache: Path) -> Corpus:
    if config.source == "docs":
        parsed = cache_once(lambda: list(docs.documents()))  # slow to parse, small enough to keep
        source = Source(
            "docs", docs.fingerprint(), lambda: ((None, document) for document in parsed()), again=docs.fingerprint
        )
    elif config.source == "hf":
        file = hf.fetch(config, cache)
        source = _text_source((str(file),), (), f"{config.name}-{config.subset}" if config.subset else str(config.name))
    else:
        source = _text_source(config.paths, config.heldout_paths)
    corpus = open_or_build(source, config, cache)
    for path, number in source.without_text.items():
        tqdm.write(f"{path}: {number:,} records left out, whose text is null", file=sys.stderr)
    return corpus


def _text_source(paths: tuple[str, ...], heldout_paths: tuple[str, ...], name: str | None = None) -> Source:
    if not paths:
        raise UserError("source 'text' needs paths: files or folders of text to train on.")
    names = [text.stem(Path(path).name) for path in heldout_paths]
    if len(set(names)) < len(names):
        raise UserError(f"heldout_paths has two sets of the same name among {', '.join(names)}; rename one.")
    held = {HELDOUT if i == 0 else EXTRA + names[i]: path for i, path in enumerate(heldout_paths)}

    without_text: Counter[str] = Counter()

    def documents() -> Iterator[tuple[Part, Document]]:
        without_text.clear()
        for document in text.documents(paths, without_text=without_text):
            yield (TRAIN if held else None), document
        for part, path in held.items():
            for document in text.documents((path,), without_text=without_text):
                yield part, document

    def fingerprint() -> Any:
        return [text.fingerprint(paths), {part: text.fingerprint((path,)) for part, path in held.items()}]

    return Source(name or text.stem(Path(paths[0]).name), fingerprint(), documents, without_text, fingerprint)
