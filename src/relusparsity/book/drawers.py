"""Figures drawn side by side with the reading of pages, and kept from one build to the next."""

import gc
import hashlib
import json
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sphinx.application import Sphinx

from ..plots import drawing, framed, moves, names, palette
from ..plots.written import from_json
from ..store import sealed


def folder(app: Sphinx) -> Path:
    """The folder in which drawings are kept, outside of the pages."""
    return Path(app.doctreedir).parent / "drawings"


def drawn(chart: str, kept_in: Path) -> dict[str, Any]:
    """What the page needs of a chart, drawn if it was not before."""
    code = [Path(module.__file__ or "").read_bytes() for module in (moves, drawing, framed, names, palette)]
    kept = kept_in / f"{hashlib.sha256(b'|'.join([chart.encode(), *code])).hexdigest()[:32]}.json"
    if not kept.is_file():
        kept_in.mkdir(parents=True, exist_ok=True)
        with sealed.atomic_write(kept) as temporary:
            temporary.write_text(json.dumps(moves.figure(from_json(json.loads(chart)))))
    return json.loads(kept.read_text())  # type: ignore[no-any-return]


class Drawers:
    """Processes that draw."""

    def __init__(self, kept_in: Path) -> None:
        # Matplotlib makes so many objects that looking for circles among them would take a fifth of the time
        self.pool = ProcessPoolExecutor(initializer=gc.set_threshold, initargs=(200_000,))
        self.kept_in, self.begun = kept_in, dict[str, Future[Any]]()

    def begin(self, chart: str) -> None:
        """Have a chart drawn, once."""
        if chart not in self.begun:
            self.begun[chart] = self.pool.submit(drawn, chart, self.kept_in)

    def finish(self, charts: list[str]) -> None:
        """Wait until all of them are drawn, also those that were not begun, and end the processes."""
        with self.pool:
            for chart in charts:
                self.begin(chart)
            for future in self.begun.values():
                future.result()


OF: WeakKeyDictionary[Sphinx, Drawers] = WeakKeyDictionary()
"""Those of a build."""


def begin(app: Sphinx) -> None:
    """Keep processes ready to draw what is read."""
    OF[app] = Drawers(folder(app))
