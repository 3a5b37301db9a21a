"""Text source → tokenizer → memory-mapped tokens, with spans cut out or not; and pictures with labels.

`load` gives a `Corpus`, a `SpanCorpus` or `Pictures`; `batch` and `heldout_sequences` say which tokens a decoder sees
when, `spans` which an encoder-decoder does.
"""

import sys
from pathlib import Path
from typing import Any, overload

from tqdm import tqdm

from ..config import CorpusConfig
from ..pictures_config import PicturesConfig
from ..span_config import SpanCorpusConfig
from . import golden, pictures, sources, text
from .batches import batch, chunks, heldout_sequences, order_digest
from .pictures import Pictures
from .spans import SpanCorpus
from .store import Corpus, open_or_build

Data = Corpus | Pictures | SpanCorpus
"""What a run is trained on."""

__all__ = ["Corpus", "Data", "Pictures", "SpanCorpus", "batch", "chunks", "heldout_sequences", "load", "order_digest"]


_loaded: dict[tuple[CorpusConfig, Path], tuple[list[Any], Corpus]] = {}  # in this process, with the state of its files


@overload
def load(config: CorpusConfig, cache: Path | None = None) -> Corpus: ...
@overload
def load(config: PicturesConfig, cache: None = None) -> Pictures: ...
@overload
def load(config: SpanCorpusConfig, cache: Path | None = None) -> SpanCorpus: ...
def load(config: CorpusConfig | PicturesConfig | SpanCorpusConfig, cache: Path | None = None) -> Data:
    """The corpus a config describes: tokenised the first time (minutes for hundreds of MB), then read back.

    Processes side by side, such as torchrun's, may all call it: one makes the token files, the others wait for them. A
    process reads and checks a corpus once, unless a file of the text or of the tokens has changed since.

    Parameters
    ----------
    config
        What text, how it is split and tokenised, and which spans are cut out; or which pictures, with labels.
    cache
        Folder for the token files; `corpora` in the directory of runs if not given.

    Raises
    ------
    UserError
        For text that is missing, empty, binary or damaged, a vocabulary that does not fit it, or a damaged cache; for
        pictures whose package is not on this machine.
    """
    if isinstance(config, PicturesConfig):
        return pictures.load(config)
    if isinstance(config, SpanCorpusConfig):
        return SpanCorpus(config, load(config.text, cache))
    if cache is None:
        from ..store.results import runs_dir

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
    # the time of the last change of the file's entry too: tools that copy set the other one back
    return [(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for path, stat in found]


def _load(config: CorpusConfig, cache: Path) -> Corpus:
    source = sources.of(config, cache)
    corpus = open_or_build(source, config, cache, golden.GUARD.meaning())
    for path, number in source.without_text.items():
        tqdm.write(f"{path}: {number:,} records left out, whose text is null", file=sys.stderr)
    return corpus
