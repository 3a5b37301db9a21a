"""The scores of heads that chapter 19 draws: their names, where they are measured, and how a head's are said."""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ....plots.reading import variable

MODEL = "SmolLM2-135M"
LEAST = 0.3
"""A head has a function if its score is at least this much."""
READINGS = ("text", "shuffled", "random weights")


@dataclass(frozen=True)
class Score:
    """A score of heads; `of` says on what it is measured, `most` is the largest it can be, if anything bounds it."""

    name: str
    variable: str
    of: str
    unit: str = ""
    most: float | None = 1.0


SCORES = (
    Score("induction", "prefix_matching", "on repeated random tokens"),
    Score("previous token", "attention_previous", "on plain text"),
    Score("delimiters", "attention_delimiter", "on plain text"),
    Score("first token", "attention_first", "on plain text"),
    Score("copying", "copying", "by its weights"),
    Score("entropy", "attention_entropy", "on plain text", "nats", None),
    Score("distance", "attention_distance", "on plain text", "tokens", None),
)
FUNCTIONS = SCORES[:4]
"""Those that say where a head looks, as shares of its attention; copying says what it writes. The first token is last:
it is where heads look that do nothing else."""


def named(dataset: xr.Dataset) -> xr.Dataset:
    """What titles say the numbers are of: the model, and where they come from."""
    kept = {name: dataset.attrs[name] for name in ("provenance",) if name in dataset.attrs}
    return xr.Dataset(attrs={"name": MODEL, **kept})


def scores(dataset: xr.Dataset, function: str) -> xr.DataArray:
    """All scores by reading, to four digits: (score, reading, layer, head), missing where one was not measured.

    Parameters
    ----------
    dataset : Dataset
        The attention variables (reading, layer, head); `prefix_matching` (weights, draw, layer, head), whose mean over
        draws is taken, and `copying` (weights, layer, head), of trained and random weights, which read no text of ours.

    Raises
    ------
    UserError
        If a variable is missing or has other dimensions.
    """
    numbered = dataset.assign_coords(
        {dim: range(size) for dim, size in dataset.sizes.items() if dim not in dataset.coords}
    )
    each = []
    for score in SCORES:
        if score.variable == "prefix_matching":
            of = variable(numbered, function, score.variable, "weights", "draw", "layer", "head").mean("draw")
        elif score.variable == "copying":
            of = variable(numbered, function, score.variable, "weights", "layer", "head")
        else:
            of = variable(numbered, function, score.variable, "reading", "layer", "head")
        if "weights" in of.dims:
            of = of.sel(weights=["trained", "random"]).rename(weights="reading")
            of = of.assign_coords(reading=["text", "random weights"])
        each.append(of.astype(float).reindex(reading=list(READINGS)))
    names = [score.name for score in SCORES]
    every = xr.concat(each, "score", coords="minimal", compat="override").assign_coords(score=names)
    return every.round(4)  # as the page gets them, whose words are to be the same


def number(value: float | None) -> str:
    """A score in words: two digits behind the point, a true minus.

    >>> number(0.831), number(-0.5), number(None), number(float("nan"))
    ('0.83', '−0.50', 'not measured', 'not measured')
    """
    if value is None or not np.isfinite(value):
        return "not measured"
    size = math.floor(100 * abs(value) + 0.5) / 100  # the script rounds in the same way
    return f"{'−' if value < 0 and size else ''}{size:.2f}"


def functions(values: dict[str, float]) -> list[Score]:
    """The functions that a head has, in their order; values are its scores by name."""
    return [score for score in FUNCTIONS if values[score.name] >= LEAST]


def said(layer: int, head: int, values: dict[str, float]) -> str:
    """What a head does, all of it.

    >>> of = {"induction": 0.83, "previous token": 0.05, "first token": 0.41, "delimiters": 0.1, "copying": 0.6}
    >>> said(18, 6, of)
    'Layer 18, head 6: induction 0.83 on repeated random tokens, also first token 0.41 on plain text; copying 0.60.'
    >>> said(0, 1, of | {"induction": 0.2, "first token": float("nan")})
    'Layer 0, head 1: no function reaches 0.3; copying 0.60.'
    """
    told = [f"{score.name} {number(values[score.name])} {score.of}" for score in functions(values)]
    what = ", also ".join(told) if told else f"no function reaches {LEAST:g}"
    return f"Layer {layer}, head {head}: {what}; copying {number(values['copying'])}."


def of_head(of: xr.DataArray, layer: int, head: int) -> dict[str, float]:
    """A head's scores by name, as the trained model has them: of (score, layer, head), by places."""
    return dict(zip(of["score"].values.tolist(), of.values[:, layer, head].tolist(), strict=True))
