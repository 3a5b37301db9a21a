"""Figures of chapter 06: what width buys, and what the recipe decides."""

from textwrap import wrap

import numpy as np
import xarray as xr

from . import style
from .chart import Axis, Chart, Mark, Panel
from .figure import Figure, figure
from .reading import batch_window, how_many, layers, thinned, tokens, variable


def width(dataset: xr.Dataset) -> Figure:
    """Number of used units of each layer, and loss, against the width of the hidden layer.

    Parameters
    ----------
    dataset : Dataset
        `used_units` (seed, d_ff, layer), units that fire in 8,192 held-out tokens; `heldout_loss` (seed, d_ff), nats a
        token.
    """
    used = variable(dataset, "width", "used_units", "seed", "d_ff", "layer")
    loss = variable(dataset, "width", "heldout_loss", "seed", "d_ff")
    x = used["d_ff"].values.astype(float)
    limits = (float(x.min()) * 0.85, float(x.max()) * 1.18)
    ticks = ([float(v) for v in x], [f"{int(v):,}" if v < 10_000 else style.si(v) for v in x])
    counts = Panel(
        "used units, count",
        Axis("d_ff, units a layer", log=True, limits=limits, ticks=ticks),
        Axis(log=True, tokens=True),
    )
    counts.marks.append(Mark("line", x, x, style.INK, width=1, dash="dot", hover="every unit used"))
    for i in layers(used):
        hover = f"layer {i}, d_ff %{{x}}<br>mean %{{y:.0f}} units used (seeds: %{{customdata}})"
        values = used.sel(layer=i).values.astype(float)
        counts.marks += _with_points(x, values, style.layer_colour(i, used.sizes["layer"]), hover, str(i), f"layer {i}")
    costs = Panel(
        "held-out loss, nats a token", Axis("d_ff, units a layer", log=True, limits=limits, ticks=ticks), Axis(), row=1
    )
    hover = "d_ff %{x}<br>mean loss %{y:.3f} nats a token (seeds: %{customdata})"
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
    return figure("capacity.width", Chart([counts, costs], [280, 170]), caption, [("", drawn)])


def _with_points(
    x: np.ndarray, values: np.ndarray, colour: str, hover: str, legend: str = "", group: str = ""
) -> list[Mark]:
    """The mean of the seeds that ran at each width (not all need have), and each of them: (seed, width) → marks."""
    ran = np.isfinite(values)
    some = ran.any(axis=0)
    mean = np.full(len(x), np.nan)
    mean[some] = np.nansum(values[:, some], axis=0) / ran[:, some].sum(axis=0)
    line = Mark("line", x, mean, colour, legend, group, hover, extra=ran.sum(axis=0))
    return [line, Mark("points", np.tile(x, len(values))[ran.ravel()], values[ran], colour, group=group, size=5)]


def recipes(dataset: xr.Dataset) -> Figure:
    """Batch use of each layer over training, a panel a recipe, with its final loss.

    Parameters
    ----------
    dataset : Dataset
        `batch_use` (recipe, seed, step, layer), fractions; `heldout_loss` (recipe, seed, step), nats a token; `tokens`
        (step); the coordinate `recipe` (short names).
    """
    use = variable(dataset, "recipes", "batch_use", "recipe", "seed", "step", "layer")
    loss = variable(dataset, "recipes", "heldout_loss", "recipe", "seed", "step")
    n, seeds = use.sizes["recipe"], use.sizes["seed"]
    keep = thinned(use.sizes["step"], max(10, min(20, 160 // n)))
    use, loss, seen = use.isel(step=keep), loss.isel(step=keep), tokens(dataset, "recipes")[keep]
    later, panels = seen > 0, []
    limits = (float(seen[later].min()) * 0.9, float(seen.max()) * 1.15)
    for k, recipe in enumerate(use["recipe"].values.tolist()):
        final = loss.sel(recipe=recipe).values[:, -1]
        title = "<br>".join([*wrap(str(recipe), 25), f"loss {final.mean():.3g}"])
        panel = Panel(
            title,
            Axis("tokens seen", log=True, tokens=True, limits=limits),
            Axis(limits=(0, 104)),
            row=k // 2,
            col=k % 2,
        )
        for i in layers(use):
            values = 100 * use.sel(recipe=recipe, layer=i).values
            colour, group = style.layer_colour(i, use.sizes["layer"]), f"layer {i}"
            hover = f"layer {i}, %{{x:.3~s}} tokens<br>mean batch use %{{y:.3~g}} %"
            mean = values.mean(axis=0)[later]
            panel.marks.append(Mark("line", seen[later], mean, colour, str(i) if k == 0 else "", group, hover))
        if seeds > 1:
            ends = 100 * use.sel(recipe=recipe).isel(step=-1).transpose("layer", "seed").values
            colours = [style.layer_colour(i, use.sizes["layer"]) for i in layers(use) for _ in range(seeds)]
            panel.marks.append(Mark("points", np.full(ends.size, seen[-1]), ends.ravel(), colours, size=4))
        panels.append(panel)
    caption = (
        f"Batch use (% of a layer's units that fire in {batch_window(dataset)} held-out tokens) over training, "
        f"tokens on a log axis, one panel a recipe; lines: mean of {how_many(seeds, 'seed')}, points at the "
        "end: seeds. Above each panel its final held-out loss (nats a token): a recipe that learns badly also "
        f"changes the pattern. At most {len(keep)} measured steps are drawn."
    )
    # a column a layer: the names of recipes are long
    columns = {f"batch_use_layer_{i}": use.sel(layer=i, drop=True) for i in layers(use)}
    chart = Chart(panels, [125] * ((n + 1) // 2), 2, share_y=True)
    return figure("capacity.recipes", chart, caption, [("", xr.Dataset(columns | {"heldout_loss": loss}))])
