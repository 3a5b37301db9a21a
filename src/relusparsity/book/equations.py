"""Equations have a number by chapter, as figures have: the first of chapter 7 is (7.1), with a label or without."""

import posixpath
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config


def by_chapter(docname: str, position: int) -> str:
    """The number of a page's figure or equation.

    Examples
    --------
    >>> by_chapter("chapters/07_which_layer", 1), by_chapter("index", 2)
    ('7.1', '2')
    """
    chapter = re.match(r"\d+", posixpath.basename(docname))
    return f"{int(chapter[0])}.{position}" if chapter else str(position)


def settle(app: Sphinx, config: Config) -> None:
    """Have Sphinx show the numbers of `number`, and not those that it gives to figures; called by Sphinx."""
    config.math_numfig = False


def number(app: Sphinx, document: nodes.document) -> None:
    """Number a page's equations; called by Sphinx when it has read one.

    Sphinx itself counts through the book, in the order of its reading, and labelled equations alone. What an
    environment of AMS math sets is left to it.
    """
    docname, known = app.env.docname, app.env.get_domain("math").data["objects"]
    shown = [node for node in document.findall(nodes.math_block) if not node.get("nowrap")]
    for position, node in enumerate(shown, 1):
        node["number"] = by_chapter(docname, position)
        if node.get("label"):
            known[node["label"]] = docname, node["number"]  # what {eq} says


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", settle)
    app.connect("doctree-read", number)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
