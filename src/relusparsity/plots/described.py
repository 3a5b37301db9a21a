"""Chart → at most three sentences that say what is seen, for readers who do not see it.

A person would say what kind of figure it is and of what, then how each line runs and which bar is the lowest and which
the highest, then what else there is. Every number comes from the chart, to three digits.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from . import style
from .chart import Axis, Chart, Mark, Panel
from .reading import how_many

SENTENCES = 3
MOST = 8
"""Lines, or panels, that are told one by one; of more, where they end."""
KINDS = {"cells": "shaded table", "bars": "bar chart", "line": "line chart", "points": "dot chart"}
DASHES = {"dot": "dotted", "dash": "dashed", "dashdot": "dash-dotted"}
ENDED = re.compile(r"(%|\)|% of units|loss [\d.]+)$")
"""A line of a title that is whole, and not cut where there was no more room."""
SOURCE = "Wild and Anderson"
"""What the hover text of their marks says."""


def described(chart: Chart) -> str:
    """The figure in words: panel by panel where these are few, else what they have in common, then each in short."""
    panels = chart.panels
    if len(panels) <= SENTENCES:
        return " ".join(
            f"{_begin(place, _form(panel))} of {_title(panel)}{_along(panel)}: {_content(panel, number < 2)}."
            for number, (place, panel) in enumerate(zip(_places(chart), panels, strict=True))
        )
    forms = Counter(map(_form, panels))
    kinds = " and ".join(how_many(number, form) for form, number in forms.items())
    columns = f" in {chart.columns} columns" if chart.columns > 1 else ""
    shared = list(dict.fromkeys(_by(panel) for panel in panels))
    return f"{kinds}{columns}{shared[0] if len(shared) == 1 else ''}. {_capital(_together(panels))}."


def _places(chart: Chart) -> Sequence[str]:
    """Where each of a few panels is."""
    number = len(chart.panels)
    if number == 1:
        return ("",)
    if len({panel.row for panel in chart.panels}) == 1:
        return ("On the left", "on the right") if number == 2 else ("On the left", "in the middle", "on the right")
    return ("Above", "below") if number == 2 else ("Above", "in the middle", "below")


def _begin(place: str, form: str) -> str:
    return f"{_capital(place)}, a {form}" if place else f"A {form}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _seen(panel: Panel) -> list[Mark]:
    """The marks that say something; the others repeat these: single seeds, edges, grounds."""
    return [mark for mark in panel.marks if mark.hover]


def _is_source(mark: Mark) -> bool:
    return SOURCE in mark.hover


def _form(panel: Panel) -> str:
    kinds = {mark.kind for mark in _seen(panel) if not _is_source(mark)}
    return next((form for kind, form in KINDS.items() if kind in kinds), "chart")


def _title(panel: Panel) -> str:
    """A title in one line."""
    lines = [line.strip() for line in panel.title.replace("\xa0", " ").split("\n") if line.strip()]
    return "".join(f"{line}, " if ENDED.search(line) else f"{line} " for line in lines).rstrip(", ") or panel.y.label


def _along(panel: Panel) -> str:
    """By what, as a part of a sentence that has the title before it."""
    by = _by(panel)
    return f",{by}" if by and ("," in _title(panel) or panel.y.names) else by


def _by(panel: Panel) -> str:
    """The axis across; where names stand upwards, it has the values."""
    if not panel.x.label or panel.y.names:
        return f" {panel.x.label}".rstrip()
    log = " (log scale)" if panel.x.log else ""
    return f" {'by' if _form(panel) == 'bar chart' else 'against'} {panel.x.label}{log}"


def _content(panel: Panel, full: bool = True, name: str = "") -> str:
    """What a panel shows: lines in full, or where they end; `name` is that of its one line."""
    seen = _seen(panel)
    parts = _lines([mark for mark in seen if mark.kind == "line"], panel, full, name)
    bars = [mark for mark in seen if mark.kind == "bars"]
    parts += [_spans(mark, panel) for mark in bars if _is_span(mark)]
    heights = [mark for mark in bars if not _is_span(mark)]
    parts += [_extremes(mark, panel, _part(mark) if len(heights) > 1 else "") for mark in heights]
    parts += [_cells(mark) for mark in seen if mark.z is not None]
    parts += _dots([mark for mark in seen if mark.kind == "points" and not _is_source(mark)], panel)
    for mark in (mark for mark in seen if _is_source(mark)):
        told = (f"{_said(y, panel.y)} at {_name(x, panel.x)}" for x, y in zip(mark.x, _values(mark.y), strict=True))
        parts.append(f"marks of what W&A report, {' and '.join(told)}")
    return "; ".join(part for part in parts if part) or "nothing is drawn"


def _cells(mark: Mark) -> str:
    known = _values(mark.z)
    least, most = _said(known.min(), Axis()), _said(known.max(), Axis())
    numbers = f"numbers from {least} to {most}" if least != most else f"{least} everywhere"
    return f"{numbers} in {how_many(len(mark.y), 'row')} of {len(mark.x)}"


def _lines(curves: list[Mark], panel: Panel, full: bool, name: str) -> list[str]:
    solid = [mark for mark in curves if mark.dash == "solid"]
    told = curves if len(curves) <= MOST else solid
    if len(curves) > 1 and not (full and len(told) <= MOST):
        return [_ends(curves, panel)]
    rest = [mark for mark in curves if mark not in told]
    said = [_course(mark, panel, name or _called(mark)) for mark in told]
    verbs = {verb for _, verb, _ in said}
    if len(said) > 2 and len(verbs) == 1 and verbs <= {"falls", "rises"}:
        parts = [f"all {verbs.pop().removesuffix('s')}, " + ", ".join(f"{called} {how}" for called, _, how in said)]
    else:
        parts = [f"{called} {verb} {how}".rstrip() for called, verb, how in said]
    return [*parts, _ends(rest, panel)] if rest else parts


def _course(mark: Mark, panel: Panel, name: str) -> tuple[str, str, str]:
    """How a line runs: its name, a verb, and from where to where, with what it meets beyond its ends."""
    y = _values(mark.y)
    if not y.size:
        return name, "has", "no value"
    height, first, last = _height(panel), y[0], y[-1]
    low, high = min(first, last), max(first, last)
    if height(high) - height(low) < 0.02:
        verb, how = "stays", f"{'at' if y.min() == y.max() else 'near'} {_said(last, panel.y)}"
    else:
        verb, how = "falls" if last < first else "rises", f"from {_said(first, panel.y)} to {_said(last, panel.y)}"
    beyond = [f"lowest {_said(y.min(), panel.y)}"] * bool(height(low) - height(y.min()) > 0.05)
    beyond += [f"highest {_said(y.max(), panel.y)}"] * bool(height(y.max()) - height(high) > 0.05)
    return name, verb, f"{how} ({', '.join(beyond)})" if beyond else how


def _height(panel: Panel) -> Callable[[float], float]:
    """Value → its share of the height that a panel's lines fill."""
    drawn = np.concatenate([_values(mark.y) for mark in _seen(panel) if mark.kind == "line"])
    log = panel.y.log and bool((drawn > 0).all())
    low, high = (np.log(drawn.min()), np.log(drawn.max())) if log else (drawn.min(), drawn.max())
    return lambda value: float(((np.log(value) if log else value) - low) / max(high - low, 1e-12))


