"""The page of packages gets its table from models.toml while the book is built, so that it cannot drift from it."""

from sphinx.application import Sphinx

from ..packages import catalogue

MARK = "<!-- packages: written by the build -->"


def markdown() -> str:
    """Every package with its size and licence, as a Markdown table."""
    rows = ["| name | inside | size | licence | chapters | package |", "|---|---|--:|---|---|---|"]
    for each in catalogue.everything().values():
        chapters = ", ".join(map(str, each.chapters))
        package = f"{each.kind}: `{each.package}` {each.version}"
        cells = (f"`{each.name}`", each.inside, catalogue.size(each.bytes), each.licence, chapters, package)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the table in the place of its mark; called by Sphinx with each page's text."""
    source[0] = source[0].replace(MARK, markdown())


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", fill)
