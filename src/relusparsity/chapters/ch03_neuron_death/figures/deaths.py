"""Figures of chapter 03: which units die, when, and whether they come back."""

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.axes import RANGE, layer_axis
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


def deaths_and_revivals(dataset: xr.Dataset) -> Figure:
    """Deaths (up) and revivals (down) of each layer between measured steps.

    Parameters
    ----------
    dataset : Dataset
        `deaths`, `revivals` (seed, step, layer), units since the last measured step; `tokens` (step); the attribute
        `dead_after`.
    """
    dims = ("seed", "step", "layer")
    deaths = variable(dataset, "deaths_and_revivals", "deaths", *dims)
    revivals = variable(dataset, "deaths_and_revivals", "revivals", *dims)
    after = attribute(dataset, "deaths_and_revivals", "dead_after")
    n_units, seen = units(dataset, "deaths_and_revivals"), tokens(dataset, "deaths_and_revivals")
    keep = _intervals(seen, 40)
    edges = seen[keep]
    middle, length = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    starts = keep[:-1] + 1
    rates = {}
    for sign, name, array in ((1, "deaths", deaths), (-1, "revivals", revivals)):
        summed = np.add.reduceat(array.transpose(*dims).values.astype(float), starts, axis=1)
        rates[name] = sign * 100 * summed / n_units / (100 * length / edges[-1])[None, :, None]
    numbers, panels = layers(deaths), []
    for k, i in enumerate(numbers):
        axis = Axis("tokens seen", tokens=True, limits=(0, float(edges[-1])))
        panel = Panel(f"layer {i}", axis, Axis(), row=k // 2, col=k % 2)
        for name, opacity in (("deaths", 0.85), ("revivals", 0.4)):
            values = rates[name][:, :, k]
            mean = values.mean(axis=0)
            hover = f"layer {i}, near {{x}} tokens\n{name}: {{0}} % of units in 1 % of training"
            bars = Mark("bars", middle, mean, style.layer_colour(i, len(numbers)), hover=hover, extra=np.abs(mean))
            bars.bar_width, bars.opacity = length, opacity
            panel.marks.append(bars)
        panels.append(panel)
    caption = (
        "Deaths (upwards) and revivals (downwards, paler) between measured steps, in % of the layer's units "
        f"for each 1 % of the training tokens, mean of {how_many(deaths.sizes['seed'], 'seed')}; each panel "
        f"has its own scale. A death is confirmed after {style.si(after)} tokens of silence and counted then. "
        "Short intervals are joined, to at most 40."
    )
    coords = {"seed": deaths["seed"].values, "tokens": middle, "layer": numbers}
    table = {
        f"{n}_share_per_hundredth_of_training": (("seed", "tokens", "layer"), np.abs(r) / 100) for n, r in rates.items()
    }
    chart = Chart(panels, [130] * ((len(panels) + 1) // 2), 2)
    died, back = (float(array.sum()) for array in (deaths, revivals))
    finding = f"For 100 deaths there are {100 * back / died:.0f} revivals" if died else "No unit died"
    drawn = [("", xr.Dataset(table, coords))]
    return figure(f"{__name__}.deaths_and_revivals", chart, caption, drawn, finding, dataset)


def _intervals(seen: np.ndarray, most: int) -> np.ndarray:
    """Indices of measured steps at least 1/most of the training apart, with the first and the last."""
    keep, least = [0], (seen[-1] - seen[0]) / most * 0.999
    for i in range(1, len(seen)):
        if seen[i] - seen[keep[-1]] >= least or i == len(seen) - 1:
            keep.append(i)
    return np.array(keep)


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
        "Units that have not fired in the last tokens of the training stream (how many: above the panel), % "
        f"of the layer; {how_many(dataset.sizes['seed'], 'seed')} thin, mean thick. Undefined, so not drawn, "
        "before that many tokens. The curve falls where more units revive than die."
    )
    last = 100 * drawn[0][1]["dead_units"].isel(step=-1).mean("seed") / units(dataset, "dead_over_training")
    low, least, high, most = lowest(last)
    finding = f"At the end {percent(most)} of {high} is dead, and {percent(least)} of {low}"
    chart = Chart(panels, [280] * len(panels))
    return figure(f"{__name__}.dead_over_training", chart, caption, drawn, finding, dataset, live=live)


def silent_vs_dead(dataset: xr.Dataset) -> Figure:
    """Units silent on held-out text against units dead in training, and how much of the silence chance explains.

    Parameters
    ----------
    dataset : Dataset
        (seed, layer), units: `silent_small` (attribute `small_sample_tokens`), `silent_both` (attribute
        `large_sample_tokens`), `good_turing_expected`, `dead_count`, `dead_and_silent_count`; the attribute
        `dead_after`.
    """
    names = ("silent_small", "silent_both", "good_turing_expected", "dead_count", "dead_and_silent_count")
    count = {n: variable(dataset, "silent_vs_dead", n, "seed", "layer") for n in names}
    small = attribute(count["silent_small"], "silent_vs_dead", "small_sample_tokens")
    large = attribute(count["silent_both"], "silent_vs_dead", "large_sample_tokens")
    after, n_units = attribute(dataset, "silent_vs_dead", "dead_after"), units(dataset, "silent_vs_dead")
    share = {n: 100 * a.values.astype(float) / n_units for n, a in count.items()}
    numbers = layers(count["silent_small"])
    colours = [style.layer_colour(i, len(numbers)) for i in numbers]
    x = np.array(numbers, dtype=float)
    expected = np.minimum(share["good_turing_expected"], share["silent_both"])
    stacks = {
        "silent": [
            ("silent in both samples, beyond chance", share["silent_both"] - expected, 0.95),
            ("silent in both, but chance would let it fire in as much text again", expected, 0.55),
            (
                f"silent in {style.si(small)} tokens, fires in {style.si(large)} others",
                share["silent_small"] - share["silent_both"],
                0.25,
            ),
        ],
        "dead": [
            ("dead, and silent in both samples", share["dead_and_silent_count"], 0.95),
            ("dead, yet fires on held-out text", share["dead_count"] - share["dead_and_silent_count"], 0.25),
        ],
    }
    panels = []
    top = max(float(share["silent_small"].max()), float(share["dead_count"].max())) * 1.08 + 1e-3
    titles = {
        "silent": "silent on held-out text, % of units",
        "dead": f"dead at the end (dead({style.si(after)})), % of units",
    }
    for row, (what, parts) in enumerate(stacks.items()):
        panel = Panel(titles[what], layer_axis(numbers), Axis(limits=(0, top)), row=row)
        start = np.zeros(len(numbers))
        for text, values, opacity in parts:
            mean = values.mean(axis=0)
            hover = f"layer {{x}}\n{text}\nmean {{y}} % of units"
            panel.marks.append(Mark("bars", x, mean, colours, hover=hover, base=start, opacity=opacity, bar_width=0.7))
            start = start + mean
        total = share["silent_small" if what == "silent" else "dead_count"]
        dots = Mark("points", np.tile(x, len(total)), total.ravel(), style.INK, size=4, symbol="ring")
        dots.hover = "layer {x}\none seed, in all: {y} %"
        panel.marks.append(dots)
        panels.append(panel)
    caption = (
        f"Above: units that fired at none of {style.si(small)} held-out tokens. Darkest part: silent also in "
        f"{style.si(large)} other tokens, beyond what chance allows (Good–Turing); middle: silent in both, but "
        "chance would let them fire in as much text again; palest: fired in the larger sample. Below: units "
        "dead in training at its end; pale: those that still fire on held-out text. Bars: mean of "
        f"{how_many(len(total), 'seed')}; points: seeds, whole bar. Silent and dead are not the same."
    )
    silent, dead = (lowest(100 * count[n].mean("seed") / n_units)[2:] for n in ("silent_both", "dead_count"))
    finding = (
        f"{silent[0].capitalize()} has the most silent units, {percent(silent[1])}, "
        f"{'and' if dead[0] == silent[0] else dead[0]} the most dead ones, {percent(dead[1])}"
    )
    drawn = [("", xr.Dataset(count))]
    return figure(f"{__name__}.silent_vs_dead", Chart(panels, [190, 190]), caption, drawn, finding, dataset)
