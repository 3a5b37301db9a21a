"""Digest of code as this process has loaded it: an edit of a file counts once it is imported, a comment never.

Functions count by their bytecode and constants, without docstrings and line numbers, with their defaults, what they
close over and what is wrapped around them; classes by their bases and members; other globals by their value, as far as
it is data. Lower-case containers, and those that a function closes over, are state, not code: what a process has kept
in them so far is left out. Python's version changes bytecode, so digests are for what can be made again: names of kept
files, not of recorded results.
"""

import dataclasses
import dis
import functools
import hashlib
import importlib
import importlib.util
import re
import sys
import types
from pathlib import PurePath
from typing import Any

import numpy as np

from ..identity import digest, is_default

PACKAGE = __name__.partition(".")[0]
NAMED_BY_VALUE = (f"{PACKAGE}.config", f"{PACKAGE}.control_config", f"{PACKAGE}.intervention_config")
"""Where dataclasses are whose fields are part of a run's name: a new one at its default changes nothing."""
TABLES = tuple(f"{PACKAGE}.{name}" for name in ("recipes", "shapes", "store.renamed"))
"""Where tables are whose rows become a run's fields, which name it: a row more, or its prose, changes nothing else."""
_PLAIN = (str, int, float, complex, bytes, range, slice, np.generic)
TRANSPARENT = ("contextlib", "functools", "operator")
"""Modules whose instances, in what a decorator leaves behind, are read like our own."""


def code(*modules: str) -> str:
    """Digest of what these modules of the package do, with all that they import of it, inside functions too.

    Parameters
    ----------
    modules
        Names within the package, such as ``"experiments.rotary"``, or whole ones, such as a module's `__name__`.
    """
    said: dict[str, Any] = {}
    waiting = {f"{PACKAGE}.{name.removeprefix(f'{PACKAGE}.')}" for name in modules}
    while waiting:
        name = waiting.pop()
        reader = _Reader(importlib.import_module(name))
        said[name] = reader.members(reader.module)
        waiting |= reader.imports() - set(said)
    return digest(dict(sorted(said.items())))


class _Reader:
    """Reads one module."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module, self.home = module, module.__name__
        self.codes: list[list[dis.Instruction]] = []  # of all its functions, and of those inside them
        self.inside: set[int] = set()  # what is being read, for what holds itself
        of_tables = [value for name in TABLES for value in vars(importlib.import_module(name)).values()]
        self.tables = {id(value) for value in of_tables if isinstance(value, dict)}  # whoever imported them

    def imports(self) -> set[str]:
        """The package's modules that this one uses: where its globals come from, and what its functions import."""
        named = vars(self.module)
        found = {getattr(value, "__module__", None) for value in named.values()}
        for steps in self.codes:
            for at, step in enumerate(steps):
                if step.opname == "IMPORT_NAME":
                    level, names, base = steps[at - 2].argval, steps[at - 1].argval or (), step.argval
                    if level:
                        base = importlib.util.resolve_name("." * level + base, self.module.__package__)
                    found |= {base} | {f"{base}.{name}" for name in names}
                elif isinstance(step.argval, str) and isinstance(held := named.get(step.argval), types.ModuleType):
                    # one that is only there may have been put there by another module's import
                    found.add(held.__name__)
        ours = {each for each in found if isinstance(each, str) and each.partition(".")[0] == PACKAGE}
        return {each for each in ours if each in sys.modules or _exists(each)}

    def members(self, owner: Any) -> dict[str, Any]:
        """What a module or class holds of its own, by name."""
        named = vars(owner)
        if dataclasses.is_dataclass(owner):
            fields = {field.name for field in dataclasses.fields(owner)}
            if owner.__module__ in NAMED_BY_VALUE:
                named = {name: value for name, value in named.items() if name not in fields}
        return {name: self.said(value) for name, value in sorted(named.items()) if self._counts(name, value)}

    def _counts(self, name: str, value: Any) -> bool:
        if isinstance(value, types.ModuleType):
            return not value.__name__.startswith(f"{self.home}.")  # a submodule is there once anybody imported it
        if name.startswith("__"):
            # what a class defines itself; what dataclass writes has no file
            given = getattr(value, "__code__", None)
            return given is not None and not given.co_filename.startswith("<")
        return not (isinstance(value, dict | list | set) and (name != name.upper() or id(value) in self.tables))

    def said(self, value: Any) -> Any:
        """A value in a form that is the same in every process."""
        if value is None or value is ... or isinstance(value, _PLAIN):
            return [type(value).__name__, repr(value)]
        if isinstance(value, PurePath):
            return ["path", value.name]  # where a file lies is no result
        if isinstance(value, re.Pattern):
            return [str(value.pattern), value.flags]  # one may be of bytes
        if isinstance(value, types.CodeType):
            return self._steps(value)
        if id(value) in self.inside:
            return "itself"
        self.inside.add(id(value))
        try:
            return self._parts(value)
        finally:
            self.inside.discard(id(value))

    def _parts(self, value: Any) -> Any:
        if isinstance(value, set | frozenset):
            return sorted((self.said(each) for each in value), key=repr)
        if isinstance(value, tuple | list):
            return [self.said(each) for each in value]
        if isinstance(value, dict | types.MappingProxyType):
            return [[self.said(key), self.said(each)] for key, each in value.items()]
        if isinstance(value, np.ndarray):
            return [str(value.dtype), value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
        if isinstance(value, functools.partial):
            return ["partial", self.said(value.func), self.said(value.args), self.said(value.keywords)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            own = value.__module__ == self.home
            return [_named(value), [_named(base) for base in value.__bases__], self.members(value) if own else None]
        for part in ("__func__", "func", "fget", "__wrapped__"):  # methods, what is cached or a property
            if getattr(type(value), part, None) is not None or part in getattr(value, "__dict__", {}):
                rest = [getattr(value, other, None) for other in ("fset", "args", "kwds")]
                return [_named(type(value)), self.said(getattr(value, part)), self.said(rest)]
        if dataclasses.is_dataclass(value):
            held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            unlike = {f.name: held[f.name] for f in dataclasses.fields(value) if not is_default(f, held[f.name])}
            return [_named(type(value)), self.said(unlike)]
        if type(value).__module__.partition(".")[0] in (PACKAGE, *TRANSPARENT):
            return [_named(type(value)), self.said(getattr(value, "__dict__", None))]
        return _named(value) if hasattr(value, "__qualname__") else _named(type(value))

    def _function(self, function: types.FunctionType) -> Any:
        if function.__module__ != self.home and "<locals>" not in function.__qualname__:
            return _named(function)  # it counts where it is defined
        closed = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        closed = [value for value in closed if not isinstance(value, dict | list | set)]
        return [
            self._steps(function.__code__),
            self.said(function.__defaults__),
            self.said(function.__kwdefaults__),
            self.said(closed),
        ]

    def _steps(self, given: types.CodeType) -> list[Any]:
        steps = list(dis.get_instructions(given))
        self.codes.append(steps)
        return [[step.opname, self.said(step.argval)] for step in steps]


def _named(value: Any) -> str:
    return f"{getattr(value, '__module__', None)}.{value.__qualname__}"


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # of a name that is not set yet
        return False


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):  # a function, not a module
        return False
