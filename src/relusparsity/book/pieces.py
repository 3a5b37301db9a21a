"""Runs in small files, to carry from the machine that trained them to the one that keeps the repository."""

import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import UserError
from ..store import results, sealed
from ..train import measurements

PIECE = 15_000_000
"""Bytes of a piece at most, as far as single datasets allow."""

DATASETS = ("dataset.nc", measurements.STOPPED)
"""What a run leaves: all that it measured, or what it did until it stopped."""

FILES = [f"{name}{end}" for name in ("config.json", *DATASETS) for end in (".sha256", "")]
"""What is packed of a finished run; the datasets last, with which it counts as finished."""


def pack(runs: Iterable[Path], out: Path) -> list[Path]:
    """The datasets of finished runs as `piece-1.tar` …, each whole or absent; those of an earlier call are replaced.

    Parameters
    ----------
    runs
        Their folders.
    """
    pieces: list[list[Path]] = []
    size = PIECE
    for run in runs:
        files = [run / name for name in FILES if (run / name).is_file()]
        size += sum(file.stat().st_size for file in files)
        if files and size > PIECE:
            pieces.append([])
            size = sum(file.stat().st_size for file in files)
        if files:
            pieces[-1] += files  # a run's files stay together
    out.mkdir(parents=True, exist_ok=True)
    written = [out / f"piece-{number}.tar" for number in range(1, len(pieces) + 1)]
    # the last first: a run more moves others into later pieces only, and killed between two, none is without
    for path, piece in reversed(list(zip(written, pieces, strict=True))):
        with sealed.sealed_write(path) as temporary, tarfile.open(temporary, "w") as tar:
            for file in piece:
                tar.add(file, f"{file.parent.name}/{file.name}")
    for old in set(out.glob("piece-*.tar")) - set(written):
        sealed.sidecar(old).unlink(missing_ok=True)
        old.unlink()
    return written


def tidy(out: Path) -> None:
    """Remove what a killed process left half written; the caller is alone in the folder."""
    for leftover in out.glob(".piece-*"):
        leftover.unlink()


def held(piece: Path) -> set[str]:
    """The runs in a piece; nothing of one that was cut short, which is written anew."""
    try:
        with tarfile.open(piece) as tar:
            return {member.name.partition("/")[0] for member in tar.getmembers()}
    except tarfile.TarError:
        return set()


def unpack(pieces: Sequence[Path]) -> list[Path]:
    """Put the runs of pieces among those of this machine, where they are not there yet; their folders.

    Raises
    ------
    UserError
        For a piece that is damaged, or holds anything but datasets of runs.
    """
    made: dict[Path, bool] = {}  # folder → whether its run was finished here before; one that stopped may be since
    for piece in pieces:
        sealed.check(piece)
        with tarfile.open(piece) as tar:
            for member in tar.getmembers():
                run, _, file = member.name.partition("/")
                content = tar.extractfile(member) if member.isfile() else None
                if not (sealed.RUN.fullmatch(run) and file in FILES and content):
                    raise UserError(f"{piece} holds {member.name!r}: expected datasets of runs; it is not a piece.")
                target = results.runs_dir() / run / file
                target.parent.mkdir(parents=True, exist_ok=True)
                if not made.setdefault(target.parent, (target.parent / DATASETS[0]).is_file()):
                    with sealed.atomic_write(target) as temporary:
                        temporary.write_bytes(content.read())
    return list(made)
