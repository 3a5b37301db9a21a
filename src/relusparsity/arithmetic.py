"""What torch computes with, for as long as a block lasts: its flags are the whole process's, so each is put back."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def float32(products: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Float32 matrix products in all 24 bits (ieee) or, on a GPU, in TF32's 11, whatever the caller's program does.

    torch has an old and a new way to say so, and raises when it is asked in the old one what was set in the new.
    """
    backends: Any = torch.backends
    parts = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul]
    parts.append(backends.mkldnn.conv)
    before = [part.fp32_precision for part in parts]
    matmul = _asked(torch.get_float32_matmul_precision)
    convolutions = _asked(lambda: backends.cudnn.allow_tf32)
    try:
        if products == "ieee":
            if matmul is not None:
                torch.set_float32_matmul_precision("highest")
            if convolutions is not None:
                backends.cudnn.allow_tf32 = False
            for part in parts:
                part.fp32_precision = "ieee"
        elif matmul is not None:
            backends.cuda.matmul.allow_tf32 = True
        else:
            backends.cuda.matmul.fp32_precision = "tf32"
        yield
    finally:
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if convolutions is not None:
            backends.cudnn.allow_tf32 = convolutions
        for part, was in zip(parts, before, strict=True):
            part.fp32_precision = "none"  # as all others, unless that is something else
            if part.fp32_precision != was:
                part.fp32_precision = was


def _asked(old: Callable[[], Any]) -> Any:
    """What the old way says; None where the new one was used."""
    try:
        return old()
    except RuntimeError:
        return None


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Kernels that give the same bits each time, or those that are fastest."""
    before, only_warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    workspace = os.environ.get(WORKSPACE)
    if wanted:
        os.environ.setdefault(WORKSPACE, ":4096:8")  # cuBLAS refuses to be repeatable without it
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warns)
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
