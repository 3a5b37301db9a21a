"""Small models whose layers are counted by hand."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import relusparsity
from relusparsity.anymodel.track import Use


def mlp(act: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), act or nn.ReLU(), nn.Linear(16, 8))


def stack(blocks: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(mlp() for _ in range(blocks)))


def counted(model: nn.Module, call: Callable[[], Any], **choice: Any) -> list[dict[str, Any]]:
    """Everything that a call is counted as, layer by layer."""
    with relusparsity.track(model, **choice) as use:
        call()
    return counts(use)


def counts(use: Use) -> list[dict[str, Any]]:
    left_out = ("pending", "not_a_number")
    return [{name: v.tolist() for name, v in each.state().items() if name not in left_out} for each in use.counts()]


def tokens(found: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(each["tokens"], each["sequences"]) for each in found]
