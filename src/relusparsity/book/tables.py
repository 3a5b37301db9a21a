"""Tables that pandas printed: columns of words are set left, numbers right, and long names of rows get room."""

import re
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

LONG_NAME = 12
"""Characters of a row's name beyond which a narrow column would break it word by word."""

NUMBER = re.compile(r"\s*([-+−]?[\d.,]+(e[-+]?\d+)?\s*%?|nan|–|)\s*", re.IGNORECASE)


class ColumnsOfWords(SphinxPostTransform):
    """Give cells and headings of words the class `words` and long names of rows `name`; `book.css` does the rest."""

    default_priority = 900  # after MyST-NB has chosen the HTML of each output

    def run(self, **_: Any) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if 'class="dataframe"' in raw.astext():
                raw.replace_self(nodes.raw("", marked(raw.astext()), **raw.attributes))


def marked(html: str) -> str:
    """The table with its columns of words marked, those with a cell that is no number, and its long names of rows."""
    page = BeautifulSoup(html, "html.parser")
    for name in page.select("table.dataframe tbody th"):
        if len(name.get_text()) > LONG_NAME:
            name["class"] = "name"  # pandas gives them no class
    for table in page.select("table.dataframe"):
        rows = [row.find_all("td") for row in table.select("tbody tr")]
        for index, column in enumerate(zip(*rows, strict=True)):  # names of rows are th, and are not among them
            if not all(NUMBER.fullmatch(cell.get_text()) for cell in column):
                place = index - len(rows[0])  # counted from the right, since the names of rows stand left
                heads = [row.find_all("th") for row in table.select("thead tr")]
                for cell in (*column, *(row[place] for row in heads if len(row) >= -place)):
                    cell["class"] = [*cell.get_attribute_list("class", []), "words"]
    return str(page)


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.add_post_transform(ColumnsOfWords)
