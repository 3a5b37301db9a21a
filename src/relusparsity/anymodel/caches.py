"""Key-value caches, of any kind that transformers has had: whether one is what a call left behind."""

import weakref
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import UserError


@dataclass
class Left:
    """What a module's last call left behind, for the next to go on from."""

    cache: "weakref.ref[Any] | None" = None
    """The cache that it was given; None if it made one itself, or was given tuples."""
    positions: int = 0
    """Positions in the cache after it."""
    keys: "weakref.ref[Tensor] | None" = None
    """The cache's first tensor after it, where it has one."""

    def close(self) -> None:
        """Look at the cache, at the end of the call."""
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
        if self.cache() is not cache:
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
    layers = getattr(getattr(cache, "self_attention_cache", cache), "layers", ())
    found = (getattr(layer, "keys", None) for layer in layers)
    return next((keys for keys in found if isinstance(keys, Tensor)), None)


def weak(cache: Any) -> "weakref.ref[Any] | None":
    try:
        return None if cache is None else weakref.ref(cache)
    except TypeError:  # tuples, as caches once were, are made anew at each step
        return None


def cached_tokens(cache: Any) -> int:
    """Tokens in a key-value cache, of any kind that transformers has had."""
    if cache is None:
        return 0
    if hasattr(cache, "get_seq_length"):
        return int(cache.get_seq_length())
    return int(cache[0][0].shape[-2]) if len(cache) and cache[0] is not None else 0
