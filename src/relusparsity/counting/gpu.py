"""The counts of `LayerUse` on an NVIDIA GPU: one read of the activations, two launches a call, no waiting for them.

`LayerUse.update` is the definition, and the tensors that are filled here are its own. The first kernel reads the
activations and leaves one bit for each: 32 tokens of the stream are a word, one a unit. The second, which reads a
sixteenth as much, makes words of words (bit i: whether the i-th fired at all), of 1,024, 32,768 and 2**20 tokens. The
windows of five sizes are unions of neighbouring bits within a word.

A small model's forward pass is short, and the processor may be behind the GPU: what is done here for each layer is
Python numbers and two launches, and what all layers of a forward pass have in common is computed once, by `Call`.
"""

import contextlib
from typing import Any

import torch
from torch import Tensor

from . import kernels
from .call import Call
from .fused import HAS_TRITON
from .layer import WIDEST, LayerUse, Open

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
GROUP = 32  # tokens of a word
COLUMNS = 1024  # units of a step of the first kernel: a thread has 8 neighbours, at all tokens of the word
SEQUENCES, UNITS = 16, 32  # of a program of the second kernel
HERE = contextlib.nullcontext()

_compiled: dict[tuple[Any, ...], Any] = {}  # kernels, by everything that Triton compiles them anew for


def takes(activation: Tensor) -> bool:
    """Whether the kernels take this activation (sequence, position, unit); else the definition does."""
    tokens = activation.shape[0] * activation.shape[1]  # they count them in 32 bits
    return HAS_TRITON and activation.is_cuda and activation.dtype in DTYPES and tokens < 2**30


def update(use: LayerUse, activation: Tensor, threshold: float | Tensor | None, call: Call) -> None:
    """Add one call of a layer, as `use.update` does, without a synchronisation (padding costs two a forward pass).

    Parameters
    ----------
    activation : (sequence, position, unit)
        A NaN at a token, not at padding, sets `use.not_a_number`.
    threshold
        A unit fires where ``|activation|`` is above it, a number or one a unit (unit), which are float32 on the
        activation's device; None: where the activation is above zero.
    """
    sequences, positions, units = activation.shape
    activation = activation.contiguous()
    lengths = call.lengths_of(sequences, positions)
    now, continues = use.open, call.continues
    if now is None or now.tickets is None or len(now.fired) != sequences:
        now, continues = _open(activation), False
    start = use.tokens % 2**WIDEST
    stop = start + lengths.tokens
    rows, starts = (None, None) if call.real is None else (call.rows, call.starts)
    per_unit = threshold.contiguous() if isinstance(threshold, Tensor) else None
    vector = 16 // activation.element_size()
    groups = max(1, -(-stop // GROUP) - start // GROUP)
    words = torch.empty(groups, units, dtype=torch.uint32, device=activation.device)
    device = activation.get_device()
    elsewhere = device >= 0 and device != torch.cuda.current_device()
    with torch.cuda.device(device) if elsewhere else HERE:
        _launch(
            kernels.read,
            (groups, 1, 1),
            (
                activation,
                rows,
                per_unit,
                0.0 if per_unit is not None or threshold is None else float(threshold),
                words,
                use.pending,
                use.token_histogram,
                use.window_units,
                use.not_a_number,
                start,
                stop,
                units,
                threshold is not None,
                COLUMNS // vector,
                vector,
            ),
            (
                "read",
                device,
                units,
                activation.dtype,
                threshold is None,
                rows is None,
                *map(_aligned, (activation, per_unit)),
            ),
        )
        _launch(
            kernels.unite,
            (-(-units // UNITS), 1 + -(-sequences // SEQUENCES), 1),
            (
                words,
                use.pending,
                use.window_units,
                use.window_count,
                use.unit_tokens,
                use.unit_sequences,
                use.sequence_histogram,
                starts,
                now.fired,
                now.units,
                now.tickets,
                start,
                stop,
                sequences,
                positions,
                units,
                continues,
                SEQUENCES,
                UNITS,
            ),
            ("unite", device, units, continues, starts is None),
        )
    if continues:
        use.sequences -= now.begun
        lengths = call.lengths_after(lengths, now.lengths)
    now.lengths, now.begun = lengths.each, lengths.begun
    use.open = now
    use.sequences += lengths.begun
    use.tokens += stop - start
    use.mixed |= call.continues and sequences > 1


def _launch(kernel: Any, grid: tuple[int, int, int], arguments: tuple[Any, ...], key: tuple[Any, ...]) -> None:
    """Launch a kernel; from the second time on past Triton's own look-up, which takes longer than the launch.

    `key` names the kernel and holds what Triton compiles it anew for, but for what never differs: the device, types,
    which arguments are None, constants, numbers that its `do_not_specialize` does not name, and whether the address of
    a tensor that is not made here is a multiple of 16.
    """
    compiled = _compiled.get(key)
    if compiled is None:
        _compiled[key] = kernel[grid](*arguments, num_warps=4)  # still None where Triton interprets the kernel
    else:
        compiled[grid](*arguments)


def _aligned(tensor: Tensor | None) -> bool | None:
    return None if tensor is None else tensor.data_ptr() % 16 == 0


def _open(activation: Tensor) -> Open:
    sequences, _, units = activation.shape

    def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=activation.device)

    with torch.inference_mode(False):
        return Open(
            zeros(sequences, units, dtype=torch.bool),
            torch.zeros(sequences, dtype=torch.int64),
            zeros(sequences, dtype=torch.int32),
            zeros(sequences, dtype=torch.int64),
        )
