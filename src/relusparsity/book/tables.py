"""Tables that pandas printed, made fit to read: one row of headings, words left and numbers right, no more than fits.

A table of many columns keeps eight, and has the others in a line below each row. For a phone, each table gets the
first of three forms that fits its width: as it is; with the name of each row above its numbers (class `named`); a
block for each row, in which every value has its heading (class `cards`, headings in `data-label`). `book.css` does the
rest, so that nothing is computed anew.
"""

import re
from itertools import accumulate
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from . import captions

LONG_NAME = 12
"""Characters of a row's name beyond which a narrow column would break it word by word; no longer word stays whole."""
SHORT = 8
"""Letters of a word that does not break, be there an underscore in it."""
COLUMNS = 8
"""Columns that stand side by side at most, besides the names of the rows."""
PHONE = 29.5
"""What a phone 390 pixels wide shows of a table, in times the size of its letters."""
LETTER, GAP = 0.64, 0.35
"""A letter's width and the room between two columns, in the same unit."""
NARROW = "fijlrt.,:;'|()[]"
"""What is about half as wide as other letters."""
TEXT = 12
"""Letters side by side in a column of long text, at the least."""

NUMBER = re.compile(r"\s*([-+−]?[\d.,]+(e[-+]?\d+)?\s*%?|nan|–|)\s*", re.IGNORECASE)
PLACES = re.compile(r"(?<=[_./=:(])(?=\w)|(?<=[a-z]{3})(?=[A-Z])")
"""Where a long word may break."""


class ReadableTables(SphinxPostTransform):
    """Put `marked` in the place of what pandas printed, under its caption."""

    default_priority = 900  # after MyST-NB has chosen the HTML of each output

    def run(self, **_: Any) -> None:
        found = [raw for raw in self.document.findall(nodes.raw) if 'class="dataframe"' in raw.astext()]
        said = captions.of(Path(self.env.doc2path(self.env.docname))) if found else []
        for position, (raw, caption) in enumerate(zip(found, said, strict=True), 1):
            above = captions.above(caption, self.env.docname, position)
            table = re.sub(r"(<table[^>]*>)", rf"\g<1>{above}", raw.astext(), count=1)
            close = re.sub(r">\s+<", "><", marked(table))  # pandas indents each cell
            raw.replace_self(nodes.raw("", close, **raw.attributes))


def marked(html: str) -> str:
    """The tables in a page's HTML as they are read; what else is there stays, without pandas' own style."""
    page = BeautifulSoup(html, "html.parser")
    for style in page.select("style[scoped]"):
        style.decompose()
    for table in page.select("table.dataframe"):
        if table.select_one("tbody td") is not None:
            _shape(page, table)
    return str(page)


def _shape(page: BeautifulSoup, table: Tag) -> None:
    del table["border"]
    for part in table.select("tr, th"):
        del part["style"], part["halign"], part["valign"]
    rows = table.select("tbody tr")
    names = len(rows[0].find_all("th"))
    heads = _headings(table, names)
    for cell in table.select("tbody :is(th, td)"):
        cell.string = re.sub(r"^-(?=\d)", "−", re.sub(r"^nan$", "–", cell.get_text(), flags=re.IGNORECASE))
    for name in table.select("tbody th"):
        if len(name.get_text()) > LONG_NAME:
            name["class"] = "name"  # pandas gives them no class
    columns = list(zip(*(row.find_all("td") for row in rows), strict=True))
    words = [not all(NUMBER.fullmatch(cell.get_text()) for cell in column) for column in columns]
    for at in (at for at, of_words in enumerate(words) if of_words):
        for cell in (*columns[at], *(row[names + at] for row in heads)):
            cell["class"] = "words"
    for head in (head for row in heads for head in row[:names] if head.get_text()):
        head["class"] = "words"
    labels = [", ".join(dict.fromkeys(row[names + at].get_text() for row in heads)) for at in range(len(columns))]
    shown = len(columns)
    if len(columns) > COLUMNS and len(heads) == 1:
        shown = COLUMNS
        for head in heads[0][names + COLUMNS :]:
            head.decompose()
        for row in rows:
            _below(page, row, labels)
    form = _form(table, heads, columns[:shown], words, names)
    if form:
        _for_a_phone(table, form, heads[-1], columns[:shown], labels[:shown])
    for cell in table.select("th, td"):
        _breakable(page, cell)


def _for_a_phone(table: Tag, form: str, heads: list[Tag], columns: list[tuple[Tag, ...]], labels: list[str]) -> None:
    """Say what a form needs: which names stand above their rows, and which heading a value has."""
    table["class"] = f"dataframe {form}"
    rows = [row.find_all("th") for row in table.select("tbody tr") if row.find("th")]
    for name in (row[0] for row in rows if len(rows[0]) > 1 and row[0].has_attr("rowspan")):
        if re.fullmatch(r"\d+", name.get_text()):
            name["data-label"] = heads[0].get_text()
    if form == "named":
        table["style"] = f"--columns: {len(columns) + len(rows[0]) - 1}"
        for above in [heads[0], *(row[0] for row in rows if len(row) == len(rows[0]))]:
            above["class"] = "words above"
    else:
        for label, column in zip(labels, columns, strict=True):
            for cell in column:
                cell["data-label"] = label


