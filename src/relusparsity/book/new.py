"""``make new CHAPTER=24 NAME=token_use_of_width``: a chapter to begin with, in one folder, one notebook and one line.

What it trains (one smoke run), draws, claims and tests is that of `template`, code that runs as it is and is edited.
"""

import argparse
import keyword
import re
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from ..errors import UserError
from ..experiments import sweep_table
from ..paths import shown
from ..store import results, sealed
from .recorded import makers

TEMPLATE = Path(__file__).parent / "template"
LISTED = re.compile(r"^ *- \{?file: chapters/(\d\d)_\w+.*\n(?: +title: .*\n)?", re.MULTILINE)
"""A chapter in `_toc.yml`."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m relusparsity.book.new", description=__doc__)
    parser.add_argument("--chapter", default="", metavar="NN", help="its number")
    parser.add_argument("--name", default="", help="its name, which is that of its datasets too")
    arguments = parser.parse_args()
    try:
        root = results.checkout()
        if root is None:
            raise UserError("a chapter is made in a clone of the repository; clone it and install it with `make`.")
        number, name = checked(root, arguments.chapter, arguments.name)
        written = write(root, number, name)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    print("\n".join(str(path.relative_to(root)) for path in written), "_toc.yml: its line", sep="\n")
    print(
        f"Next: `make record CHAPTER={number:02d}` trains its run and writes its dataset and its page, "
        f"`make book CHAPTER={number:02d}` shows it; then edit."
    )


def checked(root: Path, chapter: str, name: str) -> tuple[int, str]:
    """The number and the name of a chapter that can be made.

    Raises
    ------
    UserError
        For what is missing, malformed or taken.
    """
    if not chapter or not name:
        raise UserError("a chapter needs a number and a name: make new CHAPTER=24 NAME=token_use_of_width.")
    if not re.fullmatch(r"0?[1-9]|[1-9]\d", chapter, re.ASCII):
        raise UserError(f"CHAPTER={shown(chapter)}: expected a number from 1 to 99 that no chapter has.")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name) or len(name) > 40:
        raise UserError(
            f"NAME={shown(name)}: expected at most 40 small letters and digits, words joined by one underscore, such "
            "as token_use_of_width."
        )
    number = int(chapter)
    chapters = root / "src" / "relusparsity" / "chapters"
    if taken := sorted([*(root / "notebooks").glob(f"{number:02d}_*"), *chapters.glob(f"ch{number:02d}_*")]):
        raise UserError(f"chapter {number} is {taken[0].relative_to(root)} already; choose another number.")
    names = {*makers(), *(row.name for row in sweep_table.TABLE), *_names(chapters.glob("ch*"))}
    if name in names | _names((root / "notebooks").glob("[0-9]*.py")):
        raise UserError(f"NAME={name} is that of a chapter, an experiment or a sweep already; choose another name.")
    return number, name


def _names(paths: Iterable[Path]) -> set[str]:
    return {path.stem.partition("_")[2] for path in paths}


def write(root: Path, number: int, name: str) -> list[Path]:
    """Write a chapter's folder, its notebook and its line in `_toc.yml`, all of them or nothing; what was written.

    Raises
    ------
    UserError
        If `_toc.yml` lists no chapter, so that the line has no place, or a file cannot be written.
    """
    folder = root / "src" / "relusparsity" / "chapters" / f"ch{number:02d}_{name}"
    notebook = root / "notebooks" / f"{number:02d}_{name}.py"
    contents = root / "_toc.yml"
    title = name.replace("_", " ").capitalize()
    listed = with_line(contents.read_text(), number, f"chapters/{number:02d}_{name}, title: {number} · {title}")
    words = {
        "chapter_name": name,
        "Chapter title": title,
        "Chapter 00": f"Chapter {number:02d}",
        "chapter 00": f"chapter {number:02d}",
        "ch00_": f"ch{number:02d}_",
        "00.1": f"{number}.1",
        "2000-01-01": date.today().isoformat(),
    }
    with ExitStack() as undo:
        try:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.mkdir()
            (folder / "__init__.py").touch()
            for file in sorted(TEMPLATE.glob("*.py")):
                (folder / file.name).write_text(_filled(file.read_text(), words))
            undo.callback(notebook.unlink, missing_ok=True)
            notebook.write_text(_filled((TEMPLATE / "notebook.txt").read_text(), words))
            with sealed.atomic_write(contents) as temporary:
                temporary.write_text(listed)
        except OSError as error:
            raise UserError(f"the chapter was not made: {error.filename or folder}: {error.strerror}.") from error
        undo.pop_all()
    return [folder, notebook]


def _filled(text: str, words: dict[str, str]) -> str:
    """The text with all placeholders filled at once: what fills one may look like another."""
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)


def with_line(contents: str, number: int, what: str) -> str:
    """The table of contents with a line more, after the last chapter with a smaller number, or before all others.

    Raises
    ------
    UserError
        If it lists no chapter.

    Examples
    --------
    >>> with_line("- file: chapters/02_b\\n  title: b\\n- file: chapters/05_d\\n", 4, "chapters/04_c").splitlines()
    ['- file: chapters/02_b', '  title: b', '- {file: chapters/04_c}', '- file: chapters/05_d']
    """
    there = {int(found[1]): found for found in LISTED.finditer(contents)}
    if not there:
        raise UserError("_toc.yml lists no chapter, so a new one has no place in it; put the file in order first.")
    before = [at for at in there if at < number]
    beside = there[max(before) if before else min(there)]
    place = beside.end() if before else beside.start()
    indent = re.match(" *", beside[0])
    assert indent
    return f"{contents[:place]}{indent[0]}- {{file: {what}}}\n{contents[place:]}"


if __name__ == "__main__":
    main()
