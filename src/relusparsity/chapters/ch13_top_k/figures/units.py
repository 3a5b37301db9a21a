"""Figure of chapter 13: which layers fire, and which leave units that are never chosen, with Top-k and without."""

from typing import Any

import numpy as np
import xarray as xr

from ....plots.axes import layer_axis
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State
from ....plots.figure import Figure, figure
from ....plots.reading import layers, variable
from .. import phrases
from .look import LOOKS, NOISE, mean, percent, single

TITLES = {"use": "units of the layer that fire at a patch, %", "silent": "units of the layer that are never chosen, %"}
"""Variable → what its panel shows."""


def units(dataset: xr.Dataset) -> Figure:
    """Use and never chosen units of every layer, in all arms, with the number of replaced labels to choose.

    Parameters
    ----------
    dataset : Dataset
        `use` and `silent` (arm, noise, seed, layer), percent; `alike` (noise, seed): see `read.used`; the attribute
        `most`, percent of a layer that Top-k keeps.
    """
    of = {name: variable(dataset, "units", name, "arm", "noise", "seed", "layer") for name in TITLES}
    alike = variable(dataset, "units", "alike", "noise", "seed")
    noises, numbers = of["use"]["noise"].values.tolist(), layers(of["use"])
    arms = [str(arm) for arm in of["use"]["arm"].values]
    panels, drawn = [], {noise: _curves(of, noise) for noise in noises}
    for row, (name, each) in enumerate(of.items()):
        high = max(float(each.max()), dataset.attrs["most"] if name == "use" else 0.0)
        axis = Axis(limits=(0.0, 1.05 * high if high > 0 else 1.0))
        panels.append(Panel("", layer_axis(numbers), axis, list(drawn[noises[0]][row]), row=row))
    kept = Mark("line", [numbers[0] - 0.6, numbers[-1] + 0.6], [dataset.attrs["most"]] * 2, LOOKS[-1][0], width=1.0)
    kept.dash, kept.hover = "dot", f"the most that {arms[-1]} can fire: {{y}} %"
    panels[0].marks.append(kept)
    states = []
    for noise in noises:
        marks: dict[Mark, dict[str, Any]] = {}
        for first, now in zip(drawn[noises[0]], drawn[noise], strict=True):
            marks |= {one: {"y": each.y, "extra": each.extra} for one, each in zip(first, now, strict=True)}
        titles = {
            panel: f"{title}\n{phrases.labels(noise)}" for panel, title in zip(panels, TITLES.values(), strict=True)
        }
        states.append(State(percent(noise), marks, titles=titles))
    for panel, title in states[0].titles.items():
        panel.title = title
    hint = "Replace labels: which layers fire less, and where are more units left out?"
    control = Control("choice", NOISE, states, 0, hint)
    chart = Chart(panels, [210, 210], control=control, legend="")
    silent = of["silent"].sel(noise=noises[0]).mean("layer", skipna=False)
    told = [f"{arm} {phrases.spread(silent.sel(arm=arm).values)}" for arm in arms]
    order = alike.sel(noise=noises[0]).values
    ranks = phrases.spread(order, 2, "").replace("-", "−")
    pattern = f"; rank correlation of the layers' use with that of {arms[0]}: {ranks}" * bool(np.isfinite(order).any())
    finding = f"Units that are never chosen, {phrases.labels(noises[0])}: {', '.join(told)}{pattern}"
    caption = (
        "At the end, on pictures that trained no model. A patch is a token, and the class token does not count. Never "
        "chosen: fires at no patch of these pictures. The dotted line is what Top-k keeps, and so the most that can "
        "fire. In the last layer only the class token is read, so that nothing is learned from what the patches do "
        "there. A thick line is the mean over the seeds, a thin one a seed."
    )
    numbers_drawn = [("", dataset[["use", "silent"]])]
    return figure(f"{__name__}.units", chart, caption, numbers_drawn, finding, dataset)


def _curves(of: dict[str, xr.DataArray], noise: float) -> list[list[Mark]]:
    """Of use and of silent units, the curves of every arm; those of an arm that has not run have no value."""
    out = []
    for name, what in (("use", "fire at a patch"), ("silent", "never chosen")):
        marks: list[Mark] = []
        for arm, look in zip(of[name]["arm"].values.tolist(), LOOKS, strict=True):
            rows = of[name].sel(arm=arm, noise=noise).values
            x = of[name]["layer"].values.astype(float)
            hover = f"{arm}, layer {{x}}\nmean {{y}} % {what} (seeds {{0}} to {{1}} %)"
            marks += [single(x, rows, look, arm), mean(x, rows, look, hover, arm, arm if name == "use" else "")]
        out.append(marks)
    return out
