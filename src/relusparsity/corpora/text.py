"""Text files: .txt (a text) and .jsonl (a document a line), plain or compressed with gzip, xz or zstd; and pipes."""

import gzip
import hashlib
import io
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from .. import paths as checked
from ..errors import UserError
from . import pipes
from .document import LONGEST, Document, seam

KINDS = (".txt", ".jsonl")
COMPRESSIONS = ("", ".gz", ".xz", ".zst")
SUFFIXES = tuple(kind + compression for kind in KINDS for compression in COMPRESSIONS)
MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"(\xb5/\xfd": ".zst"}
PIECE = 20_000
"""Characters after which a .txt file is cut at the next line end: one book then has a held-out part too."""
LONGEST_RECORD = 1 << 27
"""Characters that a line of .jsonl has at most."""


def files(paths: Sequence[str]) -> list[tuple[str, Path]]:
    """Name and place of every text file among the paths and in their folders, in the order given, then by name.

    Raises
    ------
    UserError
        For a path that does not exist, a file of another kind, or a folder without text files.
    """
    found: list[tuple[str, Path]] = []
    for given in paths:
        path = checked.path(given)
        if path.is_dir():
            inside = sorted(
                (file.relative_to(path).as_posix(), file)
                for file in path.rglob("*")
                if _suffix(file.name) and not file.name.startswith(".") and file.is_file()
            )
            if not inside:
                raise UserError(f"the folder {path} holds no text file; expected {', '.join(SUFFIXES)}.")
            found += inside
        elif not path.exists():
            raise UserError(f"no file or folder {checked.shown(path)}; give the path of a text corpus.")
        elif not _suffix(path.name) and path.is_file() and path.absolute().parts[1:2] not in (("dev",), ("proc",)):
            raise UserError(f"{path} is no text file that can be read; expected {', '.join(SUFFIXES)}.")
        else:
            found.append((path.name, path))
    return found


def _suffix(name: str) -> str:
    """Which of `SUFFIXES` a name has, in capitals or not; none: empty."""
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


def stem(name: str) -> str:
    """File name without its folder and suffixes.

    >>> stem("evaluation/c4-eval.jsonl.xz")
    'c4-eval'
    """
    last = name.rsplit("/", 1)[-1]
    return last[: len(last) - len(_suffix(last))]


