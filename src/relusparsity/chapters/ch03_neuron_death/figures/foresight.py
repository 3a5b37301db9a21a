"""Figure of chapter 03: how early one can tell which units will die."""

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import how_many, layers, tokens, variable
from ..foresight import LEAST


def foresight(dataset: xr.Dataset) -> Figure:
    """Area under the ROC curve of each score by tokens seen, layer by layer; a choice of scores.

    Parameters
    ----------
    dataset : Dataset
        `area` (score, seed, history_step, layer), from 0 to 1; `history_tokens` (history_step).
    """
    area = 100 * variable(dataset, "foresight", "area", "score", "seed", "history_step", "layer")
    seen = tokens(dataset, "foresight", "history_tokens", "history_step")
    area = area.isel(history_step=seen > 0)  # the axis is logarithmic
    seen, numbers, scores = seen[seen > 0], layers(area), [str(name) for name in area["score"].values]
    panel = Panel(_title(scores[0]), Axis("tokens seen", log=True, tokens=True), Axis(limits=(30.0, 100.0)))
    chance = Mark("line", [seen[0], seen[-1]], [50.0, 50.0], style.INK, width=1.2, dash="dot")
    panel.marks.append(chance)
    states = [State(name, {}, titles={panel: _title(name)}) for name in scores]
    for place, layer in enumerate(numbers):
        hover = f"layer {layer}, {{x}} tokens\nmean {{y}} % (seeds {{0}} to {{1}})"
        colour = style.layer_colour(layer, len(numbers))
        of = area.isel(layer=place).transpose("score", "seed", "history_step").values
        drawn = [seed_curves(seen, rows, colour, hover, str(layer), f"layer {layer}") for rows in of]
        panel.marks += drawn[0]
        for state, curves in zip(states, drawn, strict=True):
            for shown, curve in zip(drawn[0], curves, strict=True):
                state.marks[shown] = {"x": curve.x, "y": curve.y} | (
                    {"extra": curve.extra} if curve.extra is not None else {}
                )
    of_first = area.sel(score=scores[0]).mean("seed")
    quarter = int(np.abs(seen - seen[-1] / 4).argmin())
    early, later = (f"{float(of.min()):.0f} to {float(of.max()):.0f} %" for of in (of_first[0], of_first[quarter]))
    finding = (
        f"After the first steps {scores[0]} sort {early} of a layer's pairs right, at a quarter of the training {later}"
    )
    caption = (
        "Of two units of a layer, one dead at the end of training and one not, how often (%) the first has the higher "
        f"score, among units whose first silence has not begun. Mean of {how_many(area.sizes['seed'], 'seed')} (thin "
        f"lines); dotted: chance. A seed counts as long as {LEAST} units of either fate are left."
    )
    control = Control("choice", "Scored by", states, 0, "Choose a score: how early does it tell?")
    chart = Chart([panel], [300], control=control)
    return figure(f"{__name__}.foresight", chart, caption, [("", xr.Dataset({"area_percent": area}))], finding, dataset)


def _title(score: str) -> str:
    return f"pairs that are sorted right, %\nby {score}"
