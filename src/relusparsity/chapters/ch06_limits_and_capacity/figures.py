"""Figure of chapter 06: what width buys."""

import numpy as np
import xarray as xr

from ...plots import style
from ...plots.chart import Axis, Chart, Mark, Panel
from ...plots.figure import Figure, figure
from ...plots.reading import batch_window, layers, lowest, variable


def width(dataset: xr.Dataset) -> Figure:
    """The number of used units in each layer, and the loss, against the width of the hidden layer.

    Parameters
    ----------
    dataset : Dataset
        `used_units` (seed, d_ff, layer), units that fire in 8,192 held-out tokens; `heldout_loss` (seed, d_ff), nats
        per token.
    """
    used = variable(dataset, "width", "used_units", "seed", "d_ff", "layer")
    loss = variable(dataset, "width", "heldout_loss", "seed", "d_ff")
    x = used["d_ff"].values.astype(float)
    limits = (float(x.min()) * 0.85, float(x.max()) * 1.18)
    ticks = ([float(v) for v in x], [f"{int(v):,}" if v < 10_000 else style.si(v) for v in x])
    counts = Panel(
        "used units, count",
        Axis("d_ff, units per layer", log=True, limits=limits, ticks=ticks),
        Axis(log=True, tokens=True),
    )
    counts.marks.append(Mark("line", x, x, style.INK, width=1, dash="dot", hover="every unit used"))
    for i in layers(used):
        hover = f"layer {i}, d_ff {{x}}\nmean {{y}} units used (seeds: {{0}})"
        values = used.sel(layer=i).values.astype(float)
        counts.marks += _with_points(x, values, style.layer_colour(i, used.sizes["layer"]), hover, str(i), f"layer {i}")
    costs = Panel(
        "held-out loss, nats per token",
        Axis("d_ff, units per layer", log=True, limits=limits, ticks=ticks),
        Axis(),
        row=1,
    )
    hover = "d_ff {x}\nmean loss {y} nats per token (seeds: {0})"
    costs.marks = _with_points(x, loss.values.astype(float), style.INK, hover)
    ran = np.isfinite(loss.values).sum(axis=0)
    seeds = ", ".join(f"{n} at {int(w)}" for n, w in zip(ran, x, strict=True))
    caption = (
        f"Models that differ in width only: seeds as points ({seeds}), lines through their mean. Above: units "
        f"of a layer that fire in {batch_window(dataset)} held-out tokens, both axes logarithmic; on the "
        "dotted line every unit is used. A layer whose curve turns flat has all the units it can use; one "
        "that runs parallel to the dotted line uses a fixed share. Below: what the width buys."
    )
    drawn = xr.Dataset({"used_units": used, "heldout_loss": loss})
    mean = used.mean("seed")
    low, least, high, most = lowest(mean.isel(d_ff=-1) / mean.isel(d_ff=0))
    finding = (
        f"{x[-1] / x[0]:.3g} times the width: {least:.3g} times the used units in {low}, {most:.3g} times in {high}"
    )
    return figure(f"{__name__}.width", Chart([counts, costs], [280, 170]), caption, [("", drawn)], finding, dataset)


def _with_points(
    x: np.ndarray, values: np.ndarray, colour: str, hover: str, legend: str = "", group: str = ""
) -> list[Mark]:
    """The mean of the seeds that ran at each width (some may be missing), and each seed: (seed, width) → marks."""
    ran = np.isfinite(values)
    some = ran.any(axis=0)
    mean = np.full(len(x), np.nan)
    mean[some] = np.nansum(values[:, some], axis=0) / ran[:, some].sum(axis=0)
    line = Mark("line", x, mean, colour, legend, group, hover, extra=ran.sum(axis=0))
    return [line, Mark("points", np.tile(x, len(values))[ran.ravel()], values[ran], colour, group=group, size=5)]
