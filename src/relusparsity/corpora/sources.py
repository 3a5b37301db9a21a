"""What a configuration of a corpus reads, as a `Source`."""

from collections import Counter
from collections.abc import Iterator
from functools import cache as cache_once
from pathlib import Path
from typing import Any

from ..config import CorpusConfig
from ..errors import UserError
from . import docs, hf, text
from .document import Document
from .store import EXTRA, HELDOUT, TRAIN, Part, Source


def of(config: CorpusConfig, cache: Path) -> Source:
    """The text that a configuration names; of the hub, fetched into `cache` if it is not there yet.

    Raises
    ------
    UserError
        For text that is missing, or of the hub and out of reach.
    """
    if config.source == "docs":
        return of_docstrings()
    if config.source == "hf":
        file = hf.fetch(config, cache)
        return of_files((str(file),), (), f"{config.name}-{config.subset}" if config.subset else str(config.name))
    return of_files(config.paths, config.heldout_paths)


def of_docstrings() -> Source:
    """The docstrings of the installed packages."""
    parsed = cache_once(lambda: list(docs.documents()))  # slow to parse, small enough to keep
    return Source(
        "docs", docs.fingerprint(), lambda: ((None, document) for document in parsed()), again=docs.fingerprint
    )


def of_files(paths: tuple[str, ...], heldout_paths: tuple[str, ...], name: str | None = None) -> Source:
    """Text files; the held-out part is chosen by hash unless `heldout_paths` has it."""
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
