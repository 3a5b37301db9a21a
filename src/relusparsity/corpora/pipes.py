"""Text that comes through a pipe: kept as it comes, so that it can be read again, and no more than is asked for."""

import io
import os
import stat
import tempfile
from pathlib import Path

_kept: dict[tuple[int, int], "_Kept"] = {}


def is_pipe(path: Path) -> bool:
    """Whether bytes come once: a pipe, the terminal or another device."""
    mode = path.stat().st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def opened(path: Path) -> io.RawIOBase:
    """A pipe's bytes from its first, as often as wanted."""
    status = path.stat()
    key = status.st_dev, status.st_ino
    if key not in _kept:
        _kept[key] = _Kept(path)
    return _Reader(_kept[key])


def forget() -> None:
    """Drop what came through pipes: what comes through them from now on is another text."""
    for kept in _kept.values():
        kept.source.close()
        kept.file.close()
    _kept.clear()


class _Kept:
    """The bytes that came through a pipe so far, in a file without a name."""

    def __init__(self, path: Path) -> None:
        self.source = path.open("rb", buffering=0)
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open as long as it is kept
        self.size = 0

    def read(self, place: int, buffer: memoryview) -> int:
        if place == self.size and (more := self.source.read(len(buffer))):
            self.file.seek(0, os.SEEK_END)
            self.file.write(more)
            self.size += len(more)
        self.file.seek(place)
        return self.file.readinto(buffer)


class _Reader(io.RawIOBase):
    def __init__(self, kept: _Kept) -> None:
        self._kept, self._place = kept, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._kept.read(self._place, buffer)
        self._place += count
        return count
