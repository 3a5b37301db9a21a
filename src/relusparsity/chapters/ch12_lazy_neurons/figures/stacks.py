"""Figure of chapter 12: both stacks of an encoder-decoder, layer by layer, over more and more text."""

import xarray as xr

from ....plots import style
from ....plots.axes import PERCENT, layer_axis
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State
from ....plots.figure import Figure, figure
from ....plots.reading import layers, percent, variable


def stacks(dataset: xr.Dataset) -> Figure:
    """Units that fire at a token, in a sequence and in several: a bar a layer, the stacks one above the other.

    Parameters
    ----------
    dataset : Dataset
        `use` (window, stack, seed, layer), percent of the units at the end of training.
    """
    use = variable(dataset, "stacks", "use", "window", "stack", "seed", "layer")
    windows, names, numbers = use["window"].values.tolist(), use["stack"].values.tolist(), layers(use)
    mean = use.mean("seed").values
    colours = [style.layer_colour(at, len(numbers)) for at in range(len(numbers))]
    panels, bars = [], []
    for row, name in enumerate(names):
        hover = f"{name}, layer {{x}}\n{{y}} % of the units fire"
        bars.append(Mark("bars", numbers, mean[0, row], colours, hover=hover, bar_width=0.72))
        panels.append(Panel(f"{name}, % of units", layer_axis(numbers), Axis(limits=PERCENT), [bars[-1]], row=row))
    states = [
        State(window, {bar: {"y": mean[at, row]} for row, bar in enumerate(bars)}) for at, window in enumerate(windows)
    ]
    hint = "Read more text: layers that differ at a token have used nearly all of their units."
    means = [percent(float(of)) for of in use.mean(("stack", "seed", "layer"))]
    finding = "Of the units fire " + ", ".join(f"{of} {window}" for of, window in zip(means, windows, strict=True))
    caption = (
        "Held-out text at the end of training; the encoder reads the text with its gaps, the decoder what is cut out. "
        "Bars are means of the seeds. At a token, the share of units that fire is the share of positive entries."
    )
    chart = Chart(panels, [190, 190], control=Control("choice", "Units that fire", states, 0, hint))
    drawn = [("", xr.Dataset({"use_percent": use}))]
    return figure(f"{__name__}.stacks", chart, caption, drawn, finding, dataset)
