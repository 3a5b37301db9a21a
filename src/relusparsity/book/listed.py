"""The page of packages gets its table from models.toml while the book is built, so that it cannot drift from it."""

from sphinx.application import Sphinx

from ..packages import catalogue

MARK = "<!-- packages: written by the build -->"


def markdown() -> str:
    """Every package with its size and licence, as a Markdown table."""
    rows = ["| name | inside | size | licence | chapters |", "|---|---|--:|---|---|"]
    for each in catalogue.everything().values():
        chapters = ", ".join(map(str, each.chapters))
        inside = f"{each.inside}<br>{each.kind}: {each.package} {each.version}"
        size = catalogue.size(each.bytes).replace(" ", "\N{NO-BREAK SPACE}")
        rows.append(f"| {each.name} | {inside} | {size} | {each.licence} | {chapters} |")
    return "\n".join(rows)


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the table in the place of its mark; called by Sphinx with each page's text."""
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, markdown())
        app.env.note_dependency(str(catalogue.LIST))  # where it changes, the page is made again


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", fill)
