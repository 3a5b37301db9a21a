"""Figure of chapter 13: confidence against accuracy, with model, noise and temperature under the reader's hand."""

from itertools import product

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State
from ....plots.figure import Figure, figure
from ....plots.reading import variable
from .. import phrases
from .look import DENSE, NOISE, percent

FEWEST = 10
"""Pictures of a bin below which no point is drawn; they count in the error all the same."""

WHOLE = (0.0, 100.0)
READ = {"as it is": "as it is", "temperature": "by temperature"}
"""Scaling → how it is called."""


def reliability(dataset: xr.Dataset) -> Figure:
    """The reliability diagram: how many of the pictures of a bin are right, against how sure the model is of them.

    Parameters
    ----------
    dataset : Dataset
        `confidence`, `right`, `share`, percent, and `pictures` (arm, noise, scaling, bin); `error` (arm, noise,
        scaling, seed) and `accuracy` (arm, noise, seed), percent: see `read.calibrated`. Shown first is the arm that
        the attribute `first` names, which the title sets beside dense.
    """
    bins = ("arm", "noise", "scaling", "bin")
    confidence, right, share, pictures = (
        variable(dataset, "reliability", name, *bins) for name in ("confidence", "right", "share", "pictures")
    )
    error = variable(dataset, "reliability", "error", "arm", "noise", "scaling", "seed")
    accuracy = variable(dataset, "reliability", "accuracy", "arm", "noise", "seed")
    arms, noises, scalings = (confidence[name].values.tolist() for name in ("arm", "noise", "scaling"))
    width = 100 / confidence.sizes["bin"]
    middles = width * (np.arange(confidence.sizes["bin"]) + 0.5)

    def points(*at: str | float) -> dict[str, np.ndarray]:
        of = dict(zip(bins, at, strict=False))
        x, y, count = (each.sel(of).values for each in (confidence, right, pictures))
        drawn = count >= FEWEST
        return {"x": np.where(drawn, x, np.nan), "y": np.where(drawn, y, np.nan), "extra": count[:, None]}

    def gaps(of: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"x": of["x"], "y": of["y"] - of["x"], "base": of["x"]}

    def heads(arm: str, noise: float, scaling: str) -> tuple[str, str]:
        of, run = error.sel(arm=arm, noise=noise, scaling=scaling).values, accuracy.sel(arm=arm, noise=noise).values
        told = f"{arm}, {phrases.labels(noise)}, {READ[scaling]}"
        if not np.isfinite(of).any():
            return f"right, % of a bin's pictures\n{told}\nnot run", "pictures of the bin, %"
        lines = f"ECE {phrases.spread(of, 2)}, {phrases.spread(run)} right"
        return f"right, % of a bin's pictures\n{told}\n{lines}", "pictures of the bin, %"

    states_of = list(product(arms, noises, scalings))
    wanted = (dataset.attrs["first"], noises[0], scalings[0])
    active = states_of.index(wanted)
    x, y, count = points(*wanted).values()
    diagram = Panel(heads(*wanted)[0], Axis("confidence, %, mean of the bin", limits=WHOLE), Axis(limits=WHOLE))
    below = Panel("pictures of the bin, %", Axis("confidence, %", limits=WHOLE), Axis(limits=WHOLE), row=1)
    bars = Mark("bars", x, y - x, style.ACCENT, base=x, bar_width=0.25 * width, opacity=0.35)
    hover = "confidence {x} %\n{y} % right, of {0} pictures"
    marks = Mark("points", x, y, style.ACCENT, hover=hover, extra=count, size=8.0)
    true = Mark("line", [0.0, 100.0], [0.0, 100.0], style.INK, width=1.2, dash="dash")
    diagram.marks = [true, bars, marks]
    hover = "confidence near {x} %\n{y} % of the pictures"
    counts = Mark("bars", middles, _shares(share, wanted), style.INK, hover=hover, bar_width=0.9 * width)
    below.marks = [counts]
    states = []
    for at in states_of:
        now = points(*at)
        new = {bars: gaps(now), marks: now, counts: {"y": _shares(share, at)}}
        label = f"{at[0]}, {percent(at[1])}, {READ[at[2]]}"
        states.append(State(label, new, titles={diagram: heads(*at)[0]}))
    questions = {
        "Model": arms,
        NOISE: [percent(noise) for noise in noises],
        "Probabilities": [READ[each] for each in scalings],
    }
    hint = "Choose another k, replace labels, divide by the temperature: do the points come to the diagonal?"
    control = Control("choice", "Shown", states, active, hint, questions)
    chart = Chart([diagram, below], [300, 110], control=control, legend="")

    def ece(arm: str) -> str:
        each = (error.sel(arm=arm, noise=noises[0], scaling=scaling).values for scaling in scalings)
        plain, scaled = (phrases.spread(of, 2) for of in each)
        return f"{plain} in {arm}, by temperature {scaled}"

    finding = f"Calibration error with {phrases.labels(noises[0])}: {'; '.join(ece(arm) for arm in (DENSE, wanted[0]))}"
    caption = (
        "A point is a bin of test pictures of about equal confidence, all seeds together: how sure the model is of its "
        "class, and how many it gets right. On the dashed diagonal confidence is what it is worth; below it the model "
        "is too sure, above it not sure enough. Shaded: the gap, whose mean over a model's pictures is its calibration "
        f"error (ECE, {confidence.sizes['bin']} bins). By temperature: scores divided by one number, which fits "
        f"the validation. A bin of fewer than {FEWEST} pictures has no point, but counts."
    )
    drawn = [("", dataset[["confidence", "right", "share", "pictures"]]), ("", dataset[["error"]])]
    return figure(f"{__name__}.reliability", chart, caption, drawn, finding, dataset)


def _shares(share: xr.DataArray, at: tuple[str, float, str]) -> np.ndarray:
    arm, noise, scaling = at
    return share.sel(arm=arm, noise=noise, scaling=scaling).fillna(0).values
