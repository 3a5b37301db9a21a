"""Score hidden units, choose some, take them out: masked (same shapes) or removed (smaller matrices)."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from ..checks import in_words
from ..errors import UserError
from ..models import Hidden, Model

METHODS = ("rate", "magnitude", "random")


def magnitude(model: Model) -> np.ndarray:
    """Norm of each unit's input weights times that of its output weights: (layer, unit)."""
    _shape(model)
    rows = [m.fc_in.weight.norm(dim=1) * m.fc_out.weight.norm(dim=0) for m in model.mlps()]
    return torch.stack(rows).detach().float().cpu().numpy()


def choose_lowest(scores: np.ndarray, share: float, ties: int | None = None) -> np.ndarray:
    """The `share` of all hidden units with the lowest scores, whatever their layer: (layer, unit) → bool.

    Ties go to the unit that comes first, which is one of the first layers; with a seed for `ties`, at random.
    """
    _check_share(share)
    flat = scores.ravel()
    order = np.argsort(flat, kind="stable")
    if ties is not None:
        order = np.lexsort((random_scores(scores.shape, ties).ravel(), flat))
    removed = np.zeros(scores.size, dtype=bool)
    removed[order[: round(share * scores.size)]] = True
    return removed.reshape(scores.shape)


def choose_as_many(scores: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """In each layer the `counts[layer]` units with the lowest scores: a comparison at equal counts, as bool."""
    if len(counts) != len(scores) or not all(0 <= count <= scores.shape[1] for count in counts):
        expected = f"expected one for each of {len(scores)} layers, up to {scores.shape[1]}"
        raise UserError(f"counts = {list(counts)}: {expected}.")
    removed = np.zeros(scores.shape, dtype=bool)
    for layer, count in enumerate(counts):
        removed[layer, np.argsort(scores[layer], kind="stable")[:count]] = True
    return removed


def random_scores(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Scores that choose at random, from the seed alone: (layer, unit)."""
    return np.random.Generator(np.random.PCG64(seed)).random(shape)


@torch.no_grad()
def mask(model: Model, removed: np.ndarray) -> Model:
    """A copy in which the removed units, (layer, unit) bool, output zero; shapes stay.

    Where all removed units are silent, the output is the same to the bit.
    """
    _check_shape(model, removed)
    masked = copy.deepcopy(model)
    for mlp, gone in zip(masked.mlps(), removed, strict=True):
        index = torch.from_numpy(np.flatnonzero(gone)).to(mlp.fc_in.weight.device)
        mlp.fc_in.weight[index] = 0
        mlp.fc_out.weight[:, index] = 0
        if mlp.fc_in.bias is not None:
            mlp.fc_in.bias[index] = 0
    return masked


@torch.no_grad()
def remove(model: Model, removed: np.ndarray) -> Model:
    """A copy whose MLPs hold only the units that stay: smaller matrices, outputs equal to about 1e-5.

    Its layers have different widths, so it is for evaluation; `config.d_ff` keeps the width before.
    """
    _check_shape(model, removed)
    smaller = copy.deepcopy(model)
    for mlp, gone in zip(smaller.mlps(), removed, strict=True):
        cut(mlp, torch.from_numpy(np.flatnonzero(~gone)))
    return smaller


@torch.no_grad()
def cut(mlp: Hidden, kept: Int[Tensor, " unit"]) -> None:
    """Leave a layer these units alone, in this order, as new parameters."""
    kept = kept.to(mlp.fc_in.weight.device)
    mlp.fc_in.weight = nn.Parameter(mlp.fc_in.weight[kept])
    mlp.fc_out.weight = nn.Parameter(mlp.fc_out.weight[:, kept].contiguous())
    mlp.fc_in.out_features = mlp.fc_out.in_features = len(kept)
    if mlp.fc_in.bias is not None:
        mlp.fc_in.bias = nn.Parameter(mlp.fc_in.bias[kept])


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise UserError(f"share = {share}: expected a share of the units to remove, at least 0 and below 1.")


def _shape(model: Model) -> tuple[int, int]:
    """Layers, and units of each."""
    widths = model.widths()
    if len(set(widths)) > 1:
        raise UserError(
            f"the layers have {in_words(widths)} hidden units: single ones are scored and chosen by (layer, unit), in "
            "layers of one width."
        )
    return len(widths), widths[0]


def _check_shape(model: Model, removed: np.ndarray) -> None:
    expected = _shape(model)
    if removed.shape != expected or removed.dtype != bool:
        raise UserError(f"removed has shape {removed.shape} of {removed.dtype}; expected {expected} of bool.")
