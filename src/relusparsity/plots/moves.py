"""Chart → what the page needs of a live figure: its drawings as SVG, and what its control changes in them.

Every state is drawn by Matplotlib, and compared with the first drawing: what differs is kept, attribute by attribute,
and the page's script only sets attributes.
"""

import io
import re
from typing import Any
from xml.etree import ElementTree

from matplotlib.backends.backend_svg import FigureCanvasSVG

from . import drawing
from .chart import Chart, Panel
from .palette import NAMES

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
PART = re.compile(r"(m\d+\.\d+(?:,\d+)?(?:\.\d+w)?|[tcp]\d+)(?:o([\d.]+))?")
"""A part's name, as `drawing.Sheet` gives it, and the size of its circles."""
RECTANGLE = re.compile(r"M(\S+) (\S+)L(\S+) \2L\3 (\S+)L\1 \4z")
HOVERED = ("kind", "x", "y", "z", "hover", "extra", "base", "bar_width", "low")
ElementTree.register_namespace("", SVG[1:-1])


def figure(chart: Chart) -> dict[str, Any]:
    """What the script gets: both drawings with their moves, what the pointer says, and where a slider's states lie."""
    out: dict[str, Any] = {"drawings": {size: _drawing(chart, width) for size, width in drawing.WIDTHS.items()}}
    tokens = {"x": [p.x.tokens for p in chart.panels], "y": [p.y.tokens for p in chart.panels]}
    out |= {"panels": [[_hovered(mark) for mark in panel.marks] for panel in chart.panels], "tokens": tokens}
    if control := chart.control:
        out["states"] = [state.label for state in control.states]
        out["active"] = control.active
        out["cursor"] = next((chart.panels.index(p) for p in chart.panels if p in control.states[0].cursors), None)
        at = chart.places()
        told = [{mark: new for mark, new in state.marks.items() if mark.hover} for state in control.states]
        out["told"] = [[[*at[mark], new] for mark, new in each.items()] for each in told]
    return out


def _hovered(mark: Any) -> dict[str, Any]:
    told = {name: getattr(mark, name) for name in HOVERED} if mark.hover else {}
    return {name: value for name, value in told.items() if value is not None}


def _drawing(chart: Chart, width: int) -> dict[str, Any]:
    with drawing.settings():
        sheet = drawing.Sheet(chart, width)
        first = _tree(sheet)
        out: dict[str, Any] = {"svg": text(first), "boxes": [_box(sheet, n) for n in range(len(chart.panels))]}
        if chart.control:
            out |= _moves(sheet, first) | {"stops": _stops(sheet)}
    return out


def _box(sheet: drawing.Sheet, n: int) -> dict[str, Any]:
    """A panel's axes: left, top, right and bottom in the drawing, and the numbers at these."""
    axes, height = sheet.axes[n], sheet.canvas.bbox.height
    (x0, y0), (x1, y1) = axes.transAxes.transform([(0, 0), (1, 1)]).round(1).tolist()
    out = {"x": [x0, x1], "y": [round(height - y0, 1), round(height - y1, 1)]}
    out |= {"xlim": [float(v) for v in axes.get_xlim()], "ylim": [float(v) for v in axes.get_ylim()]}
    return out | {"log": [axes.get_xscale() == "log", axes.get_yscale() == "log"]}


def _stops(sheet: drawing.Sheet) -> list[float] | None:
    """Where the states lie along the axis on which a cursor marks them, in shares of it."""
    control = sheet.chart.control
    assert control is not None
    marked: list[Panel] = [panel for panel in sheet.chart.panels if panel in control.states[0].cursors]
    if not marked:
        return None
    axes = sheet.axes[sheet.chart.panels.index(marked[0])]
    places = [axes.transData.transform((state.cursors[marked[0]], axes.get_ylim()[1])) for state in control.states]
    return [round(float(axes.transAxes.inverted().transform(place)[0]), 4) for place in places]


def _moves(sheet: drawing.Sheet, first: ElementTree.Element) -> dict[str, Any]:
    """Groups of targets (part, number of the element in it, attribute), and for every state their values.

    Null stands for what was drawn first.
    """
    assert sheet.chart.control is not None
    for axes in sheet.canvas.axes:
        for child in axes.get_children():
            child.set_visible(False)
    for legend in sheet.canvas.legends:
        legend.set_visible(False)
    before, changes = _parts(first), []
    for state in sheet.chart.control.states:
        artists = sheet.move(state)
        changes.append(_changes(before, _parts(_tree(sheet))) | _shifts(sheet, state.places))
        for artist in artists:
            artist.remove()
    alike: dict[tuple[str | None, ...], list[tuple[str, int, str]]] = {}  # targets that get the same values
    for target in dict.fromkeys(target for change in changes for target in change):
        alike.setdefault(tuple(change.get(target) for change in changes), []).append(target)
    return {"targets": list(alike.values()), "moves": [list(values) for values in zip(*alike, strict=True)]}


def _shifts(sheet: drawing.Sheet, places: dict[Panel, tuple[int, int]]) -> dict[tuple[str, int, str], str]:
    out = {}
    _, _, width, height = sheet.canvas.bbox.bounds
    for panel, place in places.items():
        old, new = sheet.places[panel.row, panel.col], sheet.places[place]
        if place != (panel.row, panel.col):
            dx, dy = (new.x0 - old.x0) * width, (old.y0 - new.y0) * height
            out[f"p{sheet.chart.panels.index(panel)}", 0, "transform"] = f"translate({dx:.1f} {dy:.1f})"
    return out


