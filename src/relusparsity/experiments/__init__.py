"""What several chapters share: experiments, a module each, and sweeps, rows of `sweep_table`, found by name too."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def __getattr__(name: str) -> Any:
    if find_spec(f"{__name__}.{name}") is None:  # else a module is about to be imported
        for row in import_module(f"{__name__}.sweep_table").TABLE:
            if row.name == name:
                return row
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
