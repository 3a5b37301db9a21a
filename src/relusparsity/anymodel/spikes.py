"""`track_spikes`: massive activations in the residual stream of any model, found while it runs as it always does."""

import contextlib
import threading
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor, nn

from ..attention.massive import Open, StreamUse
from ..errors import UserError
from ..store import results
from .attach import NUMBER, find
from .calls import Told
from .followed import Followed
from .hooks import Hook
from .interface import attentions

DESCRIBED = {
    "spike": ("1", "largest entry of the residual stream after the layer, by size"),
    "spike_sequence": ("sequences", "sequence of that entry, from 0"),
    "spike_token": ("tokens", "token of that sequence, from 0"),
    "spike_dimension": ("1", "dimension of that entry"),
    "stream_median": ("1", "median size of all entries of the residual stream after the layer (to 0.4 %)"),
    "massive_dimensions": ("dimensions", "dimensions with an entry above 100 and above 1,000 times the median"),
    "stream_name": ("1", "module whose output the layer's residual stream was read from"),
}


def blocks(model: nn.Module) -> list[str]:
    """Names of the modules that a residual stream goes through: the innermost with a number, attention and MLP.

    Raises
    ------
    UserError
        If there is none.
    """
    try:
        mlps = [place.name for place in find(model)]
    except UserError:  # such as routed experts alone
        mlps = []
    found: dict[str, None] = {}
    for name in [name for name, _ in attentions(model)] or mlps:
        around = [name[: number.end()] for number in NUMBER.finditer(name)][::-1]
        both = [each for each in around if any(mlp.startswith(f"{each}.") for mlp in mlps)]
        found |= dict.fromkeys((both or around)[:1])
    if not found:
        raise UserError(
            f"{type(model).__name__} has no numbered blocks with attention or an MLP; its residual stream is not known."
        )
    return list(found)


class TrackedSpikes(Followed):
    """Sizes of the residual stream after each layer; filled while its `with` block runs, read at any time.

    Attributes
    ----------
    names : modules whose outputs are read, by layer.
    layers : what was seen, `StreamUse` each; None where a layer has not run.
    """

    def __init__(self, model: nn.Module) -> None:
        model = self.module(model)
        super().__init__(model, blocks(model))
        self.layers: list[StreamUse | None] = [None] * len(self.names)
        self._mine = threading.local()  # of each thread: the sequences open in each layer

    def begin(self, undo: contextlib.ExitStack) -> None:
        for layer, name in enumerate(self.names):
            hook = Hook(lambda _, __, out, layer=layer: self.see(partial(self._count, layer, out)))
            undo.callback(self.model.get_submodule(name).register_forward_hook(hook).remove)

    def _count(self, layer: int, out: Any, call: Told) -> None:
        stream = out[0] if isinstance(out, tuple | list) else out
        name = self.names[layer]
        if not isinstance(stream, Tensor) or stream.ndim != 3 or call.shape not in (None, tuple(stream.shape[:2])):
            shape = tuple(stream.shape) if isinstance(stream, Tensor) else type(stream).__name__
            raise UserError(f"{name} gives {shape}: expected a residual stream (sequence, position, dimension).")
        if self.layers[layer] is None:
            self.layers[layer] = StreamUse(stream.shape[2], stream.device)
        use = self.layers[layer]
        assert use is not None
        if use.width != stream.shape[2] or use.peak.device != stream.device:
            raise UserError(
                f"{name} had width {use.width} on {use.peak.device} before; match one layer, on one device."
            )
        opened: dict[int, Open] = self._mine.__dict__.setdefault("opened", {})
        use.open = opened.get(layer) if call.continues else None
        real = None if call.real is None else call.real.to(stream.device)
        use.update(stream, real, continues=use.open is not None)
        assert use.open is not None
        opened[layer] = use.open

    def uses(self) -> list[StreamUse]:
        """What was seen of every layer; see `Followed.seen`."""
        return self.seen(self.layers, lambda use: use.entries)

    def dataset(self) -> xr.Dataset:
        """The largest entry of every layer, and what it is compared with: (seed, layer), `seed` of length one."""
        uses = self.uses()
        spikes = [use.largest() for use in uses]
        columns = {
            "spike": [spike[0] for spike in spikes],
            "spike_sequence": [spike[1] for spike in spikes],
            "spike_token": [spike[2] for spike in spikes],
            "spike_dimension": [spike[3] for spike in spikes],
            "stream_median": [use.median() for use in uses],
            "massive_dimensions": [len(use.massive()) for use in uses],
        }
        values: dict[str, Any] = {name: (("seed", "layer"), np.array(of)[None]) for name, of in columns.items()}
        values["stream_name"] = ("layer",), self.names
        return results.described(values, DESCRIBED)


def track_spikes(model: nn.Module) -> TrackedSpikes:
    """Find massive activations: the largest entries of the residual stream after each block, by dimension.

    Parameters
    ----------
    model
        Any module with numbered blocks of attention and MLP. Where norms come after the sums, as in BERT, the stream
        is what these give.

    Returns
    -------
    TrackedSpikes
        To be used with ``with``. Padding does not count, and tokens are numbered from the first of their sequence;
        decoding with a cache continues its sequences.

    Raises
    ------
    UserError
        If no blocks are found.

    Examples
    --------
    >>> import torch
    >>> from relusparsity.config import ModelConfig
    >>> from relusparsity.models import Decoder
    >>> model = Decoder(ModelConfig(n_layers=1, d_model=8, n_heads=2, d_ff=16, seq_len=4, vocab_size=9))
    >>> with track_spikes(model) as spikes:
    ...     _ = model(torch.zeros(2, 4, dtype=torch.int64))
    >>> spikes.layers[0].entries, spikes.layers[0].massive()
    (64, [])
    """
    return TrackedSpikes(model)
