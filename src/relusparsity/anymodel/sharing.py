"""One module object in several places of a model: which layer it runs for, told by the module that calls it."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

from torch import nn
from torch.utils.hooks import RemovableHandle

from ..errors import UserError
from .calls import Calls
from .hooks import Hook
from .place import Place


class Callers:
    """Tells the runs of one object apart by the module that calls it, and by their order within a Sequential."""

    def __init__(self, model: nn.Module, places: list[Place], calls: Calls) -> None:
        self.model, self.places, self.calls = model, places, calls
        self.names: dict[nn.Module, dict[str, list[int]]] = {}  # of each object: its callers, and their layers in order
        for layer, place in enumerate(places):
            name = place.name.rpartition(".")[0]
            while name and isinstance(model.get_submodule(name), nn.ModuleList | nn.ModuleDict):
                name = name.rpartition(".")[0]  # these are never called
            self.names.setdefault(place.module, {}).setdefault(name, []).append(layer)
        for callers in self.names.values():
            for name, layers in callers.items():
                inner = [each for other in callers if f"{other}.".startswith(f"{name}.") for each in callers[other]]
                in_order = len(inner) == len(layers) and isinstance(model.get_submodule(name), nn.Sequential)
                if len(inner) > 1 and not in_order:
                    self._refuse(inner, "are one object")

    def first(self) -> Iterator[tuple[int, Place]]:
        """The first place of every object, with its layer."""
        for callers in self.names.values():
            layer = next(iter(callers.values()))[0]
            yield layer, self.places[layer]

    def attach(self) -> list[RemovableHandle]:
        """Hook the callers of objects without weights, or with several places: alone they do not say whose units."""
        handles = []
        for module, callers in self.names.items():
            if len(callers) > 1 or next(module.parameters(), None) is None:
                for name, layers in callers.items():
                    caller = self.model.get_submodule(name)
                    handles.append(caller.register_forward_pre_hook(Hook(partial(self._begin, module, layers))))
        return handles

    def _begin(self, module: nn.Module, layers: list[int], *_: Any) -> None:
        self.calls.mine.inside[module] = layers, 0

    def layer(self, first: int) -> int:
        """The layer that an object runs for now, which is first found in another.

        Raises
        ------
        UserError
            If its caller runs it more often than it has places there.
        """
        module, inside = self.places[first].module, self.calls.mine.inside
        layers, done = inside.get(module, (None, 0))
        if layers is None:  # it has weights, or its caller's method forward was called and not the caller
            return first if len(self.names[module]) == 1 else self._refuse([first], "is shared by several layers")
        if done == len(layers):
            self._refuse(layers, "runs several times in one call of the module around it")
        inside[module] = layers, done + 1
        return layers[done]

    def _refuse(self, layers: list[int], why: str) -> NoReturn:
        names = " and ".join(self.places[layer].name for layer in layers)
        raise UserError(
            f"{names} {why}: whose units they are cannot be told; choose the layers that read them, with of='input'."
        )
