"""Reading the built pages in a headless Chromium: hover cards, the search's order, the bars page by page."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from relusparsity.book import furniture, outside, printed

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, printed.BROWSERS)), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]


def test_a_card_is_shown_to_mouse_and_keyboard_and_not_to_a_finger(browser: "sync_api.Browser", pages: Path) -> None:
    address = f"{pages.as_uri()}/chapters/05_pruning.html"
    page = browser.new_page()
    page.goto(address)
    card, link = page.locator("#hover-card"), page.locator("article a.term").first
    assert card.is_hidden()
    link.hover()
    card.wait_for(state="visible")
    assert link.inner_text().lower() in card.inner_text().lower()
    card.hover()
    page.wait_for_timeout(400)
    assert card.is_visible(), "it can be read with the mouse on it"
    page.mouse.move(2, 2)
    card.wait_for(state="hidden")
    page.keyboard.press("Tab")
    link.focus()
    card.wait_for(state="visible")
    assert link.get_attribute("aria-describedby") == "hover-card"
    page.keyboard.press("Escape")
    assert card.is_hidden() and link.get_attribute("aria-describedby") is None
    page.close()
    touched = browser.new_page(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    touched.goto(address)
    touched.locator("article a.term").first.tap()
    touched.wait_for_url("**/glossary.html#term-*")
    assert touched.locator("#hover-card").is_hidden()
    touched.close()


def test_every_kind_of_link_has_a_card(browser: "sync_api.Browser", pages: Path) -> None:
    page = browser.new_page()
    page.goto(f"{pages.as_uri()}/index.html")
    for selector in (
        ".verdict-strip .group:first-of-type a.chip",
        ".bibtex-citation a",
        "article a[href='ledger.html']",
    ):
        page.locator(selector).first.focus()
        page.keyboard.press("Shift+Tab")  # so that it is the keyboard that comes to it
        page.keyboard.press("Tab")
        page.locator("#hover-card").wait_for(state="visible")
        assert len(page.locator("#hover-card").inner_text()) > 20, selector
    page.close()


def test_a_card_stays_beside_the_link_that_the_keyboard_scrolled_to(browser: "sync_api.Browser", pages: Path) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 500})
    page.goto(f"{pages.as_uri()}/chapters/05_pruning.html")
    card, link = page.locator("#hover-card"), page.locator("article a.term").last
    page.keyboard.press("Tab")
    before = page.evaluate("scrollY")
    link.focus()
    card.wait_for(state="visible")
    page.wait_for_timeout(500)  # the event of that scroll comes after that of the focus
    assert page.evaluate("scrollY") > before
    page.mouse.wheel(0, -40)
    page.wait_for_timeout(500)
    at, beside = link.bounding_box(), card.bounding_box()
    assert at is not None and beside is not None, "shown still"
    assert min(abs(beside["y"] - at["y"] - at["height"]), abs(at["y"] - beside["y"] - beside["height"])) < 8
    page.close()


def test_a_reference_leads_back_to_where_it_is_cited(pages: Path) -> None:
    tree = BeautifulSoup((pages / "related.html").read_text(), "html.parser")
    links = tree.select(".cited-in a")
    assert links
    for link in links:
        file, _, place = link["href"].partition("#")
        assert BeautifulSoup((pages / file).read_text(), "html.parser").find(id=place) is not None, link["href"]


def test_search_lists_chapters_before_the_library(browser: "sync_api.Browser", pages: Path) -> None:
    page = browser.new_page()
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto(f"{pages.as_uri()}/search.html?q=prune")
    page.wait_for_function("document.querySelectorAll('#search-results li a').length > 2")
    page.wait_for_timeout(1000)  # hits are listed one by one
    hits = page.eval_on_selector_all("#search-results li > a", "all => all.map(one => one.getAttribute('href'))")
    library = [hit.startswith("api/") for hit in hits]
    assert any(library) and not all(library), hits
    assert library == sorted(library), hits
    assert failed == [], "pages in a file cannot be read for excerpts, and are not asked"
    page.close()


def test_without_a_repository_no_button_leads_to_one(pages: Path) -> None:
    for page in pages.glob("**/*.html"):
        tree = BeautifulSoup(page.read_text(), "html.parser")
        assert tree.select(".dropdown-source-buttons, .dropdown-launch-buttons, .btn-source-repository-button") == [], (
            page
        )
        assert all(link["href"] for link in tree.select("a[href]")), page


def test_what_leaves_the_site_is_there(pages: Path) -> None:
    text = (pages / outside.LLMS).read_text()
    for line in text.partition("## Pages\n")[2].strip().splitlines():
        assert (pages / line.partition("](")[2].partition(")")[0]).is_file(), line
    for page in (*pages.glob("*.html"), *pages.glob("chapters/*.html")):
        tree = BeautifulSoup(page.read_text(), "html.parser")
        if tree.select_one("article.bd-article") is not None:
            assert tree.select_one(".last-updated") is not None and "Cite and reuse" in tree.get_text(), page
            assert tree.select_one('link[rel="icon"]') is not None, page
        for card in tree.select('meta[property="og:image"]'):
            assert (page.parent / card["content"]).is_file(), page


def test_every_page_meets_its_bars(root: Path, pages: Path, tmp_path: Path) -> None:
    out = tmp_path / "bars.json"
    command = [sys.executable, "benchmarks/page_bars.py", "--pages", str(pages), "--out", str(out)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = json.loads(out.read_text())
    missed = {name: bars["misses"] for name, bars in found.items()}
    assert len(found) > 10 and not any(missed.values()), f"{missed}\n{done.stdout}"


def test_old_addresses_lead_to_the_new_ones(browser: "sync_api.Browser", tmp_path: Path) -> None:
    for page, places in furniture.MOVED.items():
        folder = tmp_path / Path(page).parent
        folder.mkdir(exist_ok=True)
        (folder / f"{Path(page).name}.html").write_text(f"<html><head>{furniture.leads_on(page)}</head>here</html>")
        for there in {target.partition("#")[0] for target in places.values()} - {f"{Path(page).name}.html"}:
            (folder / there).write_text("there")
        tab = browser.new_page()
        for old, new in places.items():
            tab.goto(f"{(tmp_path / page).as_uri()}.html#{old}")
            tab.wait_for_url(f"**/{new}")
        stays = f"{(tmp_path / page).as_uri()}.html#a-place-that-is-here"
        tab.goto(stays)
        tab.wait_for_timeout(100)
        assert tab.url == stays
        old, new = next(iter(places.items()))
        tab.evaluate(f"location.hash = '{old}'")
        tab.wait_for_url(f"**/{new}")
        tab.close()
