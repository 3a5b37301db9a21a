"""The embedded default: docstrings of the installed packages, read without importing them.

Real, natural technical text that is on every machine that can run this library, so nothing is downloaded.
"""

import ast
import gc
import hashlib
import importlib.util
import os
import posixpath
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from ..errors import UserError
from .document import Document

PACKAGES = (
    "IPython",
    "matplotlib",
    "networkx",
    "numpy",
    "pandas",
    "sphinx",
    "sqlalchemy",
    "sympy",
    "torch",
    "xarray",
)
SHORTEST = 100
"""Characters; below are labels ("Return the name.") rather than text: a third of the texts, 4 % of the bytes."""


def sources() -> list[tuple[str, str, Path]]:
    """Package, path inside it and file of every module, in an order that no file system decides.

    Tests are left out: a third of the source, hardly any docstrings.

    Raises
    ------
    UserError
        For a package that is not installed.
    """
    found = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise UserError(
                f"the docs corpus reads the docstrings of {package}, which is not installed; "
                "run `pip install -r requirements.txt`."
            )
        root = Path(spec.origin).parent
        for folder, folders, files in os.walk(root):  # in half the time that pathlib takes
            folders[:] = [name for name in folders if not name.startswith("test")]
            inside = Path(folder).relative_to(root).as_posix()
            modules = [name for name in files if name.endswith(".py") and not name.startswith("test")]
            found += [(package, posixpath.normpath(f"{inside}/{name}"), Path(folder, name)) for name in modules]
    return sorted(found)


def fingerprint() -> str:
    """sha256 over the names and the source of all modules."""
    whole = hashlib.sha256()
    for package, inside, file in sources():
        whole.update(f"{package}/{inside}\n".encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def documents(modules: Iterable[tuple[str, str, Path]] | None = None) -> Iterator[Document]:
    """Every distinct docstring, in the order of its hash, so that neighbours are no relatives.

    A text found twice belongs to the first package, in the order of `modules`, that has it; they are those of
    `sources` if not given.
    """
    modules = sources() if modules is None else modules
    domains: dict[str, str] = {}
    collecting = gc.isenabled()
    gc.disable()  # syntax trees hold no cycles; walking them for garbage costs a third of the time
    try:
        for package, _, file in tqdm(modules, desc="reading docstrings", unit="file", disable=None):
            for text in docstrings(file.read_bytes()):
                domains.setdefault(text, package)
    finally:
        if collecting:
            gc.enable()
    for text in sorted(domains, key=lambda text: hashlib.sha256(text.encode()).digest()[16:]):
        yield Document(text, domains[text])


def docstrings(source: bytes) -> Iterator[str]:
    """The docstrings of a module and of everything defined in it, of `SHORTEST` characters or more."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            module = ast.parse(source)
    except (SyntaxError, ValueError):  # written for another Python: not ours to mend
        return
    yield from (text for text in _below(module) if len(text) >= SHORTEST)


def _below(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text and _encodes(text):
            yield text
    for name in ("body", "orelse", "handlers", "finalbody"):  # statements only: expressions define nothing
        children = getattr(node, name, None)
        if isinstance(children, list):
            for child in children:
                yield from _below(child)


def _encodes(text: str) -> bool:
    """Whether a text is Unicode: a docstring may show a lone surrogate, which UTF-8 has no bytes for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
