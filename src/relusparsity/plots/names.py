"""Names of a chart's marks: at the ends of their lines where all of them have room there, else in a legend above."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from .chart import Chart, Mark, Panel
from .palette import LIGHT


def put(
    canvas: Canvas, chart: Chart, frames: list[Axes], artists: dict[Mark, list[Artist]], small: bool, headed: bool
) -> None:
    """Names of marks at their lines' ends where all of them have room there, else in a legend above; below, if headed:
    Matplotlib would put it over the heading."""
    named = {m.group or m.legend: m for p in chart.panels for m in p.marks if m.legend}
    if not named:
        return
    lines = [m for m in named.values() if m.kind == "line"]
    moving = {mark for state in (chart.control.states if chart.control else ()) for mark in state.marks}
    if chart.columns == 1 and len(lines) == len(named) and not moving & set(lines):
        ends = [_ends(frames[n], panel, named) for n, panel in enumerate(chart.panels)]
        if all(0.9 < x <= 1.001 and -0.001 <= y <= 1.001 for each in ends for x, y, _ in each.values()):
            for n, each in enumerate(ends):
                _at_ends(frames[n], each, chart.heights[chart.panels[n].row], chart.legend)
            return
    handles = [artists[mark][0] for mark in named.values()]
    told = [mark.legend for mark in named.values()]
    if chart.legend:
        handles, told = [Line2D([], [], linestyle="none"), *handles], [chart.legend, *told]
    columns = len(told) if not small or max(map(len, told)) < 8 else 2
    legend = canvas.legend(
        handles,
        told,
        loc="outside lower left" if headed else "outside upper left",
        ncols=columns,
        fontsize=10,
        borderpad=0.1,
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
            handle.set_gid(None)


def lift(chart: Chart, name: str, mark: Mark, k: int, small: bool) -> float:
    """Pixels by which a point's word stands above it, clear of the panel's dots: of mark `m0.1` the point `k`."""
    panel, up, x, y = chart.panels[int(name[1:].partition(".")[0])], 4.0, float(mark.x[k]), float(mark.y[k])
    if panel.y.limits is None or panel.y.log:
        return up
    scale = chart.heights[panel.row] / (panel.y.limits[1] - panel.y.limits[0])
    for other in (other for other in panel.marks if other.kind == "points" and not other.words):
        across, dots = (np.asarray(values, dtype=float) for values in (other.x, other.y))
        for above in sorted(scale * (dots[np.abs(across - x) < (0.7 if small else 0.4)] - y)):
            if up - 4 < above < up + 14:  # the word's height, and half of a dot's on both sides
                up = float(above) + 5
    return up


def _at_ends(axes: Axes, ends: dict[str, tuple[float, float, str]], height: float, prefix: str) -> None:
    least, at = 11.5 / height, -np.inf
    order = sorted(ends, key=lambda text: ends[text][1])
    ups = []
    for text in order:
        at = max(at + least, ends[text][1])
        ups.append(at)
    spare = max(0.0, ups[-1] - 1) if ups else 0.0  # what was pushed over the top comes down again
    for text, up in zip(order, ups, strict=True):
        said = f"{prefix} {text}".strip()
        axes.annotate(
            said,
            (1.01, up - spare),
            xycoords="axes fraction",
            color=LIGHT[ends[text][2]],
            va="center",
            fontsize=10,
            annotation_clip=False,
        )


def _ends(axes: Axes, panel: Panel, named: dict[str, Mark]) -> dict[str, tuple[float, float, str]]:
    """Name → where the last of its lines in this panel ends, in shares of the axes, and its colour."""
    out = {}
    axes.autoscale_view()
    for mark in panel.marks:
        if mark.kind == "line" and mark.hover and (mark.group or mark.legend) in named:
            x, y = (np.asarray(values, dtype=float) for values in (mark.x, mark.y))
            known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
            if known.size:
                place = axes.transData.transform((x[known[-1]], y[known[-1]]))
                across, up = axes.transAxes.inverted().transform(place)
                out[named[mark.group or mark.legend].legend] = (float(across), float(up), str(mark.colour))
    return out
