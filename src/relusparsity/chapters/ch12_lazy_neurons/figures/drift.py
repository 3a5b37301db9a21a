"""Figures of chapter 12: networks of two layers whose labels keep the theorem, or break it, over whole runs."""

import numpy as np
import xarray as xr

from ....experiments import preactivation_drift
from ....plots import style
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import how_many, variable

LOOK = {"SGD": style.INK, "Adam": style.ACCENT}
"""Optimiser → colour."""


def drift(dataset: xr.Dataset) -> Figure:
    """Change of the share of positive entries, and the mean pre-activation's motion beside the theorem's; an arm each.

    Parameters
    ----------
    dataset : Dataset
        `positive`, `moved`, `theorem_moved` (arm, optimizer, seed, step).
    """
    dims = ("arm", "optimizer", "seed", "step")
    positive, moved, theorem = (
        variable(dataset, "drift", name, *dims).astype(float) for name in ("positive", "moved", "theorem_moved")
    )
    arms, steps = list(map(str, positive["arm"].values)), positive["step"].values.astype(float)
    points = 100 * (positive - positive.isel(step=0))
    sizes = {"points": points, "moved": moved, "theorem": theorem}
    axis = Axis("steps", limits=(0.0, float(steps[-1])))
    share = Panel("positive entries: change, points", axis, Axis())
    motion = Panel("mean pre-activation: change", axis, Axis(), row=1)
    states = [State(arm, {}) for arm in arms]
    for optimizer, colour in LOOK.items():
        for panel, what, dash, named in (
            (share, "points", "solid", optimizer),
            (motion, "moved", "solid", ""),
            (motion, "theorem", "dot", f"{optimizer}, by the theorem"),
        ):
            hover = f"{named or optimizer}, step {{x}}\nmean {{y}} (seeds {{0}} to {{1}})"
            of = sizes[what].sel(optimizer=optimizer)
            drawn = [
                seed_curves(steps, of.sel(arm=arm).transpose("seed", "step").values, colour, hover, named, named, dash)
                for arm in arms
            ]
            mark: Mark = drawn[0][-1]  # the mean; twelve arms of twenty seeds would be too much ink
            panel.marks.append(mark)
            for state, marks in zip(states, drawn, strict=True):
                state.marks[mark] = {"y": marks[-1].y, "extra": marks[-1].extra}
    for panel, names in ((share, ("points",)), (motion, ("moved", "theorem"))):
        means = np.concatenate([np.ravel(sizes[name].mean("seed").values) for name in names])
        room = 0.05 * float(np.ptp(means)) or 1.0
        panel.y.limits = (float(means.min()) - room, float(means.max()) + room)
    change = preactivation_drift.change(dataset).mean("seed")
    falls = [arm for arm in arms if bool((change.sel(arm=arm) < 0).all())]
    finding = (
        f"The share of positive entries falls with both optimizers in {len(falls)} of {len(arms)} arms: "
        f"{'; '.join(falls)}"
        if falls
        else f"The share of positive entries falls with both optimizers in none of {len(arms)} arms"
    )
    caption = (
        "Above: percentage points since step 0. Below, solid: how far the mean pre-activation has moved; dotted: "
        "how far the same steps would have moved it with the theorem's gradient in place of the real one. Lines are "
        f"means of {how_many(positive.sizes['seed'], 'seed')}."
    )
    control = Control("choice", "Trained on", states, 0, "Choose what the network trains on: does sparsity turn, too?")
    chart = Chart([share, motion], [220, 240], control=control, legend="")
    data = xr.Dataset({"change_of_positive_points": points, "moved": moved, "moved_by_theorem": theorem})
    return figure(f"{__name__}.drift", chart, caption, [("", data)], finding, dataset)
