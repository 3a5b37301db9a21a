"""Files that are whole or absent, and tell when they are damaged, lost, edited or swapped.

Every file that is read back has its checksum beside it (`sealed_write`, `check`). One that grows line by line, the log
of a run, has its own in each state of the run, which resumes from so many lines, and beside it once it is complete.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..errors import UserError

RUN = re.compile("run-[0-9a-f]{16}")
"""The name of a run's directory."""

ROOM = "make room or name another place, then the same command goes on from what was kept"
"""What helps where the disk is full or read-only."""

AGAIN = "delete it and make it again"
READABLE = "see to its permissions and its disk"


@contextmanager
def told(path: Path | str, what: str = "written", advice: str = ROOM) -> Iterator[None]:
    """What the disk refuses within the block becomes one sentence that names the path.

    Raises
    ------
    UserError
        In place of OSError and of what safetensors makes of one.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be {what} ({reason}); {advice}.") from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes otherwise.

    Raises
    ------
    UserError
        If the disk is full, read-only or a folder lies in the file's place.
    """
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def as_json(value: Any) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write plain data with a seal; `read_json` reads it back."""
    with sealed_write(path) as temporary:
        temporary.write_text(as_json(value))


def read_json(path: Path, advice: str | None = None) -> Any:
    """Plain data that `write_json` wrote; see `check` for what it raises."""
    return json.loads(read(path, advice))


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sidecar(path: Path) -> Path:
    """The seal of a file: its checksum, as sha256sum knows it; within a run a comment says which run."""
    return path.with_name(path.name + ".sha256")


def seal(path: Path, checksum: str, before: str = "") -> None:
    """Write the checksum of a file beside it; one in `before` is right too."""
    with atomic_write(sidecar(path)) as temporary:
        owner = f"# {run}\n" if (run := _run_of(path)) else ""
        temporary.write_text(f"{owner}{checksum}  {path.name}\n{before}")


@contextmanager
def sealed_write(path: Path) -> Iterator[Path]:
    """`atomic_write` with a checksum file; killed at any moment, what stands at `path` passes `check`."""
    known = sidecar(path).is_file() and path.is_file()
    before = sidecar(path).read_text(errors="replace") if known else ""
    with atomic_write(path) as written:
        yield written
        checksum = sha256(written)
        seal(path, checksum, before)  # until the file takes its place, the old one is right too
    if known:
        seal(path, checksum)


def _run_of(path: Path) -> str:
    """Name of the run's directory that a file lies in, or nothing."""
    return next((each.name for each in path.absolute().parents if RUN.fullmatch(each.name)), "")


def check(path: Path, advice: str | None = None) -> None:
    """Compare a file with the checksum beside it; `advice` ends the sentence if they disagree.

    Raises
    ------
    UserError
        If either is missing or they disagree (a truncated, edited or swapped file).
    """
    expected = _expected(path, advice)
    with told(path, "read", READABLE):
        found = sha256(path)
    _agree(path, found, expected, advice)


def read(path: Path, advice: str | None = None) -> bytes:
    """The bytes of a file, those that were compared with the checksum beside it; raises what `check` raises."""
    expected = _expected(path, advice)
    with told(path, "read", READABLE):
        data = path.read_bytes()
    _agree(path, hashlib.sha256(data).hexdigest(), expected, advice)
    return data


def _expected(path: Path, advice: str | None) -> list[str]:
    """The checksums that the one beside a file allows: while the file is being replaced, the old one and the new."""
    with told(path, "read", READABLE):
        if not path.is_file():
            kind = "is no file" if path.exists() else "does not exist"
            raise UserError(f"{path} {kind}; {advice or 'make it again or check the name'}.")
        if not sidecar(path).is_file():
            raise UserError(f"{path} has no checksum file {sidecar(path).name} beside it; {advice or AGAIN}.")
        lines = sidecar(path).read_text(errors="replace").splitlines()
    run = _run_of(path)
    owner = next((line[2:] for line in lines if line.startswith("# ")), run)
    if run and owner != run:
        raise UserError(f"{path} was written in {owner}, and is no file of this run; {advice or AGAIN}.")
    # outside of a run, a file may be called otherwise than when it was written
    return [line[:64] for line in lines if line[:2] != "# " and (not run or line[66:] == path.name)]


def _agree(path: Path, found: str, expected: list[str], advice: str | None) -> None:
    if found not in expected:
        wanted = " or ".join(f"{each[:12]}…" for each in expected) or "nothing: its checksum file has none for it"
        raise UserError(f"{path} is damaged: its sha256 is {found[:12]}…, expected {wanted}; {advice or AGAIN}.")


def numbered(folder: Path, suffix: str = "") -> dict[int, Path]:
    """What is named by a step in a folder, in order; any other name, such as that of a copy, is none of ours."""
    if not folder.exists():
        return {}
    with told(folder, "read", "see to its permissions, or remove it"):
        stems = [name.removesuffix(suffix) for name in os.listdir(folder) if name.endswith(suffix)]
    steps = sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit() and stem == f"{int(stem):08d}")
    return {step: folder / f"{step:08d}{suffix}" for step in steps}
