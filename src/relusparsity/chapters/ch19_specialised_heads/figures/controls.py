"""Figure of chapter 19: the scores of all heads, best first, of text, of shuffled text and of random weights."""

from dataclasses import replace
from typing import Literal

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Mark, Panel
from ....plots.figure import Figure, figure
from .scores import FUNCTIONS, LEAST, READINGS, SCORES, named, number, scores

Dash = Literal["solid", "dot", "dash", "dashdot"]
LOOKS: dict[str, tuple[str, Dash]] = {
    "text": (style.ACCENT, "solid"),
    "shuffled": ("layer-12", "dash"),
    "random weights": (style.INK, "dot"),
}
TICKS = (1, 3, 10, 30, 100)


def controls(dataset: xr.Dataset) -> Figure:
    """Every score of all heads, sorted: of the model on text, on the same tokens shuffled, and with random weights.

    Parameters
    ----------
    dataset : Dataset
        As `scores.scores` reads it.
    """
    of = scores(dataset, "controls")
    reach = (of >= LEAST).sum(["layer", "head"]).where(of.notnull().any(["layer", "head"]))
    panels = [_panel(of.sel(score=score.name), reach.sel(score=score.name), at) for at, score in enumerate(SCORES)]
    caption = (
        "A line has all heads, by their score, the highest first; each line has its own order. "
        "Shuffled: the same tokens in random order within a sequence. Random weights: every matrix has its numbers in "
        "random order, and reads the text in order. Induction is measured on random tokens that repeat, copying on "
        "the weights alone, so neither has shuffled text. Counts are in the order of the legend. A function needs "
        f"training, or the order, where without it fewer than half as many heads reach {LEAST:g}."
    )
    drawn = [("", of.to_dataset("reading"))]
    rows = -(-len(panels) // 2)
    chart = Chart(panels, [150] * rows, columns=2, legend="")
    made = figure(f"{__name__}.controls", chart, caption, drawn, _finding(reach), named(dataset))
    return replace(made, alt=_alt(of, reach))


def _alt(of: xr.DataArray, reach: xr.DataArray) -> str:
    """The highest score of each line, and how many heads reach `LEAST`; where the lines end says little."""
    told = []
    for score in SCORES:
        each = []
        for reading in READINGS:
            at = {"score": score.name, "reading": reading}
            if of.sel(at).notnull().any():
                many = f" ({int(reach.sel(at))} heads)" * (score in FUNCTIONS)
                each.append(f"{reading} {number(float(of.sel(at).max()))}{many}")
        told.append(f"{score.name}: {'; '.join(each) or 'not measured'}")
    return (
        f"{len(SCORES)} line charts in 2 columns, each of the sorted scores of all heads, with a line a reading. "
        f"The highest of each line, and how many heads reach {LEAST:g}: {'. '.join(told)}."
    )


def _panel(of: xr.DataArray, reach: xr.DataArray, at: int) -> Panel:
    score = SCORES[at]
    marks, heads = [], of.sizes["layer"] * of.sizes["head"]
    for reading in READINGS:
        colour, dash = LOOKS[reading]
        values = np.sort(of.sel(reading=reading).values.ravel())[::-1]  # NaN, which is sorted last, comes first
        values = np.r_[values[~np.isnan(values)], values[np.isnan(values)]]
        hover = f"{score.name}, {reading}\nhead {{x}} of {heads}: {{y}} {score.unit}".rstrip()
        ranks, legend = np.arange(1, heads + 1), reading * (at == 0)
        marks.append(Mark("line", ranks, values, colour, legend, reading, hover, dash=dash))
    title = f"{score.name}, {score.unit}".rstrip(", ")
    if score in FUNCTIONS:
        counts = ", ".join(str(int(n)) if np.isfinite(n) else "–" for n in reach.sel(reading=list(READINGS)).values)
        title += f"\n{LEAST:g} or more: {counts} heads"
    else:
        title += "\n\N{NO-BREAK SPACE}"
    ticks = [tick for tick in TICKS if tick <= heads] + [heads] * (heads > TICKS[-1])
    axis = Axis("heads, highest first", log=True, ticks=([float(t) for t in ticks], [str(t) for t in ticks]))
    low = -1.0 if score.name == "copying" else 0.0
    limits = (low, 1.04) if score.most else None
    return Panel(title, axis, Axis(limits=limits, from_zero=True), marks, row=at // 2, col=at % 2)


def _finding(reach: xr.DataArray) -> str:
    """Which functions need training, and which the text's order, by the heads that have them: (score, reading)."""
    there = [score.name for score in FUNCTIONS if float(reach.sel(score=score.name, reading="text")) > 0]
    if not there:
        return f"No head has a score of {LEAST:g} or more in any function"
    training = _without(reach, there, "random weights")
    order = _without(reach, there, "shuffled")
    return f"{_sentence(*training, 'training').capitalize()}; {_sentence(*order, 'the order of the tokens')}"


def _without(reach: xr.DataArray, names: list[str], reading: str) -> tuple[list[str], list[str]]:
    """Functions that fewer than half as many heads have in a reading, and those that more have."""
    counts = {name: reach.sel(score=name) for name in names}
    known = [name for name in names if np.isfinite(counts[name].sel(reading=reading))]
    gone = [n for n in known if 2 * float(counts[n].sel(reading=reading)) < float(counts[n].sel(reading="text"))]
    return gone, [name for name in known if name not in gone]


def _sentence(need: list[str], rest: list[str], what: str) -> str:
    if not need and not rest:
        return f"whether any needs {what} was not measured"
    if not need:
        return f"of {_listed(rest)}, none needs {what}" if len(rest) > 1 else f"{rest[0]} does not need {what}"
    verb = "need" if len(need) > 1 or need[0].endswith("s") else "needs"
    some = f"{_listed(need)} {verb} {what}"
    return f"{some}, {_listed(rest)} {'do' if len(rest) > 1 or rest[0].endswith('s') else 'does'} not" if rest else some


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
