"""Figure of chapter 13: accuracy of the arms on pictures with noise and under attack, by its strength."""

from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from ....plots.chart import Axis, Chart, Control, Mark, Panel, State
from ....plots.figure import Figure, figure
from ....plots.reading import variable
from .. import phrases
from .look import LOOKS, NOISE, mean, over, percent, zero

GAINS = ("gain", "low", "high")
POINTS = "points of {} above the others"


def robustness(dataset: xr.Dataset) -> Figure:
    """Accuracy under noise and attack, with the number of replaced labels, the noise and the attack to choose.

    Parameters
    ----------
    dataset : Dataset
        `noisy` (arm, noise, seed, corruption, strength) and `attacked` (arm, noise, seed, attack, epsilon), percent; of
        both, with `_gain` (over, noise, seed, …), `_low` and `_high` (over, noise, …), points: see `read.robustness`.
    """
    of = {name: _read(dataset, name, *along) for name, along in KINDS.items()}
    noises = of["noisy"][0]["noise"].values.tolist()
    kinds, attacks = (values[KINDS[name][0]].values.tolist() for name, (values, _) in of.items())
    chosen = list(product(noises, kinds, attacks))
    top = str(of["noisy"][0]["arm"].values[-1])
    panels, marks = _panels(of, top), {}
    drawn = {at: _marks(of, *at) for at in chosen}
    first = drawn[chosen[0]]
    for panel, each in zip(panels, first, strict=True):
        panel.marks = each
    titles = {at: dict(zip(panels, _titles(top, *at), strict=True)) for at in chosen}
    for panel, title in titles[chosen[0]].items():
        panel.title = title
    states = []
    for at in chosen:
        pairs = [pair for one, other in zip(first, drawn[at], strict=True) for pair in zip(one, other, strict=True)]
        marks = {mark: _new(now) for mark, now in pairs if mark.group}
        states.append(State(f"{percent(at[0])}, {at[1]}, {at[2]}", marks, titles=titles[at]))
    questions = {
        NOISE: [percent(noise) for noise in noises],
        "Noise": [phrases.proper(kind) for kind in kinds],
        "Attack": attacks,
    }
    hint = "Choose how the pictures are spoilt: where does Top-k gain, and where does it lose?"
    control = Control("choice", "Shown", states, 0, hint, questions)
    chart = Chart(panels, [190, 110, 190, 110], control=control, legend="")
    told = " and ".join(_strongest(of[name], name, at) for name, at in zip(KINDS, chosen[0][1:], strict=True))
    finding = f"{top} against {of['noisy'][1]['over'].values[0]}, {phrases.labels(noises[0])}: {told}"
    epsilons = dataset["epsilon"].values.tolist()
    caption = (
        "Lines are means of the seeds. Noise as in ImageNet-C, strength 0 is the test as it is. An attack moves each "
        f"pixel by at most ε, here up to {epsilons[-1]} of 255 grey levels, so as to raise the loss: FGSM in one step, "
        "PGD in 20; it knows the weights, and is made of the first test pictures alone. Below each, in the colour "
        "of the arm that is compared, Top-k's gain over it in pairs of a seed, with a band for Student's 95 % interval "
        "of its mean: where it holds 0, the sign is open."
    )
    numbers = [("noise", dataset[[f"noisy{end}" for end in ("", "_low", "_high")]])]
    numbers += [("attack", dataset[[f"attacked{end}" for end in ("", "_low", "_high")]])]
    numbers = [(label, each.mean("seed")) for label, each in numbers]
    return figure(f"{__name__}.robustness", chart, caption, numbers, finding, dataset)


KINDS = {"noisy": ("corruption", "strength"), "attacked": ("attack", "epsilon")}
"""Variable → what is done to pictures, and how strongly."""