def _ends(curves: list[Mark], panel: Panel) -> str:
    """Where several lines end."""
    dashes = {mark.dash for mark in curves}
    dash = DASHES.get(dashes.pop(), "") if len(dashes) == 1 else ""
    kind = f"{dash} line".strip()
    names = {m: _called(m).replace(" (", ", ").rstrip(")") if not dash else m.group or m.legend for m in curves}
    ends = {names[mark]: _values(mark.y)[-1] for mark in curves if _values(mark.y).size}
    if not ends:
        return f"{how_many(len(curves), kind)} without a value"
    low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
    if ends[low] == ends[high]:
        return f"{how_many(len(curves), kind)}, at {_said(ends[low], panel.y)} in the end"
    between = f"between {_said(ends[low], panel.y)} ({low}) and {_said(ends[high], panel.y)} ({high})"
    return f"{how_many(len(curves), kind)} that end {between}"


def _extremes(mark: Mark, panel: Panel, name: str = "") -> str:
    """The lowest and highest of a row of bars or dots, and what they are of."""
    y = np.asarray(mark.y, dtype=float)
    known = np.flatnonzero(np.isfinite(y))
    begin = f"{name}, " if name else ""
    if not known.size:
        return f"{begin}no value"
    low, high = known[np.argmin(y[known])], known[np.argmax(y[known])]
    missing = f", {how_many(len(y) - len(known), 'value')} missing" if len(known) < len(y) else ""
    if y[low] == y[high]:
        return f"{begin}{'all at' if len(known) > 1 else 'at'} {_said(y[low], panel.y)}{missing}"
    if len(y) > MOST:  # a histogram: where it is the highest
        end, word = (high, "highest") if y[high] > -y[low] else (low, "lowest")
        return f"{begin}{word} {_said(y[end], panel.y)} {_at(mark.x[end], panel.x)}{missing}"
    at = {end: f"{_said(y[end], panel.y)} ({_name(mark.x[end], panel.x)})" for end in (low, high)}
    return f"{begin}from {at[low]} to {at[high]}{missing}"


def _is_span(mark: Mark) -> bool:
    """Whether bars go from one value to another; a part of a stack, which begins above 0 too, tells its height."""
    return mark.base is not None and "{y}" not in mark.hover


