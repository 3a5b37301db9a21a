"""Which dimension of an activation is which: PyTorch's own attention has positions first, unless told otherwise."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.hooks import RemovableHandle

from ..errors import UserError
from .attach import Place
from .calls import Call


class Layouts:
    """Puts the activations of a model's layers as (sequence, position, unit)."""

    def __init__(self, model: nn.Module, places: Sequence[Place]) -> None:
        self.places = places
        self.whole = [_whole_layer(model, place.name) for place in places]
        attentions = {name: each for name, each in model.named_modules() if isinstance(each, nn.MultiheadAttention)}
        self.beside = [
            None if whole is not None else _attention_beside(attentions, place.name, len(places) == 1)
            for whole, place in zip(self.whole, places, strict=True)
        ]
        # whether positions come first; None: not known yet
        self.swapped = [None if layer is None else not layer.self_attn.batch_first for layer in self.whole]
        self.read: dict[nn.Module, Any] = {}  # sequences and positions of what an attention read last

    def follow(self) -> list[RemovableHandle]:
        """Hook the attention beside layers that might get either layout."""

        def look(attention: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            query = args[0] if args else kwargs.get("query")
            self.read[attention] = tuple(query.shape[1::-1]) if isinstance(query, Tensor) and query.ndim == 3 else None

        return [
            attention.register_forward_pre_hook(look, with_kwargs=True)
            for attention in {each for each in self.beside if each is not None}
        ]

    def arranged(self, layer: int, activation: Any, call: Call) -> tuple[Any, Call]:
        """An activation with its sequences first, and the call that it belongs to.

        Raises
        ------
        UserError
            If it is not known which dimension comes first.
        """
        if not isinstance(activation, Tensor):
            return activation, call
        if activation.is_nested:  # what PyTorch's encoder makes of a padding mask: sequences without their padding
            parts = list(activation.unbind())
            lengths = torch.tensor([len(part) for part in parts], device="cpu")
            padded = pad_sequence(parts, batch_first=True)
            real = (torch.arange(padded.shape[1], device="cpu") < lengths[:, None]).to(padded.device)
            return padded, Call((len(parts), padded.shape[1]), real, lengths)
        if activation.ndim == 2 and self.whole[layer] is not None:
            return activation[None], call  # such a layer takes one sequence without its dimension, too
        if activation.ndim != 3:
            return activation, call
        swapped = self.swapped[layer]
        if swapped is None:
            swapped = self._find_out(layer, activation.shape[:2], call)
        return activation.transpose(0, 1) if swapped else activation, call

    def _find_out(self, layer: int, shape: tuple[int, ...], call: Call) -> bool:
        """By the sequences and positions that the call, or the attention beside the layer, is known to read."""
        attention = self.beside[layer]
        first, second = shape
        told = call.shape if call.shape is not None or attention is None else self.read.get(attention)
        if first != second and told in ((first, second), (second, first)):
            self.swapped[layer] = told != (first, second)
            return told != (first, second)
        if attention is not None and shape != (1, 1):
            raise UserError(
                f"{self.places[layer].name} gives {first} × {second} positions, and which are the sequences is not "
                "known: the attention beside it has positions first (batch_first=False), and this call does not tell "
                "them apart; begin with a call of one sequence and several positions."
            )
        return False


def _ancestors(name: str) -> list[str]:
    """Paths of the modules around a module, the innermost first, the model (an empty path) last."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(len(parts) - 1, -1, -1)]


def _whole_layer(model: nn.Module, name: str) -> Any:
    """The layer of PyTorch's own encoder or decoder that a module is part of."""
    around = (model.get_submodule(path) for path in _ancestors(name))
    kinds = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    return next((module for module in around if isinstance(module, kinds)), None)


def _attention_beside(attentions: Mapping[str, Any], name: str, alone: bool) -> Any:
    """The attention in the same block as a module, if it has positions first; `alone`: the model is one block."""
    for path in _ancestors(name) if attentions else ():
        inside = f"{path}." if path else ""
        attention = next((each for other, each in attentions.items() if other.startswith(inside)), None)
        if attention is not None:
            # a stack of blocks that has some attention apart from them is no block
            block = alone or path.rpartition(".")[2].isdecimal()
            return attention if block and not attention.batch_first else None
    return None
