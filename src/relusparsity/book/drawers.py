"""Figures drawn, and code coloured, side by side with the reading and writing of pages; drawings are kept."""

import gc
import hashlib
import json
import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge
from sphinx.util.matching import Matcher

from ..plots import drawing, framed, moves, names, palette
from ..plots.written import MIME, from_json
from ..store import sealed


def folder(app: Sphinx) -> Path:
    """The folder in which drawings are kept, outside of the pages."""
    return Path(app.doctreedir).parent / "drawings"


def chart(content: dict[str, Any]) -> str:
    """A chart's JSON, as it stands in a notebook's output, by which its drawing is known."""
    return json.dumps(content, separators=(",", ":"))


def drawn(chart: str, kept_in: Path) -> dict[str, Any]:
    """What the page needs of a chart, drawn if it was not before."""
    code = [Path(module.__file__ or "").read_bytes() for module in (moves, drawing, framed, names, palette)]
    kept = kept_in / f"{hashlib.sha256(b'|'.join([chart.encode(), *code])).hexdigest()[:32]}.json"
    if not kept.is_file():
        kept_in.mkdir(parents=True, exist_ok=True)
        with sealed.atomic_write(kept) as temporary:
            temporary.write_text(json.dumps(moves.figure(from_json(json.loads(chart)))))
    return json.loads(kept.read_text())  # type: ignore[no-any-return]


def coloured(code: str) -> str:
    """Python as HTML, its words in classes, with numbered lines to which links lead."""
    return PygmentsBridge("html").highlight_block(code, "python", linenos="inline", lineanchors="line")


class Drawers:
    """Processes that draw, and colour code."""

    def __init__(self, kept_in: Path) -> None:
        # Matplotlib makes so many objects that looking for circles among them would take a fifth of the time
        self.pool = ProcessPoolExecutor(initializer=gc.set_threshold, initargs=(200_000,))
        self.kept_in, self.begun, self.colouring = kept_in, dict[str, Future[Any]](), dict[Path, Future[str]]()

    def begin(self, chart: str) -> None:
        """Have a chart drawn, once."""
        if chart not in self.begun:
            self.begun[chart] = self.pool.submit(drawn, chart, self.kept_in)

    def colour(self, file: Path) -> Future[str]:
        """A file of Python as `coloured` gives it, now or soon; begun once."""
        if file not in self.colouring:
            self.colouring[file] = self.pool.submit(coloured, file.read_text(encoding="utf-8"))
        return self.colouring[file]

    def wait(self, chart: str) -> dict[str, Any]:
        """What is drawn of a chart, now or soon."""
        self.begin(chart)
        return self.begun[chart].result()


OF: WeakKeyDictionary[Sphinx, Drawers] = WeakKeyDictionary()
"""Those of a build."""


def chapters(app: Sphinx) -> list[Path]:
    """The executed chapters of a build: those that its table of contents lists."""
    left_out = Matcher(app.config.exclude_patterns)
    source = Path(app.srcdir)
    return [each for each in sorted(source.glob("chapters/*.ipynb")) if not left_out(str(each.relative_to(source)))]


def begin(app: Sphinx) -> None:
    """Begin with all figures of the book at once, before its pages are read."""
    OF[app] = Drawers(folder(app))
    if app.builder.format != "html":  # elsewhere a figure is its PNG
        return
    for notebook in chapters(app):
        cells = json.loads(notebook.read_bytes())["cells"]
        for data in (output.get("data", {}) for cell in cells for output in cell.get("outputs", [])):
            if MIME in data:
                OF[app].begin(chart(data[MIME]))


def end(app: Sphinx, error: Exception | None) -> None:
    """End the processes."""
    OF.pop(app).pool.shutdown(cancel_futures=error is not None)


def waited(chart: str, app: Sphinx) -> dict[str, Any]:
    """A drawing, by the processes that draw; one that writes pages for another cannot reach them, and draws itself."""
    return drawn(chart, folder(app)) if multiprocessing.parent_process() else OF[app].wait(chart)
