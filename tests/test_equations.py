"""Equations of a built book: numbers by chapter, with a label or without."""

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

LATER = r"""# Before

By {eq}`eq-energy` and {eq}`eq-other`.

$$a = b$$ (eq-other)
"""
SEVENTH = r"""# Which layer

$$c = d$$

Then $x$ and

$$
E = m c^2
$$ (eq-energy)

By {eq}`eq-energy`.

\begin{align*}
y &= 2
\end{align*}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BeautifulSoup]:
    """Two chapters and a front page."""
    folder = tmp_path_factory.mktemp("equations")
    (folder / "book").mkdir()
    for name, text in (("07_which", SEVENTH), ("12_before", LATER), ("index", "# Book\n\n$$e = f$$ (eq-front)\n")):
        (folder / f"book/{name}.md").write_text(text)
    settings = {
        "source_suffix": {".md": "markdown"},
        "extensions": ["myst_parser", "sphinx.ext.mathjax", "relusparsity.book.equations"],
        "numfig": True,  # as Jupyter Book has it
        "myst_enable_extensions": ["dollarmath", "amsmath"],
    }
    app = Sphinx(folder / "book", None, folder / "html", folder / "trees", "html", settings, status=None, warning=None)
    app.build()
    kept = ("07_which", "12_before", "index")
    return {name: BeautifulSoup((folder / f"html/{name}.html").read_text(), "html.parser") for name in kept}


def numbers(page: BeautifulSoup) -> list[str]:
    return [number.find(string=True) for number in page.select(".eqno")]


def test_numbers_begin_anew_in_each_chapter(pages: dict[str, BeautifulSoup]) -> None:
    assert numbers(pages["07_which"]) == ["(7.1)", "(7.2)"], "AMS math without a number keeps none"
    assert numbers(pages["12_before"]) == ["(12.1)"]
    assert numbers(pages["index"]) == ["(1)"]


def test_a_reference_says_the_number_and_leads_there(pages: dict[str, BeautifulSoup]) -> None:
    here = pages["07_which"].select_one("p a.reference.internal[href='#equation-eq-energy']")
    there = pages["12_before"].select_one("p a.reference.internal[href='07_which.html#equation-eq-energy']")
    assert here.get_text() == there.get_text() == "(7.2)"
    assert pages["07_which"].find(id="equation-eq-energy").select_one("a.headerlink") is not None
    own = pages["12_before"].select_one("p a[href='#equation-eq-other']")
    assert own.get_text() == "(12.1)"
