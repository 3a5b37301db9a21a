"""A page that shows a chapter's figure: the directive ``chapter-figure``.

The figure is the chapter's own output, with its title, model, caption, data and drawing; nothing is drawn twice.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ..plots.written import MIME
from . import renderer


class ChapterFigure(SphinxDirective):
    """``{chapter-figure} 02_layer_patterns/batch-use-wide-nearest`` with ``:picture:``, its PNG among the sources."""

    required_arguments = 1
    option_spec = {"picture": directives.unchanged_required}  # noqa: RUF012, docutils' own form

    def run(self) -> list[nodes.Node]:
        chapter, _, name = self.arguments[0].partition("/")
        notebook = Path(self.env.srcdir, "chapters", f"{chapter}.ipynb")
        self.env.note_dependency(str(notebook))
        about, chart = found(notebook, name)
        node = renderer.begun(about, chart, self.env.docname, chapter, self.env.metadata[self.env.docname])
        said, messages = self.state.inline_text(about["caption"], self.lineno)
        node[-1].extend(said)
        node.insert(0, nodes.image(uri=self.options["picture"], alt=about["alt"]))
        return [node, *messages]


def found(notebook: Path, name: str) -> tuple[dict[str, str], Any]:
    """What a chapter's output says of a figure, and its chart's JSON.

    Raises
    ------
    ValueError
        If the chapter has no figure of this name.
    """
    cells = json.loads(notebook.read_bytes())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if MIME in output.get("data", {})]
    named = {output["metadata"][renderer.META]["name"]: output for output in outputs}
    if name not in named:
        raise ValueError(f"{notebook.stem} has no figure {name!r}; it has {', '.join(named)}")
    return named[name]["metadata"][renderer.META], named[name]["data"][MIME]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_directive("chapter-figure", ChapterFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
