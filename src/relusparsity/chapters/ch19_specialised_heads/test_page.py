"""What the figures of chapter 19 say and draw of a made-up dataset, and that its map is walked through by keys."""

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import xarray as xr
from sphinx.application import Sphinx

from relusparsity.plots.figure import Figure

from . import figures
from .figures import page as pages
from .figures.scores import SCORES, of_head, said, scores
from .figures.sentences import Sentences, percent

BEST = (18, 6)
"""Of the made-up dataset."""
DATA = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)


@pytest.fixture(scope="module")
def real() -> xr.Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[4] / "tests"))
        import specialised_made

        return specialised_made.heads()


def changed(dataset: xr.Dataset, name: str, value: float, **at: Any) -> xr.Dataset:
    """A copy with one value at some places of a variable."""
    out = dataset.copy(deep=True)
    out[name].loc[at] = value
    return out


def test_scores_are_those_of_the_dataset(real: xr.Dataset) -> None:
    of = scores(real, "walk")
    for layer, head in (BEST, (2, 1), (29, 8)):
        draws = [
            float(real["prefix_matching"].sel(weights="trained", draw=n, layer=layer, head=head)) for n in range(5)
        ]
        found = of.sel(score="induction", reading="text", layer=layer, head=head)
        assert float(found) == pytest.approx(sum(draws) / 5, abs=1e-4)
        copied = of.sel(score="copying", layer=layer, head=head)
        wanted = real["copying"].sel(weights="random", layer=layer, head=head)
        assert float(copied.sel(reading="random weights")) == pytest.approx(float(wanted), abs=1e-4)
    assert of.sel(score=["induction", "copying"], reading="shuffled").isnull().all()
    assert of.sel(score="previous token").notnull().all()


def test_the_map_says_how_many_heads_do_more_than_look_at_the_first_token(real: xr.Dataset) -> None:
    end = "highest in induction is layer 18, head 6, at 0.83"
    begin = "have a function beyond the first token, and"
    assert figures.walk(real).heading == f"Of 270 heads 4 {begin} 1 of these look there, too; {end}. SmolLM2-135M."
    apart = changed(real, "attention_first", 0.1, reading="text", layer=18, head=6)
    assert figures.walk(apart).title == f"Of 270 heads 4 {begin} none of these looks there, too; {end}"
    none = real.assign({name: 0.1 * real[name] for name in ("attention_previous", "attention_delimiter")})
    none = none.assign(prefix_matching=0.1 * none["prefix_matching"])
    assert figures.walk(none).title.startswith("None of 270 heads has a function beyond the first token; highest in")
    other = changed(real, "prefix_matching", 0.95, weights="trained", layer=3, head=8)
    assert figures.walk(other).title.endswith("highest in induction is layer 3, head 8, at 0.95")


def test_the_controls_say_what_needs_training_and_what_the_order(real: xr.Dataset) -> None:
    assert figures.controls(real).title == (
        "Induction, previous token, delimiters and first token need training; previous token needs the order of the "
        "tokens, delimiters and first token do not"
    )
    kept = changed(real, "prefix_matching", 0.5, weights="random", layer=1, head=1)
    kept = changed(kept, "attention_previous", 0.5, reading="shuffled", layer=2, head=[1, 2])
    assert figures.controls(kept).title == (
        "Previous token, delimiters and first token need training, induction does not; of previous token, delimiters "
        "and first token, none needs the order of "
        "the tokens"
    )


def test_the_ablation_says_whether_the_top_heads_take_more_than_any_draw(real: xr.Dataset) -> None:
    shown = figures.removed(real)
    gain = (real["repeat_first_loss"] - real["repeat_second_loss"]).sel(text="english", way="mean")
    gone = 100 * (1 - gain / gain.sel(evaluation="none"))
    draws = gone.values[2:]
    assert (
        "Without the 5 heads of highest induction 60 % of the gain" in shown.title
        and "more than any draw" in shown.title
    )
    assert (
        f"5 others of their layers take {draws.mean():.1f} % ({draws.min():.1f} % to {draws.max():.1f} %)"
        in shown.title
    )
    weak = changed(real, "repeat_second_loss", 3.02, evaluation="top")
    assert "1 % of the gain" in figures.removed(weak).title and "no more than draws do" in figures.removed(weak).title
    better = changed(real, "repeat_second_loss", 2.8, evaluation="top")
    assert "−10 % of the gain" in figures.removed(better).title
    nothing = real.assign(repeat_second_loss=real["repeat_first_loss"])
    assert figures.removed(nothing).title == "What is left of the repeated-text gain is to come"


