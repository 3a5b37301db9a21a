"""Chart → drawing, by Matplotlib: SVG in two widths for the page, PNG for what shows no SVG.

Marks are drawn in the colours of the light page. In the SVG each colour becomes a variable, to which the page gives its
value, so that one drawing serves both modes and print: see `palette`.
"""

import io
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from . import framed, names
from .chart import Chart, Mark, Panel, State
from .palette import LIGHT

WIDTHS = {"wide": 740, "narrow": 360}  # pixels
DPI = 100  # of the PNG, whose width is that of `wide` at 72
DASHES = {"solid": "-", "dot": ":", "dash": "--", "dashdot": "-."}
SYMBOLS = {"circle": "o", "ring": "o", "open": "o", "diamond": "D", "cross": "x", "tick": "_"}
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so letters take the same room everywhere
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.2,
    "path.simplify_threshold": 0.25,  # pixels
    "svg.fonttype": "none",
    "svg.hashsalt": "relusparsity",
    **dict.fromkeys(("axes.edgecolor", "grid.color"), LIGHT["grid"]),
    **dict.fromkeys(("axes.labelcolor", "axes.titlecolor", "text.color", "xtick.color", "ytick.color"), LIGHT["ink"]),
}


def settings() -> Any:
    """Matplotlib as we draw with it; the reader's own settings change nothing, and are as they were afterwards."""
    own: dict[Any, Any] = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")}
    return mpl.rc_context(own | RC)


def png(chart: Chart, heading: str = "", about: dict[str, str] | None = None) -> bytes:
    """The picture with its heading, without a date or a version in it.

    Parameters
    ----------
    about
        What the file says of itself, by PNG's keywords (Title, Description, Source).
    """
    with settings():
        sheet = Sheet(chart, WIDTHS["wide"], heading)
        FigureCanvasAgg(sheet.canvas)
        drawn, out = io.BytesIO(), io.BytesIO()
        sheet.canvas.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    info = PngInfo()
    for key, text in (about or {}).items():
        info.add_itxt(key, text)
    # 64 colours are enough for a line drawing, and take a third of the bytes
    picture = Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(out, format="png", optimize=True, pnginfo=info)
    return out.getvalue()


