"""Places of a live figure's panels: rows have a fixed height in pixels, columns share the width of the page."""

from typing import Any

from . import style
from .chart import Axis, Chart, State


def plot_height(chart: Chart) -> int:
    """Pixels from the top of the first row to the bottom of the last."""
    return sum(chart.heights) + sum(_gaps(chart))


def place(chart: Chart, row: int, col: int) -> tuple[list[float], list[float]]:
    """Plotly's domains of the two axes: shares of the plot, from left to right and from bottom to top."""
    whole = plot_height(chart)
    top = 1 - (sum(chart.heights[:row]) + sum(_gaps(chart)[:row])) / whole
    column_gap = 0.05 if chart.share_y else 0.15
    width = (1 - column_gap * (chart.columns - 1)) / chart.columns
    left = col * (width + column_gap)
    return [left, min(1.0, left + width)], [max(0.0, top - chart.heights[row] / whole), top]


def title_height(chart: Chart, row: int) -> int:
    lines = max(p.title.count("<br>") for p in chart.panels if p.row == row)
    return style.TITLE_HEIGHT + style.LINE_HEIGHT * lines


def hides_label(chart: Chart, row: int, col: int, taken: set[tuple[int, int]]) -> bool:
    """Whether another panel below this one names its x axis, given the places of all panels."""
    return _linked(chart, row) and any(r > row and c == col for r, c in taken)


def moves(state: State, chart: Chart) -> dict[str, Any]:
    """Where a state puts the axes of its panels, without those that no state moves."""
    assert chart.control is not None
    every = [_stand(other, chart) for other in chart.control.states]
    return {k: v for k, v in _stand(state, chart).items() if any(v != other.get(k, v) for other in every)}


def _stand(state: State, chart: Chart) -> dict[str, Any]:
    taken, out = set(state.places.values()), dict[str, Any]()
    for panel, (row, col) in state.places.items():
        n = chart.panels.index(panel)
        x, y = (f"{letter}axis{axis_name(letter, n)[1:]}" for letter in "xy")
        across, up = place(chart, row, col)
        out |= {f"{x}.domain": across, f"{y}.domain": up}
        out[f"{x}.title"] = {"text": ""} if hides_label(chart, row, col, taken) else label(panel.x)
        if chart.share_y:
            out[f"{y}.showticklabels"] = col == 0
    return out


def axis_name(letter: str, n: int) -> str:
    """Plotly's name of the axis of panel n: x, x2, x3 …"""
    return letter if n == 0 else f"{letter}{n + 1}"


def label(axis: Axis) -> dict[str, Any]:
    return {"text": axis.label, "standoff": 6, "font": {"size": style.FONT_SIZE}}


def _gaps(chart: Chart) -> list[int]:
    """Room for the tick labels below a row (and its axis label, if it is there) and for the titles of the next."""
    return [
        style.TICKS_HEIGHT + style.LABEL_HEIGHT * (not _linked(chart, r)) + title_height(chart, r + 1)
        for r in range(len(chart.heights) - 1)
    ]


def _linked(chart: Chart, row: int) -> bool:
    """Whether this row and the next have the same kind of x axis, so that one label is enough."""
    return len({p.x.label for p in chart.panels if p.row in (row, row + 1)}) == 1
