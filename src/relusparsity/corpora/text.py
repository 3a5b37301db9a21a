"""Text files: .txt (a text) and .jsonl (a document a line), plain or compressed with gzip, xz or zstd."""

import gzip
import hashlib
import io
import json
import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from ..errors import UserError
from .document import Document

KINDS = (".txt", ".jsonl")
COMPRESSIONS = ("", ".gz", ".xz", ".zst")
SUFFIXES = tuple(kind + compression for kind in KINDS for compression in COMPRESSIONS)
PIECE = 20_000
"""Characters after which a .txt file is cut at the next line end: one book then has a held-out part too."""


def files(paths: Sequence[str]) -> list[tuple[str, Path]]:
    """Name and place of every text file among the paths and in their folders, in the order given, then by name.

    Raises
    ------
    UserError
        For a path that does not exist, a file of another kind, or a folder without text files.
    """
    found: list[tuple[str, Path]] = []
    for given in paths:
        path = Path(given).expanduser()
        if path.is_dir():
            inside = sorted(
                (file.relative_to(path).as_posix(), file)
                for file in path.rglob("*")
                if file.name.endswith(SUFFIXES) and not file.name.startswith(".") and file.is_file()
            )
            if not inside:
                raise UserError(f"the folder {path} holds no text file; expected {', '.join(SUFFIXES)}.")
            found += inside
        elif not path.is_file():
            raise UserError(f"no file or folder {path}; give the path of a text corpus.")
        elif not path.name.endswith(SUFFIXES):
            raise UserError(f"{path} is no text file that can be read; expected {', '.join(SUFFIXES)}.")
        else:
            found.append((path.name, path))
    return found


def stem(name: str) -> str:
    """File name without its folder and suffixes.

    >>> stem("evaluation/c4-eval.jsonl.xz")
    'c4-eval'
    """
    last = name.rsplit("/", 1)[-1]
    return next((last.removesuffix(suffix) for suffix in SUFFIXES if last.endswith(suffix)), last)


def fingerprint(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Name and sha256 of every file, as it lies on the disk."""
    result = []
    for name, path in files(paths):
        with path.open("rb") as handle:
            result.append((name, hashlib.file_digest(handle, "sha256").hexdigest()))
    return result


def documents(paths: Sequence[str]) -> Iterator[Document]:
    """Every document of the files, in their order; blank ones are left out.

    A .jsonl line is an object with `text` and, if the domain is not the file's stem, `source`.

    Raises
    ------
    UserError
        For a file that is binary or cut short, and for a bad line, with its number.
    """
    for name, path in files(paths):
        read = _lines if ".jsonl" in Path(name).suffixes else _pieces
        try:
            with _open(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline=None) as handle:
                for document in read(handle, path, stem(name)):
                    if document.text and not document.text.isspace():
                        yield document
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text ({error}); convert it or leave it out.") from error
        except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError) as error:
            raise UserError(f"{path} cannot be decompressed ({error}); fetch it again.") from error


def _pieces(handle: io.TextIOWrapper, path: Path, domain: str) -> Iterator[Document]:
    while lines := handle.readlines(PIECE):
        text = "".join(lines)
        if "\0" in text:
            raise UserError(f"{path} is a binary file (it holds a null byte); expected UTF-8 text.")
        yield Document(text, domain)


def _lines(handle: io.TextIOWrapper, path: Path, domain: str) -> Iterator[Document]:
    for number, line in enumerate(handle, 1):
        if line.isspace():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error}); expected an object a line.") from error
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            raise UserError(f'{path}, line {number}: expected an object with a string "text".')
        source = value.get("source", domain)
        if not isinstance(source, str):
            raise UserError(f'{path}, line {number}: "source" is {source!r}; expected a string.')
        try:
            value["text"].encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{path}, line {number}: half a character ({error}); mend the text.") from error
        yield Document(value["text"], source)


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(_Zstd(path), 1 << 20)
    return path.open("rb")


class _Zstd(io.RawIOBase):
    """Reads zstd frames, and unlike the library's own reader tells the end from a file cut short."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False  # a frame has begun and not ended
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            data = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._inside = zstandard.ZstdDecompressor().decompressobj(), False
            data = data or self._file.read(1 << 20)
            if not data:
                if self._inside:
                    raise EOFError("the file ends inside a frame")
                return 0
            self._ready, self._inside = self._frame.decompress(data), True
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
