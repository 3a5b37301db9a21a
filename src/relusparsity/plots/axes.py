"""Axes and lines that figures of several chapters share."""

import numpy as np
import xarray as xr

from ..errors import UserError
from . import style
from .chart import Axis, Mark, seed_curves
from .reading import is_stacked, layer_names, layers

PERCENT = (0.0, 104.0)
"""Limits of an axis of shares."""
RANGE = "(seeds {0}–{1} %)"
"""Lowest and highest seed, as `seed_curves` fills them into what the pointer says."""


def over_tokens(use: xr.DataArray, seen: np.ndarray, what: str, legend: bool) -> list[Mark]:
    """Curves of every layer over the tokens seen, which are `seen` (step): use is (seed, step, layer), fractions.

    Raises
    ------
    UserError
        Where layers are of several stacks, which their numbers would not tell apart.
    """
    if is_stacked(use):
        raise UserError(
            f"curves over training go by the number of a layer; these are {', '.join(layer_names(use))}, which "
            "layer_to_units draws by name."
        )
    later = seen > 0  # a log axis has no place for step 0
    marks = []
    for i in layers(use):
        hover = f"layer {i}, {{x}} tokens\nmean {what} {{y}} % {RANGE}"
        values = 100 * use.sel(layer=i).transpose("seed", "step").values[:, later]
        colour = style.layer_colour(i, use.sizes["layer"])
        marks += seed_curves(seen[later], values, colour, hover, str(i) if legend else "", f"layer {i}")
    return marks


def tokens_axis(seen: np.ndarray) -> Axis:
    """A log axis over the tokens seen (step), from the first step after 0."""
    later = seen[seen > 0]
    return Axis("tokens seen", log=True, tokens=True, limits=(float(later.min()) * 0.9, float(later.max()) * 1.1))


def layer_axis(numbers: list[int]) -> Axis:
    """An axis with a place for every layer."""
    ticks = ([float(i) for i in numbers], [str(i) for i in numbers])
    return Axis("layer", ticks=ticks, limits=(numbers[0] - 0.6, numbers[-1] + 0.6))