def _parts(tree: ElementTree.Element) -> dict[str, list[ElementTree.Element]]:
    return {part: list(e.iter()) for e in tree.iter() if (part := e.get("data-part")) and part[0] != "p"}


def _changes(
    before: dict[str, list[ElementTree.Element]], after: dict[str, list[ElementTree.Element]]
) -> dict[tuple[str, int, str], str]:
    out: dict[tuple[str, int, str], str] = {}
    for part, now in after.items():
        was = before[part]
        if [e.tag for e in was] != [e.tag for e in now]:  # a title with more lines
            out[part, 0, "inner"] = "".join(text(child) for child in now[0])
            continue
        for n, (old, new) in enumerate(zip(was, now, strict=True)):
            out |= {(part, n, key): value for key, value in new.attrib.items() if old.get(key) != value}
            if (old.text or "").strip() != (new.text or "").strip():
                out[part, n, "text"] = new.text or ""
    return out


def _tree(sheet: drawing.Sheet) -> ElementTree.Element:
    """Matplotlib's SVG with our names, variables for colours, and without what says nothing to a reader."""
    out = io.StringIO()
    # `savefig` would draw all of it once more, for the layout, which is settled
    FigureCanvasSVG(sheet.canvas).print_svg(out, metadata=dict.fromkeys(("Date", "Creator", "Type", "Format")))
    tree = ElementTree.fromstring(out.getvalue())
    for key in ("width", "height", "version"):
        del tree.attrib[key]
    for parent in list(tree.iter()):
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    for element in list(tree.iter()):
        _short(element)
    shapes = [defs for group in tree.iter() if group.get("data-circles") for defs in group.iter(f"{SVG}defs")]
    for group in [e for e in tree.iter() if e.get("data-circles")]:
        _dotted(group, float(group.attrib.pop("data-circles")))
    used = {e.get("href", "")[1:] for e in tree.iter(f"{SVG}use")}
    tree.extend(defs for defs in shapes if used & {shape.get("id") for shape in defs})  # a legend shows one
    _unwrapped(tree)
    return tree


def _short(element: ElementTree.Element) -> None:
    attributes = element.attrib
    if name := PART.fullmatch(attributes.get("id", "")):
        attributes["data-part"] = name[1]
        if name[2]:
            attributes["data-circles"] = name[2]
    if element.tag == f"{SVG}g":
        attributes.pop("id", None)
    if target := attributes.pop(f"{XLINK}href", None):
        attributes["href"] = target
    if (turn := attributes.get("transform")) and re.match(r"rotate\(-?0 ", turn):
        del attributes["transform"]
    for key in ("d", "x", "y", "width", "height", "transform"):
        if key in attributes:
            attributes[key] = _tenths(attributes[key])
    if "d" in attributes:
        path = re.sub(r"\s*([A-Za-z])\s*", r"\1", attributes["d"]).strip()
        attributes["d"] = _relative(RECTANGLE.sub(r"M\1 \2H\3V\4H\1z", path))
    if "style" in attributes:
        look = re.sub(r" ?font-family:[^;]*;?|; *(?=$)", "", attributes["style"]).replace(": ", ":").replace("; ", ";")
        attributes["style"] = re.sub("#[0-9a-f]{6}", lambda c: f"var(--figure-{NAMES[c[0]]})", look)
    for white in ("text", "tail"):
        if not (getattr(element, white) or "x").strip():
            setattr(element, white, None)


def _tenths(numbers: str) -> str:
    return re.sub(r"(\d+)\.(\d)\d*", lambda n: n[1] if n[2] == "0" else f"{n[1]}.{n[2]}", numbers)


def _relative(path: str) -> str:
    """A long line as steps from point to point, which are shorter to write; in whole tenths, so that none adds up."""
    points = re.findall(r"([ML])(-?[\d.]+) (-?[\d.]+)(h0)?", path)
    if len(points) < 8 or "".join(f"{command}{x} {y}{dot}" for command, x, y, dot in points) != path:
        return path
    out, before = "", (0, 0)
    for command, x, y, dot in points:
        now = (round(10 * float(x)), round(10 * float(y)))
        dx, dy = ((to - since) / 10 for to, since in zip(now, before, strict=True))
        out += f"{command.lower()}{dx:g}{'' if dy < 0 else ' '}{dy:g}{dot}"
        before = now
    return "M" + out[1:]


def _dotted(group: ElementTree.Element, size: float) -> None:
    """Circles as one path of dots with round ends: a fifth of the bytes, and one element in place of hundreds."""
    uses = list(group.iter(f"{SVG}use"))
    if not uses:
        return
    look = uses[0].get("style", "").replace("fill", "stroke")
    clip = next((e.get("clip-path") for e in group.iter() if e.get("clip-path")), None)
    for child in list(group):
        group.remove(child)
    path = _relative("".join(f"M{use.get('x')} {use.get('y')}h0" for use in uses))
    look = f"{look};stroke-width:{size:g};stroke-linecap:round"
    ElementTree.SubElement(group, f"{SVG}path", {"d": path, "style": look} | ({"clip-path": clip} if clip else {}))


def _unwrapped(tree: ElementTree.Element) -> None:
    """Put what lies in groups that say nothing into the groups around them."""
    again = True
    while again:
        again = False
        for parent in list(tree.iter()):
            for at, child in reversed(list(enumerate(parent))):
                if child.tag == f"{SVG}g" and not child.attrib:
                    parent.remove(child)
                    for inner in reversed(list(child)):
                        parent.insert(at, inner)
                    again = True


def text(tree: ElementTree.Element) -> str:
    """The element as it stands in a page."""
    return ElementTree.tostring(tree, encoding="unicode")
