"""What leaves the site: notebooks that are downloaded, which first say how to run them, and ``llms.txt``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from ..errors import UserError
from ..version import __version__
from . import front
from .furniture import description, updated

WHEEL = f"relusparsity-{__version__}-py3-none-any.whl"
LLMS = "llms.txt"
BLOCKS = (("book/index.md", "findings"), ("README.md", "claims"))
"""Where `llms.txt` has its numbers from: files and their blocks, which are written from the data."""

FIRST_CELL = """\
**To run this notebook in an empty folder**, put it there with the wheel, which lies beside `index.html` in the book's
zip; `pip wheel --no-deps -w . COPY` makes it from a copy of the repository. Then, with Python 3.11 or newer:

```bash
python3 -m venv .venv
.venv/bin/pip install ./{wheel}
.venv/bin/papermill {name}.ipynb mine.ipynb -p scale smoke
```

That takes a few minutes on two cores, without a GPU, and writes `mine.ipynb`. Without `-p scale smoke` it trains the
larger model of its last section, in minutes. To work in it instead: `.venv/bin/pip install jupyterlab`, then
`.venv/bin/jupyter lab {name}.ipynb`. The recorded data come with the wheel. Where there is no NVIDIA GPU, PyTorch's own
page says how to install it for CPUs first, which saves 2.7 GB.
"""

USE = """\
```python
import relusparsity

with relusparsity.track(model) as use:  # any PyTorch model whose MLPs have an activation
    model(tokens)
print(use)  # layer by layer: how many units fire at a token, how many are silent
```

From a shell, with `transformers` installed:

```bash
python -m relusparsity measure facebook/opt-125m --text my.jsonl --tokens 1M
```

A unit *fires* at a token where its activation is above zero; it is *silent* on a text where it fires at none of its
tokens. Say with every number over how many tokens it was counted, of which layer, on which text and by which recipe."""


LLMS_TEXT = """\
# {title}

> A reproducible rebuild of Wild and Anderson, arXiv 2407.07848, checked claim by claim; version {version}, last updated
> {day}.

## What was found

{found}

## Verdicts on the paper's claims, by model and recipe

{verdicts}

## How the library is used

{use}

## Pages

{listed}
"""


def first_cell(name: str) -> dict[str, Any]:
    """The cell that a downloaded notebook begins with."""
    text = FIRST_CELL.format(wheel=WHEEL, name=name)
    return {"cell_type": "markdown", "id": "run-anywhere", "metadata": {}, "source": text.splitlines(keepends=True)}


def with_first_cell(notebook: Path) -> None:
    """Put the cell into a copy of a notebook, where it is not there yet."""
    kept = json.loads(notebook.read_text(encoding="utf-8"))
    cell = first_cell(notebook.stem)
    if kept["cells"][0].get("id") != cell["id"]:
        kept["cells"].insert(0, cell)
        notebook.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def llms(found: str, verdicts: str, pages: list[tuple[str, str, str]], title: str) -> str:
    """What the book found and how the library is used, for readers that are programs.

    Parameters
    ----------
    found, verdicts
        The blocks `findings` and `claims` of the front pages.
    pages
        Address, title and description of each page, in the book's order.
    """
    listed = "\n".join(f"- [{name}]({address}): {said}" for address, name, said in pages)
    return LLMS_TEXT.format(
        title=title, version=__version__, day=updated("index"), found=found, verdicts=verdicts, use=USE, listed=listed
    )


def titled(page: str, title: str) -> str:
    """A page's title with the number of its chapter, by which the others name it.

    Examples
    --------
    >>> titled("chapters/07_which_layer", "Which layer empties"), titled("ledger", "The ledger of claims")
    ('7 · Which layer empties', 'The ledger of claims')
    """
    chapter = re.match(r"chapters/(\d+)_", page)
    return f"{int(chapter[1])} · {title}" if chapter else title


def block(page: str, name: str) -> str:
    """A block that was written from the data, as it stands in a page's text."""
    for found in front.MARKED.finditer(page):
        if found[2] == name:
            return found[0].removeprefix(found[1]).removesuffix(found[3]).strip()
    raise UserError(f"the front page has no block {name!r}; `make record` fills the marks of one.")


def order(app: Sphinx) -> list[str]:
    """Pages as the table of contents has them."""
    root = app.config.root_doc
    listed = app.env.toctree_includes
    done: list[str] = []

    def visit(page: str) -> None:
        if page not in done:
            done.append(page)
            for below in listed.get(page, []):
                visit(below)

    visit(root)
    return done


def write(app: Sphinx, error: Exception | None) -> None:
    """Write both beside the pages; called by Sphinx when the build is done."""
    if error is not None or app.builder.format != "html":
        return
    for notebook in Path(app.outdir, "_sources").rglob("*.ipynb"):
        with_first_cell(notebook)
    base = app.config.html_baseurl
    pages = []
    for page in order(app):
        document = app.env.get_doctree(page)
        address = base + app.builder.get_target_uri(page)
        pages.append((address, titled(page, app.env.titles[page].astext()), description(document)))
    found, verdicts = (block(text_of(page, app), name) for page, name in BLOCKS)
    text = llms(found, verdicts, pages, app.env.titles[app.config.root_doc].astext())
    Path(app.outdir, LLMS).write_text(text, encoding="utf-8")


def text_of(name: str, app: Sphinx) -> str:
    """The text of a file of the repository that the book, or a copy of it further down, lies in."""
    for folder in Path(app.srcdir).parents:
        if (folder / name).is_file() and (folder / "pyproject.toml").is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise UserError(f"{app.srcdir} lies in no copy of the repository: there is no {name} above it.")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
