"""Figures of chapter 03, continued: units that come back after they were dead."""

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Mark, Panel
from ....plots.figure import Figure, figure
from ....plots.reading import attribute, how_many, layers, tokens, units, variable
from .. import lives


def revivals(dataset: xr.Dataset) -> Figure:
    """How often death is undone over training: revivals per dead unit and million tokens, and per 100 deaths.

    Parameters
    ----------
    dataset : Dataset
        `deaths`, `revivals` (seed, step, layer), units since the last measured step; `dead_units` (seed, step, layer);
        `tokens` (step); the attribute `dead_after`.
    """
    for name in ("deaths", "revivals", "dead_units"):
        variable(dataset, "revivals", name, "seed", "step", "layer")
    end, after = float(tokens(dataset, "revivals").max()), attribute(dataset, "revivals", "dead_after")
    found = lives.undone(dataset)
    x, most = found["tokens"].values, float(np.nanmax(found["per_100_deaths"].fillna(0)))
    axis = Axis("tokens seen", tokens=True, limits=(0, end))
    titles = {
        "per_100_dead": ("revivals per 100 dead units and million tokens", Axis(log=True)),
        "per_100_deaths": ("revivals per 100 deaths", Axis(limits=(0, 1.08 * max(most, 100)))),
    }
    panels, numbers = [], layers(found["deaths"])
    for row, (name, (title, y)) in enumerate(titles.items()):
        panel = Panel(title, axis, y, row=row)
        for i in numbers:
            of, colour = found.sel(layer=i), style.layer_colour(i, len(numbers))
            hover = f"layer {i}, near {{x}} tokens\n{title}: {{y}}\n{{0}} deaths, {{1}} revivals"
            counts = np.stack([of["deaths"].values, of["revivals"].values], axis=1)
            panel.marks.append(
                Mark("line", x, of[name].values, colour, str(i) if row == 0 else "", f"layer {i}", hover, extra=counts)
            )
        panels.append(panel)
    rates = found["per_100_dead"].values
    fewer = not (rates[-1] >= rates[0]).any()
    last = found[["deaths", "revivals"]].isel(interval=-1).sum()
    late = 100 * float(last["revivals"]) / float(last["deaths"]) if last["deaths"] else 0.0
    course = "Late in training fewer of the dead come back than early" if fewer else "Dead units come back"
    finding = f"{course}; in the last part there are {late:.0f} revivals per 100 deaths"
    caption = (
        f"Counts of {how_many(dataset.sizes['seed'], 'seed')} together, in {len(x)} parts of training; dead: no "
        f"firing in {style.si(after)} tokens. Above: of 100 dead units, how many come back per million tokens (log "
        f"axis). Below: revivals per 100 deaths of the same part, where at least {lives.LEAST_DEATHS} units die; at "
        "100 as many come back as die."
    )
    drawn = [("", found)]
    return figure(f"{__name__}.revivals", Chart(panels, [220, 200]), caption, drawn, finding, dataset)


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
    keep = lives.intervals(seen, 40)
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
