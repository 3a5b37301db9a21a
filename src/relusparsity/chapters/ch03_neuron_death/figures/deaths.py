"""Figures of chapter 03: which units die, when, and whether they come back."""

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.axes import RANGE
from ....plots.chart import Axis, Chart, Mark, Panel, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import (
    attribute,
    how_many,
    layers,
    lowest,
    percent,
    sources,
    thinned,
    titled,
    tokens,
    units,
    variable,
)

BINS = 24


def death_onsets(dataset: xr.Dataset) -> Figure:
    """When units die: share of each layer's units by the last firing before their first death.

    Parameters
    ----------
    dataset : Dataset
        `death_onset` (seed, layer, unit), tokens, missing for units that never died; `tokens` (step); the attribute
        `dead_after`.
    """
    onset = variable(dataset, "death_onsets", "death_onset", "seed", "layer", "unit")
    after = attribute(dataset, "death_onsets", "dead_after")
    end = float(tokens(dataset, "death_onsets").max())
    edges = np.linspace(0, end, BINS + 1)
    n_units, seeds = onset.sizes["unit"], onset["seed"].values
    share = np.array(
        [
            [np.histogram(s[np.isfinite(s)], edges)[0] for s in layer]
            for layer in onset.transpose("layer", "seed", "unit").values
        ]
    )
    share = 100 * share / n_units
    middle, width = (edges[:-1] + edges[1:]) / 2, (edges[1] - edges[0]) * 0.92
    top = max(float(share.max()) * 1.08, 1e-3)
    numbers, panels = layers(onset), []
    for k, i in enumerate(numbers):
        hover = f"layer {i}, last firing around {{x}} tokens\nmean {{y}} % of units"
        bars = Mark(
            "bars", middle, share[k].mean(axis=0), style.layer_colour(i, len(numbers)), hover=hover, bar_width=width
        )
        dots = Mark("points", np.tile(middle, len(seeds)), share[k].ravel(), style.INK, size=4, symbol="ring")
        total = share[k].sum(axis=1).mean()
        axis = Axis("tokens seen", tokens=True, limits=(0, end))
        panels.append(
            Panel(f"layer {i}: {total:.3g} % died", axis, Axis(limits=(0, top)), [bars, dots], row=k // 2, col=k % 2)
        )
    caption = (
        f"Share of a layer's units (%) by the moment of their last firing before their first death, in {BINS} "
        f"bins of training; bars: mean of {how_many(len(seeds), 'seed')} (points). Dead: no firing in "
        f"{style.si(after)} tokens of the training stream, so no onset can be known in the last "
        f"{style.si(after)} tokens. The panel's title gives the share that ever died."
    )
    coords = {"layer": numbers, "seed": seeds, "tokens": middle}
    table = xr.DataArray(share / 100, dims=("layer", "seed", "tokens"), coords=coords)
    chart = Chart(panels, [120] * ((len(panels) + 1) // 2), 2, share_y=True)
    low, least, high, most = lowest(100 * table.sum("tokens").mean("seed"))
    finding = f"Units die most in {high}, {percent(most)} of them, and least in {low}, {percent(least)}"
    drawn = [("", xr.Dataset({"share_of_units": table}))]
    return figure(f"{__name__}.death_onsets", chart, caption, drawn, finding, dataset)


def survival(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """Share of each layer's units that have not yet died, over training (Kaplan–Meier).

    Parameters
    ----------
    dataset, live : Dataset
        `survival` (seed, layer, tokens_grid), fractions; the attribute `dead_after`; the number of units.
    """
    panels, drawn = [], []
    for row, (source, data) in enumerate(sources(dataset, live)):
        alive = variable(data, "survival", "survival", "seed", "layer", "tokens_grid")
        alive = alive.isel(tokens_grid=thinned(alive.sizes["tokens_grid"], 64 if live is None else 34))
        n_units, x = units(data, "survival"), alive["tokens_grid"].values.astype(float)
        low = 0.0 if alive.isnull().all() else 100 * float(alive.min())
        y = Axis(limits=(max(0.0, low - 0.08 * (100 - low) - 0.5), 100.5))
        title = titled("units that have not died, %", source)
        panel = Panel(title, Axis("tokens seen", tokens=True, limits=(0, float(x.max()))), y, row=row)
        for i in layers(alive):
            values = 100 * alive.sel(layer=i).values
            hover = f"layer {i}, {{x}} tokens\nmean {{y}} % alive {RANGE}"
            legend = str(i) if row == 0 else ""
            marks = seed_curves(x, values, style.layer_colour(i, alive.sizes["layer"]), hover, legend, f"layer {i}")
            panel.marks += marks
            if not marks:
                continue
            at_risk = np.round(values * n_units / 100).mean(axis=0)[:, None]
            mean = marks[-1]
            mean.extra = at_risk if mean.extra is None else np.hstack([np.asarray(mean.extra), at_risk])
            column = mean.extra.shape[1] - 1
            mean.hover += f"\nat risk: {{{column}}} of {n_units} units"
        panels.append(panel)
        drawn.append((source, xr.Dataset({"survival": alive})))
    after = attribute(dataset, "survival", "dead_after")
    caption = (
        "Kaplan–Meier estimate of the share of units that have not yet died; "
        f"{how_many(dataset.sizes['seed'], 'seed')} thin, mean thick. A unit dies at its last firing before "
        f"{style.si(after)} training tokens of silence; one that comes back later still counts as having died "
        "once; the last tokens, in which no death can be known yet, are not drawn. A straight fall is a "
        "constant risk, a flat stretch a quiet time."
    )
    least, few, most, many = lowest(100 * drawn[0][1]["survival"].mean("seed").min("tokens_grid"))
    finding = f"Of {least} {percent(few)} of the units never died, of {most} {percent(many)}"
    return figure(
        f"{__name__}.survival", Chart(panels, [290] * len(panels)), caption, drawn, finding, dataset, live=live
    )


def dead_over_training(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """Share of each layer's units that are dead, over training.

    Parameters
    ----------
    dataset, live : Dataset
        `dead_units` (seed, step, layer), missing before `dead_after` tokens; `tokens` (step); the number of units.
    """
    panels, drawn = [], []
    for row, (source, data) in enumerate(sources(dataset, live)):
        dead = variable(data, "dead_over_training", "dead_units", "seed", "step", "layer")
        keep = thinned(data.sizes["step"], 60)
        dead, seen = dead.isel(step=keep), tokens(data, "dead_over_training")[keep]
        n_units, after = units(data, "dead_over_training"), attribute(data, "dead_over_training", "dead_after")
        title = titled(f"dead units, % (no firing in {style.si(after)} tokens)", source)
        panel = Panel(
            title, Axis("tokens seen", tokens=True, limits=(0, float(seen.max()))), Axis(from_zero=True), row=row
        )
        for i in layers(dead):
            values = 100 * dead.sel(layer=i).values / n_units
            hover = f"layer {i}, {{x}} tokens\nmean {{y}} % dead {RANGE}"
            colour, legend = style.layer_colour(i, dead.sizes["layer"]), str(i) if row == 0 else ""
            panel.marks += seed_curves(seen, values, colour, hover, legend, f"layer {i}")
        panels.append(panel)
        drawn.append((source, xr.Dataset({"dead_units": dead})))
    caption = (
        "Share of the layer's units that have not fired in the last tokens of the training stream (how many: above "
        f"the panel); {how_many(dataset.sizes['seed'], 'seed')} thin, mean thick. A curve falls where more units "
        "revive than die."
    )
    last = 100 * drawn[0][1]["dead_units"].isel(step=-1).mean("seed") / units(dataset, "dead_over_training")
    low, least, high, most = lowest(last)
    finding = f"At the end {percent(most)} of {high} is dead, and {percent(least)} of {low}"
    chart = Chart(panels, [280] * len(panels))
    return figure(f"{__name__}.dead_over_training", chart, caption, drawn, finding, dataset, live=live)
