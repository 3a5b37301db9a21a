"""Chart → Plotly JSON, written as plain dictionaries: few bytes, and the same ones on every machine."""

from typing import Any

import numpy as np

from . import grid, style
from .chart import Axis, Chart, Mark, Panel, State, spans_decades

SYMBOLS = {
    "circle": "circle",
    "open": "circle-open",
    "diamond": "diamond-open",
    "cross": "x-thin-open",
    "tick": "line-ew-open",
}
CELLS_SCALE = [[0, "#eceaf8"], [1, style.LAYER_COLOURS[0]]]


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


def plotly_json(chart: Chart) -> dict[str, Any]:
    """The content of `application/vnd.plotly.v1+json`: data, layout, config."""
    layout, heights = _layout(chart)
    traces: list[dict[str, Any]] = []
    index: dict[Mark, int] = {}
    for n, panel in enumerate(chart.panels):
        for mark in panel.marks:
            index[mark] = len(traces)
            traces.append(_trace(mark, n))
    if chart.control:
        _control(chart, layout, index, heights)
    config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    return rounded({"data": traces, "layout": layout, "config": config})


def _trace(mark: Mark, n: int) -> dict[str, Any]:
    trace: dict[str, Any] = {"x": mark.x, "y": mark.y}
    if n:
        trace |= {"xaxis": grid.axis_name("x", n), "yaxis": grid.axis_name("y", n)}
    if mark.kind == "cells":
        return trace | {
            "type": "heatmap",
            "z": mark.z,
            "colorscale": CELLS_SCALE,
            "showscale": False,
            "texttemplate": "%{z:.2~g}",
            "hovertemplate": mark.hover + "<extra></extra>",
            "xgap": 2,
            "ygap": 2,
            "zmin": 0,
        }
    if mark.kind == "bars":
        trace |= {"type": "bar", "marker": {"color": mark.colour, "line": {"width": 0}}}
        trace |= {k: v for k, v in (("base", mark.base), ("width", mark.bar_width)) if v is not None}
        if mark.opacity < 1:
            trace["opacity"] = mark.opacity
    elif mark.kind == "band":
        x, y = outline(mark)
        trace |= {"x": x, "y": y, "mode": "none", "fill": "toself"}
        trace["fillcolor"] = style.faded(str(mark.colour), mark.opacity)
    elif mark.kind == "line":
        trace |= {"mode": "lines", "line": {"color": mark.colour, "width": mark.width}}
        if mark.dash != "solid":
            trace["line"]["dash"] = mark.dash
        if mark.opacity < 1:
            trace["opacity"] = mark.opacity
    else:
        line = {"width": 0 if mark.symbol == "circle" else mark.width, "color": mark.colour}
        trace["mode"] = "markers"
        trace["marker"] = {"color": mark.colour, "size": mark.size, "symbol": SYMBOLS[mark.symbol], "line": line}
        if mark.opacity < 1:
            trace["marker"]["opacity"] = mark.opacity
    if mark.kind != "bars":
        trace["type"] = "scatter"
    if mark.hover:
        trace["hovertemplate"] = mark.hover + "<extra></extra>"
        if mark.extra is not None:
            trace["customdata"] = mark.extra
    else:
        trace["hoverinfo"] = "skip"
    if mark.group:
        trace["legendgroup"] = mark.group
    return trace | ({"name": mark.legend, "showlegend": True} if mark.legend else {"showlegend": False})


def outline(mark: Mark) -> tuple[list[float], list[float]]:
    """A band's edges as closed polygons, one for each stretch without a gap."""
    x, high = np.asarray(mark.x, dtype=float), np.asarray(mark.y, dtype=float)
    low = np.asarray(mark.low, dtype=float)
    whole = np.isfinite(high) & np.isfinite(low)
    starts = np.flatnonzero(whole & ~np.r_[False, whole[:-1]])
    ends = np.flatnonzero(whole & ~np.r_[whole[1:], False]) + 1
    xs: list[float] = []
    ys: list[float] = []
    for a, b in zip(starts, ends, strict=True):
        gap = [np.nan] if xs else []
        xs += [*gap, *x[a:b], *x[a:b][::-1]]
        ys += [*gap, *high[a:b], *low[a:b][::-1]]
    return xs, ys


