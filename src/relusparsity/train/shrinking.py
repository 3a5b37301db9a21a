"""Hidden units removed for good while a model trains: which stay, and what is left of a layer and of its moments.

What an optimiser holds of a weight that stays, stays as it is. Two of the three keep no more than that: AdamW (both
moments) and SGD (momentum). Adafactor keeps means over rows and over columns, of which its estimate for a weight is the
product over the mean of the rows'; where rows go, the columns' means are scaled so that every estimate stays. It also
takes the length of a step from a whole matrix, to which units without gradients count: its next steps differ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ..counting.deaths import DeathTracker
from ..interventions.units import cut
from ..interventions.updates import hashed
from ..models import Hidden
from ..prune_config import PruneConfig

Moments = dict[str, Any]
"""What an optimiser holds of a parameter, by name."""


def staying(
    config: PruneConfig, removal: int, deaths: DeathTracker, places: Sequence[Int[Tensor, "_"]]
) -> list[Int[Tensor, "_"]]:
    """Of each layer: which of its units, as it counts them now, stay after a removal, in order.

    Parameters
    ----------
    removal
        Its number, from 0.
    deaths
        Of those units; to `dead` a unit is dead that it holds for dead.
    places
        What each unit of a layer was called when the run began; `random` draws by these.
    """
    kept = []
    widths = config.after(removal, len(places))
    for layer, (dead, last_fired, units) in enumerate(
        zip(deaths.rows(deaths.dead), deaths.rows(deaths.last_fired), places, strict=True)
    ):
        if config.rule == "dead":
            width, first = config.kept(int((~dead).sum())), -last_fired  # the living have fired since all of the dead
        else:
            width, first = widths[layer], hashed(config.seed, removal, layer, units)
        kept.append(first.argsort(stable=True)[:width].sort().values)
    return kept


@torch.no_grad()
def cut_layer(mlp: Hidden, kept: Int[Tensor, " unit"], moments: Mapping[Any, Moments]) -> dict[Any, Moments]:
    """Leave a layer these units, and give what an optimiser is to hold of its new parameters."""
    before = _of_units(mlp)
    cut(mlp, kept)
    return {
        new: _cut_moments(moments[old], kept, dim, tuple(old.shape))
        for (new, _), (old, dim) in zip(_of_units(mlp), before, strict=True)
        if old in moments
    }


def _of_units(mlp: Hidden) -> list[tuple[nn.Parameter, int]]:
    """The parameters that hold something of each unit, and the dimension along which they do."""
    given = ((mlp.fc_in.weight, 0), (mlp.fc_in.bias, 0), (mlp.fc_out.weight, 1))
    return [(parameter, dim) for parameter, dim in given if parameter is not None]


def _cut_moments(moments: Moments, kept: Tensor, dim: int, shape: tuple[int, ...]) -> Moments:
    """What is left of a parameter's moments: along the units those that stay, and what has no such dimension whole."""
    cut_down = {
        name: value.index_select(dim, kept) if value.ndim == len(shape) and value.shape[dim] == shape[dim] else value
        for name, value in moments.items()
    }
    if "row_var" in moments and dim == 0 and (whole := moments["row_var"].mean()) > 0:
        cut_down["col_var"] = moments["col_var"] * (cut_down["row_var"].mean() / whole)
    return cut_down
