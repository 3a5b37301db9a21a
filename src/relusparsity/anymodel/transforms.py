"""Tensors inside torch.func's transformations (vmap, grad), as they would be in a plain call."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from ..errors import UserError

_func = torch._C._functorch


def active() -> bool:
    """Whether a transformation is at work."""
    return _func.peek_interpreter_stack() is not None


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Outside of all transformations, where plain tensors can be counted."""
    with temporarily_clear_interpreter_stack():
        yield


def plain(given: Any, model: nn.Module, dims: int) -> Any:
    """A tensor without its wrappers; what vmap runs together comes first, as further sequences.

    Parameters
    ----------
    dims
        How many dimensions it has in a plain call, where vmap may have taken some away.

    Raises
    ------
    UserError
        If vmap runs over the model's weights.
    """
    if not isinstance(given, Tensor) or not _func.is_functorch_wrapped_tensor(given):
        return given
    value, order = _unwrapped(given)
    several = [at for at, dim in enumerate(order) if dim < 0]
    if not several:
        return value
    for name, parameter in model.named_parameters():
        if -1 in _unwrapped(parameter)[1]:
            raise UserError(
                f"vmap runs over the weights ({name}), which is several models at once: their units cannot be "
                "counted together; track one after the other."
            )
    value = value.permute(several + [order.index(dim) for dim in range(given.ndim)])
    return value.flatten(0, max(0, value.ndim - max(dims, given.ndim)))


def _unwrapped(tensor: Tensor) -> tuple[Tensor, list[int]]:
    """What is inside of all wrappers, and which of the tensor's dimensions each of its own is (-1: one of vmap)."""
    order = list(range(tensor.ndim))
    while _func.is_functorch_wrapped_tensor(tensor):
        if _func.is_batchedtensor(tensor):
            order.insert(_func.maybe_get_bdim(tensor), -1)
        tensor = _func.get_unwrapped(tensor)
    return tensor, order
