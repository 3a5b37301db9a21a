"""Figures of chapter 12: networks of two layers whose labels keep the theorem, or break it, over whole runs."""

from typing import Literal

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import how_many, variable

LOOK = {"SGD": (style.INK, "solid"), "Adam": (style.ACCENT, "dash")}
"""Optimiser → colour and dash."""
SIGNS: dict[bool, tuple[str, Literal["circle", "open"], str]] = {
    True: (style.ACCENT, "circle", "lowers activations"),
    False: (style.INK, "open", "raises them"),
}
"""Whether the first gradient lowers activations → colour, symbol and name."""


DIGITS = "digits"
"""How arms begin that read real pictures."""


def ends(dataset: xr.Dataset) -> Figure:
    """Change of the share of positive entries over whole runs: a point per arm and optimizer, with its interval.

    Parameters
    ----------
    dataset : Dataset
        `change` (arm, optimizer, seed, step), percentage points; `half` (arm, optimizer); `lowers` (arm).
    """
    change = variable(dataset, "ends", "change", "arm", "optimizer", "seed", "step").isel(step=-1).mean("seed")
    half, down = variable(dataset, "ends", "half", "arm", "optimizer"), variable(dataset, "ends", "lowers", "arm")
    arms = list(map(str, change["arm"].values))
    y = np.arange(len(arms), dtype=float)
    low, high = float((change - half).min()), float((change + half).max())
    room, panels = 0.04 * (high - low), []
    for row, optimizer in enumerate(map(str, change["optimizer"].values)):
        axis = Axis("change of the positive entries over the run, points", limits=(low - room, high + room))
        names = Axis(limits=(len(arms) - 0.4, -0.6), ticks=(y.tolist(), arms), names=True)
        panel = Panel(optimizer, axis, names, cursor=0.0, row=row)
        for lowers, (colour, symbol, legend) in SIGNS.items():
            here = down.values.astype(bool) == lowers
            middle, around = (each.sel(optimizer=optimizer).values[here] for each in (change, half))
            gaps = np.stack([middle - around, middle + around, np.full(here.sum(), np.nan)], axis=1).ravel()
            panel.marks.append(Mark("line", gaps, np.repeat(y[here], 3), colour, width=1.5))
            told = [[arms[k], signed(around[n])[1:]] for n, k in enumerate(np.flatnonzero(here))]
            hover = f"{{0}}, {optimizer}\n{{x}} points, give or take {{1}} (95 %)"
            points = Mark("points", middle, y[here], colour, symbol=symbol, size=9, hover=hover, extra=told)  # type: ignore[arg-type]
            points.legend = "" if row else legend
            panel.marks.append(points)
        panels.append(panel)
    rises = [f"{int((change.sel(optimizer=each) > 0).sum())} by {each}" for each in change["optimizer"].values]
    finding = f"The share of positive entries rises in {' and '.join(rises)} of {len(arms)} arms"
    caption = (
        "Points are means over the seeds, lines Student's 95 % intervals. Filled: the mean gradient before the first "
        "step lowers activations that are above 0, as the theorem says; open: it raises them. "
        f"{how_many(dataset.sizes['seed'], 'seed').capitalize()}."
    )
    chart = Chart(panels, [24 * len(arms)] * len(panels), legend="the first gradient")
    drawn = [("", xr.Dataset({"change_points": change, "half_interval": half}))]
    return figure(f"{__name__}.ends", chart, caption, drawn, finding, dataset)


def signed(value: float) -> str:
    """To one digit, with its sign."""
    return f"{value:+.1f}".replace("-", "−")


def drift(dataset: xr.Dataset) -> Figure:
    """Change of the share of positive entries over a run, and which way its first step pushes them; a choice of arms.

    Parameters
    ----------
    dataset : Dataset
        `change` (arm, optimizer, seed, step), percentage points; `lowers` (arm).
    """
    points = variable(dataset, "drift", "change", "arm", "optimizer", "seed", "step")
    down = variable(dataset, "drift", "lowers", "arm")
    arms = [arm for arm in map(str, points["arm"].values) if not arm.startswith(DIGITS)]
    points, steps = points.sel(arm=arms), points["step"].values.astype(float)
    ways = {arm: "lowers" if bool(down.sel(arm=arm)) else "raises" for arm in arms}
    titles = {arm: f"change of the positive entries, points\nthe first gradient {ways[arm]} them" for arm in arms}
    mean = points.mean("seed")
    shown = mean.sel(arm=arms[0], optimizer=list(LOOK)).isel(step=-1)
    room = 0.1 * float(mean.max() - mean.min())
    limits = (float(mean.min()) - room, float(mean.max()) + room)
    panel = Panel(titles[arms[0]], Axis("steps", limits=(0.0, float(steps[-1]))), Axis(limits=limits))
    states = [State(arm, {}, titles={panel: titles[arm]}) for arm in arms]
    for optimizer, (colour, dash) in LOOK.items():
        hover = f"{optimizer}, step {{x}}\nmean {{y}} points (seeds {{0}} to {{1}})"
        of = points.sel(optimizer=optimizer).transpose("arm", "seed", "step").values
        means = [seed_curves(steps, rows, colour, hover, optimizer, optimizer, dash)[-1] for rows in of]
        panel.marks.append(means[0])
        for state, curve in zip(states, means, strict=True):
            state.marks[means[0]] = {"y": curve.y, "extra": curve.extra}
    last = " and ".join(f"{signed(float(of))} points by {by}" for by, of in zip(LOOK, shown.values, strict=True))
    finding = (
        f"Trained on {arms[0]}, whose first gradient {ways[arms[0]]} activations, positive entries change by {last}"
    )
    caption = (
        "The share of positive entries since step 0, in percentage points; lines are means of "
        f"{how_many(points.sizes['seed'], 'seed')}. Networks of two layers on samples drawn once."
    )
    control = Control("choice", "Trained on", states, 0, "Choose labels, loss and V: which way does the share go?")
    chart = Chart([panel], [300], control=control, legend="")
    data = xr.Dataset({"change_of_positive_points": points})
    return figure(f"{__name__}.drift", chart, caption, [("", data)], finding, dataset)
