"""What a model loses when hidden units are taken out: loss on text that they were not chosen on."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..anymodel.attach import Choice, Side
from ..anymodel.zeroed import Without
from .load import logits

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
METHODS = ("rate", "random")
EVALUATIONS = 2 + len(METHODS) * (len(SHARES) - 1)
"""Of the loss, at most: of the whole model, without its silent units, and by method and share."""


@torch.no_grad()
def loss(model: nn.Module, sequences: np.ndarray, batch: int) -> float:
    """Mean next-token loss inside the sequences (sequence, position), nats per token."""
    at = next(model.parameters()).device
    nats, tokens = 0.0, 0
    for start in range(0, len(sequences), batch):
        ids = torch.from_numpy(sequences[start : start + batch]).to(at)
        out = logits(model, ids)
        assert out is not None
        nats += float(nats_of(out, ids))
        tokens += ids[:, 1:].numel()
    return nats / tokens


def nats_of(out: Tensor, ids: Tensor) -> Tensor:
    """Summed next-token loss of logits (sequence, position, vocabulary)."""
    return F.cross_entropy(out[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="sum")


def choices(firing_count: np.ndarray, seed: int = 0) -> Iterator[tuple[int, int, np.ndarray]]:
    """Index of method and share, and the units (layer, unit) to remove: of all layers, the share that fires least.

    Random units are as many of each layer, so that the two differ in which, not in where.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    order = np.argsort(firing_count, axis=None, kind="stable")
    for at, share in enumerate(SHARES):
        flat = np.zeros(firing_count.size, dtype=bool)
        flat[order[: round(share * firing_count.size)]] = True
        rare = flat.reshape(firing_count.shape)
        drawn = np.zeros_like(rare)
        for layer, number in enumerate(rare.sum(axis=1)):
            drawn[layer, rng.permutation(rare.shape[1])[:number]] = True
        yield 0, at, rare
        yield 1, at, drawn


def costs(
    model: nn.Module, sequences: np.ndarray, batch: int, counts: np.ndarray, choose: Choice | None, of: Side
) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Loss by method and share removed, of the whole model, and without its silent units; for a Dataset."""
    whole = loss(model, sequences, batch)
    losses = np.zeros((len(METHODS), len(SHARES)))
    left = np.zeros((len(METHODS), len(SHARES), len(counts)), dtype=np.int32)

    def without(units: np.ndarray) -> float:
        if not units.any():
            return whole
        with Without(model, units, choose, of):
            return loss(model, sequences, batch)

    for method, at, units in choices(counts):
        losses[method, at] = without(units)
        left[method, at] = (~units).sum(axis=1)
    points = ("seed", "chosen_by", "share")
    return {
        "chosen_by": (("chosen_by",), list(METHODS)),
        "share": (("share",), np.array(SHARES)),
        "evaluation": (("evaluation",), ["heldout"]),
        "loss": ((*points, "evaluation"), losses[None, ..., None]),
        "units_left": ((*points, "layer"), left[None]),
        "baseline_loss": (("seed", "evaluation"), [[whole]]),
        "silent_loss": (("seed", "evaluation"), [[without(counts == 0)]]),
    }
