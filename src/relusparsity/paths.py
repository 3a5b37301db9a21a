"""Paths as people give them: what can be none is said before anything is opened."""

import os
import tempfile
from pathlib import Path

from .errors import UserError

SHOWN = 120
"""Characters of what was given that a sentence repeats."""


def shown(given: object) -> str:
    """What was given, short enough for a sentence, what cannot be printed spelt out."""
    text = str(given)
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text):,} characters)"
    return text if text.isprintable() else repr(text)[1:-1]


def path(given: str | Path) -> Path:
    """The path that was given, `~` spelt out; nothing need be there.

    Raises
    ------
    UserError
        If no file can have it: empty, too long, of an unknown user, with a null character, a circle of links, or in
        a folder that may not be looked into.
    """
    if given == "":
        raise UserError("an empty name cannot be the path of a file; write . for the folder that you are in.")
    try:
        found = Path(given).expanduser()
        found.stat()
    except (FileNotFoundError, NotADirectoryError):
        return found
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{shown(given)} cannot be the path of a file ({reason.rstrip('.')}); check it.") from None
    return found


def writable(folder: Path, files: tuple[str, ...]) -> None:
    """Before the work that will fill them: that these files of the folder can be written; nothing is left behind.

    Raises
    ------
    UserError
        If the folder cannot be made or written into, or a folder has the name of one of the files.
    """
    folder = path(folder)
    there = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    try:
        if not there.is_dir():
            raise NotADirectoryError(0, f"{there} is no folder")
        os.rmdir(tempfile.mkdtemp(prefix=".relusparsity-", dir=there))  # some folders look writable and are not
        for name in files:
            path(folder / name)
            if (folder / name).is_dir():
                raise IsADirectoryError(0, f"{folder / name} is a folder")
    except OSError as error:
        raise UserError(f"{shown(folder)} cannot be written ({error.strerror}); name another with --out.") from None
