"""The built pages in a headless Chromium, from file:// and without a network: what a reader sees and touches."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relusparsity.plots import explorable
from relusparsity.plots.palette import DARK, LIGHT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
Open = Callable[..., "sync_api.Page"]


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
    page.wait_for_function("n => document.querySelectorAll('.live-figure.is-live svg').length >= n", arg=count)
    return count


UNFOLD = "document.querySelectorAll('details').forEach(fold => { fold.open = true; })"
MARKS = "figure => [...figure.querySelectorAll('svg [data-part]')].map((part) => part.outerHTML).join()"


def test_figures_are_drawn_formulas_set_and_controls_move_without_an_error_or_a_request(
    open_page: Open, pages: Path, troubles: list[str]
) -> None:
    """Of every chapter, each opened once: that takes longer than what is looked at."""
    figures, formulas, moved = {}, {}, {}
    for name in chapters(pages):
        page = open_page(name)
        figures[name] = drawn(page)
        assert page.locator(".live-figure svg:not(:has([data-part^=m]))").count() == 0, (
            f"{name}: a figure without marks"
        )
        assert page.locator(".live-figure picture").first.is_hidden()
        formulas[name] = formulas_set(page, name)
        moved[name] = controls_move(page, name)
        page.context.close()
    assert all(figures.values()), figures
    assert any(formulas.values()) and any(moved.values()), "no formula, or no control, in the book"
    open_page("index.html").wait_for_load_state("load")
    assert troubles == []


def formulas_set(page: "sync_api.Page", name: str) -> int:
    """Wait until every formula of the page is set; count them."""
    if count := page.locator(".math").count():
        page.wait_for_function("n => document.querySelectorAll('mjx-container').length >= n", arg=count)
        assert page.locator("mjx-container [data-mml-node=merror]").count() == 0, name
    return count


def controls_move(page: "sync_api.Page", name: str) -> int:
    """Move every control of the page by keyboard, there and back again; count the figures that have one."""
    page.evaluate(UNFOLD)
    moving = page.locator(".live-figure:has(form)").all()
    for figure in moving:
        first, controls = figure.evaluate(MARKS), figure.locator("input, select")
        controls.first.focus()
        # a slider stands at its end, a choice at its first; radio buttons go round, a list does not
        kind = controls.first.evaluate("control => control.type")
        slider, back = kind == "range", {"range": "ArrowRight", "select-one": "ArrowLeft"}.get(kind)
        seen = set()
        for _ in range(controls.count()):
            page.keyboard.press("ArrowLeft" if slider else "ArrowRight")
            seen.add(figure.evaluate(MARKS))
        assert seen - {first}, f"{name}: nothing moves"
        if back:
            page.keyboard.press(back)
        assert figure.evaluate(MARKS) == first, f"{name}: there and back again"
    return len(moving)


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
    labels = "all => all.map(one => getComputedStyle(one, '::after').content)"
    assert page.eval_on_selector_all(".explorable .source", labels) == ['"W&A 13.3 %"', '"W&A 95.6 %"']
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


def test_a_slider_goes_with_the_thumb_and_says_where_it_is(open_page: Open) -> None:
    page = open_page("chapters/02_layer_patterns.html")
    drawn(page)
    figure = page.locator(".live-figure:has([type=range])").first
    slider, seen = figure.locator("[type=range]"), figure.locator("output")
    box = slider.bounding_box()
    assert box is not None
    words = set()
    for share in (0.2, 0.6, 0.9):
        slider.click(position={"x": share * box["width"], "y": box["height"] / 2})
        words.add(seen.inner_text())
        assert slider.get_attribute("aria-valuetext") == seen.inner_text()
        assert f"at {seen.inner_text()} tokens" in (figure.locator("[data-part=t0]").text_content() or "")
    assert len(words) == 3


def test_hovering_names_what_is_under_the_mouse(open_page: Open) -> None:
    page = open_page("chapters/02_layer_patterns.html")
    drawn(page)
    bar = page.locator(".live-figure svg [data-part='m0.0,5']").first
    bar.scroll_into_view_if_needed()
    bar.hover()
    assert "layer 5" in page.locator(".figure-tip").inner_text()
    assert "mean batch use" in page.locator(".figure-tip").inner_text()


def test_dark_mode_recolours_the_figures(open_page: Open) -> None:
    page = open_page("chapters/02_layer_patterns.html")
    drawn(page)
    fill = "() => getComputedStyle(document.querySelector('.live-figure svg [data-part=\"m0.0,0\"] path')).fill"
    colours = {}
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        colours[theme] = page.evaluate(fill)
    for theme, palette in (("light", LIGHT), ("dark", DARK)):
        wanted = tuple(int(palette["layer-0"][i : i + 2], 16) for i in (1, 3, 5))
        assert colours[theme] == f"rgb{wanted}"
    page.emulate_media(media="print")
    assert page.evaluate(fill) == colours["light"]


def test_a_phone_shows_everything_without_scrolling_sideways(open_page: Open, pages: Path) -> None:
    for name in chapters(pages):
        page = open_page(name, width=390, is_mobile=True, has_touch=True)
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert page.locator(".live-figure svg").first.get_attribute("viewBox").startswith("0 0 360 ")
        for plot in page.locator(".live-figure svg").all():
            box = plot.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 391, name
    for page_of_names in (*pages.glob("api/*.html"), pages / "genindex.html"):
        page = open_page(str(page_of_names.relative_to(pages)), width=390, is_mobile=True, has_touch=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, page_of_names.name
    page = open_page("packages.html", width=390, is_mobile=True, has_touch=True)
    assert (
        page.evaluate(
            "Math.max(...[...document.querySelectorAll('article td')].map(td => td.getBoundingClientRect().right))"
        )
        <= 390
    )


def test_without_javascript_there_are_pictures(open_page: Open, pages: Path) -> None:
    for name in chapters(pages):
        page = open_page(name, java_script_enabled=False)
        page.evaluate(UNFOLD)
        pictures = page.locator(".live-figure img")
        assert page.locator(".live-figure form").filter(visible=True).count() == 0
        assert pictures.count() == page.locator(".live-figure").count()
        for picture in pictures.all():
            box = picture.bounding_box()
            assert picture.is_visible() and box is not None and box["width"] > 300, name
