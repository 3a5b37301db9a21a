"""Counts the changes of files that this process makes through Python, and dies by SIGKILL at one of them."""

import builtins
import io
import os
import signal
from collections.abc import Callable
from typing import Any

CHANGES = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "open")
"""Of `os`; files that are opened to be written, and each write into one, are counted too."""

made: list[str] = []
"""The changes so far, by name."""
_last: float = float("inf")
_fd: int = -1


def at(change: float, fd: int) -> None:
    """From now on changes are counted; the one of this number, from 0, is the last thing that happens.

    `fd` is told its name first.
    """
    global _last, _fd
    _last, _fd = change, fd
    for name in CHANGES:
        setattr(os, name, _counted(name, getattr(os, name)))
    builtins.open = io.open = _open


def _due(name: str) -> bool:
    made.append(name)
    return len(made) > _last


def _die(name: str) -> None:
    os.write(_fd, name.encode())
    os.kill(os.getpid(), signal.SIGKILL)


def _counted(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
    def counting(*arguments: Any, **options: Any) -> Any:
        writes = name != "open" or (len(arguments) > 1 and arguments[1] & (os.O_WRONLY | os.O_RDWR))
        if writes and _due(name):
            _die(name)
        return change(*arguments, **options)

    return counting


class _File(io.FileIO):
    """A file of whose last write only the first half arrives."""

    def write(self, data: Any, /) -> int:
        if _due("write"):
            super().write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
            _die("write")
        return super().write(data)


def _open(file: Any, mode: str = "r", buffering: int = -1, *options: Any, **named: Any) -> Any:
    if not set(mode) & set("wax"):
        return _plain_open(file, mode, buffering, *options, **named)
    raw = _File(file, mode.replace("b", "").replace("t", ""))
    if buffering == 0:
        return raw
    packed: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    return packed if "b" in mode else io.TextIOWrapper(packed, *options, **named)


_plain_open = io.open
