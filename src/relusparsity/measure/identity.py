"""What a model is: a name that changes with every byte of its weights, its configuration and its structure."""

import hashlib
import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..identity import digest

ELSEWHERE = ("_name_or_path", "transformers_version")
"""Of a configuration: where it lies and who wrote it."""


@torch.no_grad()
def fingerprint(model: nn.Module) -> str:
    """16 hexadecimal digits of everything that decides what a model computes; the same on every device.

    Reads each weight once, at about a gigabyte and a half a second and core.
    """
    values: dict[str, Any] = dict(model.named_parameters()) | dict(model.named_buffers())
    values |= model.state_dict()  # what is packed, as in quantised layers, is no parameter
    return digest(type(model).__name__, str(model), _configuration(model), _code(model), checksum(values))[:16]


def checksum(values: Mapping[str, Any]) -> str:
    """sha256 over named tensors: names, shapes, types and bytes; in this order of names, with any number of threads."""
    once = {_place(value): value for value in values.values()}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        sums = tqdm(
            pool.map(_sha256, once.values()), "checksum of the weights", len(once), False, delay=2, disable=None
        )
        found = dict(zip(once, sums, strict=True))
    return digest([[name, found[_place(value)]] for name, value in values.items()])


def _place(value: Any) -> tuple[Any, ...]:
    """What two names of one tensor have in common: tied weights are read once."""
    if not isinstance(value, Tensor) or type(value) not in (Tensor, nn.Parameter) or not value.numel():
        return (id(value),)
    return value.device, value.data_ptr(), value.dtype, tuple(value.shape), value.stride()


def _sha256(value: Any) -> str:
    """Of a tensor of any kind, of what holds some, or of what a plain value says."""
    if not isinstance(value, Tensor):
        parts: Iterable[Any] = ()
        if isinstance(value, Mapping):
            parts = [part for item in value.items() for part in item]
        elif isinstance(value, list | tuple):
            parts = value
        return digest(type(value).__name__, [_sha256(part) for part in parts] or str(value))
    if hasattr(value, "__tensor_flatten__"):  # a quantised one, made of plain ones
        names, rest = value.__tensor_flatten__()
        return digest(type(value).__name__, [_sha256(getattr(value, name)) for name in names], str(rest))
    facts = [str(value.dtype), list(value.shape)]
    if value.is_quantized:
        facts.append(str(value.qscheme()))
        if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            scales: list[Any] = [value.q_scale(), value.q_zero_point()]
        else:
            scales = [_sha256(value.q_per_channel_scales()), _sha256(value.q_per_channel_zero_points())]
        return digest(facts, scales, _sha256(value.int_repr()))
    plain = value.detach().to_dense() if value.layout != torch.strided else value.detach()
    raw = plain.cpu().contiguous().flatten().view(torch.uint8).numpy().data
    return digest(facts, hashlib.sha256(raw).hexdigest())


def _configuration(model: nn.Module) -> Any:
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        return _told(config.to_dict())
    return _told(asdict(config)) if is_dataclass(config) and not isinstance(config, type) else None


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _told(each) for name, each in value.items() if name not in ELSEWHERE}
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _code(model: nn.Module) -> list[str]:
    """sha256 of the Python code that came with the model."""
    modules = {type(module).__module__ for module in model.modules()}
    own = sorted(name for name in modules if name.startswith("transformers_modules."))
    return [hashlib.sha256(inspect.getsource(sys.modules[name]).encode()).hexdigest() for name in own]
