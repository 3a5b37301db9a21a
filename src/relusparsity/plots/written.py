"""Chart ⇄ JSON: what a cell's output holds, and all that its drawings need; equal bytes on every machine."""

from dataclasses import fields
from typing import Any

import numpy as np

from .chart import Axis, Chart, Control, Mark, Panel, State

MIME = "application/vnd.relusparsity.chart+json"
PAGE = "application/vnd.relusparsity.page+html"
"""HTML that a page shows in place of the chart's drawing."""


def rounded(value: Any, digits: int = 4) -> Any:
    """Round numbers to `digits` significant digits; make NaN None and arrays lists: equal bytes everywhere."""
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [rounded(v, digits) for v in value]
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            return None
        short = float(f"{value:.{digits}g}")
        return int(short) if short == int(short) else short
    return value.item() if isinstance(value, np.generic) else value


def to_json(chart: Chart) -> dict[str, Any]:
    """A chart as plain numbers, words, lists and dictionaries; what has its default is left out."""
    out = _told(chart) | {"panels": [_panel(panel) for panel in chart.panels]}
    if chart.control:
        out["control"] = _told(chart.control) | {"states": [_state(s, chart) for s in chart.control.states]}
    return rounded(out)


def _told(thing: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, without those that hold other dataclasses."""
    told = {f.name: getattr(thing, f.name) for f in fields(thing) if f.name not in ("panels", "control", "states")}
    return {f.name: told[f.name] for f in fields(thing) if f.name in told and not _same(told[f.name], f.default)}


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and not isinstance(value, np.ndarray) and bool(value == default)


def _panel(panel: Panel) -> dict[str, Any]:
    axes = {"x": _told(panel.x), "y": _told(panel.y), "marks": [_told(mark) for mark in panel.marks]}
    return _told(panel) | axes


def _state(state: State, chart: Chart) -> dict[str, Any]:
    """Marks are named by the places of panel and mark, panels by theirs."""
    at = chart.places()
    number = {panel: p for p, panel in enumerate(chart.panels)}
    out: dict[str, Any] = {"label": state.label, "marks": [[*at[mark], new] for mark, new in state.marks.items()]}
    out["cursors"] = [[number[panel], x] for panel, x in state.cursors.items()]
    out["titles"] = [[number[panel], text] for panel, text in state.titles.items()]
    out["places"] = [[number[panel], *place] for panel, place in state.places.items()]
    return {name: told for name, told in out.items() if told}


def from_json(content: dict[str, Any]) -> Chart:
    """The chart that was written, with numbers as they were rounded."""
    panels = []
    for told in content["panels"]:
        own = {name: value for name, value in told.items() if name not in ("x", "y", "marks")}
        x, y = (Axis(**_tuples(told[which])) for which in "xy")
        panels.append(Panel(**own, x=x, y=y, marks=[Mark(**mark) for mark in told["marks"]]))
    control = None
    if "control" in content:
        told = content["control"]
        control = Control(**told | {"states": [_state_of(state, panels) for state in told["states"]]})
    return Chart(**content | {"panels": panels, "control": control})


def _tuples(axis: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if name in ("limits", "ticks") else value for name, value in axis.items()}


def _state_of(told: dict[str, Any], panels: list[Panel]) -> State:
    return State(
        told["label"],
        {panels[p].marks[m]: new for p, m, new in told.get("marks", [])},
        {panels[p]: x for p, x in told.get("cursors", [])},
        {panels[p]: text for p, text in told.get("titles", [])},
        {panels[p]: (row, col) for p, row, col in told.get("places", [])},
    )
