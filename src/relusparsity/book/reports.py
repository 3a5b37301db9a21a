"""Reports on the checkpoints that chapter 11 recorded, as pages of the book: what `measure` writes of a model.

They are made from the recorded dataset while the book is built, by the processes that draw, after the chapters'
figures. They share the pages' style and the script of figures, so that a report is a tenth of one that stands alone.
"""

import html
import posixpath
import re
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sphinx.application import Sphinx

from .. import store
from ..chapters.ch11_measure_any_model import public, reports
from ..measure import sections
from ..plots import Figure, page
from . import drawers, renderer

FOLDER = "reports"
CHAPTER = "chapters/11_measure_any_model"
Made = tuple[str, dict[str, str]]
"""The body of a page, and its files by their place among the pages."""
OF: WeakKeyDictionary[Sphinx, dict[str, Future[Made]]] = WeakKeyDictionary()
"""Those of a build, by name."""


def made(name: str, kept_in: Path) -> Made:
    """A report; its drawings are kept as those of chapters are."""
    dataset = store.recorded(public.NAME, public.SCALE)
    models = {each: reports.measured(dataset, each) for each in reports.REPORTS[name]}
    files: dict[str, str] = {}

    def draw(figure: Figure) -> str:
        short = re.sub("[^a-z0-9]+", "-", figure.name.lower()).strip("-")
        data = drawers.drawn(drawers.chart(figure.chart), kept_in)
        at = {end: f"{renderer.FIGURES}/{name}/{short}{end}" for end in (".js", "-wide.svg", "-narrow.svg")}
        files[at[".js"]] = page.script(short, data)
        files.update({at[f"-{size}.svg"]: page.alone(each["svg"]) for size, each in data["drawings"].items()})
        numbers = f"_downloads/{name}/{short}.csv"
        files[numbers] = figure.csv
        picture = page.picture(f"../{at['-wide.svg']}", f"../{at['-narrow.svg']}", figure.alt)
        return (
            f'<figure class="live-figure" id="fig-{short}" data-figure="{short}">{picture}'
            f'<script src="../{at[".js"]}" defer></script>'
            f'<p class="live-figure-caption"><strong>{html.escape(figure.heading)}</strong> '
            f'{html.escape(figure.caption)}</p><p class="live-figure-links"><a href="../{numbers}" '
            f'download="{short}.csv">data (CSV)</a></p></figure>'
        )

    return "\n".join(sections.body(models, draw)), files


def begin(app: Sphinx) -> None:
    """Begin with all reports, after the chapters' figures, if the book has the chapter that leads to them."""
    if app.builder.format == "html" and Path(CHAPTER).name in {each.stem for each in drawers.chapters(app)}:
        kept_in = drawers.folder(app)
        OF[app] = {name: drawers.OF[app].pool.submit(made, name, kept_in) for name in reports.REPORTS}


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each report; its figures' files are written."""
    back = posixpath.relpath(app.builder.get_target_uri(CHAPTER), FOLDER)
    for name, future in OF.pop(app, {}).items():
        content, files = future.result()
        for place, text in files.items():
            renderer.write(Path(app.outdir, place), text)
        title = f"{' and '.join(reports.REPORTS[name])}: which units fire"
        body = (
            f'<h1>{html.escape(title)}</h1><p><a href="{back}">Chapter 11</a> says how to read this report. It is what '
            "<code>python -m relusparsity measure</code> writes of a model, made here from the recorded dataset "
            f"<code>data/{public.FILE}.nc</code>.</p>{content}"
        )
        yield f"{FOLDER}/{name}", {"title": title, "body": f'<div class="report">{body}</div>'}, "page.html"


def add_script(app: Sphinx, page_name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the script of figures on these pages."""
    if page_name.startswith(f"{FOLDER}/"):
        app.add_js_file("figures.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", begin)
    app.connect("html-page-context", add_script)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
