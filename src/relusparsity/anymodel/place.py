"""Where one layer's hidden units are in a model, and how they are seen or changed on their way."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import UserError
from .hooks import Hook


@dataclass(frozen=True)
class Place:
    """One layer of hidden units: a module whose output (or input) is (sequence, position, unit)."""

    name: str
    """Path of the module in the model."""
    module: nn.Module
    of: Literal["output", "input"]
    """Which side of the module is the hidden activation."""
    kind: Literal["relu", "smooth", "other"]
    """relu: zero for every negative input; smooth: an activation that is not; other: chosen, not an activation."""
    gated: bool
    """Whether act(gate) is multiplied by a second projection; an output is act(gate), an input act(gate) · up."""
    signed: bool = False
    """Whether a number below zero acts as one above does, as in what a layer reads: a unit fires where it is not 0."""
    uncounted: int = 0
    """First positions of each sequence that never count, such as the class token of this package's ViT."""

    def __str__(self) -> str:
        what = f"input of {type(self.module).__name__}" if self.of == "input" else type(self.module).__name__
        gate = (", act(gate)" if self.of == "output" else ", act(gate) · up") if self.gated else ""
        return f"{self.name} ({what}{gate})"


def occurrences(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Like `named_modules`, but a module without children comes once for every module that holds it."""
    seen: set[tuple[int, str]] = set()
    done = {id(model)}
    yield "", model
    rest = [(model, "", iter(model._modules.items()))]
    while rest:
        parent, prefix, children = rest[-1]
        name, child = next(children, (None, None))
        if name is None:
            rest.pop()
            continue
        if child is None or (id(parent), name) in seen:
            continue
        seen.add((id(parent), name))
        if id(child) in done and child._modules:
            continue
        done.add(id(child))
        yield prefix + name, child
        rest.append((child, f"{prefix}{name}.", iter(child._modules.items())))


def read(place: Place, see: Callable[[Any], None]) -> RemovableHandle:
    """Let a place's activations be seen on their way, until the handle is removed."""
    if place.of == "output":
        return place.module.register_forward_hook(Hook(lambda _, __, output: see(output)))
    name = _first(place)
    return place.module.register_forward_pre_hook(
        Hook(lambda _, args, kwargs: see(_given(place, name, args, kwargs))), with_kwargs=True
    )


def replace(place: Place, change: Callable[[Tensor], Tensor]) -> RemovableHandle:
    """Let a place's activations (…, unit) be changed on their way, until the handle is removed."""

    def changed(activation: Tensor) -> Tensor:
        if activation.is_nested:  # as PyTorch's encoder makes them of a padding mask; few operations know these
            parts = [change(part) for part in activation.unbind()]
            return torch.nested.as_nested_tensor(parts, layout=activation.layout)
        return change(activation)

    def with_first(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        value = changed(_given(place, name, args, kwargs))
        return ((value, *args[1:]), kwargs) if args else (args, kwargs | {name: value})

    if place.of == "output":
        return place.module.register_forward_hook(Hook(lambda _, __, output: changed(output)))
    name = _first(place)
    return place.module.register_forward_pre_hook(Hook(with_first), with_kwargs=True)


def _first(place: Place) -> str:
    """The name of a module's first input, if Python knows it."""
    try:
        return next(iter(inspect.signature(place.module.forward).parameters), "")
    except (TypeError, ValueError):
        return ""


def _given(place: Place, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args and name not in kwargs:
        raise UserError(f"{place.name} was called without its first input; choose another layer.")
    return args[0] if args else kwargs[name]
