"""Token files on the disk: written whole or not at all, checked when read."""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tokenizers
from filelock import FileLock
from tqdm import tqdm

from .. import paths
from ..config import CorpusConfig
from ..errors import UserError
from ..identity import digest
from ..store import sealed
from . import bpe
from .document import Document, draw, pieces

TRAIN, HELDOUT, EXTRA = "train", "heldout", "extra:"
MANIFEST = "manifest.json"
BATCH_CHARACTERS = 4_000_000
"""Text tokenised at a time, on all cores; bounds the memory (about 400 MB)."""

Part = str | None
"""train, heldout, extra:<name>; None leaves it to the document's hash."""


@dataclass(frozen=True)
class Source:
    """Text that can be read again and again, in the same order."""

    name: str
    fingerprint: Any
    """Plain data that differs when the text does."""
    documents: Callable[[], Iterator[tuple[Part, Document]]]
    without_text: Counter[str] = field(default_factory=Counter)
    """Records that the last reading left out because their text is null, by file."""
    again: Callable[[], Any] | None = None
    """The fingerprint, taken anew: text may change while it is read, which takes minutes for much."""


@dataclass(frozen=True)
class Corpus:
    """Tokens to train on and tokens held out, documents joined by `<eos>`."""

    name: str
    train: np.ndarray
    """Token ids `(token,)`, memory-mapped."""
    heldout: np.ndarray
    """Token ids `(token,)` of the held-out documents in recorded order, memory-mapped."""
    heldout_bytes: int
    """Bytes of UTF-8 in the held-out text, for bits per byte."""
    domains: dict[str, np.ndarray]
    """Held-out token ids `(token,)` by package or source."""
    domain_bytes: dict[str, int]
    extra: dict[str, np.ndarray]
    """Further held-out sets, token ids `(token,)` by name."""
    extra_bytes: dict[str, int]
    tokenizer: tokenizers.Tokenizer
    token_bytes: np.ndarray
    """Bytes of UTF-8 that each token stands for, `(token type,)`; 0 for `<eos>`."""
    eos: int
    vocab_size: int
    documents: int
    """Documents of the training text."""
    checksum: str
    """sha256 over the token files and the tokenizer."""
    folder: Path

    def facts(self) -> dict[str, Any]:
        """What a run's provenance says of its text."""
        return {
            "name": self.name,
            "checksum": self.checksum,
            "tokenizer": bpe.checksum(self.tokenizer),
            "train_tokens": len(self.train),
            "heldout_tokens": len(self.heldout),
            "heldout_bytes": self.heldout_bytes,
        }


def open_or_build(source: Source, config: CorpusConfig, cache: Path, meaning: int | str) -> Corpus:
    """The corpus of a source, tokenised now unless that was done before by code of this meaning (`golden.meaning`).

    Of processes side by side the first does it and the others wait. Where a lock does not reach other machines,
    each writes a folder of its own and the first to finish gives it its name.
    """
    saved = None if config.tokenizer is None else paths.path(config.tokenizer)
    if saved:
        bpe.read(saved, config.vocab_size)
    # content counts, not where it lies: the text's is in the fingerprint
    places = {"paths": None, "heldout_paths": None, "tokenizer": sealed.sha256(saved) if saved else None}
    values = vars(config) | places
    folder = cache / digest(meaning, values, source.fingerprint, tokenizers.__version__)[:16]
    if not folder.exists():
        with sealed.told(folder), once(folder):
            if not folder.exists():
                _build_beside(source, config, folder)
    return read(folder)


