"""A model without some of its heads, for as long as a `with` block lasts, and what heads put out on average."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError
from .followed import Followed
from .heads import to_itself
from .hooks import Hook
from .interface import OURS

OUTPUTS = ("o_proj", "out_proj", "c_proj", "dense")
"""What transformers calls the projection that reads the outputs of all heads, side by side."""


@contextlib.contextmanager
def without_heads(
    model: nn.Module, heads: Iterable[tuple[int, int]], instead: Sequence[Float[Tensor, "head width"]] | None = None
) -> Iterator[None]:
    """The model with the outputs of some heads replaced at every position, before the output projection reads them.

    Weights are not touched; queries that share keys and values with other heads (grouped queries) are heads of their
    own here.

    Parameters
    ----------
    heads
        (layer, head), numbered as `track_heads` does.
    instead : (head, width) of every layer
        What stands in the outputs' place, as `mean_outputs` gives it; None: zero.

    Raises
    ------
    UserError
        If there is no such head, or the model's output projections are not known.

    Examples
    --------
    >>> from relusparsity.config import ModelConfig
    >>> from relusparsity.models import Decoder
    >>> shape = ModelConfig(n_layers=1, d_model=8, n_heads=2, d_ff=16, seq_len=4, vocab_size=9, bias=False)
    >>> model = Decoder(shape)
    >>> with without_heads(model, [(0, 0), (0, 1)]):
    ...     out = model.blocks[0].attention(torch.ones(1, 4, 8))
    >>> bool((out == 0).all())
    True
    """
    layers = _projections(model)
    gone = [torch.zeros(number, dtype=torch.bool) for _, number in layers]
    for layer, head in heads:
        if not (0 <= layer < len(layers) and 0 <= head < len(gone[layer])):
            of = f" of {len(gone[layer])} heads" if 0 <= layer < len(layers) else ""
            raise UserError(
                f"there is no head {head} in layer {layer}{of}: expected pairs of layer and head, both from 0, of the "
                f"{len(layers)} layers that track_heads names."
            )
        gone[layer][head] = True
    with contextlib.ExitStack() as undo:
        for layer, (projection, number) in enumerate(layers):
            if gone[layer].any():
                filler = torch.zeros(number, 1) if instead is None else instead[layer]
                hook = Hook(partial(_replaced, gone[layer], filler))
                undo.callback(projection.register_forward_pre_hook(hook).remove)
        yield


@contextlib.contextmanager
def mean_outputs(model: nn.Module) -> Iterator[list[Float[Tensor, "head width"]]]:
    """Mean output of every head, layer by layer, over all positions that are read in the block; float64.

    It is known when the block ends. Padding is no different from tokens here: read text without any.

    Raises
    ------
    UserError
        If the model's output projections are not known, or a layer read nothing.
    """
    layers = _projections(model)
    seen: list[list[Tensor]] = [[] for _ in layers]
    means: list[Tensor] = []
    with contextlib.ExitStack() as undo:
        for layer, (projection, number) in enumerate(layers):
            hook = Hook(partial(_summed, seen[layer], number))
            undo.callback(projection.register_forward_pre_hook(hook).remove)
        yield means
    for layer, parts in enumerate(seen):
        if not parts:
            raise UserError(f"layer {layer} has read nothing: run the model inside the with block.")
        total, positions = parts
        means.append(total / positions)


def _projections(model: nn.Module) -> list[tuple[nn.Module, int]]:
    """The output projection of every layer's self-attention, and its heads."""
    found = []
    for name, attention in to_itself(Followed.module(model)):
        made = _projection(attention)
        if made is None:
            raise UserError(
                f"the output projection of {name} ({type(attention).__name__}) is not known, so its heads cannot be "
                f"taken away; expected one called {', '.join(OUTPUTS)} that reads whole heads."
            )
        found.append(made)
    if not found:
        raise UserError(f"{type(model).__name__} has no self-attention whose heads are known; see track_heads.")
    return found


def _projection(attention: Any) -> tuple[nn.Module, int] | None:
    if isinstance(attention, OURS):
        return attention.out, attention.n_heads
    out = next((getattr(attention, name) for name in OUTPUTS if hasattr(attention, name)), None)
    weight = getattr(out, "weight", None)
    width = getattr(attention, "head_dim", getattr(attention, "head_size", None))
    if not (isinstance(out, nn.Module) and isinstance(weight, Tensor) and isinstance(width, int)):
        return None
    read = weight.shape[0 if type(out).__name__ == "Conv1D" else 1]
    return None if read % width else (out, read // width)


def _replaced(gone: Tensor, instead: Tensor, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    outputs, *rest = args
    by_head = outputs.unflatten(-1, (len(gone), -1))
    filler = instead.to(outputs)
    return torch.where(gone.to(outputs.device)[:, None], filler, by_head).flatten(-2), *rest


def _summed(seen: list[Tensor], heads: int, _: nn.Module, args: tuple[Any, ...]) -> None:
    by_head = args[0].detach().unflatten(-1, (heads, -1)).double().flatten(0, -3)
    total, positions = by_head.sum(0), torch.tensor(len(by_head))
    seen[:] = [total + seen[0], positions + seen[1]] if seen else [total, positions]
