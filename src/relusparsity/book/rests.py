"""What a chapter rests on: its notebook, the code that this reaches by imports, the lock, and the datasets it read.

Imports are followed as they are written, also inside functions and for types alone, and files count by their text: a
chapter may run again for a comment, but is never shown stale. Of a package whose ``__init__`` only hands names on, such
as `plots`, those count that are asked for. Which datasets a chapter reads is not written in it: `results.recorded_path`
says it while the chapter runs.
"""

import ast
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import Lock

from ..errors import UserError
from ..store.sealed import sha256

PACKAGE = __name__.partition(".")[0]
ALWAYS = ("book/build.py", "book/papermill_io.py")
"""Modules of the package that run every chapter."""
ALL = "*"

_PARSING = Lock()
"""Chapters begin in threads, and Python's parser fails at times ("AST constructor recursion depth mismatch") where two
threads use it at once: https://github.com/python/cpython/issues/106905."""

Asked = tuple[str, str]
"""A module, by its full name, and a name that is asked of it; `ALL`: the whole of it."""


def notebooks(root: Path, chapter: int | None = None) -> list[Path]:
    """The sources of the chapters in order, or of one by its number.

    Raises
    ------
    UserError
        If there is no such chapter.
    """
    there = {int(path.stem[:2]): path for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.py"))}
    if chapter is None:
        return list(there.values())
    if chapter not in there:
        raise UserError(f"there is no chapter {chapter}; choose one of {', '.join(map(str, there))}.")
    return [there[chapter]]


def imported(notebook: Path) -> set[str]:
    """Full names of what a notebook imports of the package: modules, and what it takes of them by name."""
    return {module if name == ALL else f"{module}.{name}" for _, (module, name) in _bound(notebook, "")}


def words(notebook: Path) -> set[str]:
    """The strings in a notebook's code: names of datasets among them."""
    return {n.value for n in ast.walk(_tree(notebook)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def scale(notebook: Path) -> str:
    """The shape that a notebook is run at unless another is given: `scale` among its parameters.

    Raises
    ------
    UserError
        If it has no such parameter.
    """
    for node in _tree(notebook).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["scale"]:
            return str(ast.literal_eval(node.value))
    raise UserError(f'{notebook.name} has no parameter scale; give it a cell tagged parameters with scale = "laptop".')


def stamp(code: str, notebook: Path, data: dict[str, str], read: set[str]) -> str:
    """What to keep of a chapter that ran: the digest `code`, and that of every dataset that it read or looked for.

    Both as they were before it ran: what changed meanwhile runs it again.
    """
    if "data_dir" in notebook.read_text():  # it looks around there itself
        read = read | set(data)
    kept = {name: data.get(name) for name in sorted(read)}
    return json.dumps({"code": code, "data": kept}, indent=0)


def unchanged(kept: Path, root: Path, notebook: Path, data: dict[str, str]) -> bool:
    """Whether a chapter would come out as it did when its stamp was written."""
    if not kept.is_file():
        return False
    text = kept.read_text()
    try:
        read = set(json.loads(text)["data"])
    except (ValueError, TypeError, KeyError):  # no stamp: then the chapter runs
        return False
    return text == stamp(code(root, notebook), notebook, data, read)


def datasets(root: Path) -> dict[str, str]:
    """Name → sha256 of the files in data/."""
    return {file.name: sha256(file) for file in sorted((root / "data").glob("*")) if file.is_file()}


def code(root: Path, notebook: Path) -> str:
    """Digest of a notebook, the lock, and the files of the package that the notebook reaches."""
    home = root / "src" / PACKAGE
    try:
        reached = _reached(home, notebook)
    except SyntaxError:  # Python says where, once the chapter runs
        reached = set(home.rglob("*.py"))
    files = [notebook, root / "requirements.txt", *sorted(reached)]
    said = [f"{file.relative_to(root)} {sha256(file)}" for file in files]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def reached(root: Path, sources: Iterable[Path]) -> dict[Path, set[Path]]:
    """For each of these files, tests say, the files of the package that it reaches by imports."""
    home, known = root / "src" / PACKAGE, dict[Asked, tuple[set[Path], list[Asked]]]()
    return {source: _reached(home, source, known, ()) for source in sources}


def _reached(
    home: Path,
    notebook: Path,
    known: dict[Asked, tuple[set[Path], list[Asked]]] | None = None,
    always: Sequence[str] = ALWAYS,
) -> set[Path]:
    """Files of the package in `home` that a notebook reaches, and what lies beside them that is no code.

    `known` keeps what was read, for the next file.
    """
    files = {each for name in always if (each := home / name).is_file()}
    known = {} if known is None else known
    done: set[Asked] = set()
    waiting = list(_imports(notebook, "", home))
    while waiting:
        asked = waiting.pop()
        if asked in done:
            continue
        done.add(asked)
        if asked not in known:
            known[asked] = _files_and_asked(home, *asked)
        files |= known[asked][0]
        waiting += known[asked][1]
    folders = {home, *(each.parent for each in files)}
    return files | {each for folder in folders for kind in ("*.json", "*.toml") for each in folder.glob(kind)}


def _files_and_asked(home: Path, module: str, name: str) -> tuple[set[Path], list[Asked]]:
    """The file of a module with the packages around it, and what follows from asking it for a name."""
    file = _file(home, module)
    if file is None:
        return set(), []
    parts = module.split(".")
    above = [_file(home, ".".join(parts[:count])) for count in range(1, len(parts))]
    return {file, *filter(None, above)}, list(_asked_of(home, module, file, name))


def _asked_of(home: Path, module: str, file: Path, name: str) -> Iterator[Asked]:
    """What follows from asking a module for a name."""
    if file.name != "__init__.py":
        if name == ALL:
            yield from _imports(file, module.rpartition(".")[0], home)
        else:
            yield module, ALL
        return
    if _file(home, f"{module}.{name}") is not None:
        yield f"{module}.{name}", ALL
        return
    handed = [source for bound, source in _bound(file, module) if bound == name]
    if handed:
        yield from handed
        return
    yield from _imports(file, module, home)
    if name not in _defined(file):  # all of it, or what a function `__getattr__` may find anywhere
        for inner in file.parent.rglob("*.py"):
            parts = inner.relative_to(home).with_suffix("").parts
            yield ".".join([PACKAGE, *(part for part in parts if part != "__init__")]), ALL


def _imports(file: Path, package: str, home: Path) -> Iterator[Asked]:
    """What a file asks of the package's modules; of packages, the names that it takes of them."""
    taken: dict[str, set[str]] = {}
    bare = Counter(node.id for node in ast.walk(_tree(file)) if isinstance(node, ast.Name))
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            taken.setdefault(node.value.id, set()).add(node.attr)
            bare[node.value.id] -= 1
    for local, (module, name) in _bound(file, package):
        inner = module if name == ALL else f"{module}.{name}"
        held = _file(home, inner)
        if held is None or held.name != "__init__.py":
            yield module, name
        else:
            whole = bare[local] > 0 or local not in taken  # handed on, or to whoever imports it from here
            for attribute in {ALL} if whole else taken[local]:
                yield inner, attribute


def _bound(file: Path, package: str) -> Iterator[tuple[str, Asked]]:
    """The names that a file's imports of this package bind, and what each stands for; two of a name are both told."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            if module.partition(".")[0] == PACKAGE:
                for each in node.names:
                    yield each.asname or each.name, (module, each.name)
        elif isinstance(node, ast.Import):
            for each in node.names:
                if each.name.partition(".")[0] == PACKAGE:
                    yield (each.asname or PACKAGE), (each.name if each.asname else PACKAGE, ALL)
                    if "." in each.name:
                        yield "", (each.name, ALL)


def _defined(file: Path) -> set[str]:
    """Names that a file defines or sets at its top."""
    body = _tree(file).body
    named = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    stored = [node for top in body if isinstance(top, ast.Assign | ast.AnnAssign) for node in ast.walk(top)]
    return named | {node.id for node in stored if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _tree(file: Path) -> ast.Module:
    return _parsed(file.read_text())


@cache
def _parsed(text: str) -> ast.Module:
    with _PARSING:
        return ast.parse(text)


def _file(home: Path, module: str) -> Path | None:
    """The file of a module of the package, if there is such a module."""
    place = home.joinpath(*module.split(".")[1:])
    for file in (place / "__init__.py", place.with_suffix(".py")):
        if module.partition(".")[0] == PACKAGE and file.is_file():
            return file
    return None