def _layout(chart: Chart) -> tuple[dict[str, Any], dict[str, float]]:
    bottom = style.MARGIN["bottom"]
    above = style.MARGIN["top"] + grid.title_height(chart, 0)
    legend = any(m.legend for p in chart.panels for m in p.marks)
    above += style.LEGEND_HEIGHT * legend
    below = bottom
    buttons = chart.control is not None and chart.control.kind == "buttons"
    above += style.BUTTONS_HEIGHT * buttons
    below += style.SLIDER_HEIGHT * (chart.control is not None and not buttons)
    plot, taken = grid.plot_height(chart), {(p.row, p.col) for p in chart.panels}
    layout: dict[str, Any] = {
        "template": "none",
        "autosize": True,
        "height": plot + above + below,
        "margin": {"l": style.MARGIN["left"], "r": style.MARGIN["right"], "t": above, "b": below, "pad": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": style.FONT, "size": style.FONT_SIZE, "color": style.INK},
        "hoverlabel": {"font": {"family": style.FONT, "size": style.FONT_SIZE}, "align": "left"},
        "hovermode": "closest",
        "showlegend": legend,
        "barmode": "overlay",
        "annotations": [],
        "dragmode": False,  # so that a finger scrolls the page
    }
    shapes, moving = [], chart.control is not None and any(state.places for state in chart.control.states)
    for n, panel in enumerate(chart.panels):
        across, up = grid.place(chart, panel.row, panel.col)
        hidden = grid.hides_label(chart, panel.row, panel.col, taken)
        x, y = _axis(panel.x, chart.columns, hide_label=hidden), _axis(panel.y, chart.columns)
        if panel.y.log and not panel.y.ticks and not spans_decades(panel):
            y["dtick"] = "D2"
        x |= {"domain": across, "anchor": grid.axis_name("y", n)}
        y |= {"domain": up, "anchor": grid.axis_name("x", n)}
        if chart.share_y and panel.col:
            y["showticklabels"] = False
        layout["xaxis" + grid.axis_name("x", n)[1:]] = x
        layout["yaxis" + grid.axis_name("y", n)[1:]] = y
        layout["annotations"].append(_title(panel.title, across[0], up[1], chart.columns))
        if moving:  # the title goes where its axes go
            refs = {"xref": f"{grid.axis_name('x', n)} domain", "yref": f"{grid.axis_name('y', n)} domain"}
            layout["annotations"][-1] |= refs | {"x": 0, "y": 1}
        if panel.cursor is not None:
            ends = {"x0": panel.cursor, "x1": panel.cursor, "y0": 0, "y1": 1}
            line = {"color": style.INK, "width": 1.5, "dash": "dot"}
            refs = {"xref": grid.axis_name("x", n), "yref": grid.axis_name("y", n) + " domain"}
            shapes.append({"type": "line", **ends, **refs, "line": line})
    if shapes:
        layout["shapes"] = shapes
    if legend:
        entries = sum(bool(m.legend) for p in chart.panels for m in p.marks)
        layout["legend"] = {
            "orientation": "h",
            "x": 0,
            "y": 1 + (grid.title_height(chart, 0) + style.BUTTONS_HEIGHT * buttons) / plot,
            "yanchor": "bottom",
            "title": {"text": chart.legend + " ", "side": "left", "font": {"size": style.FONT_SIZE}},
            "bgcolor": "rgba(0,0,0,0)",
            "itemwidth": 30,
            "indentation": -8 if entries > 3 else 0,
        }
    return layout, {"plot": plot}


def _title(text: str, left: float, top: float, columns: int) -> dict[str, Any]:
    where = {"xref": "paper", "yref": "paper", "x": left, "y": top, "xanchor": "left", "yanchor": "bottom"}
    return {
        "text": text,
        **where,
        "showarrow": False,
        "align": "left",
        "font": {"size": style.FONT_SIZE - (columns > 1)},
    }


def _axis(axis: Axis, columns: int, hide_label: bool = False) -> dict[str, Any]:
    out: dict[str, Any] = {
        "gridcolor": style.GRID,
        "zeroline": False,
        "linecolor": style.GRID,
        "ticks": "outside",
        "ticklen": 3,
        "tickcolor": style.GRID,
        "fixedrange": True,
    }
    if axis.label and not hide_label:
        out["title"] = grid.label(axis)
    if axis.words:
        out |= {"type": "category", "showgrid": False, "automargin": True}
        return out | ({"autorange": "reversed"} if axis.downwards else {})
    out["tickangle"] = 0
    if axis.from_zero:
        out["rangemode"] = "tozero"
    if axis.log:
        out |= {"type": "log", "dtick": 1, "tickformat": "~s" if axis.tokens else "~g", "exponentformat": "none"}
    elif axis.tokens:
        out |= {"tickformat": "~s", "nticks": 6 if columns == 1 else 4}
    if axis.names:
        out |= {"automargin": True, "ticks": ""}
    if axis.ticks:
        out |= {"tickvals": axis.ticks[0], "ticktext": axis.ticks[1]}
        out.pop("dtick", None)
        out.pop("tickformat", None)
    if axis.limits:
        out["range"] = [float(np.log10(v)) for v in axis.limits] if axis.log else list(axis.limits)
    return out


def _control(chart: Chart, layout: dict[str, Any], index: dict[Mark, int], heights: dict[str, float]) -> None:
    control = chart.control
    assert control is not None
    cursors = [p for p in chart.panels if p.cursor is not None]
    steps = [_state(s, chart, index, cursors) for s in control.states]
    if control.kind == "slider":
        layout["sliders"] = [
            {
                "active": control.active,
                "steps": steps,
                "pad": {"t": style.MARGIN["bottom"] + 2, "l": 4, "r": 4},
                "x": 0,
                "len": 1,
                "currentvalue": {"prefix": control.prefix, "xanchor": "left", "font": {"size": style.FONT_SIZE + 1}},
                "bgcolor": "rgba(128,134,144,0.3)",
                "activebgcolor": style.INK,
                "bordercolor": style.INK,
                "borderwidth": 1,
                "tickcolor": style.GRID,
                "ticklen": 4,
                "minorticklen": 0,
                "font": {"size": 10},
            }
        ]
        return
    layout["updatemenus"] = [
        {
            "type": "buttons",
            "direction": "right",
            "active": control.active,
            "buttons": steps,
            "x": 0,
            "xanchor": "left",
            "y": 1 + (grid.title_height(chart, 0) + 8) / heights["plot"],
            "yanchor": "bottom",
            "pad": {"t": 0, "b": 0, "l": 0, "r": 0},
            "bgcolor": "rgba(128,134,144,0.12)",
            "bordercolor": style.GRID,
            "font": {"size": style.FONT_SIZE, "color": style.INK},
        }
    ]


def _state(state: State, chart: Chart, index: dict[Mark, int], cursors: list[Panel]) -> dict[str, Any]:
    """`update` needs one list of new values for each property, over the traces that it names."""
    marks = list(state.marks)
    properties = {name: [state.marks[m][name] for m in marks] for name in state.marks[marks[0]]} if marks else {}
    moved: dict[str, Any] = {}
    for panel, x in state.cursors.items():
        n = cursors.index(panel)
        moved |= {f"shapes[{n}].x0": x, f"shapes[{n}].x1": x}
    for panel, text in state.titles.items():
        moved[f"annotations[{chart.panels.index(panel)}].text"] = text
    moved |= grid.moves(state, chart)
    if not marks:
        return {"label": state.label, "method": "relayout", "args": [moved]}
    return {"label": state.label, "method": "update", "args": [properties, moved, [index[m] for m in marks]]}