class Sheet:
    """A chart drawn at a width in pixels; `move` draws what a state changes.

    What can move has a name, an artist's `gid`: `m0.2` is the third mark of the first panel, with a number behind a
    comma where it has several artists; `t0`, `c0` and `p0` are the panel's title, cursor and the panel itself. A name
    that ends in `o4` is of circles of four pixels.
    """

    def __init__(self, chart: Chart, width: int, heading: str = "") -> None:
        self.chart, self.small = chart, width < WIDTHS["wide"]
        rows = range(len(chart.heights))
        moving = chart.control is not None and any(s.places for s in chart.control.states)
        lines = [max((p.title.count("\n") for p in chart.panels if p.row == row), default=0) for row in rows]
        ratios = [h + 14 * n for h, n in zip(chart.heights, lines, strict=True)]
        height = sum(ratios) + 46 * len(ratios) + 30
        layout = ConstrainedLayoutEngine()
        self.canvas = Canvas(figsize=(width / 72, height / 72), dpi=72, layout=layout)
        self.canvas.patch.set_visible(False)
        self.grid = self.canvas.add_gridspec(len(ratios), chart.columns, height_ratios=ratios)
        frames = [self._frame(panel, moving) for panel in chart.panels]
        self.axes, self.titles = frames if not moving else [], list[Any]()
        for n, panel in enumerate(chart.panels):
            if moving:
                self.axes.append(self.canvas.add_axes((0, 0, 1, 1), zorder=2, gid=f"p{n}"))
                framed.like(self.axes[n], frames[n])
            self.titles.append(self.axes[n].set_title(panel.title, y=1.0, gid=f"t{n}"))
            if self.small and chart.columns > 1:
                self.titles[n].set_fontsize(9)
        artists = {mark: self._mark(*place, mark) for mark, place in chart.places().items()}
        for n, panel in enumerate(chart.panels):
            framed.finish(frames[n], panel)
            if panel.cursor is not None:
                self._cursor(n, panel.cursor)
        names.put(self.canvas, chart, frames, artists, self.small, bool(heading))
        if heading:
            self.canvas.suptitle(heading, x=0.01, ha="left", fontsize=12, weight="bold", wrap=True)
            self.canvas.patch.set_visible(True)
        layout.execute(self.canvas)
        self.canvas.set_layout_engine("none")
        self.places = {(p.row, p.col): frame.get_position() for p, frame in zip(chart.panels, frames, strict=True)}
        for axes, frame in zip(self.axes, frames, strict=True):
            axes.set_position(frame.get_position())

    def move(self, state: State) -> list[Artist]:
        """Draw anew what a state changes; the artists, for the caller to remove."""
        out: list[Artist] = []
        at = self.chart.places()
        for mark, new in state.marks.items():
            out += self._mark(*at[mark], replace(mark, **new))
        for n, panel in enumerate(self.chart.panels):
            if panel in state.cursors:
                out.append(self._cursor(n, state.cursors[panel]))
            if panel in state.titles:
                self.titles[n].set(text=state.titles[panel], visible=True)
        return out

    def _frame(self, panel: Panel, moving: bool) -> Axes:
        axes = self.canvas.add_subplot(self.grid[panel.row, panel.col])
        axes.patch.set_visible(False)
        framed.scale(axes, "x", panel.x, round(self.canvas.bbox.width / self.chart.columns) - 60)
        framed.scale(axes, "y", panel.y, round(self.chart.heights[panel.row]))
        if moving:  # the panel's title and marks move, and leave their room behind
            axes.set_title("\n".join([" "] * (panel.title.count("\n") + 1)))
        if self.chart.share_y and panel.col:
            axes.tick_params(labelleft=False)
        if any(p.row > panel.row and p.col == panel.col and p.x.label == panel.x.label for p in self.chart.panels):
            axes.set_xlabel("")
        return axes

    def _cursor(self, n: int, x: float) -> Artist:
        return self.axes[n].axvline(x, color=LIGHT["ink"], linewidth=1.2, linestyle=":", gid=f"c{n}")

    def _mark(self, n: int, m: int, mark: Mark) -> list[Artist]:
        """Draw a mark into a panel; its artists."""
        axes, name = self.axes[n], f"m{n}.{m}"
        x, y = np.asarray(mark.x), np.asarray(mark.y)
        if mark.kind != "cells":
            x, y = (np.asarray(values, dtype=float) for values in (mark.x, mark.y))
        if mark.kind == "line":
            look: dict[str, Any] = {"lw": mark.width * 0.8, "ls": DASHES[mark.dash], "alpha": mark.opacity}
            return list(axes.plot(x, y, color=_colour(mark.colour), gid=name, **look))
        if mark.kind == "band":
            corners = outline(mark)
            return [
                axes.fill(*corner, color=_colour(mark.colour), alpha=mark.opacity, lw=0, gid=f"{name},{k}")[0]
                for k, corner in enumerate(corners)
            ]
        if mark.kind == "bars":
            return self._bars(axes, name, mark, x, np.nan_to_num(y))
        if mark.kind == "cells":
            return self._cells(axes, name, mark)
        return self._points(axes, name, mark, x, y)

    def _bars(self, axes: Axes, name: str, mark: Mark, x: np.ndarray, y: np.ndarray) -> list[Artist]:
        """All bars of a colour as one path; as Matplotlib's own bars, a patch each, they take longer than all else."""
        half = (0.8 if mark.bar_width is None else np.asarray(mark.bar_width, dtype=float)) / 2
        base = np.broadcast_to(0.0 if mark.base is None else np.asarray(mark.base, dtype=float), y.shape)
        left, right, top = x - half, x + half, base + y
        corners = np.stack([[left, right, right, left, left], [base, base, top, top, base]], axis=-1).swapaxes(0, 1)
        colours = np.array(mark.colour if isinstance(mark.colour, list) else [mark.colour] * len(x))
        out: list[Artist] = []
        for k, colour in enumerate(dict.fromkeys(colours.tolist())):
            own = corners[colours == colour].reshape(-1, 2)
            bars = Path(own, np.resize([Path.MOVETO, *3 * [Path.LINETO], Path.CLOSEPOLY], len(own)))
            patch = PathPatch(bars, color=LIGHT[colour], alpha=mark.opacity, lw=0, gid=f"{name},{k}")
            patch.sticky_edges.y.extend(np.unique(base).tolist())
            out.append(axes.add_patch(patch))
        return out

    def _points(self, axes: Axes, name: str, mark: Mark, x: np.ndarray, y: np.ndarray) -> list[Artist]:
        out: list[Artist] = []

        def put(at: Any, colour: str, size: float, width: float, symbol: str = mark.symbol) -> None:
            hollow = symbol in ("open", "diamond")
            round_ = symbol in ("circle", "ring")
            out.extend(
                axes.plot(
                    x[at],
                    y[at],
                    linestyle="none",
                    marker=SYMBOLS[symbol],
                    markersize=size,
                    color=LIGHT[colour],
                    markerfacecolor="none" if hollow else LIGHT[colour],
                    markeredgewidth=0 if round_ else width,
                    alpha=mark.opacity,
                    zorder=3,
                    gid=f"{name},{len(out)}" + f"o{size:g}" * round_,
                )
            )

        size = mark.size * 0.75
        if isinstance(mark.colour, list):
            for colour in dict.fromkeys(mark.colour):
                put(np.array(mark.colour) == colour, colour, size, 0)
        elif mark.symbol == "tick":
            put(slice(None), "ground", size + 2, 2.5 * mark.width)
            put(slice(None), mark.colour, size, mark.width)
        elif mark.symbol == "ring":
            put(slice(None), mark.colour, size + 1, 0)
            put(slice(None), "ground", size - 1, 0)
        else:
            put(slice(None), mark.colour, size, 0.9 * mark.width)
        for k, text in enumerate(mark.words or []):
            box = {"facecolor": LIGHT["ground"], "edgecolor": "none", "pad": 1.5, "alpha": 0.85}
            look: dict[str, Any] = {"bbox": box, "zorder": 2, "gid": f"{name}.{k}w"}
            look |= {"fontsize": 9 if self.small else 10, "ha": "center", "va": "bottom"}
            look |= {"xytext": (0, names.lift(self.chart, name, mark, k, self.small)), "textcoords": "offset points"}
            out.append(axes.annotate(text, (x[k], y[k]), **look))
        return out

    def _cells(self, axes: Axes, name: str, mark: Mark) -> list[Artist]:
        """A value's share of the largest is its cell's opacity; none hides the number, in the light or in the dark."""
        z, out = np.asarray(mark.z, dtype=float), list[Artist]()
        for k, (row, column) in enumerate(np.argwhere(np.isfinite(z))):
            share, place = z[row, column] / max(np.nanmax(z), 1e-12), (column + 0.02, row + 0.02)
            cell = Rectangle(place, 0.96, 0.96, color=_colour(mark.colour), alpha=0.45 * share, lw=0, gid=f"{name},{k}")
            out.append(axes.add_patch(cell))
            text = axes.text(column + 0.5, row + 0.5, f"{z[row, column]:.3g}", ha="center", va="center")
            text.set(fontsize=7.5 if self.small else 9, gid=f"{name}.{k}w")
            out.append(text)
        axes.set_xticks(
            np.arange(z.shape[1]) + 0.5, [str(v) for v in mark.x], fontsize=8, rotation=40 if self.small else 0
        )
        axes.set_yticks(np.arange(z.shape[0]) + 0.5, [str(v) for v in mark.y], fontsize=8)
        axes.set(xlim=(0, z.shape[1]), ylim=(z.shape[0], 0))
        axes.grid(False)
        axes.tick_params(length=0)
        return out


def _colour(name: str | list[str]) -> Any:
    return [LIGHT[one] for one in name] if isinstance(name, list) else LIGHT[name]


def outline(mark: Mark) -> list[tuple[np.ndarray, np.ndarray]]:
    """A band's edges as closed polygons, (x, y) each, one for each stretch without a gap."""
    x, high = np.asarray(mark.x, dtype=float), np.asarray(mark.y, dtype=float)
    low = np.asarray(mark.low, dtype=float)
    whole = np.isfinite(high) & np.isfinite(low)
    starts = np.flatnonzero(whole & ~np.r_[False, whole[:-1]])
    ends = np.flatnonzero(whole & ~np.r_[whole[1:], False]) + 1
    return [(np.r_[x[a:b], x[a:b][::-1]], np.r_[high[a:b], low[a:b][::-1]]) for a, b in zip(starts, ends, strict=True)]
