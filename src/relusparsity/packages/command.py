"""The command `models`: what there is, what is fetched now, and how much that is, said before."""

import sys
from typing import Protocol

from ..errors import UserError
from ..store import results
from . import catalogue
from .catalogue import Package, size
from .fetch import TOOLS, fetch


class Asked(Protocol):
    """What the command line takes."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def chapter(self) -> int | None: ...
    @property
    def all(self) -> bool: ...
    @property
    def folder(self) -> str | None: ...


def models(asked: Asked) -> None:
    """List the packages, or fetch those that are asked for.

    Raises
    ------
    UserError
        If a name or chapter has none, or some could not be fetched; the others are kept.
    """
    chosen = _chosen(asked)
    if not chosen:
        if asked.folder is not None:
            raise UserError("--folder says where the files are, but not which to take; name some, a chapter or --all.")
        print(listing())
        return
    todo = [each for each in chosen if not each.is_here]
    if not todo:
        print(f"nothing to fetch: here are {', '.join(each.name for each in chosen)}, in {catalogue.store()}")
        return
    for each in todo:
        print(f"{size(each.bytes):>8}  {each.file}  {each.licence}")
    tools = " and ".join(dict.fromkeys(TOOLS[each.kind] for each in todo))
    source = f"with {tools}" if asked.folder is None else f"from {asked.folder}"
    here = f"; {len(chosen) - len(todo)} asked for are here" if len(chosen) > len(todo) else ""
    print(f"{counted(todo)} to fetch {source}{here}", flush=True)
    failed = []
    for each in todo:
        try:
            print(f"{each.name}: {fetch(each, asked.folder)}", flush=True)
        except UserError as error:
            if len(todo) == 1:
                raise
            print(f"{each.name}: {error}", file=sys.stderr)
            failed.append(each.name)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(todo)} packages could not be fetched, for the reasons above: {', '.join(failed)}; "
            "what was fetched is kept, and the same command tries these again."
        )


def _chosen(asked: Asked) -> list[Package]:
    """What is asked for; each package once, in the list's order."""
    if asked.all and (asked.names or asked.chapter is not None):
        raise UserError("--all is every package; leave it out, or the names and the chapter.")
    of_chapter = [] if asked.chapter is None else catalogue.of_chapter(asked.chapter)
    some = {each.name for each in [*catalogue.named(asked.names), *of_chapter]}
    return [each for each in catalogue.everything().values() if asked.all or each.name in some]


def listing() -> str:
    """All packages, two lines each, and how to fetch some."""
    every = list(catalogue.everything().values())
    rows = []
    for each in every:
        chapters = f"chapter{'s' * (len(each.chapters) > 1)} {', '.join(map(str, each.chapters))}"
        rows.append((each.name, size(each.bytes), chapters, "here" if each.is_here else "", each.licence))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row, each in zip(rows, every, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines.append(f"    {each.inside}")
    clone = results.checkout() is not None
    some = 'make models ONLY="smollm2 minilm"' if clone else "python -m relusparsity models smollm2 minilm"
    chapter = "make models CHAPTER=12" if clone else "python -m relusparsity models --chapter 12"
    whole = "make models ALL=1" if clone else "python -m relusparsity models --all"
    missing = [each for each in every if not each.is_here]
    total = f"{counted(every)}; not here: {counted(missing)}; kept in {catalogue.store()}"
    return "\n".join([*lines, "", total, f"To fetch some: {some}, or {chapter}; all that are missing: {whole}"])


def counted(packages: list[Package]) -> str:
    """How many packages, and their bytes together."""
    number = len(packages)
    return f"{number} package{'' if number == 1 else 's'}, {size(sum(each.bytes for each in packages))}"
