"""Digest of code as this process has loaded it: an edit of a file counts once it is imported, a comment never.

Functions count by their bytecode and constants, without docstrings and line numbers; classes by their members; other
globals of a module by their value where that is plain data. Python's version changes bytecode, so digests are for
what can be made again: names of kept files, not of recorded results.
"""

import dataclasses
import dis
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from .identity import digest, plain

PACKAGE = __name__.partition(".")[0]


def code(*modules: str) -> str:
    """Digest of what these modules of the package do, with all that they import of it, inside functions too.

    Parameters
    ----------
    modules
        Names within the package, such as ``"experiments.rotary"``, or whole ones, such as a module's `__name__`.
    """
    reached: set[str] = set()
    waiting = {f"{PACKAGE}.{name.removeprefix(f'{PACKAGE}.')}" for name in modules}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= _imports(importlib.import_module(name)) - reached
    return digest({name: _members(sys.modules[name], name) for name in sorted(reached)})


def _imports(module: types.ModuleType) -> set[str]:
    """The package's modules that a module uses: where its globals come from, and what its functions import."""
    named = vars(module)
    found = {getattr(value, "__module__", None) for value in named.values()}
    for function in _functions(named.values(), module.__name__):
        steps = list(dis.get_instructions(function))
        for at, step in enumerate(steps):
            if step.opname == "IMPORT_NAME":
                level, names = steps[at - 2].argval, steps[at - 1].argval or ()
                base = (
                    importlib.util.resolve_name("." * level + step.argval, module.__package__) if level else step.argval
                )
                found |= {base} | {f"{base}.{name}" for name in names}
            elif step.opname == "LOAD_GLOBAL" and isinstance(named.get(step.argval), types.ModuleType):
                # one that is only there may have been put there by another module's import
                found.add(named[step.argval].__name__)
    ours = {each for each in found if isinstance(each, str) and each.partition(".")[0] == PACKAGE}
    return {each for each in ours if each in sys.modules or _exists(each)}


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # a function, not a module
        return False


def _functions(values: Any, module: str) -> Iterator[types.FunctionType]:
    for value in values:
        for function in _inside(value):
            if isinstance(function, types.FunctionType) and function.__module__ == module:
                yield function
        if isinstance(value, type) and value.__module__ == module:
            yield from _functions(vars(value).values(), module)


def _inside(value: Any) -> tuple[Any, ...]:
    """The functions that a decorator keeps, or the value itself."""
    if isinstance(value, property):
        return value.fget, value.fset
    if isinstance(value, classmethod | staticmethod):
        return (inspect.unwrap(value.__func__),)
    if isinstance(value, cached_property):
        return (value.func,)
    return (inspect.unwrap(value),) if callable(value) else (value,)


def _members(owner: Any, module: str) -> dict[str, Any]:
    """What a module or class holds of its own, by name."""
    # a dataclass's fields are named by the values of its instances, so that a new one at its default changes nothing
    fields = {f.name for f in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else set()
    named = {name: value for name, value in vars(owner).items() if name not in fields}
    return {name: found for name, value in sorted(named.items()) if (found := _of(name, value, module)) is not None}


def _of(name: str, value: Any, module: str) -> Any:
    if isinstance(value, type):
        return _members(value, module) if value.__module__ == module else None
    functions = [f for f in _inside(value) if isinstance(f, types.FunctionType)]
    if functions:
        # what dataclass writes has no file; what is imported counts where it is defined
        return [_bytecode(f) for f in functions if f.__module__ == module and f.__code__.co_filename[:1] != "<"] or None
    return None if name.startswith("__") else plain(value)


def _bytecode(function: types.FunctionType) -> Any:
    defaults = [plain(value) for value in (function.__defaults__ or ())]
    keywords = {name: plain(value) for name, value in (function.__kwdefaults__ or {}).items()}
    return [_steps(function.__code__), defaults, keywords]


def _steps(given: types.CodeType) -> list[Any]:
    return [
        [step.opname, _steps(step.argval) if isinstance(step.argval, types.CodeType) else plain(step.argval)]
        for step in dis.get_instructions(given)
    ]
