"""Figures in a built page: numbers by chapter, titles with models, links and files that stay."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import xarray as xr
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

from relusparsity.book import furniture, renderer
from relusparsity.plots.chart import Axis, Chart, Control, Mark, Panel, State
from relusparsity.plots.figure import Figure
from relusparsity.plots.written import to_json

WIDE, MID = (xr.Dataset(attrs={"scale": scale, "recipe": "first"}) for scale in ("wide", "mid"))
BARS = Mark("bars", [0, 1], [1.0, 2.0], "layer-0", hover="{y} %")
PANEL = Panel("use", Axis("layer"), Axis(limits=(0, 3)), [BARS], cursor=0.0)
STATES = [State(str(k), {BARS: {"y": [k, 2 - k]}}, {PANEL: k}, {PANEL: f"use at {k}"}) for k in (0, 1, 2)]
MOVING = Chart([PANEL], control=Control("slider", "Seen", STATES, 1, "Move it."))
BARE = Figure(
    "effects", "relusparsity.plots.figure.table", "Bars are means.", to_json(MOVING), "layer\n0\n", "One bar."
)


def page(folder: Path, *figures: Figure, heroes: list[Path] | None = None) -> BeautifulSoup:
    """Chapter 3 of a book of its own, with these figures; `heroes` gets the picture of its social card."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks/03_death.py").write_text("# %%\n")
    notebook = nbformat.v4.new_notebook()
    for figure in figures:
        data, metadata = figure._repr_mimebundle_()
        data["image/png"] = base64.b64encode(figure.png).decode()
        output = nbformat.v4.new_output("execute_result", data, metadata=metadata, execution_count=1)
        notebook.cells.append(nbformat.v4.new_code_cell("figure", outputs=[output], execution_count=1))
    source = folder / "book"
    source.mkdir()
    nbformat.write(notebook, source / "03_death.ipynb")
    settings = {
        "extensions": ["myst_nb", "relusparsity.book.renderer"],
        "nb_execution_mode": "off",
        "root_doc": "03_death",
    }
    app = Sphinx(source, None, folder / "html", folder / "trees", "html", settings, status=None, warning=None)
    if heroes is not None:
        shown = "html-page-context"
        app.connect(shown, lambda app, name, _, __, tree: tree and heroes.append(furniture.hero(app, tree)))
    app.build()
    return BeautifulSoup((folder / "html/03_death.html").read_text(), "html.parser")


def test_a_figure_has_a_number_a_title_a_model_and_names_that_stay(tmp_path):
    built = page(tmp_path, BARE.titled("Decay empties layer 1", WIDE), BARE.titled("Mid agrees", MID))
    wide, mid = built.select("figure.live-figure")
    assert wide["id"] == "fig-effects-wide-first" and mid["id"] == "fig-effects-mid-first"
    assert wide.img["alt"] == "One bar."
    assert wide.select_one("strong").text == "Fig. 3.1 Decay empties layer 1. Wide, first."
    assert (
        wide.select_one(".live-figure-caption").text == "Fig. 3.1 Decay empties layer 1. Wide, first. Bars are means."
    )
    data, *_ = wide.select("a[download$=csv]")
    assert data["download"] == "effects-wide-first.csv"
    assert (tmp_path / "html" / data["href"]).read_text().startswith("# Decay empties layer 1. Wide, first.\n")
    assert wide.select_one('a[href="#fig-effects-wide-first"]') is not None
    picture = wide.select_one("a[download$=png]")
    assert (tmp_path / "html" / picture["href"]).read_bytes() == BARE.titled("Decay empties layer 1", WIDE).png


def test_a_figure_is_there_without_a_script_and_its_numbers_lie_beside_the_page(tmp_path):
    figure = page(tmp_path, BARE.titled("Decay empties layer 1", WIDE)).select_one("figure.live-figure")
    for target in (figure.img["src"], figure.source["srcset"]):
        svg = (tmp_path / "html" / target).read_text()
        assert "prefers-color-scheme:dark" in svg and 'data-part="m0.0,0"' in svg
    form = figure.select_one("form")
    assert "hidden" in form.attrs and form.input["type"] == "range" and form.label.input is form.input
    assert "Move it." in form.text and "Move it." not in figure.select_one(".live-figure-caption").text
    script = (tmp_path / "html" / figure.select_one("script")["src"]).read_text()
    data = json.loads(script[script.index("=", script.index("]")) + 1 : -1])
    assert data["states"] == ["0", "1", "2"] and set(data["drawings"]) == {"wide", "narrow"}
    assert len(str(figure)) < 3000, "no drawing in the page"


@pytest.mark.parametrize("what", ["title", "model", "name", "alt"])
def test_a_figure_that_lacks_what_readers_need_is_refused(tmp_path, what):
    figure = replace(BARE.titled("Decay empties layer 1", WIDE), **{what: ""})
    with pytest.raises(ValueError, match=f"03_death: the figure .* has no {what}"):
        page(tmp_path, figure)


def test_an_alternative_text_that_repeats_the_caption_is_refused(tmp_path):
    figure = replace(BARE.titled("Decay empties layer 1", WIDE), alt=BARE.caption)
    with pytest.raises(ValueError, match="has its caption for alternative text"):
        page(tmp_path, figure)


def test_two_figures_of_one_name_are_refused(tmp_path):
    titled = BARE.titled("Decay empties layer 1", WIDE)
    with pytest.raises(ValueError, match=r"03_death has two figures with the name effects-wide-first: .*name="):
        page(tmp_path, titled, titled)


@pytest.mark.parametrize(("docname", "said"), [("chapters/12_other", "Fig. 12.4"), ("index", "Fig. 4")])
def test_numbers_count_by_chapter(docname, said):
    assert renderer.number(docname, 4) == said


def test_a_figure_may_be_html_that_stands_in_place_of_its_drawing(tmp_path):
    shown = replace(BARE.titled("Decay empties layer 1", WIDE), page='<p class="own">Layers &amp; heads.</p>')
    figure = page(tmp_path, shown, BARE.titled("Mid agrees", MID)).select_one("figure#fig-effects-wide-first")
    assert figure["class"] == ["walk"] and figure.select_one("p.own").text == "Layers & heads."
    assert figure.img is None and figure.script is None, "the drawing is a file alone"
    assert figure.select_one("strong").text == "Fig. 3.1 Decay empties layer 1. Wide, first."
    for kind in ("csv", "png"):
        assert (tmp_path / "html" / figure.select_one(f"a[download$={kind}]")["href"]).is_file()
    html = (tmp_path / "html/03_death.html").read_text()
    assert "walk.js" in html and "figures.js" in html


def test_a_page_s_social_card_has_its_first_figure(tmp_path):
    heroes: list[Path] = []
    first = BARE.titled("Decay empties layer 1", WIDE)
    page(tmp_path, first, BARE.titled("Mid agrees", MID), heroes=heroes)
    assert [hero.read_bytes() for hero in heroes] == [first.png]
