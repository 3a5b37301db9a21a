"""Figures in a built page: numbers by chapter, titles with models, links and files that stay."""

import base64
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import xarray as xr
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

from relusparsity.book import renderer
from relusparsity.plots.figure import Figure

PIXEL = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q"
    b"\0\0\0\0IEND\xaeB`\x82"
)
WIDE, MID = (xr.Dataset(attrs={"scale": scale, "recipe": "first"}) for scale in ("wide", "mid"))
EMPTY = {"data": [], "layout": {}}
BARE = Figure("effects", "relusparsity.plots.figure.table", "Bars are means.", EMPTY, PIXEL, "layer\n0\n", "One bar.")


def page(folder: Path, *figures: Figure) -> BeautifulSoup:
    """Chapter 3 of a book of its own, with these figures."""
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
    app.build()
    return BeautifulSoup((folder / "html/03_death.html").read_text(), "html.parser")


def test_a_figure_has_a_number_a_title_a_model_and_names_that_stay(tmp_path):
    built = page(tmp_path, BARE, BARE.titled("Decay empties layer 1", WIDE), BARE.titled("Mid agrees", MID))
    _, wide, mid = built.select("figure.live-figure")
    assert wide["id"] == "fig-effects-wide-first" and mid["id"] == "fig-effects-mid-first"
    assert wide.img["alt"] == "One bar."
    assert wide.select_one("strong").text == "Fig. 3.2 Decay empties layer 1. Wide, first."
    assert (
        wide.select_one(".live-figure-caption").text == "Fig. 3.2 Decay empties layer 1. Wide, first. Bars are means."
    )
    data, *_ = wide.select("a[download$=csv]")
    assert data["download"] == "effects-wide-first.csv"
    assert (tmp_path / "html" / data["href"]).read_text().startswith("# Decay empties layer 1. Wide, first.\n")
    assert wide.select_one('a[href="#fig-effects-wide-first"]') is not None


def test_a_figure_without_a_title_is_numbered_and_named_by_its_place(tmp_path):
    first, second = page(tmp_path, BARE, replace(BARE, caption="Again.", alt="")).select("figure.live-figure")
    assert [first["id"], second["id"]] == ["live-effects", "live-effects-2"]
    assert second.select_one(".live-figure-caption").text == "Fig. 3.2 Again."
    assert second.img["alt"] == "Again."


def test_two_figures_of_one_name_are_refused(tmp_path):
    titled = BARE.titled("Decay empties layer 1", WIDE)
    with pytest.raises(ValueError, match=r"03_death has two figures with the name effects-wide-first: .*name="):
        page(tmp_path, titled, titled)


@pytest.mark.parametrize(("docname", "said"), [("chapters/12_other", "Fig. 12.4"), ("index", "Fig. 4")])
def test_numbers_count_by_chapter(docname, said):
    assert renderer.number(docname, 4) == said
