"""Chart → a few sentences that say what is seen, for readers who do not see it; every number comes from the chart."""

import numpy as np

from . import style
from .chart import Axis, Chart, Mark, Panel
from .reading import how_many

PANELS, BARS, CURVES = 3, 8, 6  # more are counted, not described one by one


def described(chart: Chart) -> str:
    """The figure in words: panel by panel its bars, the two ends of its curves, its points and cells."""
    panels = chart.panels
    sentences = [_panel(panel) for panel in panels[:PANELS]]
    if len(panels) > PANELS:
        sentences.append(f"{how_many(len(panels) - PANELS, 'more panel')}.")
    return " ".join(sentences)


def _panel(panel: Panel) -> str:
    seen = [mark for mark in panel.marks if mark.hover]  # the others repeat these: single seeds, edges, grounds
    curves = [mark for mark in seen if mark.kind == "line"]
    parts = [_curve(mark, panel) for mark in curves[:CURVES]]
    if len(curves) > CURVES:
        parts.append(how_many(len(curves) - CURVES, "more curve"))
    parts += [_bars(mark, panel) for mark in seen if mark.kind == "bars"]
    if points := [mark for mark in seen if mark.kind == "points"]:
        along, axis = ("x", panel.x) if panel.y.names else ("y", panel.y)  # where names stand upwards, values go across
        values = np.concatenate([np.asarray(getattr(mark, along), dtype=float) for mark in points])
        parts.append(f"{how_many(len(values), 'point')}, {_range(values, axis)}")
    parts += [f"{len(m.y)} by {len(m.x)} cells, {_range(m.z, Axis())}" for m in seen if m.z is not None]
    title = " ".join(panel.title.replace("\n", " ").split())
    by = f", by {panel.x.label}" if panel.x.label else ""
    return f"{title or panel.y.label}{by}: {'; '.join(parts) or 'nothing is drawn'}."


def _curve(mark: Mark, panel: Panel) -> str:
    y = np.asarray(mark.y, dtype=float)
    known = np.flatnonzero(np.isfinite(y))
    name = mark.group or mark.legend or "curve"
    dash = "" if mark.dash == "solid" else f" ({mark.dash})"
    if not known.size:
        return f"{name}{dash} has no value"
    return f"{name}{dash} from {_said(y[known[0]], panel.y)} to {_said(y[known[-1]], panel.y)}"


def _bars(mark: Mark, panel: Panel) -> str:
    y = np.asarray(mark.y, dtype=float)
    if len(y) > BARS:
        return f"{len(y)} bars, {_range(y, panel.y)}"
    return "bars " + ", ".join(f"{_name(x, panel.x)}: {_said(v, panel.y)}" for x, v in zip(mark.x, y, strict=True))


def _range(values: np.ndarray, axis: Axis) -> str:
    known = values[np.isfinite(values)]
    return f"{_said(known.min(), axis)} to {_said(known.max(), axis)}" if known.size else "without a value"


def _name(x: object, axis: Axis) -> str:
    """A bar's name as its tick has it."""
    if isinstance(x, str):
        return x
    at = float(x)  # type: ignore[arg-type]
    named = dict(zip(*axis.ticks, strict=True)) if axis.ticks else {}
    return named.get(at, f"{at:.3g}")


def _said(value: float, axis: Axis) -> str:
    if not np.isfinite(value):
        return "missing"
    return style.si(value) if axis.tokens else f"{value:.3g}".replace("-", "−")