def _read(dataset: xr.Dataset, name: str, *along: str) -> tuple[xr.DataArray, xr.Dataset]:
    values = variable(dataset, "robustness", name, "arm", "noise", "seed", *along)
    gain = variable(dataset, "robustness", f"{name}_gain", "over", "noise", "seed", *along)
    ends = {each: variable(dataset, "robustness", f"{name}_{each}", "over", "noise", *along) for each in GAINS[1:]}
    return values, xr.Dataset({"gain": gain, **ends})


def _panels(of: dict[str, tuple[xr.DataArray, xr.Dataset]], top: str) -> list[Panel]:
    out = []
    for row, (name, label) in enumerate({"noisy": "strength of the noise", "attacked": "ε, of 255"}.items()):
        values, gains = of[name]
        at = values[KINDS[name][1]].values.astype(float)
        ticks = (at.tolist(), [f"{each:g}" for each in at])
        axis = Axis(label, ticks=ticks, limits=(at[0], at[-1]))
        out.append(Panel("", axis, Axis(limits=(0.0, 100.0)), row=2 * row))
        ends = [gains[end].values.ravel() for end in GAINS[1:]]
        drawn = np.concatenate([[0.0], *ends, gains["gain"].mean("seed").values.ravel()])
        low, high = np.nanmin(drawn), np.nanmax(drawn)
        room = max(0.06 * (high - low), 0.1)
        out.append(Panel("", axis, Axis(limits=(float(low - room), float(high + room))), row=2 * row + 1))
    return out


def _titles(top: str, noise: float, kind: str, attack: str) -> list[str]:
    trained = f"trained on {phrases.labels(noise)}"
    return [
        f"right under {phrases.proper(kind)} noise, %\n{trained}",
        POINTS.format(top),
        f"right under {attack}, %\n{trained}",
        POINTS.format(top),
    ]


def _marks(of: dict[str, tuple[xr.DataArray, xr.Dataset]], noise: float, kind: str, attack: str) -> list[list[Mark]]:
    out = []
    for name, chosen in (("noisy", kind), ("attacked", attack)):
        values, gains = of[name]
        where = {"noise": noise, KINDS[name][0]: chosen}
        out.append(_curves(values.sel(where), f"{chosen} {{x}}", name == "noisy"))
        at = values[KINDS[name][1]].values.astype(float)
        beyond = [zero(at)]
        for arm, look in zip(gains["over"].values.tolist(), LOOKS, strict=False):
            hover = f"over {arm}, {chosen} {{x}}\nmean {{y}} points (95 %: {{0}} to {{1}})"
            beyond += over(arm, look, at, gains.sel(where | {"over": arm}), hover)
        out.append(beyond)
    return out


def _curves(values: xr.DataArray, where: str, legend: bool) -> list[Mark]:
    """Mean of the seeds of each arm: values (arm, seed, x)."""
    x, out = values[values.dims[-1]].values.astype(float), []
    for arm, look in zip(values["arm"].values.tolist(), LOOKS, strict=True):
        hover = f"{arm}, {where}\nmean {{y}} % right (seeds {{0}} to {{1}} %)"
        rows = values.sel(arm=arm).transpose("seed", ...).values
        out.append(mean(x, rows, look, hover, arm, arm if legend else ""))
    return out


def _new(mark: Mark) -> dict[str, Any]:
    told: dict[str, Any] = {"y": mark.y}
    if mark.low is not None:
        told["low"] = mark.low
    if mark.hover:
        told |= {"hover": mark.hover, "extra": mark.extra}
    return told


def _strongest(of: tuple[xr.DataArray, xr.Dataset], name: str, chosen: str) -> str:
    """Where the change is strongest, how far Top-k lies from the first of the others."""
    values, gains = of
    what, strength = KINDS[name]
    where: dict[str, Any] = {"noise": values["noise"].values[0], what: chosen, strength: values[strength].values[-1]}
    gain = gains.sel(where | {"over": gains["over"].values[0]})
    said = phrases.compared(gain["gain"].values, float(gain["low"]), float(gain["high"]))
    if name == "noisy":
        return f"{said} under the strongest {phrases.proper(chosen)} noise"
    return f"{said} under {chosen} by {where[strength]} of 255"
