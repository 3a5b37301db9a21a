"""Figures of chapter 10: what removing dead units could save at most, over training and by recipe."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Panel, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import variable
from ....shapes import title

LOOKS = ("solid", "dash", "dashdot", "dot")
"""Dashes of the models of one shape, in their order."""


def over_training(bounds: Mapping[str, xr.Dataset]) -> Figure:
    """How many times as fast training would be at most without the units that are dead then: a line a model.

    Parameters
    ----------
    bounds : name of a model, shape and recipe → Dataset
        What `bound.bound` gives: `bound`, `dead` ([seed,] step); `tokens` (step); the attributes `scale`, `mlp_share`.
    """
    shapes = list(dict.fromkeys(str(of.attrs["scale"]) for of in bounds.values()))
    axis = Axis("share of the training tokens, %", limits=(0.0, 100.0))
    panel = Panel("times as fast at most, by operations", axis, Axis())
    drawn, ends = [], {}
    for name, given in bounds.items():
        of = given if "seed" in given["bound"].dims else given.expand_dims("seed")
        speed = variable(of, "over_training", "bound", "seed", "step").astype(float)
        tokens = variable(of, "over_training", "tokens", "step").values.astype(float)
        beside = [each for each in bounds if bounds[each].attrs["scale"] == of.attrs["scale"]]
        colour = style.layer_colour(shapes.index(str(of.attrs["scale"])), len(shapes))
        hover = f"{name}, {{x}} % of its tokens\nat most {{y}} times as fast (seeds {{0}} to {{1}})"
        dash = LOOKS[beside.index(name) % len(LOOKS)]
        share = 100 * tokens / tokens[-1]
        panel.marks += seed_curves(share, speed.values, colour, hover, name, name, dash)
        ends[name] = speed.values[:, -1]
        data = xr.Dataset({"bound": speed, "dead_share": variable(of, "over_training", "dead", "seed", "step")})
        drawn.append((name, data.assign_coords(tokens_percent=("step", share)).drop_vars("tokens", errors="ignore")))
    most, least = (pick(ends, key=lambda name: float(np.mean(ends[name]))) for pick in (max, min))
    finding = (
        f"By operations {most} would train at most {_times(ends[most])} as fast without its dead units at its last "
        f"step, {least} at most {_times(ends[least])}"
    )
    shares = {str(of.attrs["scale"]): f"{100 * float(of.attrs['mlp_share']):.0f} %" for of in bounds.values()}
    seeds = sorted({len(each) for each in ends.values()})
    of_them = ", ".join(f"{share} in {title(shape)}" for shape, share in shares.items())
    runs = " to ".join(dict.fromkeys(map(str, (seeds[0], seeds[-1]))))
    caption = (
        "From floating-point operations per training token, forward and backward, attention and output layer counted; "
        f"the MLPs' share of them is {of_them}. A thick line is the mean over {runs} seeds, a thin one a seed. Time "
        "may lie on either side: it is spent on more than these operations."
    )
    called = [
        of.drop_vars("recipe", errors="ignore").assign_attrs(recipe=name.partition(", ")[2])
        for name, of in bounds.items()
    ]
    chart = Chart([panel], [320], legend="")
    return figure(f"{__name__}.over_training", chart, caption, drawn, finding, *called)


def _times(values: np.ndarray) -> str:
    return f"{float(np.mean(values)):.2f} times"
