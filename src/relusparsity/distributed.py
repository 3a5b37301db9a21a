"""One process or many (torchrun): what differs between them stands here, and nowhere else."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from filelock import FileLock
from torch import Tensor, nn

from .store.sealed import READABLE, told

T = TypeVar("T")


_alone: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Within the block this process works by itself, whatever others there are."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() and not _alone.get() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() and not _alone.get() else 1


def device() -> torch.device:
    """This process's device: its own GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def join() -> None:
    """Join the processes that torchrun started, for as long as this one lives; alone, do nothing.

    Left and joined again, the group would hang: torchrun's store still holds the addresses of the first time.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    atexit.register(dist.destroy_process_group)


def sum_(tensor: Tensor) -> Tensor:
    """Sum over processes, in place."""
    if world() > 1:
        dist.all_reduce(tensor)
    return tensor


def gather(value: T) -> list[T]:
    """The values of all processes, in order of rank, on every process."""
    if world() == 1:
        return [value]
    values: list[T | None] = [None] * world()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def barrier() -> None:
    if world() > 1:
        dist.barrier()


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """A lock among runs of the program, held by the first of its processes; the others wait for that one."""
    held = FileLock(path)
    if rank() == 0:
        with told(path, "locked"):
            held.acquire()
    barrier()
    try:
        yield
    finally:
        held.release()


def missing(path: Path) -> bool:
    """Whether there is no such file; the first process decides for all, for it may appear between two looks."""
    with told(path, "read", READABLE):
        there = path.is_file()
    return gather(not there)[0]


def shard(model: nn.Module, parts: nn.ModuleList) -> None:
    """Share a model's parameters out among all processes (FSDP2), a part at a time; in place."""
    from torch.distributed.device_mesh import init_device_mesh  # here, for it takes a second that few need
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device().type, (world(),))
    for part in parts:
        fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Within, every process holds a sharded model's parameters whole, so that each may read text at its own pace."""
    parts: list[Any] = [module for module in model.modules() if hasattr(module, "unshard")]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor in one piece; all processes take part if it is shared out."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def as_held(value: Tensor, tensor: Any) -> Tensor:
    """A whole value in the way that `tensor` is held: shared out, or as it is."""
    if not hasattr(tensor, "placements"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, tensor.device_mesh, tensor.placements)