def _spans(mark: Mark, panel: Panel) -> str:
    """From where to where bars go: each, where they are few."""
    low = np.asarray(mark.base, dtype=float)
    high, many = low + np.asarray(mark.y, dtype=float), len(low) > MOST
    known = np.flatnonzero(np.isfinite(high))
    if not known.size:
        return "no span"
    if many:
        return f"spans between {_said(low[known].min(), panel.y)} and {_said(high[known].max(), panel.y)}"
    told = (f"{_said(low[k], panel.y)} to {_said(high[k], panel.y)} ({_name(mark.x[int(k)], panel.x)})" for k in known)
    return f"{how_many(known.size, 'span')}, {', '.join(told)}"


def _dots(marks: list[Mark], panel: Panel) -> list[str]:
    """Dots, each kind that the legend names by itself; where names stand upwards, values go across."""
    kinds: dict[str, list[Mark]] = {}
    for mark in marks:
        kinds.setdefault("" if mark.group else mark.legend, []).append(mark)
    parts = []
    for name, each in kinds.items():
        across = panel.y.names
        value, place = (panel.x, panel.y) if across else (panel.y, panel.x)
        values = np.concatenate([np.asarray(m.x if across else m.y, dtype=float) for m in each])
        at = np.concatenate([np.asarray(m.y if across else m.x, dtype=float) for m in each])
        kind = " of single seeds" if all("seed" in m.hover and not m.group for m in each) else ""
        begin = how_many(len(values), "dot") + kind + (f" ({name})" if name else "")
        if not np.isfinite(values).any():
            parts.append(f"{begin} without a value")
            continue
        low, high = np.nanargmin(values), np.nanargmax(values)
        told = place.ticks is not None and len(values) <= len(place.ticks[0])  # one for each name
        ends = [_said(values[end], value) + (f" ({_name(at[end], place)})" if told else "") for end in (low, high)]
        parts.append(f"{begin} from {ends[0]} to {ends[1]}" if low != high else f"{begin} at {ends[0]}")
    return parts


def _together(panels: list[Panel]) -> str:
    """What many panels show: each in short, or of very many which line ends lowest."""
    names = [_title(panel) or _by_row_and_column(panel, panels) for panel in panels]
    if len(panels) <= MOST:
        if all(len(_seen(panel)) == 1 and _seen(panel)[0].kind == "line" for panel in panels):
            return "; ".join(_content(panel, name=name) for name, panel in zip(names, panels, strict=True))
        told = ((name, _content(panel, full=False)) for name, panel in zip(names, panels, strict=True))
        return "; ".join(f"{name}{', ' if ':' in name else ': '}{content}" for name, content in told)
    lowest, ends = Counter[str](), list[float]()
    for panel in panels:
        last = {_called(m): float(_values(m.y)[-1]) for m in _seen(panel) if m.kind == "line" and _values(m.y).size}
        ends += last.values()
        lowest.update([min(last, key=last.__getitem__)] if last else [])
    if not ends:
        return "; ".join(names)
    said = ", ".join(f"{name} in {times}" for name, times in lowest.most_common())
    low, high = (_said(end, panels[0].y) for end in (min(ends), max(ends)))
    return f"the line that ends lowest is {said} of them; all end between {low} and {high}"


def _by_row_and_column(panel: Panel, panels: list[Panel]) -> str:
    """What a panel without a title of its own shows: its row's first says what, its column's of which."""
    row = next((_title(other) for other in panels if other.row == panel.row and _title(other)), "")
    column = next((_title(other) for other in panels if other.col == panel.col and _title(other)), "")
    return ", ".join(part for part in (row, column) if part) or "without a name"


def _values(values: object) -> np.ndarray:
    y = np.asarray(values, dtype=float)
    return y[np.isfinite(y)]


def _called(mark: Mark) -> str:
    """A line's name, with its dash if it has one."""
    plain = mark.hover if "{" not in mark.hover else ""
    name = mark.group or mark.legend or plain or "the line"
    return name if mark.dash == "solid" else f"{name} ({DASHES[mark.dash]})"


def _part(mark: Mark) -> str:
    """What one of several rows of bars is, by its hover text: the second line, up to its number."""
    lines = mark.hover.split("\n")
    return mark.legend or lines[min(1, len(lines) - 1)].partition("{")[0].strip(" :") or "bars"


def _name(x: object, axis: Axis) -> str:
    """What a place on an axis is called, by its tick if it has one."""
    if isinstance(x, str):
        return x
    at = float(x)  # type: ignore[arg-type]
    word = dict(zip(*axis.ticks, strict=True)).get(at) if axis.ticks else None
    if word is None and axis.tokens:
        return style.si(at)
    word = word or f"{at:.3g}"
    return f"{axis.label} {word}" if word.isdigit() and axis.label.isalpha() else word


def _at(x: object, axis: Axis) -> str:
    """A place between the ticks of an axis: near the nearest, or by its number."""
    if axis.ticks and not isinstance(x, str):
        nearest = min(zip(*axis.ticks, strict=True), key=lambda tick: abs(tick[0] - float(x)))  # type: ignore[arg-type]
        return f"near {nearest[1]}"
    return f"at {_name(x, axis)}"


def _said(value: float, axis: Axis) -> str:
    if axis.tokens:
        return style.si(value)
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "−")
