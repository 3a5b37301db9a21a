"""Hooks that stay with the model that they were put on."""

from collections.abc import Callable
from typing import Any


def nothing(*_: Any, **__: Any) -> None:
    """What a copied hook does."""


def _nothing() -> Callable[..., None]:
    return nothing


class Hook:
    """A function to be hooked on a module; in a copy of the module, or in one that was pickled, it does nothing.

    So a model can be copied or saved whole while it is watched, as averages of weights are begun, and what its copy
    reads is not counted.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self.call(*given, **named)

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return nothing

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return _nothing, ()
