"""The built pages in a headless Chromium, from file:// and without a network: what a reader sees and touches."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relusparsity.plots import explorable

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
Open = Callable[..., "sync_api.Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def troubles() -> list[str]:
    """Console errors, page errors, failed and outside requests of the pages opened by a test."""
    return []


@pytest.fixture
def open_page(browser: "sync_api.Browser", pages: Path, troubles: list[str]) -> Iterator[Open]:
    contexts = []

    def open_page(name: str, width: int = 1280, **options: object) -> "sync_api.Page":
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(120_000)  # ms: a machine may be busy
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("requestfailed", lambda request: troubles.append(f"failed: {request.url}"))
        page.on("request", lambda request: check_inside(request.url))
        page.goto(f"{pages.as_uri()}/{name}")  # which may name a place of the page
        return page

    def check_inside(url: str) -> None:
        if not url.startswith((pages.as_uri(), "data:", "blob:")):
            troubles.append(f"outside: {url}")

    yield open_page
    for context in contexts:
        context.close()


def chapters(pages: Path) -> list[str]:
    """Pages of chapters, without those at old addresses."""
    there = {path.stem for path in (Path(__file__).parents[1] / "notebooks").glob("*.py")}
    return sorted(str(page.relative_to(pages)) for page in pages.glob("chapters/*.html") if page.stem in there)


def drawn(page: "sync_api.Page") -> int:
    """Wait until every figure of the page is drawn; count them."""
    page.wait_for_load_state("load")
    count = page.locator(".live-figure").count()
    page.wait_for_function("n => document.querySelectorAll('.live-figure.is-live .main-svg').length >= n", arg=count)
    return count


def test_every_figure_is_drawn_without_an_error_or_a_request(open_page: Open, pages: Path, troubles: list[str]) -> None:
    figures = {}
    for name in chapters(pages):
        page = open_page(name)
        figures[name] = drawn(page)
        blank = "p => p.querySelectorAll('.trace, .hm, .slice').length === 0"
        empty = sum(plot.evaluate(blank) for plot in page.locator(".live-figure-plot").all())
        assert empty == 0, name
        assert page.locator(".live-figure > img").first.is_hidden()
    assert all(figures.values()), figures
    open_page("index.html").wait_for_load_state("load")
    assert troubles == []


def test_switches_of_the_front_page_move_the_bars(open_page: Open, troubles: list[str]) -> None:
    page = open_page("index.html")
    cells = page.evaluate("JSON.parse(document.querySelector('.explorable script').textContent)")
    page.get_by_label("std 1", exact=True).focus()
    page.keyboard.press("Space")
    levels = page.eval_on_selector_all(".explorable input:checked", "all => all.map(one => one.value)")
    shown = page.eval_on_selector_all(".explorable output", "all => all.map(one => parseFloat(one.textContent))")
    assert levels[0] == "1.0" and shown == cells[" ".join(levels)]["use"]
    assert page.locator(".explorable-said").inner_text() == explorable.said(cells[" ".join(levels)]), (
        "as Python says it"
    )
    assert page.locator(".verdict-strip .group:visible").count() == 1
    page.get_by_label("Mid, first").check()
    assert "Mid" in page.locator(".verdict-strip .group:visible strong").inner_text()
    assert troubles == []
    without = open_page("index.html", java_script_enabled=False)
    assert without.locator(".explorable form").is_hidden() and without.locator(".explorable-all svg").first.is_visible()


def test_an_old_address_leads_to_the_same_place_of_the_new_page(open_page: Open) -> None:
    page = open_page("chapters/07_measure_any_model.html#three-lines")
    page.wait_for_url("**/chapters/11_measure_any_model.html#three-lines")
    assert page.locator("#three-lines").count() == 1


def test_formulas_are_set_without_a_network(open_page: Open, pages: Path, troubles: list[str]) -> None:
    for name in chapters(pages):
        page = open_page(name)
        if formulas := page.locator(".math").count():
            page.wait_for_function("n => document.querySelectorAll('mjx-container').length >= n", arg=formulas)
            assert page.locator("mjx-container [data-mml-node=merror]").count() == 0, name
    assert troubles == []


def test_sliders_move_their_figures(open_page: Open, pages: Path) -> None:
    moved = 0
    for name in chapters(pages):
        page = open_page(name)
        drawn(page)
        for plot in page.locator(".live-figure-plot:has(.slider-rail-touch-rect)").all():
            rail, handle = plot.locator(".slider-rail-touch-rect").first, plot.element_handle()
            state = "p => JSON.stringify([p.data, p.layout.annotations, p.layout.shapes])"
            for share in (0.05, 0.5):
                before, box = plot.evaluate(state), rail.bounding_box()
                assert box is not None
                # through the locator, which waits until nothing on the page moves any more
                rail.click(position={"x": share * box["width"], "y": box["height"] / 2}, force=True)
                page.wait_for_function(f"([p, old]) => ({state})(p) !== old", arg=[handle, before], timeout=20_000)
            moved += 1
    assert moved, "no figure of the book has a slider"


def test_hovering_names_what_is_under_the_mouse(open_page: Open) -> None:
    page = open_page("chapters/02_layer_patterns.html")
    drawn(page)
    plot = page.locator(".live-figure-plot").first
    plot.scroll_into_view_if_needed()
    area = plot.locator(".nsewdrag").first.bounding_box()
    assert area is not None
    for share in range(1, 10):
        for height in range(1, 10):
            page.mouse.move(area["x"] + area["width"] * share / 10, area["y"] + area["height"] * height / 10)
            if plot.locator(".hoverlayer .hovertext").count():
                assert "layer" in (plot.locator(".hoverlayer").text_content() or "").lower()
                return
    pytest.fail("nothing answers to the mouse")


def test_dark_mode_recolours_the_figures(open_page: Open) -> None:
    page = open_page("chapters/02_layer_patterns.html")
    drawn(page)
    ink = "p => getComputedStyle(p.querySelector('.xtick text')).fill"
    plot = page.locator(".live-figure-plot").first
    light = plot.evaluate(ink)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(
        "([p, light]) => getComputedStyle(p.querySelector('.xtick text')).fill !== light",
        arg=[plot.element_handle(), light],
    )


def test_a_phone_shows_everything_without_scrolling_sideways(open_page: Open, pages: Path) -> None:
    for name in chapters(pages):
        page = open_page(name, width=390, is_mobile=True, has_touch=True)
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        for plot in page.locator(".live-figure-plot .main-svg").all():
            box = plot.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 391, name
    for page_of_names in pages.glob("api/*.html"):
        page = open_page(str(page_of_names.relative_to(pages)), width=390, is_mobile=True, has_touch=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, page_of_names.name


def test_without_javascript_there_are_pictures(open_page: Open, pages: Path) -> None:
    for name in chapters(pages):
        page = open_page(name, java_script_enabled=False)
        pictures = page.locator(".live-figure > img")
        assert pictures.count() == page.locator(".live-figure").count()
        for picture in pictures.all():
            box = picture.bounding_box()
            assert picture.is_visible() and box is not None and box["width"] > 300, name
