"""Figures of chapter 12: the share of positive entries after ReLU, over training, by width, and without data."""

import xarray as xr

from ....plots import style
from ....plots.axes import layer_axis, over_tokens, tokens_axis
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import attribute, how_many, layers, percent, tokens, variable

SHARE = "positive entries, %"
LOOKS = ((style.INK, "solid"), ("layer-2", "dash"), (style.ACCENT, "dot"), ("layer-15", "dashdot"))
"""Colours and dashes of arms, in their order."""


def over_training(dataset: xr.Dataset) -> Figure:
    """The share of positive entries at a held-out token, by layer, over training.

    Parameters
    ----------
    dataset : Dataset
        `token_use` (seed, step, layer), fractions; `tokens` (step); the attribute `patches`, those of a picture.
    """
    use = variable(dataset, "over_training", "token_use", "seed", "step", "layer").astype(float)
    seen = tokens(dataset, "over_training")
    panel = Panel(SHARE, tokens_axis(seen), Axis(limits=(0.0, 60.0)))
    panel.marks = over_tokens(use, seen, "share", legend=True)
    first, last = (100 * use.isel(step=at).mean("seed") for at in (0, -1))
    finding = (
        f"From {percent(float(first.mean()))} of the entries to {percent(float(last.mean()))}: layer "
        f"{int(last.idxmin('layer'))} ends with the fewest positive ones, {percent(float(last.min()))}, layer "
        f"{int(last.idxmax('layer'))} with the most, {percent(float(last.max()))}"
    )
    caption = (
        "An entry is what one unit gives at one patch of a held-out picture; before the first step, for which a log "
        "axis has no place, half are positive. A thick line is the mean over the seeds, a thin one a seed. Tokens are "
        f"patches, {attribute(dataset, 'over_training', 'patches')} a picture."
    )
    drawn = [("", xr.Dataset({"token_use": use}))]
    return figure(f"{__name__}.over_training", Chart([panel], [300]), caption, drawn, finding, dataset)


def widths(dataset: xr.Dataset) -> Figure:
    """Positive entries of models from narrow to wide: by layer under a slider, their share, and their count.

    Parameters
    ----------
    dataset : Dataset
        `positive` (width, seed, layer), percent; the attribute `usual`, the width to begin with.
    """
    of = variable(dataset, "widths", "positive", "width", "seed", "layer")
    units, numbers = of["width"].values.astype(float), layers(of)
    start = units.tolist().index(float(dataset.attrs["usual"]))
    mean, by_seed = of.mean("seed").values, of.mean("layer").transpose("seed", "width").values
    titles = [f"{SHARE}, by layer, with {each:,.0f} units a layer" for each in units]
    colours = [style.layer_colour(at, len(numbers)) for at in range(len(numbers))]
    hover = "layer {x}\nmean {y} % of the entries are positive"
    bars = Mark("bars", numbers, mean[start], colours, hover=hover, bar_width=0.72)
    by_layer = Panel(titles[start], layer_axis(numbers), Axis(limits=(0.0, 60.0)), [bars])
    ticks = (units.tolist(), [f"{each:,.0f}" for each in units])
    axis = Axis("units a layer", log=True, ticks=ticks, limits=(units[0] * 0.8, units[-1] * 1.25))
    share = Panel(f"{SHARE}, mean of the layers", axis, Axis(limits=(0.0, 40.0)), row=1)
    count = Panel("positive units of a layer at a token", axis, Axis(from_zero=True), row=2)
    hover = "{x} units a layer\nmean {y} % positive (seeds {0} to {1} %)"
    share.marks = seed_curves(units, by_seed, style.INK, hover)
    hover = "{x} units a layer\nmean {y} of them positive (seeds {0} to {1})"
    count.marks = seed_curves(units, by_seed * units / 100, style.ACCENT, hover)
    share.cursor = count.cursor = units[start]
    states = [
        State(f"{each:,.0f}", {bars: {"y": mean[at]}}, {share: each, count: each}, {by_layer: titles[at]})
        for at, each in enumerate(units)
    ]
    hint = "Make the layers wider: the share falls, the count rises."
    ends = by_seed.mean(0)
    counts = ends * units / 100
    finding = (
        f"From {units[0]:,.0f} units a layer to {units[-1]:,.0f} the share of positive entries goes from "
        f"{percent(ends[0])} to {percent(ends[-1])}, their count from {counts[0]:.0f} to {counts[-1]:.0f}"
    )
    caption = (
        "At the end of training, on the test's pictures. Bars are means of the seeds. Below: the mean over all layers "
        "as a share of the units, and as a number of them; a thick line is the mean over the seeds, a thin one a seed."
    )
    control = Control("slider", "Units a layer", states, start, hint)
    chart = Chart([by_layer, share, count], [210, 190, 190], control=control)
    drawn = [("", xr.Dataset({"positive_percent": of}))]
    return figure(f"{__name__}.widths", chart, caption, drawn, finding, dataset)


def no_data(dataset: xr.Dataset) -> Figure:
    """The share of positive entries where there is something to learn and where there is nothing, counted in two ways.

    Parameters
    ----------
    dataset : Dataset
        `positive` (among, arm, seed, step), percent; `tokens` (step). The first arm has something to learn.
    """
    of = variable(dataset, "no_data", "positive", "among", "arm", "seed", "step")
    ways, arms = (of[name].values.tolist() for name in ("among", "arm"))
    later = of.isel(step=of["tokens"].values > 0)
    panels = []
    for row, way in enumerate(ways):
        axis = tokens_axis(of["tokens"].values.astype(float))
        panel = Panel(f"{SHARE}, of {way}", axis, Axis(limits=(0.0, 100.0)), row=row)
        for arm, (colour, dash) in zip(arms, LOOKS, strict=True):
            hover = f"{arm}, {{x}} tokens\nmean {{y}} % positive (seeds {{0}} to {{1}} %)"
            values = later.sel(among=way, arm=arm).values
            panel.marks += seed_curves(later["tokens"].values, values, colour, hover, "" if row else arm, arm, dash)
        panels.append(panel)
    last = of.isel(step=-1).mean("seed")

    def ends(arm: str) -> str:
        every, living = (percent(float(last.sel(among=way, arm=arm))) for way in ways)
        return f"{every} of the entries of {ways[0]}, {living} of those of {ways[1]}"

    finding = f"At the end, {arms[-1]}: {ends(arms[-1])}; {arms[0]}: {ends(arms[0])}"
    caption = (
        "At a held-out patch, all layers together. A unit fires at all if it does once on the held-out pictures of the "
        "measurement; where pixels are random, so are theirs. "
        f"{how_many(of.sizes['seed'], 'seed').capitalize()}: a thick line is their mean."
    )
    chart = Chart(panels, [230, 230], legend="")
    drawn = [("", xr.Dataset({"positive_percent": of}))]
    return figure(f"{__name__}.no_data", chart, caption, drawn, finding, dataset)
