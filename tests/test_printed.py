"""The book that is printed: its contents, where its pages break, and that it shows what paper can show."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from relusparsity.book import printed

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
reading = pytest.importorskip("pypdf", reason="pypdf is not installed")
CHROMIUM = next(filter(None, map(shutil.which, printed.BROWSERS)), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
A4 = {"width": 673, "height": 995}
"""Pixels between the margins of `printed.write`."""


@pytest.fixture(scope="module")
def print_of(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> "reading.PdfReader":
    """The PDF, printed in a process of its own: this one drives a browser already."""
    target = tmp_path_factory.mktemp("print") / "book.pdf"
    command = "import sys; from pathlib import Path; from relusparsity.book import printed as p; "
    command += "p.write(*map(Path, sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", command, pages, target], check=True, timeout=400)
    assert not (pages / "printed.html").exists()
    return reading.PdfReader(target)


@pytest.fixture(scope="module")
def texts(print_of: "reading.PdfReader") -> list[str]:
    """What each page says: all of it takes a third of a minute to read."""
    return [page.extract_text() for page in print_of.pages]


@pytest.fixture(scope="module")
def one_page(pages: Path, browser: "sync_api.Browser") -> Iterator["sync_api.Page"]:
    """What is printed, as the browser has it before it breaks it into pages."""
    whole = pages / "one-page.html"
    whole.write_text(printed.whole(pages, printed.order(pages), {}), encoding="utf-8")
    page = browser.new_page(viewport=A4)  # type: ignore[arg-type]
    page.emulate_media(media="print")
    page.goto(whole.as_uri(), timeout=120_000)
    page.wait_for_function("window.MathJax?.startup?.promise !== undefined")
    page.evaluate("MathJax.startup.promise.then(() => null)")
    yield page
    page.close()
    whole.unlink()


def test_the_printed_book_has_contents_with_page_numbers(
    pages: Path, print_of: "reading.PdfReader", texts: list[str]
) -> None:
    names = printed.order(pages)
    front, *led = names
    begins = printed.begins(print_of, names)
    assert begins.pop(front, 1) == 1, "a chapter may link to the front page; the contents do not list it"
    assert list(begins) == led, "all that the contents lead to"
    assert list(begins.values()) == sorted(begins.values())
    contents = next(text for text in texts[:15] if text.strip().startswith("Contents"))
    listed = [line.split()[-1] for line in contents.splitlines() if line.split() and line.split()[-1].isdigit()]
    assert set(map(str, begins.values())) <= set(listed), contents
    assert all(text.split()[-1] == str(number) for number, text in enumerate(texts, 1))


def squeezed(text: str) -> str:
    return re.sub(r"\W+", "", text)


def test_no_page_ends_with_a_heading_or_the_head_of_a_table(pages: Path, texts: list[str]) -> None:
    tree = BeautifulSoup(printed.whole(pages, printed.order(pages), {}), "html.parser")
    # the titles of other folds are drawn after what they hold, and so read last
    heads = {squeezed(part.get_text()) for part in tree.select("h2, h3, h4, details.hide > summary, thead tr")}
    heads -= {"Answer"}  # of other folds, too
    parted, bare = {}, {}
    for number, text in enumerate(texts, 1):
        lines = [line for line in text.splitlines() if line.strip()]
        body = [line for line in lines if not line.startswith("relusparsity ·") and line.strip() != str(number)]
        if heads & {squeezed("".join(body[-k:])) for k in (1, 2, 3)}:  # of one line or of several
            parted[number] = body[-2:]
        if len(" ".join(body)) < 160:
            bare[number] = body
    assert len(heads) > 100 and not parted, parted
    assert not bare, f"pages for a line or less: {bare}"


def test_paper_shows_every_colour_and_nothing_to_press(one_page: "sync_api.Page") -> None:
    fills = one_page.eval_on_selector_all(
        ".explorable path", "all => [...new Set(all.map(each => getComputedStyle(each).fill))]"
    )
    assert len(fills) == 6 and "rgb(0, 0, 0)" not in fills, "a colour a layer"
    assert one_page.locator("input:visible, button:visible, select:visible").count() == 0
    assert not [text for text in one_page.locator("summary").all_inner_texts() if re.search(r"\b(Hide|Show)\b", text)]
    assert "Shown: embeddings" in one_page.inner_text("figure.explorable >> nth=0"), (
        "which recipe, where none is chosen"
    )


def test_nothing_is_wider_than_the_paper_and_no_number_is_broken(one_page: "sync_api.Page") -> None:
    wide = """all => all.filter(e => !e.closest("svg, mjx-container") && e.getBoundingClientRect().width > 0)
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => `${e.tagName} ${e.textContent.trim().slice(0, 60)}`)"""
    assert one_page.eval_on_selector_all("main *", wide) == []
    broken = r"""all => all.filter(e => /^[-−+<>]?\s?[\d.,]+( %| MB)?$/.test(e.textContent.trim())).filter(e => {
        const texts = document.createTreeWalker(e, NodeFilter.SHOW_TEXT), line = document.createRange();
        for (let text = texts.nextNode(); text; text = texts.nextNode()) {
            line.selectNodeContents(text);
            if (new Set([...line.getClientRects()].map(box => Math.round(box.top))).size > 1) return true;
        }
        return false; }).map(e => e.textContent.trim())"""
    assert one_page.eval_on_selector_all("td, th", broken) == []
