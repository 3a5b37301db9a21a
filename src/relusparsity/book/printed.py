"""The printable book: the built pages in one, in their order, printed by Chromium, with a contents and page numbers.

It is printed twice: Chromium cannot say in the contents on which page a chapter begins, so the first print is read for
it and the second has the numbers. The links of the contents, and those between chapters, work in the file.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

from ..errors import UserError
from ..version import __version__

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LEFT_OUT = (
    "script, .headerlink, .live-figure-links, .copybtn, noscript, form, .toctree-wrapper, "
    "summary > .expanded, .sd-summary-state-marker"
)
"""Parts of a page that paper has no use for, among them what folds show of themselves when they are open."""
SHORT = 10
"""Letters of a table's cell that are not broken, whatever the width of its column: numbers above all."""
STYLES = (
    "styles/theme.css",
    "styles/pydata-sphinx-theme.css",
    "pygments.css",
    "styles/sphinx-book-theme.css",
    "book.css",
    "figures.css",
    "sphinx-design.min.css",
    "print.css",
)
MATHJAX = '{options: {processHtmlClass: "tex2jax_process|mathjax_process|math|output_area"}}'  # as on the pages
FOOT = (
    '<div style="font: 8px sans-serif; color: #555; width: 100%; padding: 0 16mm; display: flex; '
    'justify-content: space-between"><span>{title} · {version}</span><span class="pageNumber"></span></div>'
)


def write(pages: Path, target: Path) -> None:
    """Print a built book.

    Parameters
    ----------
    pages
        The folder of the built pages.
    target
        The PDF.

    Raises
    ------
    UserError
        Where there is no Chromium or what drives it.
    """
    try:
        from playwright import sync_api
        from pypdf import PdfReader
    except ImportError as error:
        raise UserError(f"{error.name} is missing: printing needs the packages of the extra `test`.") from error
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise UserError(f"there is none of {', '.join(BROWSERS)} on this machine; install Chromium to print the book.")
    names = order(pages)
    book = pages / "printed.html"
    foot = FOOT.format(title="relusparsity", version=__version__)
    try:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            numbers: dict[str, int] = {}
            for _ in range(2):
                book.write_text(whole(pages, names, numbers), encoding="utf-8")
                page = browser.new_page()
                page.goto(book.as_uri(), timeout=120_000)
                page.wait_for_function("window.MathJax?.startup?.promise !== undefined")
                page.evaluate("MathJax.startup.promise.then(() => null)")
                target.parent.mkdir(parents=True, exist_ok=True)
                page.pdf(
                    path=target,
                    format="A4",
                    print_background=True,
                    display_header_footer=True,
                    header_template="<span></span>",
                    footer_template=foot,
                    margin={"top": "16mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
                    outline=True,
                    tagged=True,
                )
                page.close()
                numbers = begins(PdfReader(target), names)
            browser.close()
    finally:
        book.unlink(missing_ok=True)


def begins(reader: Any, names: Iterable[str]) -> dict[str, int]:
    """On which page of a print each chapter begins, from the links that lead there; pages count from 1."""
    found = {name.lstrip("/"): place for name, place in reader.named_destinations.items()}
    known = [name for name in names if anchor(name) in found]
    return {name: reader.get_destination_page_number(found[anchor(name)]) + 1 for name in known}


def order(pages: Path) -> dict[str, str]:
    """The built pages, with their titles, in the order of the contents; without those of the library's names."""
    tree = BeautifulSoup((pages / "index.html").read_text(encoding="utf-8"), "html.parser")
    listed = {"index.html": ""}
    for link in tree.select("nav.bd-links a[href]"):
        page = str(link["href"]).partition("#")[0]
        if page and not urlsplit(page).scheme and not page.startswith("api/"):
            listed[page] = link.get_text().strip()
    return listed


def anchor(name: str, place: str = "") -> str:
    """The name, within the one page, of a page or a place of it."""
    page = re.sub(r"\W", "-", name.removesuffix(".html"))
    return f"{page}--{place}" if place else page


def whole(pages: Path, names: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    """All pages in one.

    Parameters
    ----------
    pages, names
        The folder, and the titles of its pages in their order.
    numbers
        On which page of the print each begins; what is missing stays blank.
    """
    parts, listed = [], []
    for name, title in names.items():
        article = chapter(pages, name, set(names))
        parts.append(f'<section class="chapter" id="{anchor(name)}">{article}</section>')
        link = f'<a href="#{anchor(name)}">{title}</a>'
        listed.append(f'<li>{link}<i></i><span class="number">{numbers.get(name, "")}</span></li>')
    styles = "".join(f'<link rel="stylesheet" href="_static/{name}">' for name in STYLES)
    mathjax = f"<script>window.MathJax = {MATHJAX}</script>"
    mathjax += '<script defer src="_static/tex-svg-full.js"></script>'
    front, *rest = parts
    contents = f'<nav class="printed-contents"><h2>Contents</h2><ol>{"".join(listed[1:])}</ol></nav>'
    return (
        '<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">'
        f'<title>relusparsity {__version__}</title>{styles}{mathjax}</head><body class="printed">'
        f'<main class="bd-article">{front}{contents}{"".join(rest)}</main></body></html>'
    )


def chapter(pages: Path, name: str, within: set[str]) -> str:
    """A page's article, with names and links as they are in the one page."""
    tree = BeautifulSoup((pages / name).read_text(encoding="utf-8"), "html.parser")
    article = tree.select_one("article.bd-article")
    if article is None:
        raise UserError(f"{pages / name} is no page of the book: it has no article.")
    for part in article.select(".explorable noscript"):
        part.unwrap()  # it says which recipe is shown, where no switch does
    for part in article.select(LEFT_OUT):
        part.decompose()
    for fold in article.select("details"):
        if fold.find_parent("table") is None:
            fold["open"] = ""
        else:  # seeds, recipes and hashes of the ledger stay on the site
            fold.decompose()
    for cell in article.select("td, th"):
        if len(cell.get_text().strip()) <= SHORT:
            cell["class"] = " ".join([*(cell.get("class") or ()), "short"])
    for part in article.select("[id]"):
        part["id"] = anchor(name, str(part["id"]))
    for part in article.select("[src]"):
        part["src"] = whole_path(name, str(part["src"]))
    for link in article.select("a[href]"):
        redirect(link, name, within)
    return article.decode_contents()


def redirect(link: Tag, name: str, within: set[str]) -> None:
    """Make a link lead to its place in the one page; one to a file that is not in it becomes text."""
    target = urlsplit(str(link["href"]))
    if target.scheme:
        return
    path = whole_path(name, target.path) if target.path else name
    if path in within:
        link["href"] = f"#{anchor(path, unquote(target.fragment))}"
    else:
        link.unwrap()


def whole_path(name: str, path: str) -> str:
    """A path that stands on a page, from the folder of all pages."""
    parts = [*name.split("/")[:-1], *path.split("/")]
    kept: list[str] = []
    for part in parts:
        if part == ".." and kept:
            kept.pop()
        elif part not in (".", ""):
            kept.append(part)
    return "/".join(kept)
