"""Batch use of every layer over training: the paper's Figure 1, which several chapters show."""

import numpy as np
import xarray as xr

from ..source import BATCH_USE
from . import style
from .axes import PERCENT, layer_axis, over_tokens, tokens_axis
from .chart import Axis, Chart, Control, Mark, Panel, State
from .figure import Figure, figure
from .reading import batch_window, layers, lowest, percent, sources, thinned, titled, tokens, variable

DRAWN = 60
"""Of the measured steps, how many curves are drawn through, at most."""

STOPS = 40
"""Of these, at how many the slider stops, at most: each stop is drawn when the book is built, in two widths."""


def batch_use(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """The paper's Figure 1: batch use of each layer, with a slider over the measured steps.

    Parameters
    ----------
    dataset, live : Dataset
        `batch_use` (seed, step, layer), fractions; `tokens` (step).

    Raises
    ------
    UserError
        Where layers are of an encoder and a decoder: `layer_to_units` draws these.
    """
    drawn, curves = [], []
    for row, (source, data) in enumerate(sources(dataset, live), start=1):
        use = variable(data, "batch_use", "batch_use", "seed", "step", "layer")
        keep = thinned(data.sizes["step"], DRAWN)
        use, seen = use.isel(step=keep), tokens(data, "batch_use")[keep]
        panel = Panel(titled("batch use over training, %", source), tokens_axis(seen), Axis(limits=PERCENT), row=row)
        panel.marks = over_tokens(use, seen, "batch use", legend=row == 1)
        curves.append(panel)
        drawn.append((source, xr.Dataset({"batch_use": use})))
    use = 100 * drawn[0][1]["batch_use"]
    use = use.isel(step=thinned(use.sizes["step"], STOPS))
    seen = use["tokens"].values
    bars, control = _bars_with_slider(use, seen, curves[0])
    of = f"the mean of {use.sizes['seed']} seeds (points)" if use.sizes["seed"] > 1 else "one seed's"
    caption = (
        f"Batch use: the share of a layer's units that fire at least once in {batch_window(dataset)} held-out "
        f"tokens. Bars are {of} at the step that the dotted line "
        "marks on the curves below (log axis, so they start after the first step). Marks with a number: what Wild and "
        "Anderson (W&A) report at convergence, of layers 0 and 5. Look for the layer that empties, and when."
    )
    chart = Chart([bars, *curves], [230] + [210] * len(curves), control=control)
    low, least, high, most = lowest(use.mean("seed", skipna=False).isel(step=-1))
    finding = f"{low.capitalize()} ends the emptiest, at {percent(least)}, {high} the fullest, at {percent(most)}"
    return figure(f"{__name__}.batch_use", chart, caption, drawn, finding, dataset, live=live)


def _bars_with_slider(use: xr.DataArray, seen: np.ndarray, curves: Panel) -> tuple[Panel, Control]:
    numbers, seeds = layers(use), use["seed"].values.tolist()
    mean, n = use.mean("seed", skipna=False).values, len(numbers)
    colours = [style.layer_colour(i, n) for i in numbers]
    spread = np.linspace(-0.16, 0.16, len(seeds)) if len(seeds) > 1 else np.zeros(1)
    points_x = [i + dx for i in numbers for dx in spread]
    names = [[i, s] for i in numbers for s in seeds]
    points_y = [row.T.ravel() for row in use.transpose("step", "seed", "layer").values]  # one layer after the other
    title = [f"batch use, % of units, at {style.si(t)} tokens" for t in seen]
    last = len(seen) - 1
    hover = "layer {x}\nmean batch use {y} %"
    by_layer = Mark("bars", numbers, mean[last], colours, hover=hover, bar_width=0.72, opacity=0.9)
    hover = "layer {0}, seed {1}\nbatch use {y} %"
    by_seed = Mark("points", points_x, points_y[last], style.INK, hover=hover, extra=names, size=5, symbol="ring")
    panel = Panel(title[last], layer_axis(numbers), Axis(limits=PERCENT), [by_layer])
    if n == 6:
        at, values, words = list(BATCH_USE), list(BATCH_USE.values()), [f"W&A {use} %" for use in BATCH_USE.values()]
        hover = "layer {x}\nWild and Anderson, at convergence: {y} %"
        source = Mark("points", at, values, style.INK, hover=hover, symbol="tick", size=60, width=2.2, words=words)
        panel.marks.append(source)
    panel.marks.append(by_seed)
    left = curves.x.limits[0] if curves.x.limits else float(seen[0])
    curves.cursor = float(seen[last])
    states = [
        State(
            style.si(seen[i]),
            {by_layer: {"y": mean[i]}, by_seed: {"y": points_y[i]}},
            {curves: max(float(seen[i]), left)},
            {panel: title[i]},
        )
        for i in range(len(seen))
    ]
    return panel, Control(
        "slider", "Tokens seen", states, last, "Move through training and watch which bars sink, and when."
    )
