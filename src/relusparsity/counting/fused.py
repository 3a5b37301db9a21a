"""ReLU and the count of its firings in one pass over the pre-activations: counting costs no read of its own.

`reference` is the definition, in plain PyTorch; on an NVIDIA GPU a Triton kernel does the same. Both are
differentiable, and the backward pass needs the activation alone, which the next matrix product keeps anyway.
(Autograd's own ReLU under torch.compile keeps a mask beside it: a quarter more to write and to read.)
"""

import importlib.util
import os

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from .metrics import unit_counts


def reference(
    preactivation: Float[Tensor, "sequence position unit"],
) -> tuple[Float[Tensor, "sequence position unit"], Int[Tensor, "sequence unit"]]:
    """max(z, 0), and the tokens of each sequence at which each unit fires (int32): the definition."""
    activation = F.relu(preactivation)
    return activation, (activation.detach() > 0).sum(dim=1, dtype=torch.int32)


def relu_and_count(
    preactivation: Float[Tensor, "sequence position unit"],
) -> tuple[Float[Tensor, "sequence position unit"], Int[Tensor, "sequence unit"]]:
    """The same as `reference`, by the kernel where there is one. A NaN stays a NaN and does not fire."""
    if preactivation.is_cuda and HAS_TRITON:
        return torch.ops.relusparsity.relu_and_count(preactivation)
    activation = F.relu(preactivation)
    return activation, unit_counts(_above_zero(activation.detach()))


def _above_zero(activation: Tensor) -> Tensor:
    """Which outputs of a ReLU fire. What is not zero does, or is NaN: on a CPU this is seen in half the time."""
    if activation.device.type == "cpu" and not torch.compiler.is_compiling() and not activation.sum().isnan():
        return activation.to(torch.bool)
    return activation > 0


INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # on a CPU, by Triton's interpreter: for tests
HAS_TRITON = importlib.util.find_spec("triton") is not None and (torch.cuda.is_available() or INTERPRETED)

if HAS_TRITON:
    import triton
    import triton.language as tl
    from torch.library import custom_op, triton_op, wrap_triton

    # the fastest of 19 tiles, with 4 or 8 warps, on an H200 at (16, 512, 32768) in bf16: 0.28 ms; ReLU alone: 0.26 ms
    ROWS, COLUMNS = 4, 1024

    @triton.jit
    def _kernel(z, a, counts, T, F, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
        sequence, columns = tl.program_id(1), tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
        start = sequence.to(tl.int64) * T * F
        inside = columns < F
        total = tl.zeros([COLUMNS], dtype=tl.int32)
        for row in range(0, T, ROWS):
            rows = row + tl.arange(0, ROWS)
            at = start + rows[:, None].to(tl.int64) * F + columns[None, :]
            here = (rows < T)[:, None] & inside[None, :]
            value = tl.load(z + at, mask=here, other=0.0)
            tl.store(a + at, tl.where(value <= 0, 0.0, value).to(value.dtype), mask=here)  # NaN <= 0 is false
            total += tl.sum((value > 0).to(tl.int32), axis=0)
        tl.store(counts + sequence * F + columns, total, mask=inside)

    # what is interpreted is not compiled; triton_op imports PyTorch's compiler, which takes two seconds
    @(custom_op if INTERPRETED else triton_op)("relusparsity::relu_and_count", mutates_args=())
    def _relu_and_count(z: Tensor) -> tuple[Tensor, Tensor]:
        sequences, T, F_ = z.shape
        z = z.contiguous()
        a = torch.empty_like(z)
        counts = torch.empty(sequences, F_, dtype=torch.int32, device=z.device)
        grid = (triton.cdiv(F_, COLUMNS), sequences)
        kernel = _kernel if INTERPRETED else wrap_triton(_kernel)
        kernel[grid](z, a, counts, T, F_, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=4)
        return a, counts

    def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(output[0])
        ctx.mark_non_differentiable(output[1])

    def _backward(ctx, grad_a: Tensor, _grad_counts: Tensor | None) -> Tensor:  # type: ignore[no-untyped-def]
        (a,) = ctx.saved_tensors
        return torch.where(a > 0, grad_a, 0)

    _relu_and_count.register_autograd(_backward, setup_context=_keep)
