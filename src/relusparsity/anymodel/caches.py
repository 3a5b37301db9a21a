"""Key-value caches, of any kind that transformers has had: whether one is what a call left behind."""

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import UserError

NAME = "past_key_values"
"""Of the argument of a model, and of the part of its output, that is a cache."""


@dataclass
class Left:
    """What a module's last call left behind, for the next to go on from."""

    cache: "weakref.ref[Any] | None" = None
    """The cache that it was given or made; None if that is not known, as where it is tuples."""
    positions: int = 0
    """Positions in the cache after it."""
    keys: "weakref.ref[Tensor] | None" = None
    """The cache's first tensor after it, where it has one."""

    def close(self, output: Any) -> None:
        """Look at the cache, at the end of the call; one that the module made itself is in its output."""
        if self.cache is None:
            made = made_cache(output)
            self.cache = weak(made)
            if getattr(output, NAME, self) is None:
                self.positions = 0  # it left none
        keys = _keys(self.cache()) if self.cache is not None else None
        self.keys = None if keys is None else weakref.ref(keys)

    def is_in(self, cache: Any, cached: int) -> bool:
        """Whether a cache with so many positions is the one that the call left.

        Raises
        ------
        UserError
            If it is, but was changed since.
        """
        if self.cache is None or weak(cache) is None:
            return self.positions == cached
        if self.cache() is not core(cache):
            return False
        if self.keys is not None and self.keys() is not _keys(cache):
            raise UserError(
                "the cache was changed between two calls, as beam search and assisted decoding do: which tokens its "
                "sequences go on from is not known. Generate without beams and assistant, or let the model read the "
                "finished text in one call."
            )
        return True


def _keys(cache: Any) -> Tensor | None:
    """The keys of the first layer that has some; every change of the cache but the next tokens makes others of them."""
    layers = getattr(core(cache), "layers", ())
    found = (getattr(layer, "keys", None) for layer in layers)
    return next((keys for keys in found if isinstance(keys, Tensor)), None)


def core(cache: Any) -> Any:
    """The decoder's own cache, which models wrap together with that of its attention to an encoder."""
    return getattr(cache, "self_attention_cache", cache)


def made_cache(output: Any) -> Any:
    """The cache in what a module returned; None if there is none, or tuples."""
    if not isinstance(output, tuple):
        found = output.get(NAME) if isinstance(output, Mapping) else getattr(output, NAME, None)
        output = (found,)
    return next((each for each in output if hasattr(each, "get_seq_length")), None)


def weak(cache: Any) -> "weakref.ref[Any] | None":
    try:
        return None if cache is None else weakref.ref(core(cache))
    except TypeError:  # tuples, as caches once were, are made anew at each step
        return None


def cached_tokens(cache: Any) -> int:
    """Tokens in a key-value cache, of any kind that transformers has had."""
    if cache is None:
        return 0
    if hasattr(cache, "get_seq_length"):
        return int(cache.get_seq_length())
    return int(cache[0][0].shape[-2]) if len(cache) and cache[0] is not None else 0