def once(target: Path) -> FileLock:
    """A lock on making a file or folder: look again whether it is there once it is held."""
    with sealed.told(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(target.with_name(f".{target.name}.lock"))


def _build_beside(source: Source, config: CorpusConfig, folder: Path) -> None:
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        build(source, config, building, folder.name)
        if source.again is not None and source.again() != source.fingerprint:
            raise UserError(f"the text {source.name} changed while it was read; start again once it stays as it is.")
        building.chmod(0o755)
        try:
            os.rename(building, folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def build(source: Source, config: CorpusConfig, folder: Path, name: str) -> None:
    """Write the token files into an empty folder, which is to get this name."""
    bpe.check_vocab_size(config.vocab_size)
    if config.tokenizer:
        trained = bpe.read(Path(config.tokenizer).expanduser())
    else:
        texts = (document.text for part, document in _placed(source, config) if part == TRAIN)
        trained = bpe.train(bpe.sample(texts, config.tokenizer_bytes), config.vocab_size)
    (folder / "tokenizer.json").write_text(trained.to_str(pretty=True), encoding="utf-8")
    tokenizer = bpe.read(folder / "tokenizer.json")
    kind = np.dtype("<u2" if config.vocab_size <= 1 << 16 else "<u4")

    parts: dict[str, _Part] = {}
    domains: dict[str, int] = {}  # of the held-out text: bytes
    index: list[tuple[int, int]] = []  # of the held-out documents: place of the domain among the domains, tokens
    with ExitStack() as opened:
        for part, document, ids in _tokenised(_placed(source, config), tokenizer, kind):
            if part not in parts:
                file = f"{part}.bin" if part in (TRAIN, HELDOUT) else f"extra-{len(parts)}.bin"
                parts[part] = _Part(file, opened.enter_context((folder / file).open("wb")))
            size = len(document.text.encode())
            parts[part].add(ids, size)
            if part == HELDOUT:
                domains[document.domain] = domains.get(document.domain, 0) + size
                index.append((list(domains).index(document.domain), len(ids)))
    for part in (TRAIN, HELDOUT):
        if part not in parts:
            raise UserError(
                f"the corpus {source.name} is empty: no document for its {part} part; give more text"
                + (" or another heldout_share." if parts else ".")
            )
    np.save(folder / "heldout-domains.npy", np.array(index, np.int64))
    files = {file.name: sealed.sha256(file) for file in sorted(folder.iterdir())}
    manifest = {
        "name": source.name,
        "folder": name,
        "config": vars(config),
        "dtype": kind.str,
        "parts": {part: written.summary() for part, written in parts.items()},
        "domain_bytes": domains,
        "sha256": files,
        "checksum": digest(files),
        "tokenizers": tokenizers.__version__,
    }
    with sealed.sealed_write(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1) + "\n")  # the order of the domains is that of their numbers


class _Part:
    """A token file being written."""

    def __init__(self, file: str, handle: BinaryIO) -> None:
        self._file, self._handle = file, handle
        self._documents = self._tokens = self._bytes = 0

    def add(self, ids: np.ndarray, size: int) -> None:
        self._handle.write(ids.tobytes())
        self._documents += 1
        self._tokens += len(ids)
        self._bytes += size

    def summary(self) -> dict[str, Any]:
        counts = {"documents": self._documents, "tokens": self._tokens, "bytes": self._bytes}
        return {"file": self._file, **counts}


def _placed(source: Source, config: CorpusConfig) -> Iterator[tuple[str, Document]]:
    """Documents with their part decided; equal texts always land in the same one."""
    documents = source.documents()
    while True:
        with sealed.told(f"the text {source.name}", "read", sealed.READABLE):  # or it would be taken for a full disk
            some = next(documents, None)
        if some is None:
            return
        part, document = some
        if part is None:
            held = draw(document.text.encode()).split < config.heldout_share
            part = HELDOUT if held else TRAIN
        yield part, document


def _tokenised(
    placed: Iterable[tuple[str, Document]], tokenizer: tokenizers.Tokenizer, kind: np.dtype
) -> Iterator[tuple[str, Document, np.ndarray]]:
    """Each document with its token ids `(token,)`, `<eos>` at the end."""
    eos = bpe.eos(tokenizer)
    encode = partial(tokenizer.encode_batch_fast, add_special_tokens=False)  # uses all cores
    batches = _batched(placed)
    with (
        ThreadPoolExecutor(1) as reader,  # reads the next batch while this one is being tokenised
        tqdm(desc="tokenising", unit="character", unit_scale=True, disable=None) as bar,
    ):
        some = next(batches, None)
        while some is not None:
            following = reader.submit(next, batches, None)
            texts = [list(pieces(document.text)) for _, document in some]
            encoded = iter(encode([piece for each in texts for piece in each]))
            for (part, document), each in zip(some, texts, strict=True):
                yield part, document, np.array([*chain(*(next(encoded).ids for _ in each)), eos], kind)
            bar.update(sum(len(piece) for each in texts for piece in each))
            some = following.result()


def _batched(placed: Iterable[tuple[str, Document]]) -> Iterator[list[tuple[str, Document]]]:
    some: list[tuple[str, Document]] = []
    size = 0
    for part, document in placed:
        some.append((part, document))
        size += len(document.text)
        if size >= BATCH_CHARACTERS:
            yield some
            some, size = [], 0
    if some:
        yield some


def read(folder: Path) -> Corpus:
    """The corpus of a folder, every file checked against its sha256.

    Raises
    ------
    UserError
        Naming the file that is missing, cut short or changed.
    """
    advice = f"delete the folder {folder} and run again"
    manifest = sealed.read_json(folder / MANIFEST, advice)
    if manifest["folder"] != folder.name:
        raise UserError(f"{folder} holds the text that belongs in {manifest['folder']}; {advice}.")
    parts = manifest["parts"]
    for file, expected in manifest["sha256"].items():
        if not (folder / file).is_file():
            raise UserError(f"{folder / file} is missing; {advice}.")
        with sealed.told(folder / file, "read", advice):
            found = sealed.sha256(folder / file)
        if found != expected:
            raise UserError(f"{folder / file} is cut short or changed: its sha256 is not the recorded one; {advice}.")

    tokens = {p: np.memmap(folder / row["file"], manifest["dtype"], "r") for p, row in parts.items()}
    tokenizer = bpe.read(folder / "tokenizer.json")
    number, sizes = np.load(folder / "heldout-domains.npy", allow_pickle=False).T
    domain_bytes: dict[str, int] = manifest["domain_bytes"]
    of_token = np.repeat(number.astype(np.min_scalar_type(len(domain_bytes))), sizes)  # few bytes are soon compared
    extra = [part for part in parts if part not in (TRAIN, HELDOUT)]
    return Corpus(
        name=manifest["name"],
        train=tokens[TRAIN],
        heldout=tokens[HELDOUT],
        heldout_bytes=parts[HELDOUT]["bytes"],
        domains={domain: tokens[HELDOUT][of_token == i] for i, domain in enumerate(domain_bytes)},
        domain_bytes=domain_bytes,
        extra={part.removeprefix(EXTRA): tokens[part] for part in extra},
        extra_bytes={part.removeprefix(EXTRA): parts[part]["bytes"] for part in extra},
        tokenizer=tokenizer,
        token_bytes=bpe.token_bytes(tokenizer),
        eos=bpe.eos(tokenizer),
        vocab_size=tokenizer.get_vocab_size(),
        documents=parts[TRAIN]["documents"],
        checksum=manifest["checksum"],
        folder=folder,
    )
