"""Figures of chapter 12: networks of two layers whose labels keep the theorem, or break it, over whole runs."""

import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Control, Panel, State, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import how_many, variable

LOOK = {"SGD": (style.INK, "solid"), "Adam": (style.ACCENT, "dash")}
"""Optimiser → colour and dash."""


def drift(dataset: xr.Dataset) -> Figure:
    """Change of the share of positive entries over a run, and which way its first step pushes them; a choice of arms.

    Parameters
    ----------
    dataset : Dataset
        `change` (arm, optimizer, seed, step), percentage points; `lowers` (arm).
    """
    points = variable(dataset, "drift", "change", "arm", "optimizer", "seed", "step")
    down = variable(dataset, "drift", "lowers", "arm")
    arms, steps = list(map(str, points["arm"].values)), points["step"].values.astype(float)
    ways = {arm: "lowers" if bool(down.sel(arm=arm)) else "raises" for arm in arms}
    titles = {arm: f"change of the positive entries, points\nthe first gradient {ways[arm]} them" for arm in arms}
    ends = points.mean("seed")
    room = 0.1 * float(ends.max() - ends.min())
    limits = (float(ends.min()) - room, float(ends.max()) + room)
    panel = Panel(titles[arms[0]], Axis("steps", limits=(0.0, float(steps[-1]))), Axis(limits=limits))
    states = [State(arm, {}, titles={panel: titles[arm]}) for arm in arms]
    for optimizer, (colour, dash) in LOOK.items():
        hover = f"{optimizer}, step {{x}}\nmean {{y}} points (seeds {{0}} to {{1}})"
        of = points.sel(optimizer=optimizer).transpose("arm", "seed", "step").values
        means = [seed_curves(steps, rows, colour, hover, optimizer, optimizer, dash)[-1] for rows in of]
        panel.marks.append(means[0])
        for state, mean in zip(states, means, strict=True):
            state.marks[means[0]] = {"y": mean.y, "extra": mean.extra}
    last = ends.isel(step=-1)
    lowered = [arm for arm in arms if ways[arm] == "lowers"]
    falls = [arm for arm in lowered if bool((last.sel(arm=arm) < 0).all())]
    raised = [arm for arm in arms if ways[arm] == "raises"]
    rises = [arm for arm in raised if bool((last.sel(arm=arm) > 0).all())]
    finding = (
        f"Of {how_many(len(lowered), 'arm')} whose first gradient lowers activations, {len(falls)} "
        f"{'ends' if len(falls) == 1 else 'end'} with fewer positive entries by both optimizers; of {len(raised)} "
        f"whose first gradient raises them, {len(rises)} end with more"
    )
    caption = (
        "The share of positive entries since step 0, in percentage points; lines are means of "
        f"{how_many(points.sizes['seed'], 'seed')}. Networks of two layers on samples drawn once."
    )
    control = Control("choice", "Trained on", states, 0, "Choose what the network trains on: does sparsity turn, too?")
    chart = Chart([panel], [300], control=control, legend="")
    data = xr.Dataset({"change_of_positive_points": points})
    return figure(f"{__name__}.drift", chart, caption, [("", data)], finding, dataset)