def fingerprint(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Name and sha256 of every file, as it lies on the disk; of a pipe, of all that comes through it.

    Raises
    ------
    UserError
        For a file that cannot be read.
    """
    result = []
    for name, path in files(paths):
        whole = hashlib.sha256()
        try:
            with _bytes(path) as handle:
                while some := handle.read(1 << 20):
                    whole.update(some)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}).") from None
        result.append((name, whole.hexdigest()))
    return result


def sources(paths: Sequence[str]) -> list[list[str]]:
    """Name and sha256 of every file; of a pipe, which need not end, its name alone."""
    found = files(paths)
    return [[name, "" if pipes.is_pipe(path) else fingerprint([str(path)])[0][1]] for name, path in found]


def documents(
    paths: Sequence[str], domains: bool = True, without_text: Counter[str] | None = None
) -> Iterator[Document]:
    """Every document of the files, in their order; blank ones are left out.

    A .jsonl line is an object with `text` and, if the domain is not the file's stem, `source`. Records whose text is
    null are left out, and counted by file in `without_text`; fields that are not used may hold anything.

    Parameters
    ----------
    domains
        Whether `source` is used.

    Raises
    ------
    UserError
        For a file that is binary, cut short or damaged, and for a bad line, with its number.
    """
    none: Counter[str] = Counter() if without_text is None else without_text
    for name, path in files(paths):
        try:
            compression, kind = _kind(path)
            with (
                _bytes(path) as raw,
                _unpacked(raw, compression) as packed,
                io.TextIOWrapper(packed, encoding="utf-8-sig", newline=None) as handle,
            ):
                records = _records(handle, path, stem(name), domains, none)
                for document in records if kind == ".jsonl" else _pieces(handle, path, stem(name)):
                    if document.text and not document.text.isspace():
                        yield document
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text ({error}); convert it or leave it out.") from error
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError) as error:
            raise UserError(f"{path} cannot be decompressed ({error}); fetch it again.") from error
        except MemoryError:
            raise UserError(f"{path} needs more memory to be read than there is.") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror or error}).") from error


def _kind(path: Path) -> tuple[str, str]:
    """Compression and kind of a text: by its name, or, where it has none, as in a pipe, by how it begins."""
    if suffix := _suffix(path.name):
        kind = next(kind for kind in KINDS if suffix.startswith(kind))
        return suffix.removeprefix(kind), kind
    with _bytes(path) as raw:
        head = raw.read(6)
    compression = next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")
    with _bytes(path) as raw, _unpacked(raw, compression) as unpacked:
        begins = unpacked.read(1024)
    return compression, ".jsonl" if re.match(rb'(\xef\xbb\xbf)?\s*\{\s*"', begins) else ".txt"


def _pieces(handle: io.TextIOWrapper, path: Path, domain: str) -> Iterator[Document]:
    """The text, cut at the first line end after `PIECE` characters; a line longer than `LONGEST` also inside."""
    held = ""
    while some := handle.read(LONGEST):
        if "\0" in some:
            raise UserError(f"{path} is a binary file (it holds a null byte); expected UTF-8 text.")
        held, start = held + some, 0
        while (end := _end(held, start)) is not None:
            yield Document(held[start:end], domain)
            start = end
        held = held[start:]
    yield Document(held, domain)


def _end(text: str, start: int) -> int | None:
    """Where the piece that begins here ends; None: not in this text."""
    if end := text.find("\n", start + PIECE) + 1:
        return end
    most = start + PIECE + LONGEST
    return None if len(text) < most else start + seam(text[start:most])


def _records(
    handle: io.TextIOWrapper, path: Path, domain: str, domains: bool, without_text: Counter[str]
) -> Iterator[Document]:
    for number, line in enumerate(iter(partial(handle.readline, LONGEST_RECORD + 1), ""), 1):
        if line.isspace():
            continue
        where = f"{path}, line {number}"
        if len(line) > LONGEST_RECORD:
            raise UserError(f"{where}: longer than {LONGEST_RECORD:,} characters; expected an object a line.")
        try:
            value = _JSON.decode(line)
        except RecursionError:
            raise UserError(f"{where}: brackets in brackets too deep to be read; expected an object a line.") from None
        except ValueError as error:
            raise UserError(f"{where}: not JSON ({error}); expected an object a line.") from error
        if isinstance(value, dict) and "text" in value and value["text"] is None:
            without_text[str(path)] += 1
            continue
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            raise UserError(f'{where}: expected an object with a string "text".')
        source = value.get("source") if domains else None
        source = domain if source is None else source
        if not isinstance(source, str):
            raise UserError(f'{where}: "source" is {source!r:.80}; expected a string.')
        try:
            value["text"].encode()
            source.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{where}: half a character ({error}); mend the text.") from error
        yield Document(value["text"], source)


_JSON = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 1000 else float(digits))
"""Reads integers of any length: they stand in fields that nobody uses."""


def _bytes(path: Path) -> io.BufferedReader:
    """The bytes of a file or of a pipe, as they are."""
    return io.BufferedReader(pipes.opened(path), 1 << 16) if pipes.is_pipe(path) else path.open("rb")


def _unpacked(raw: io.BufferedReader, compression: str) -> BinaryIO:
    if compression and not raw.peek(1):
        raise EOFError("the file is empty")
    if compression == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if compression:
        return cast(BinaryIO, io.BufferedReader(_Streams(raw, compression == ".xz"), 1 << 20))
    return cast(BinaryIO, raw)


class _Streams(io.RawIOBase):
    """Reads zstd frames or xz streams, one after the other.

    Unlike the libraries' own readers it tells the end from a file cut short, and refuses what follows and is no stream.
    """

    STEP = 1 << 10
    """Bytes unpacked at a time: of a text without end in few bytes, each may stand for thirty thousand."""

    def __init__(self, file: io.BufferedReader, xz: bool) -> None:
        self._file, self._xz = file, xz
        self._stream: Any = lzma.LZMADecompressor() if xz else zstandard.ZstdDecompressor().decompressobj()
        self._inside = False  # a stream has begun and not ended
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            data = self._next()
            if not data:
                if self._inside:
                    raise EOFError("the file ends inside a stream")
                return 0
            self._ready, self._inside = memoryview(self._stream.decompress(data)), True
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _next(self) -> bytes:
        """Some packed bytes: of the stream that has begun, or of another."""
        if not self._stream.eof:
            return self._file.read(self.STEP)
        data, self._inside = self._stream.unused_data or self._file.read(self.STEP), False
        if not self._xz:
            self._stream = zstandard.ZstdDecompressor().decompressobj()
            return data
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        zeros = 0  # which may stand between streams, in fours
        while data and not data.strip(b"\0"):
            zeros, data = zeros + len(data), self._file.read(self.STEP)
        rest = data.lstrip(b"\0")
        if (zeros := zeros + len(data) - len(rest)) % 4:
            raise lzma.LZMAError(f"{zeros} zero bytes follow a stream, expected a multiple of four")
        return rest
