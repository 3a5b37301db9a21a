"""Figure of chapter 13: accuracy of the arms by how many training labels are replaced, and in pairs of a seed."""

import numpy as np
import xarray as xr

from ....plots.chart import Axis, Chart, Mark, Panel
from ....plots.figure import Figure, figure
from ....plots.reading import variable
from .. import phrases
from .look import LOOKS, dots, mean, percent

APART = 1.2
"""How far the points of two arms stand apart, in percent of the labels."""


def quality(dataset: xr.Dataset) -> Figure:
    """Accuracy of the arms at each noise; and Top-k's differences from the others, seed by seed, with intervals.

    Parameters
    ----------
    dataset : Dataset
        `accuracy` (arm, noise, seed), percent; `gain` (over, noise, seed), `low`, `high`, `by_chance` (over, noise),
        points: see `read.gains`.
    """
    accuracy = variable(dataset, "quality", "accuracy", "arm", "noise", "seed")
    gain = variable(dataset, "quality", "gain", "over", "noise", "seed")
    low, high, chance = (variable(dataset, "quality", name, "over", "noise") for name in ("low", "high", "by_chance"))
    chart = Chart([_by_noise(accuracy), _in_pairs(gain, low, high, chance)], [230, 34 * low.size], legend="")
    top, other = str(accuracy["arm"].values[-1]), str(gain["over"].values[0])

    def said(noise: float) -> str:
        of = {"over": other, "noise": noise}
        return phrases.compared(gain.sel(of).values, float(low.sel(of)), float(high.sel(of)))

    told = [f"{said(noise)} with {phrases.labels(noise)}" for noise in gain["noise"].values[:2].tolist()]
    finding = f"Accuracy of {top} against {other}: {'; '.join(told)}"
    luck = (
        " The grey bar is what no difference looks like: there 95 % of the means would lie if a coin drew the sign of "
        "each pair."
    )
    caption = (
        "Accuracy on the test at the end; the labels that train are replaced, those of the test are true. Above, a "
        "line is the mean over the seeds. Below, in the colour of the arm that Top-k is compared with, a small point "
        "is a pair: two arms that began with the same weights and saw the same pictures in the same order. A ring is "
        "their mean, a thick line Student's 95 % interval of it."
        f"{luck * bool(np.isfinite(chance).any())}"
    )
    drawn = [("", dataset[["accuracy"]]), ("", dataset[["gain", "low", "high", "by_chance"]])]
    return figure(f"{__name__}.quality", chart, caption, drawn, finding, dataset)


def _by_noise(accuracy: xr.DataArray) -> Panel:
    at = accuracy["noise"].values.astype(float)
    ticks = (at.tolist(), [f"{each:g}" for each in at])
    axis = Axis("labels replaced, %", ticks=ticks, limits=(at[0] - 8, at[-1] + 12))
    panel = Panel("accuracy on the test, %", axis, Axis())
    for place, (arm, look) in enumerate(zip(accuracy["arm"].values.tolist(), LOOKS, strict=True)):
        rows = accuracy.sel(arm=arm).transpose("seed", "noise").values
        panel.marks.append(dots(at + APART * (place - 1), rows, look[0], f"{arm}, a seed\n{{y}} % right"))
        hover = f"{arm}, {{x}} % of the labels replaced\nmean {{y}} % right (seeds {{0}} to {{1}} %)"
        panel.marks.append(mean(at, rows, look, hover, arm, arm))
    return panel


def _in_pairs(gain: xr.DataArray, low: xr.DataArray, high: xr.DataArray, chance: xr.DataArray) -> Panel:
    rows = [(noise, over) for noise in gain["noise"].values.tolist() for over in gain["over"].values.tolist()]
    overs, noises = gain.sizes["over"], gain["noise"].values.tolist()
    middles = [overs * at + (overs - 1) / 2 for at in range(len(noises))]
    panel = Panel(
        "Top-k against the others, by labels replaced",
        Axis("points of accuracy", limits=_limits(gain, low, high, chance)),
        Axis(limits=(len(rows) - 0.4, -0.6), ticks=(middles, [*map(percent, noises)]), names=True),
        cursor=0.0,
        row=1,
    )
    for at, (noise, over) in enumerate(rows):
        of = {"noise": noise, "over": over}
        colour = LOOKS[gain["over"].values.tolist().index(over)][0]
        by_luck, ends, pairs = float(chance.sel(of)), (float(low.sel(of)), float(high.sel(of))), gain.sel(of).values
        around = np.array([-by_luck, by_luck])
        panel.marks += [
            Mark("band", around, np.full(2, at + 0.36), "grid", low=np.full(2, at - 0.36)),
            Mark("line", np.array(ends), np.full(2, float(at)), colour, width=3.5),
        ]
        there = pairs[np.isfinite(pairs)]
        hover = f"{percent(noise)}, from {over}\n{{x}} points in a seed"
        panel.marks.append(Mark("points", there, np.full(len(there), at - 0.24), colour, hover=hover, size=5.0))
        if len(there):
            told = [[phrases.span(*ends) if np.isfinite(ends).all() else "to come"]]
            hover = f"{percent(noise)}, from {over}\nmean {{x}} points (95 %: {{0}})"
            panel.marks.append(
                Mark("points", [there.mean()], [float(at)], colour, hover=hover, size=9.0, symbol="ring", extra=told)
            )
    return panel


def _limits(*values: xr.DataArray) -> tuple[float, float]:
    """Of all that is drawn, and 0, with some room."""
    drawn = np.concatenate([[0.0], *(np.ravel(each.values) for each in values), -np.ravel(values[-1].values)])
    low, high = np.nanmin(drawn), np.nanmax(drawn)
    room = max(0.05 * (high - low), 0.05)
    return float(low - room), float(high + room)
