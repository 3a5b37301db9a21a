"""Which tokens a model is reading: taken from the arguments of its own forward calls, not from the user."""

import inspect
import sys
import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import UserError

INPUTS = ("input_ids", "inputs_embeds")
MASK = "attention_mask"
PADDING = ("src_key_padding_mask", "tgt_key_padding_mask")  # of PyTorch's own encoder and decoder: set at padding
CACHE = "past_key_values"


@dataclass(frozen=True)
class Call:
    """One forward call of a stack of layers."""

    shape: tuple[int, int] | None = None
    """Sequences and positions that it reads, if its arguments tell."""
    real: Tensor | None = None
    """(sequence, position): which of them are not padding; None: all."""
    lengths: Tensor | None = None
    """(sequence), on the host: sums of `real`."""
    continues: bool = False
    """Whether a cache holds the sequences' earlier tokens."""

    @cached_property
    def rows(self) -> Tensor:
        """(token): where the real ones are among all positions; looked up once for all layers."""
        assert self.real is not None
        return self.real.flatten().nonzero()[:, 0]

    @cached_property
    def starts(self) -> Tensor:
        """(sequence + 1): the first real token of each sequence, and how many there are in all."""
        assert self.real is not None
        return nn.functional.pad(self.real.sum(1).cumsum(0), (1, 0))


@dataclass(frozen=True)
class Left:
    """What a module's last call left behind, for the next to go on from."""

    cache: "weakref.ref[Any] | None" = None
    """The cache that it was given; None if it made one itself, or was given tuples."""
    positions: int = 0
    """Positions in the cache after it."""

    def is_in(self, cache: Any, cached: int) -> bool:
        """Whether a cache with so many positions is the one that the call left."""
        if self.cache is not None and _weak(cache) is not None:
            return self.cache() is cache
        return self.positions == cached


def _weak(cache: Any) -> "weakref.ref[Any] | None":
    try:
        return None if cache is None else weakref.ref(cache)
    except TypeError:  # tuples, as caches once were, are made anew at each step
        return None


class Calls:
    """Follows the calls of the modules that take tokens (the model, its encoder, its decoder), innermost last."""

    def __init__(self) -> None:
        self.open: list[Call] = []
        self.seen = False  # whether a layer has run in the outermost call
        self.cut = False  # whether such a call ended with an error
        self.left: dict[nn.Module, Left] = {}  # what each module's last call left behind
        self.padding: dict[nn.Module, str] = {}  # the argument that says what is padding, where it is one of `PADDING`

    def follow(self, model: nn.Module, layers: list[str]) -> list[RemovableHandle]:
        """Hook the model and every module around the layers that takes tokens."""
        around = {name[:at] for name in layers for at, letter in enumerate(name) if letter == "."}
        handles = []
        for name, module in model.named_modules():
            # few modules are asked for their parameters, which takes longer than all the rest
            taken = _parameters(module) if name == "" or name in around else []
            padding = [part for part in PADDING if part in taken]
            if len(padding) == 1:  # one of an encoder and a decoder in one speaks for neither
                self.padding[module] = padding[0]
            if name == "" or padding or any(part in taken for part in INPUTS):
                handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave, always_call=True))
        return handles

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        outer = self.open[-1] if self.open else None
        self.seen &= outer is not None
        self.open.append(Call())  # whatever happens now, leaving removes one
        given = _bound(module, args, kwargs)
        if isinstance(padding := given.get(self.padding.get(module, "")), Tensor) and given.get(MASK) is None:
            given[MASK] = _is_token(padding)
        cache = given.get(CACHE)
        cached = _cached(cache)
        call = _call(given, outer, cached > 0 and self.left.get(module, Left()).is_in(cache, cached))
        self.open[-1] = call
        if call.shape is not None:
            self.left[module] = Left(_weak(cache), cached + call.shape[1])

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self.open:
            self.open.pop()
        # torch calls this inside its except clause, with no output, if the call has failed
        self.cut |= not self.open and self.seen and output is None and sys.exc_info()[0] is not None


def _parameters(module: nn.Module) -> list[str]:
    try:
        return list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        return []


def _bound(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name."""
    return dict(zip(_parameters(module), args, strict=False)) | kwargs


def _is_token(padding: Tensor) -> Tensor:
    """(sequence, position) from a mask of padding: true, or minus infinity, at padding."""
    real = ~padding if padding.dtype == torch.bool else padding != -torch.inf
    return real if real.ndim == 2 else real[None]


def _call(given: dict[str, Any], outer: Call | None, continues: bool) -> Call:
    tokens = next((given[name] for name in INPUTS if isinstance(given.get(name), Tensor)), None)
    mask = given.get(MASK)
    flat = isinstance(mask, Tensor) and mask.ndim == 2
    if mask is not None and not flat and outer is None:
        what = f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else f"type {type(mask).__name__}"
        raise UserError(
            f"an attention_mask of {what} does not tell padding from tokens; expected (sequence, position), or none "
            "(generate makes such masks for a static cache: leave it its default one)."
        )
    if tokens is None and not flat:
        return outer or Call()
    assert not flat or isinstance(mask, Tensor)
    shape: tuple[int, int] | None = None
    if tokens is not None:
        # input_ids (…, position) of one sequence may lack their first dimension
        positions = tokens.shape[-1] if "input_ids" in given and tokens is given["input_ids"] else tokens.shape[-2]
        shape = (tokens.numel() // positions if tokens.ndim < 3 else len(tokens), positions)
    elif flat:
        shape = (mask.shape[0], mask.shape[1])  # type: ignore[union-attr]
    if not flat or shape is None:
        return Call(shape, continues=continues)
    real = mask[:, -shape[1] :] != 0  # type: ignore[index]
    lengths = real.sum(1).cpu()
    if bool((lengths == shape[1]).all()):
        return Call(shape, continues=continues)
    return Call(shape, real, lengths, continues)


def _cached(cache: Any) -> int:
    """Tokens in a key-value cache, of any kind that transformers has had."""
    if cache is None:
        return 0
    if hasattr(cache, "get_seq_length"):
        return int(torch.as_tensor(cache.get_seq_length()))
    return int(cache[0][0].shape[-2]) if len(cache) and cache[0] is not None else 0
