"""A figure's content, stated once; `written` makes it JSON and `drawing` draws it.

A chart is a grid of panels, a panel holds marks, and a control (slider or choice) swaps the numbers of some marks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Array = np.ndarray | Sequence[float]


@dataclass(eq=False)
class Mark:
    """One thing drawn: a line, points, bars, a band between two curves, or a matrix of cells.

    `hover` is what the pointer says of a point: `{x}`, `{y}` and `{z}` stand for its numbers, `{0}`, `{1}` … for its
    columns of `extra` (point, column). `legend` is the mark's name, which stands at its end or in the legend (empty: it
    has none); other marks of its `group` go by the same name.
    """

    kind: Literal["line", "points", "bars", "band", "cells"]
    x: Array | list[str]
    y: Array | list[str]
    colour: str | list[str]  # names that `style` knows; a list has one for each bar or point
    legend: str = ""
    group: str = ""
    hover: str = ""
    extra: Array | list[Any] | None = None
    width: float = 2.0
    dash: Literal["solid", "dot", "dash", "dashdot"] = "solid"
    opacity: float = 1.0
    symbol: Literal["circle", "ring", "open", "diamond", "cross", "tick"] = "circle"  # ring, tick: seen on any colour
    size: float = 6.0
    low: Array | None = None  # of a band: its lower edge
    base: Array | None = None  # of bars: where they start
    bar_width: Array | float | None = None  # of bars: in units of x
    z: np.ndarray | None = None  # of cells: (y, x)
    words: list[str] | None = None  # above each point


@dataclass
class Axis:
    label: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    ticks: tuple[list[float], list[str]] | None = None
    tokens: bool = False  # 12k, 3M
    words: bool = False  # categories
    downwards: bool = False  # whether the first category is on top
    names: bool = False  # whether ticks are words and need their own room
    from_zero: bool = False  # whether it starts at 0 unless limits are given


@dataclass(eq=False)
class Panel:
    title: str  # may have several lines
    x: Axis
    y: Axis
    marks: list[Mark] = field(default_factory=list)
    cursor: float | None = None  # a vertical line that a slider can move
    row: int = 0
    col: int = 0


@dataclass
class State:
    """One position of a slider or one choice: new numbers for some marks, cursors, panel titles and places."""

    label: str
    marks: dict[Mark, dict[str, Any]]
    cursors: dict[Panel, float] = field(default_factory=dict)
    titles: dict[Panel, str] = field(default_factory=dict)
    places: dict[Panel, tuple[int, int]] = field(default_factory=dict)  # row and column, of panels with equal axes


@dataclass
class Control:
    kind: Literal["slider", "choice"]
    prefix: str
    states: list[State]
    active: int
    hint: str = ""  # what to do with it; a page without scripts has neither
    questions: dict[str, list[str]] | None = None
    """Of a choice among several things at once: each question and its answers. A state for every combination, in the
    order of `itertools.product`, the last question's answers next to each other."""


@dataclass
class Chart:
    panels: list[Panel]
    heights: Sequence[int] = (260,)  # pixels, one for each row
    columns: int = 1
    control: Control | None = None
    legend: str = "layer"  # its title
    share_y: bool = False  # tick labels only in the first column

    def places(self) -> dict[Mark, tuple[int, int]]:
        """Each mark's panel and its place in it, by their numbers."""
        return {mark: (n, m) for n, panel in enumerate(self.panels) for m, mark in enumerate(panel.marks)}


def broken(x: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join several curves over the same x into one line, with a gap (NaN) between them: (curve, x) → one line."""
    gap = np.full((len(rows), 1), np.nan)
    xs = np.hstack([np.tile(np.asarray(x, dtype=float), (len(rows), 1)), gap]).ravel()
    return xs[:-1], np.hstack([rows, gap]).ravel()[:-1]


def present(values: np.ndarray) -> np.ndarray:
    """Keep the seeds that were run: (seed, …) without those that are missing throughout."""
    return values[~np.isnan(values).all(axis=tuple(range(1, values.ndim)))]


def spans_decades(panel: Panel) -> bool:
    """Whether a log y axis covers enough decades to have ticks at powers of ten only."""
    if panel.y.limits:
        low, high = panel.y.limits
    else:
        drawn = np.concatenate([np.ravel(np.asarray(m.y, dtype=float)) for m in panel.marks])
        drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
        low, high = (drawn.min(), drawn.max()) if drawn.size else (1.0, 1000.0)
    return bool(high / low > 150)


def seed_curves(
    x: np.ndarray, values: np.ndarray, colour: str, hover: str, legend: str = "", group: str = "", dash: str = "solid"
) -> list[Mark]:
    """Draw the seeds as one thin broken line and their mean as a thicker one: (seed, x) → marks.

    The hover text may use `{0}` and `{1}`, the lowest and highest seed.
    """
    values = present(values)
    if not len(values):
        return []
    known = np.ma.masked_invalid(values)  # some seeds ran at some x only
    mean = Mark("line", x, known.mean(axis=0).filled(np.nan), colour, legend, group, hover, dash=dash)  # type: ignore[arg-type]
    if len(values) == 1:
        mean.hover = hover.split(" (seeds")[0].replace("mean ", "")
        return [mean]
    mean.extra = np.stack([known.min(axis=0).filled(np.nan), known.max(axis=0).filled(np.nan)], axis=1)
    xs, ys = broken(x, values)
    return [Mark("line", xs, ys, colour, group=group, width=0.8, opacity=0.45, dash=dash), mean]  # type: ignore[arg-type]
