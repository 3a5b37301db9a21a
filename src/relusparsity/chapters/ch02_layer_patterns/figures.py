"""Figures of chapter 02: the share of each layer that is used, when, and over how much text."""

import numpy as np
import xarray as xr

from ...errors import UserError
from ...plots import style
from ...plots.axes import PERCENT, RANGE, over_tokens, tokens_axis
from ...plots.chart import Axis, Chart, Mark, Panel, seed_curves
from ...plots.figure import Figure, figure
from ...plots.reading import (
    batch_window,
    how_many,
    layers,
    lowest,
    percent,
    percentile_levels,
    sources,
    thinned,
    titled,
    tokens,
    variable,
)


def use_over_training(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """Token, sequence and batch use of each layer over training.

    Parameters
    ----------
    dataset, live : Dataset
        `token_use`, `sequence_use`, `batch_use` (seed, step, layer), fractions; `tokens` (step).
    """
    panels, drawn, given = [], [], sources(dataset, live)
    most = 38 if live is None else 16
    lowest = [variable(d, "use_over_training", "token_use", "seed", "step", "layer").values for _, d in given]
    low = 0.8 * min((float(100 * v[v > 0].min()) for v in lowest if (v > 0).any()), default=1.0)
    for col, (source, data) in enumerate(given):
        keep = thinned(data.sizes["step"], most)
        seen = tokens(data, "use_over_training")[keep]
        table = {}
        for row, name in enumerate(("token_use", "sequence_use", "batch_use")):
            use = variable(data, "use_over_training", name, "seed", "step", "layer").isel(step=keep)
            table[name] = use
            what = name.replace("_", " ")
            log = name == "token_use"
            y = Axis(log=True, limits=(low, 130.0)) if log else Axis(limits=PERCENT)
            title = (f"{source}\n" if source and row == 0 else "") + f"{what}, %" + (" (log)" if log else "")
            panel = Panel(title, tokens_axis(seen), y, row=row, col=col)
            panel.marks = over_tokens(use, seen, what, legend=row == col == 0)
            panels.append(panel)
        drawn.append((source, xr.Dataset(table)))
    caption = (
        "Share of each layer's units that fire at one token (mean), at least once in a sequence, and at least "
        f"once in {batch_window(dataset)} tokens. Thin lines: {how_many(dataset.sizes['seed'], 'seed')}; "
        f"thick: their mean; tokens on a log axis, so step 0 is left out, and at most {most} of the measured "
        "steps are drawn. A layer can use few units at a token and still use nearly all of them over a batch: "
        "compare top and bottom."
    )
    chart = Chart(panels, [170, 150, 170], len(given), share_y=True)
    ends = {name: 100 * use.isel(step=-1).mean("seed") for name, use in drawn[0][1].items()}
    spans = [
        f"{percent(float(ends[name].min()))} to {percent(float(ends[name].max()))}"
        for name in ("token_use", "batch_use")
    ]
    finding = f"At the end a token fires {spans[0]} of a layer's units, a batch {spans[1]}"
    return figure(f"{__name__}.use_over_training", chart, caption, drawn, finding, dataset, live=live)


def percentiles(dataset: xr.Dataset, of: str = "token_use") -> Figure:
    """Percentiles of token use over tokens, sequence use over sequences or firing rate over units, layer by layer.

    Parameters
    ----------
    dataset : Dataset
        `{of}_percentiles` (seed, step, layer, percentile), fractions; `tokens` (step).
    of : "token_use", "sequence_use" or "firing_rate"
    """
    over = {"token_use": "tokens", "sequence_use": "sequences", "firing_rate": "units"}
    if of not in over:
        raise UserError(f"percentiles got of={of!r}; it knows {', '.join(over)}")
    dims = ("seed", "step", "layer", "percentile")
    found = variable(dataset, "percentiles", f"{of}_percentiles", *dims)
    keep = thinned(dataset.sizes["step"], 32)
    values = found.isel(step=keep).sel(percentile=list(percentile_levels(found, 5, 25, 50, 75, 95)))
    seen = tokens(dataset, "percentiles")[keep]
    share = 100 * values.mean("seed", skipna=False)
    positive = share.values[share.values > 0]
    floor = 10 ** np.floor(np.log10(positive.min())) if positive.size else 0.01
    panels = [_fan(share.sel(layer=i), seen, float(floor), i, len(layers(values))) for i in layers(values)]
    what = of.replace("_", " ")
    caption = (
        f"Percentiles of {what} over {over[of]}: median (line), 25th to 75th (dark) and 5th to 95th (light), "
        f"mean of {how_many(values.sizes['seed'], 'seed')}, % on a log axis with zero drawn at its lower edge. "
        f"A level is missing where there are too few {over[of]} for it. A fan that widens means that "
        f"{over[of]} come to differ."
    )
    chart = Chart(panels, [130] * (1 + max(p.row for p in panels)), 2, share_y=True)
    drawn, name = [("", xr.Dataset({found.name: values}))], of.replace("_", "-")
    return figure(f"{__name__}.percentiles", chart, caption, drawn, _widest(share, over[of]), dataset, name=name)


def _widest(share: xr.DataArray, over: str) -> str:
    """What the fans end with: layers whose median is zero, else the layer with the widest middle 90 percent."""
    last = share.isel(step=-1)
    silent = [str(i) for i in layers(share) if float(last.sel(layer=i, percentile=50)) == 0]
    if silent:
        return f"Half of all {over} or more end at zero in layer{'s' * (len(silent) > 1)} {', '.join(silent)}"
    _, _, high, most = lowest(last.sel(percentile=95) - last.sel(percentile=5))
    return (
        f"{over.capitalize()} come to differ most in {high}, by {most:.0f} points from the 5th percentile to the 95th"
    )


def _fan(share: xr.DataArray, seen: np.ndarray, floor: float, layer: int, n: int) -> Panel:
    axis = Axis(log=True, limits=(floor, 130.0))
    panel = Panel(f"layer {layer}", tokens_axis(seen), axis, row=layer // 2, col=layer % 2)
    colour = style.layer_colour(layer, n)
    true = share.transpose("step", "percentile").values
    level = {int(p): np.maximum(true[:, n], floor) for n, p in enumerate(share["percentile"].values)}
    for low, high, opacity in ((5, 95, 0.2), (25, 75, 0.35)):
        panel.marks.append(Mark("band", seen, level[high], colour, low=level[low], opacity=opacity))
    hover = f"layer {layer}, {{x}} tokens\nmedian {{2}} %\n25–75th {{1}}–{{3}} %\n5–95th {{0}}–{{4}} %"
    panel.marks.append(Mark("line", seen, level[50], colour, hover=hover, extra=true))
    return panel


def window_curves(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """Share of units that fire within n tokens, running text against tokens drawn at random.

    Parameters
    ----------
    dataset, live : Dataset
        `final_window_use` and `final_rarefied_use` (seed, layer, window), fractions.
    """
    panels, drawn = [], []
    dims = ("seed", "layer", "window")
    for row, (source, data) in enumerate(sources(dataset, live)):
        window = variable(data, "window_curves", "final_window_use", *dims)
        random = variable(data, "window_curves", "final_rarefied_use", *dims)
        measured = window.notnull().any(["seed", "layer"])  # the text may be shorter than the longest windows
        window, random = window.sel(window=measured), random.sel(window=measured)
        x = window["window"].values.astype(float)
        title = titled("units that fire within n tokens, %", source)
        limits = (float(x.min()) * 0.8, float(x.max()) * 1.25)
        panel = Panel(title, Axis("n, tokens", log=True, tokens=True, limits=limits), Axis(limits=PERCENT), row=row)
        for i in layers(window):
            colour = style.layer_colour(i, window.sizes["layer"])
            hover = f"layer {i}, {{x}} tokens drawn at random\n{{y}} %"
            mean = 100 * random.sel(layer=i).mean("seed", skipna=False).values
            panel.marks.append(Mark("line", x, mean, colour, group=f"layer {i}", hover=hover, dash="dot", width=1.5))
            hover = f"layer {i}, {{x}} tokens of running text\nmean {{y}} % {RANGE}"
            legend = str(i) if row == 0 else ""
            panel.marks += seed_curves(x, 100 * window.sel(layer=i).values, colour, hover, legend, f"layer {i}")
        panels.append(panel)
        drawn.append((source, xr.Dataset({"final_window_use": window, "final_rarefied_use": random})))
    caption = (
        "Solid: share of a layer's units that fire at least once in n tokens of running text (window use), "
        f"{how_many(dataset.sizes['seed'], 'seed')} thin and their mean thick. Dotted: the same for n tokens "
        "drawn at random from the sample (rarefied use). At n = 1 both are token use, at n = "
        f"{batch_window(dataset)} batch use. The gap is how much a unit's firings cluster in sequences; a "
        "curve that is still rising has units that need more text to be seen."
    )
    apart = 100 * (drawn[0][1]["final_rarefied_use"] - drawn[0][1]["final_window_use"]).mean("seed")
    at = apart["window"].where(apart == apart.max()).max().item()
    _, _, high, most = lowest(apart.sel(window=at))
    where = f"in {high} over {int(at):,} tokens"
    finding = f"Real text wakes fewer units than random tokens: up to {most:.0f} points fewer, {where}"
    return figure(
        f"{__name__}.window_curves", Chart(panels, [300] * len(panels)), caption, drawn, finding, dataset, live=live
    )


def use_by_position(dataset: xr.Dataset) -> Figure:
    """Share of each layer's units that fire at each position of a sequence.

    Parameters
    ----------
    dataset : Dataset
        `position_use` (seed, layer, position), fractions.
    """
    use = variable(dataset, "use_by_position", "position_use", "seed", "layer", "position")
    n = use.sizes["position"]
    keep = np.unique(np.r_[np.arange(min(n, 16)), thinned(n, 48)])
    use = use.isel(position=keep)
    x = use["position"].values
    panel = Panel("units that fire at a position, %", Axis("position in the sequence, tokens"), Axis())
    for i in layers(use):
        hover = f"layer {i}, position {{x}}\nmean {{y}} % {RANGE}"
        colour = style.layer_colour(i, use.sizes["layer"])
        panel.marks += seed_curves(x, 100 * use.sel(layer=i).values, colour, hover, str(i), f"layer {i}")
    caption = (
        "Mean token use at each position (0 first) of the held-out sequences; "
        f"{how_many(use.sizes['seed'], 'seed')} thin, mean thick. The first 16 positions are all drawn, later "
        "ones evenly thinned to 48. What stands out at the left edge is the model without context."
    )
    mean = use.mean("seed")
    times = mean.isel(position=0) / mean.isel(position=slice(8, None)).mean("position")
    low, least, high, most = lowest(times)
    span = f"{least:.1f} ({low}) to {most:.1f} times ({high})"
    finding = f"The first token fires {span} as many units as those from position 8 on"
    drawn = [("", xr.Dataset({"position_use": use}))]
    return figure(f"{__name__}.use_by_position", Chart([panel], [290]), caption, drawn, finding, dataset)