def _headings(table: Tag, names: int) -> list[list[Tag]]:
    """Rows of headings, a cell for each column however many it spans; the row of the rows' own names goes into them."""
    rows = table.select("thead tr")
    own = [""] * names
    last = [cell.get_text() for cell in _cells(rows[-1])]
    if len(rows) > 1 and not any(last[names:]):
        own = last[:names]
        rows.pop().decompose()
    heads = [_cells(row) for row in rows]
    for row in heads:
        corner = row[names - 1] if names else None
        level = corner.get_text() if corner is not None else ""
        counted = [cell for cell in row[names:] if NUMBER.fullmatch(cell.get_text())]
        for cell in counted if level else ():  # one that spans several columns is no number
            cell.string = f"{level} {cell.get_text()}"
        level = "" if counted else level
        if row is heads[-1]:
            for cell, name in zip(row, own, strict=False):
                cell.string = name
            level = f"{own[-1]} ↓ {level} →" if level and own[-1] else level or own[-1]
        if corner is not None:
            corner.string = level
    return heads


def _cells(row: Tag) -> list[Tag]:
    return [cell for cell in row.find_all("th") for _ in range(int(str(cell.get("colspan", "1"))))]


def _below(page: BeautifulSoup, row: Tag, labels: list[str]) -> None:
    """Put the cells that are too many into a line below their row, each after its heading."""
    cells = row.find_all("td")[COLUMNS:]
    pairs = zip(labels[COLUMNS:], cells, strict=True)
    said = " · ".join(f"{label} {cell.get_text()}".replace(" ", "\xa0") for label, cell in pairs)
    for cell in cells:
        cell.decompose()
    for name in row.find_all("th"):
        name["rowspan"] = str(2 * int(str(name.get("rowspan", "1"))))
    line, rest = page.new_tag("tr"), page.new_tag("td", attrs={"class": "rest", "colspan": str(COLUMNS)})
    rest.string = said
    line.append(rest)
    row.insert_after(line)


def _form(table: Tag, heads: list[list[Tag]], columns: list[Any], words: list[bool], names: int) -> str:
    """The first form in which a phone shows the whole table: '', 'named' or 'cards'."""
    least = [
        max([_head(row[names + at]) for row in heads] + [_room(cell, words[at]) for cell in column])
        for at, column in enumerate(columns)
    ]
    own = [_head(head) for head in heads[-1][:names]]
    for row in table.select("tbody tr"):
        cells = row.find_all("th")
        for at, name in enumerate(cells, start=names - len(cells)):  # a name that spans rows stands in the first
            own[at] = max(own[at], _room(name, True))
    if _width(own + least) <= PHONE:
        return ""
    short = all(len(cell.get_text()) <= LONG_NAME for column in columns for cell in column)
    return "named" if short and names < 3 and _width(own[1:] + least) <= PHONE else "cards"


def _width(letters: list[float]) -> float:
    return LETTER * sum(letters) + GAP * len(letters)


def _room(cell: Tag, words: bool) -> float:
    """Letters that a cell needs side by side: a number all of its own, a text a third, so that it takes three lines."""
    text = cell.get_text()
    return max(_longest(text), min(TEXT, _letters(text) / 3)) if words else _letters(text)


def _head(cell: Tag) -> float:
    return _longest(cell.get_text()) / int(str(cell.get("colspan", "1")))


def _longest(text: str) -> float:
    return max((_letters(piece) for word in text.split() for piece in _pieces(word)), default=0)


def _letters(text: str) -> float:
    return sum(0.5 if letter in NARROW else 1 for letter in text)


def _pieces(word: str) -> list[str]:
    """A word in the pieces between which it may break; numbers and short words may not."""
    if len(word) <= SHORT or NUMBER.fullmatch(word):
        return [word]
    return [part[at : at + LONG_NAME] for part in PLACES.split(word) for at in range(0, len(part), LONG_NAME)]


def _breakable(page: BeautifulSoup, cell: Tag) -> None:
    """Say where long words of a cell may break; what it says stays."""
    text = cell.get_text()
    places = {
        word.start() + end
        for word in re.finditer(r"\S+", text)
        for end in list(accumulate(map(len, _pieces(word[0]))))[:-1]
    }
    if not places:
        return
    cell.clear()
    for start, end in zip([0, *sorted(places)], [*sorted(places), len(text)], strict=True):
        if start:
            cell.append(page.new_tag("wbr"))
        cell.append(text[start:end])


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.add_post_transform(ReadableTables)