def test_what_was_not_measured_is_said_and_the_figures_stand(real: xr.Dataset) -> None:
    gaps = changed(real, "prefix_matching", np.nan, weights="trained", layer=slice(0, 14))
    gaps = changed(gaps, "attention_delimiter", np.nan, reading="shuffled")
    gaps = changed(gaps, "repeat_second_loss", np.nan, evaluation="random 3")
    for draw in (figures.walk, figures.controls, figures.removed):
        made = draw(gaps)
        assert (
            made.png.startswith(b"\x89PNG") and made.alt and "nan" not in f"{made.alt}{made.title}{made.page}".lower()
        )
    assert figures.walk(gaps).page.count("walk-none") == 15 * 9
    assert figures.controls(gaps).title.endswith("of the tokens, first token does not"), "delimiters are not known"
    never = changed(real, "prefix_matching", np.nan)
    assert figures.walk(never).title.endswith("induction was not measured")
    assert "induction: not measured" in figures.controls(never).alt


def test_the_page_has_every_sentence_and_every_head(real: xr.Dataset) -> None:
    shown = figures.walk(real)
    data = json.loads(DATA.findall(shown.page)[0])
    rest = DATA.sub("", shown.page)
    assert len(shown.page) < 600_000 and len(rest.encode()) < 30_000
    for sentence, (tokens, packed) in enumerate(zip(data["tokens"], data["attention"], strict=True)):
        words = [word for word in real["sentence_tokens"].values[sentence] if word]
        assert [token.replace(" ", "␣") for token in tokens] == words
        n = len(tokens)
        flat = np.frombuffer(base64.b64decode(packed), dtype=np.uint8).reshape(30, 9, n * (n + 1) // 2)
        for layer, head, query in ((0, 0, 0), (*BEST, 9), (29, 8, n - 1)):
            given = flat[layer, head, query * (query + 1) // 2 :][: query + 1]
            np.testing.assert_array_equal(
                given, real["sentence_attention"].values[sentence, layer, head, query, : query + 1]
            )
    assert (
        "<option>a list &amp; more</option>" in rest
        and "<four>" not in figures.walk(real.isel(sentence=[1])).page.split("</script>")[1]
    )
    assert rest.count("<i") == 30 * 9 + 5 and "Layer 18, head 6: induction 0.83 on repeated random tokens, also" in rest
    assert "From “Dur” (9) to “sley” (2) 89 %" in rest
    assert not re.search("click|arrow|choose", shown.caption, re.IGNORECASE), "there may be no controls"
    assert "hidden" in re.findall("<form[^>]*>", rest)[0]


def test_a_score_has_its_square_and_its_colour() -> None:
    assert [pages.side(value) for value in (0.0, 0.25, 1.0, -1.0, 2.0, np.nan)] == [0, 50, 100, 100, 100, 0]
    assert [pages.colour(value) for value in (0.0, 0.5, 1.0, np.nan)] == [20, 10, 0, 20]


# in a browser


def built(folder: Path, figure: Figure) -> Path:
    """A page of the book with the figure, in the book's theme."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks/19_heads.py").write_text("# %%\n")
    data, metadata = figure._repr_mimebundle_()
    data["image/png"] = base64.b64encode(figure.png).decode()
    output = nbformat.v4.new_output("execute_result", data, metadata=metadata, execution_count=1)
    title = nbformat.v4.new_markdown_cell("# Heads")
    cell = nbformat.v4.new_code_cell("figure", outputs=[output], execution_count=1)
    (folder / "book").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[title, cell]), folder / "book/19_heads.ipynb")
    settings = {"extensions": ["myst_nb", "relusparsity.book.renderer"], "nb_execution_mode": "off"}
    settings |= {"root_doc": "19_heads", "html_theme": "sphinx_book_theme"}
    Sphinx(
        folder / "book", None, folder / "html", folder / "trees", "html", settings, status=None, warning=None
    ).build()
    return folder / "html/19_heads.html"


Open = Callable[..., Any]


@pytest.fixture(scope="module")
def open_page(real: xr.Dataset, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    file = built(tmp_path_factory.mktemp("walk"), figures.walk(real))
    opened, troubles = [], list[str]()

    def open_page(width: int = 1280, **options: Any) -> Any:
        opened.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = opened[-1].new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in opened:
        context.close()
    assert troubles == []


@pytest.mark.browser
def test_the_keyboard_walks_through_heads_and_tokens(real: xr.Dataset, open_page: Open) -> None:
    trained, sentences = scores(real, "walk").sel(reading="text"), Sentences(real, "walk")
    for width, keys in ((1280, ("ArrowRight", "ArrowDown")), (390, ("ArrowDown", "ArrowRight"))):
        page = open_page(width)
        page.wait_for_selector("figure.walk.is-live")
        page.locator(".walk-map .walk-chosen").focus()
        layer, head = BEST
        for key in (*keys, keys[0], keys[1], keys[0]):
            page.keyboard.press(key)
            layer, head = (layer + 1, head) if key == keys[0] else (layer, head + 1)
            here = page.locator("[role=gridcell]:focus")
            assert here.get_attribute("aria-label").startswith(f"layer {layer}, head {head}: ")
            assert here.get_attribute("aria-selected") == "true" and here.get_attribute("tabindex") == "0"
            assert page.locator(".walk-said").inner_text() == said(layer, head, of_head(trained, layer, head))
        page.keyboard.press("Tab")
        for step in range(3):
            assert page.locator("[role=option]:focus").get_attribute("aria-selected") == "true"
            assert page.locator(".walk-looks").inner_text() == sentences.said(0, layer, head, 9 - step)
            page.keyboard.press("ArrowLeft")
        given = sentences.given(0, layer, head, 6)
        small = page.locator(".walk-tokens small").all_inner_texts()
        assert small[:7] == [str(percent(part) or "") for part in given] and not any(small[7:])
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_every_choice_is_said_as_python_says_it(real: xr.Dataset, open_page: Open) -> None:
    of, sentences, page = scores(real, "walk"), Sentences(real, "walk"), open_page()
    score, sentence = page.locator("form select").all()
    cells = page.locator(".walk-map i")
    for layer, head in itertools.product((0, 2, 5, 18), (0, 1, 5, 6)):
        cells.nth(9 * layer + head).click()
        values = of_head(of.sel(reading="text"), layer, head)
        assert page.locator(".walk-said").inner_text() == said(layer, head, values)
        shown = page.locator(".walk-scores tbody").evaluate("body => body.innerHTML")
        wanted = re.findall("<tbody>(.*)</tbody>", pages._table(of, layer, head))[0]
        assert shown.replace(' class=""', "") == wanted
    for at, each in enumerate(SCORES):
        score.select_option(index=at)
        drawn = of.sel(score=each.name, reading="text").values.ravel()
        top = each.most or np.abs(drawn).max()
        for place in (0, 11, 168, 269):
            look = cells.nth(place).evaluate(
                "cell => [cell.style.getPropertyValue('--s'), cell.style.getPropertyValue('--c')]"
            )
            assert look[0] == f"{pages.side(drawn[place], top)}%", (each.name, place)
            assert look[1] == f"var(--figure-layer-{pages.colour(drawn[place], top)})"
            assert ("walk-below" in (cells.nth(place).get_attribute("class") or "")) == (drawn[place] < 0)
    sentence.select_option(index=1)
    query = sentences.telling(1, 18, 6)
    assert page.locator(".walk-looks").inner_text() == sentences.said(1, 18, 6, query)
    page.locator(".walk-tokens > span").nth(4).hover()
    assert page.locator(".walk-looks").inner_text() == sentences.said(1, 18, 6, 4)
    assert page.locator(".walk-tokens > span").nth(7).text_content().startswith(" <four>")


CONTRASTS = """() => {
  const at = (colour) => {
    const whole = colour.startsWith("color(") ? 1 : 255; // color(srgb 0.1 0.2 0.3), or rgb(26, 51, 77)
    const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => part / whole)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const between = (a, b) => (Math.max(at(a), at(b)) + 0.05) / (Math.min(at(a), at(b)) + 0.05);
  const cell = document.querySelector(".walk-map i"), word = document.querySelector(".walk-tokens > span");
  word.style.setProperty("--w", "100%");
  const ground = getComputedStyle(cell).backgroundColor, shade = getComputedStyle(word);
  const squares = [...Array(21).keys()].map((step) => {
    cell.style.setProperty("--c", `var(--figure-layer-${step})`);
    return between(getComputedStyle(cell, "::before").backgroundColor, ground);
  });
  word.firstChild.after(Object.assign(document.createElement("i"), { style: "background: var(--figure-accent)" }));
  const bar = getComputedStyle(word.querySelector("i")).backgroundColor;
  return [squares, between(shade.color, shade.backgroundColor), between(bar, shade.backgroundColor)];
}"""


@pytest.mark.browser
def test_squares_bars_and_words_stand_out_in_the_light_and_in_the_dark(open_page: Open) -> None:
    page = open_page()
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        page.wait_for_timeout(300)
        squares, text, bar = page.evaluate(CONTRASTS)
        assert min(squares) >= 3 and text >= 4.5 and bar >= 3, (theme, squares, text, bar)
        assert squares[0] > squares[10] > squares[20], "the highest score is the strongest"


@pytest.mark.browser
def test_without_scripts_one_head_and_one_sentence_are_shown(real: xr.Dataset, open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.locator(".walk form").is_hidden()
    assert page.locator(".walk-map").get_attribute("role") == "img"
    assert page.locator(".walk-map").get_attribute("aria-label") == figures.walk(real).alt
    assert page.locator(".walk-map i").nth(168).bounding_box()["width"] > 10
    assert page.locator(".walk-tokens .walk-query").text_content().startswith(" Dur")
    assert "Fig. 19.1" in page.locator(".walk .live-figure-caption").inner_text()
    links = page.locator(".walk .live-figure-links a").all_inner_texts()
    assert "data (CSV)" in links and "figure (PNG)" in links
