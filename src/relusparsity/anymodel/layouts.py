"""Which dimension of an activation is the sequences: some encoders have positions first."""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import UserError
from .calls import Calls
from .hooks import Hook
from .place import Place


class Layouts:
    """Told by the shape of the call, by PyTorch's own layers, or by attention beside a layer that has them first."""

    def __init__(self, model: nn.Module, places: list[Place], calls: Calls) -> None:
        self.places, self.calls = places, calls
        self.turned: dict[int, bool] = {}  # layers of which it is known whether positions come first
        self.beside: dict[int, nn.MultiheadAttention] = {}  # attention with positions first, in the block of a layer
        self.lone: set[int] = set()  # PyTorch's own layers: one sequence may come without its dimension
        self.square: set[int] = set()  # layers that were counted in calls of as many sequences as positions
        for layer, place in enumerate(places):
            path = place.name.split(".")
            for at in range(len(path) - 1, -1, -1):
                block = model.get_submodule(".".join(path[:at]))
                attention = [part for part in block.children() if isinstance(part, nn.MultiheadAttention)]
                if attention and isinstance(block, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
                    self.turned[layer] = not attention[0].batch_first
                    self.lone.add(layer)
                elif attention and not attention[0].batch_first:
                    self.beside[layer] = attention[0]
                if attention:
                    break

    def attach(self) -> list[RemovableHandle]:
        """Hook the attentions that are asked."""
        return [
            attention.register_forward_pre_hook(Hook(partial(self._ask, layer)), with_kwargs=True)
            for layer, attention in self.beside.items()
        ]

    def _ask(self, layer: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        query = args[0] if args else kwargs.get("query")
        if isinstance(query, Tensor):
            self.calls.mine.queries[layer] = query.shape[0], query.shape[1]

    def positions_first(self, layer: int, shape: tuple[int, int], wanted: tuple[int, int] | None) -> bool:
        """Whether an activation that begins with these two dimensions has the positions first.

        Parameters
        ----------
        wanted
            Sequences and positions of the call, where they are known.

        Raises
        ------
        UserError
            If it cannot be told, or earlier calls were counted the other way.
        """
        turned = None
        query = self.calls.mine.queries.get(layer) if layer in self.beside else None
        if shape[0] != shape[1]:
            if wanted is not None:
                turned = {shape: False, shape[::-1]: True}.get(wanted)
            elif query is not None:
                turned = {shape: True, shape[::-1]: False}.get(query)
        known = self.turned.get(layer) if turned is None else turned
        if known is None:
            if layer in self.beside and shape[0] == shape[1]:
                raise UserError(f"{self._says(layer, shape)}; call the model with another number of sequences first.")
            if shape[0] == shape[1]:
                self.square.add(layer)
            return False
        if known and layer in self.square:
            raise UserError(
                f"{self._says(layer, (0, 0))} in the calls with as many of the one as of the other, which were counted "
                "the wrong way; track again, and begin with another number of sequences."
            )
        if turned is not None:
            self.turned[layer] = turned
        return known

    def _says(self, layer: int, shape: tuple[int, int]) -> str:
        of = f" of {shape[0]} × {shape[1]} tokens" if shape[0] else ""
        return f"{self.places[layer].name} does not say whether its activations{of} have sequences or positions first"
