"""The counts of `LayerUse` on an NVIDIA GPU: one read of the activations, two launches a call, no waiting for them.

`LayerUse.update` is the definition, and the tensors that are filled here are its own. The first kernel reads the
activations and leaves one bit for each: 32 tokens of the stream are a word, one a unit. The second, which reads a
sixteenth as much, makes words of words (bit i: whether the i-th fired at all), of 1,024, 32,768 and 2**20 tokens. The
windows of five sizes are unions of neighbouring bits within a word.
"""

import torch
from torch import Tensor

from ..fused import HAS_TRITON
from . import kernels
from .calls import Call
from .count import WIDEST, LayerUse, Open

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
GROUP = 32  # tokens of a word
COLUMNS = 1024  # units of a step of the first kernel: a thread has 8 neighbours, at all tokens of the word
SEQUENCES, UNITS = 16, 32  # of a program of the second kernel


def takes(activation: Tensor) -> bool:
    """Whether the kernels take this activation; else the definition does."""
    return HAS_TRITON and activation.is_cuda and activation.dtype in DTYPES


def update(use: LayerUse, activation: Tensor, threshold: float | Tensor | None, call: Call) -> None:
    """Add one call of a layer, as `use.update` does, without a synchronisation (padding costs two a forward pass).

    Parameters
    ----------
    activation : (sequence, position, unit)
        A NaN at a token, not at padding, sets `use.not_a_number`.
    threshold
        A unit fires where ``|activation|`` is above it, a number or one a unit (unit); None: where the activation is
        above zero.
    """
    sequences, positions, units = activation.shape
    padded = call.real is not None
    lengths = call.lengths if call.lengths is not None else torch.full((sequences,), positions)
    now, continues = use.open, call.continues
    if now is None or now.tickets is None or len(now.fired) != sequences:
        now, continues = _open(activation), False
    start = use.tokens % 2**WIDEST
    stop = start + (int(lengths.sum()) if padded else sequences * positions)
    rows, starts = (call.rows, call.starts) if padded else (None, None)
    per_unit = threshold.to(activation.device, torch.float32) if isinstance(threshold, Tensor) else None
    vector = 16 // activation.element_size()
    groups = max(1, -(-stop // GROUP) - start // GROUP)
    words = torch.empty(groups, units, dtype=torch.uint32, device=activation.device)
    with torch.cuda.device_of(activation):
        kernels.read[(groups,)](
            activation.contiguous(),
            rows,
            per_unit,
            0.0 if per_unit is not None or threshold is None else threshold,
            words,
            use.pending,
            use.token_histogram,
            use.window_units,
            use.not_a_number,
            start,
            stop,
            units,
            SIZE=threshold is not None,
            LANES=COLUMNS // vector,
            VECTOR=vector,
            num_warps=4,
        )
        blocks = -(-units // UNITS)
        kernels.unite[(blocks, 1 + -(-sequences // SEQUENCES))](
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
            CONTINUES=continues,
            SEQUENCES=SEQUENCES,
            UNITS=UNITS,
            num_warps=4,
        )
    if continues:
        use.sequences -= _begun(now.lengths)
        lengths = lengths + now.lengths
    now.lengths = lengths
    use.open = now
    use.sequences += _begun(lengths)
    use.tokens += stop - start
    use.mixed |= call.continues and sequences > 1


def _begun(lengths: Tensor) -> int:
    """Sequences that are not padding only."""
    return int(lengths.count_nonzero())


def _open(activation: Tensor) -> Open:
    sequences, _, units = activation.shape

    def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=activation.device)

    return Open(
        zeros(sequences, units, dtype=torch.bool),
        torch.zeros(sequences, dtype=torch.int64),
        zeros(sequences, dtype=torch.int32),
        zeros(sequences, dtype=torch.int64),
    )
