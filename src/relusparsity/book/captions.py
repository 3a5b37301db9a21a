"""Tables of a chapter have a number, a title and a permanent name: the third of chapter 7 is Table 7.3.

Nothing is written for it. A table is what the last line of its cell gives: the name is that of the function called and
of what it is given. Its title is the first sentence of the function's docstring, or what the cell says: where it is
folded, what the fold says; else `table` in the cell's metadata, for a function that is shown of several models.
"""

import ast
import html
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from .equations import by_chapter

FOLD = "code_prompt_show"
"""What a cell's `mystnb` says of a fold that is closed."""


@dataclass(frozen=True)
class Caption:
    """What stands above a table."""

    name: str
    """Of the table, on its page: what links lead to, after ``table-``."""
    title: str
    """Plain text with *emphasis*, a sentence."""


def of(notebook: Path) -> list[Caption]:
    """The captions of a chapter's tables that pandas printed, in their order.

    A table that no function of an imported module made has its number for a name, and the title that its cell says, or
    none.

    Raises
    ------
    UserError
        If two tables have one name, or a function that makes one has a docstring that is no title.
    """
    cells = [cell for cell in json.loads(notebook.read_bytes())["cells"] if cell["cell_type"] == "code"]
    code = ["".join(cell["source"]) for cell in cells]
    known = dict(_imported(code))
    shown = [
        (cell["metadata"], _call(source, known))
        for cell, source in zip(cells, code, strict=True)
        for output in cell["outputs"]
        if 'class="dataframe"' in "".join(output.get("data", {}).get("text/html", ""))
    ]
    short = [_name(call, 1) if call else str(position) for position, (_, call) in enumerate(shown, 1)]
    several = {name for name, count in Counter(short).items() if count > 1}
    names = [_name(call, None) if name in several else name for (_, call), name in zip(shown, short, strict=True)]
    if same := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{notebook.stem} has two tables of one name, {', '.join(same)}: show each once.")
    return [
        Caption(name, _said(metadata) or (_title(known[_room(call)], call.func.attr) if call else ""))
        for (metadata, call), name in zip(shown, names, strict=True)
    ]


def above(caption: Caption, docname: str, position: int) -> str:
    """The HTML of a table's caption, with a link to itself."""
    title = re.sub(r"\*(.+?)\*", r"<em>\1</em>", html.escape(caption.title.rstrip(".")))
    where = f"table-{caption.name}"
    number = f'<a href="#{where}">Table {by_chapter(docname, position)}</a>'
    return f'<caption id="{where}">{number}{f" {title}." if title else ""}</caption>'


def _said(metadata: dict[str, Any]) -> str | None:
    """The title that a cell gives itself: `table`, or what its fold says."""
    return metadata.get("table") or metadata.get("mystnb", {}).get(FOLD)


def _imported(code: list[str]) -> Iterator[tuple[str, str]]:
    """Name in a notebook → module or function that it stands for."""
    for node in (node for cell in code for node in ast.walk(ast.parse(cell))):
        if isinstance(node, ast.ImportFrom):
            yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)


def _call(source: str, known: dict[str, str]) -> Any:
    """The call of an imported module's function that a cell ends with, if any; of what it displays, the last."""
    end: Any = ast.parse(source).body[-1]
    whole = end.value if isinstance(end, ast.Expr) else None
    if isinstance(whole, ast.Call) and getattr(whole.func, "id", "") == "display":
        end = whole.args[-1]
    for node in ast.walk(end):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _room(node) in known:
            return node
    return None


def _room(call: Any) -> str:
    return getattr(call.func.value, "id", "")


def _name(call: Any, first: int | None) -> str:
    """A function's name, or its module's where that says more, and the names that stand in its first arguments."""
    own = _room(call) if call.func.attr in ("table", "cost") else call.func.attr
    given = call.args[:first] + ([] if first else call.keywords)
    words = [own, *(word for each in given for word in _words(each))]
    return re.sub("[^a-z0-9]+", "-", " ".join(dict.fromkeys(words)).lower()).strip("-")


def _words(given: ast.expr) -> list[str]:
    """`wide` of ``wide``, `nearest` of ``recipes["nearest"]``, `LOWEST` of ``effects.LOWEST``, texts and numbers."""
    if isinstance(given, ast.Subscript):
        return _words(given.slice)
    if isinstance(given, ast.keyword):
        return [given.arg or "", *_words(given.value)]
    if isinstance(given, ast.List | ast.Tuple):
        return [word for each in given.elts for word in _words(each)]
    if isinstance(given, ast.Name | ast.Attribute | ast.Constant):
        said = getattr(given, "id", None) or getattr(given, "attr", None)
        return [str(getattr(given, "value", "") if said is None else said)]
    return []


@cache
def _title(module: str, function: str) -> str:
    """The first sentence of a function's docstring, read without running it."""
    spec = importlib.util.find_spec(module)
    assert spec and spec.origin, module
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            title = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
            if not title or "`" in title:
                raise UserError(f"{module}.{function} makes a table, and its docstring does not begin with a title.")
            return title
        if isinstance(node, ast.ImportFrom) and any(each.name == function for each in node.names):
            package = module if spec.submodule_search_locations else module.rpartition(".")[0]
            return _title(importlib.util.resolve_name("." * node.level + (node.module or ""), package), function)
    raise UserError(f"{module} has no function {function}.")
