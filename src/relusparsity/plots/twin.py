"""Chart → PNG with Matplotlib: for print, for LaTeX and for a browser without JavaScript."""

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from . import style
from .chart import Axis, Chart, Mark, Panel, spans_decades

DASHES = {"solid": "-", "dot": ":", "dash": "--", "dashdot": "-."}
SYMBOLS = {"circle": "o", "open": "o", "diamond": "D", "cross": "x", "tick": "_"}
CELLS = LinearSegmentedColormap.from_list("cells", ["#eceaf8", style.LAYER_COLOURS[0]])


def png(chart: Chart) -> bytes:
    """The picture, without a date or a version in it."""
    panels = chart.twin_panels or chart.panels
    heights = list(chart.twin_heights or chart.heights)
    columns = chart.twin_columns or chart.columns
    # the reader's Matplotlib settings must change nothing, but the backend stays theirs (it would not be put back)
    settings: dict[Any, Any] = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")}
    with mpl.rc_context(settings | style.TWIN_RC):
        titles = [max(p.title.count("<br>") for p in panels if p.row == row) for row in range(len(heights))]
        size = (style.TWIN_WIDTH, sum(h + 48 + 14 * t for h, t in zip(heights, titles, strict=True)) / 100 + 0.3)
        figure = Canvas(figsize=size, dpi=style.TWIN_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        ratios = [h + 14 * t for h, t in zip(heights, titles, strict=True)]
        grid = figure.add_gridspec(len(heights), columns, height_ratios=ratios)
        handles: dict[str, Any] = {}
        for panel in panels:
            axes = figure.add_subplot(grid[panel.row, panel.col])
            handles |= _panel(axes, panel)
            if chart.share_y and panel.col:
                axes.tick_params(labelleft=False)
            if any(p.row > panel.row and p.col == panel.col and p.x.label == panel.x.label for p in panels):
                axes.set_xlabel("")
        if handles:
            legend = figure.legend(
                list(handles.values()),
                list(handles),
                title=chart.legend or None,
                loc="outside right upper",
                fontsize=8,
                title_fontsize=8,
            )
            for handle in legend.legend_handles:
                if handle is not None:
                    handle.set_alpha(1)
        drawn, out = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", metadata={"Software": None})
    # 128 colours are enough for a line drawing, and take a third of the bytes
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(out, format="png", optimize=True)
    return out.getvalue()


def _ink(colour: str | list[str]) -> str | list[str]:
    return style.PRINT_INK if colour == style.INK else colour


def _panel(axes: Axes, panel: Panel) -> dict[str, Any]:
    handles = {}
    for mark in panel.marks:
        artist = _mark(axes, mark)
        if mark.legend:
            handles[mark.legend] = artist
    axes.set_title(panel.title.replace("<br>", "\n"))
    _axis(axes, "x", panel.x)
    _axis(axes, "y", panel.y)
    if panel.y.log and not panel.y.ticks and not spans_decades(panel):
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if panel.cursor is not None:
        axes.axvline(panel.cursor, color=style.PRINT_INK, linewidth=0.8, linestyle=":")
    if any(m.kind == "cells" for m in panel.marks):
        axes.grid(False)
        axes.tick_params(length=0)
        axes.invert_yaxis()
    return handles


def _mark(axes: Axes, mark: Mark) -> Any:
    colour: Any = _ink(mark.colour)
    x, y = np.asarray(mark.x), np.asarray(mark.y)
    if mark.kind == "line":
        width = mark.width * 0.75
        return axes.plot(x, y, color=colour, lw=width, ls=DASHES[mark.dash], alpha=mark.opacity)[0]
    if mark.kind == "band":
        low = np.asarray(mark.low, dtype=float)
        return axes.fill_between(x, low, y, color=colour, alpha=mark.opacity, linewidth=0)
    if mark.kind == "bars":
        wide: Any = 0.8 if mark.bar_width is None else mark.bar_width
        start: Any = 0 if mark.base is None else mark.base
        return axes.bar(x, y, width=wide, bottom=start, color=colour, alpha=mark.opacity)
    if mark.kind == "cells":
        assert mark.z is not None
        axes.pcolormesh(np.ma.masked_invalid(mark.z), cmap=CELLS, vmin=0, edgecolor="white", linewidth=1)
        for row, column in np.argwhere(np.isfinite(mark.z)):
            value = float(mark.z[row, column])
            shade = "white" if value > 0.45 * np.nanmax(mark.z) else style.PRINT_INK
            axes.text(column + 0.5, row + 0.5, f"{value:.3g}", ha="center", va="center", color=shade, fontsize=6)
        axes.set_xticks(np.arange(len(mark.x)) + 0.5, [str(v) for v in mark.x])
        axes.set_yticks(np.arange(len(mark.y)) + 0.5, [str(v) for v in mark.y])
        return None
    if isinstance(mark.colour, list):
        return axes.scatter(x, y, c=mark.colour, s=(mark.size * 0.55) ** 2, linewidths=0, zorder=3)
    hollow = mark.symbol in ("open", "diamond")
    return axes.plot(
        x,
        y,
        linestyle="none",
        marker=SYMBOLS[mark.symbol],
        markersize=mark.size * 0.55,
        color=colour,
        markerfacecolor="none" if hollow else colour,
        markeredgewidth=0 if mark.symbol == "circle" else 0.7 * mark.width,
        alpha=mark.opacity,
    )[0]


def _axis(axes: Axes, which: str, axis: Axis) -> None:
    if axis.words:
        return
    side = axes.xaxis if which == "x" else axes.yaxis
    set_scale, set_limits = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    if axis.label:
        side.set_label_text(axis.label)
    if axis.log:
        set_scale("log")
        side.set_minor_formatter(NullFormatter())
        plain = FuncFormatter(lambda v, _: f"{v:g}")
        side.set_major_formatter(EngFormatter(sep="") if axis.tokens else plain)
    elif axis.tokens:
        side.set_major_formatter(EngFormatter(sep=""))
    if axis.ticks:
        side.set_major_locator(FixedLocator(axis.ticks[0]))
        side.set_ticklabels(axis.ticks[1])
    if axis.limits:
        set_limits(*axis.limits)
    elif axis.from_zero:
        set_limits(0, max(axes.dataLim.y1 * 1.05, 1e-9))
