"""Candidate `svg`: Matplotlib draws the figure as SVG, wide and narrow; a script moves its marks in the page.

The still twin is the live figure: without scripts the same SVG is an image, and only the controls are missing. Colours
are the page's CSS variables; the image has its own, by the reader's colour scheme.
"""

import base64
import html
import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import page
from figures import SOURCE, Bars, Units
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter

# stand-ins: Matplotlib wants colours, the page wants its variables
STAND_INS = {"#010101": "ink", "#020202": "grid", **{f"#0303{i:02x}": f"ramp{i}" for i in range(6)}}
INK, GRID, *RAMP = STAND_INS
RC = {
    "svg.fonttype": "none", "svg.hashsalt": "relusparsity", "font.family": "DejaVu Sans", "font.size": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "axes.grid.axis": "y", "path.simplify": True, "savefig.transparent": True,
    **dict.fromkeys(("axes.edgecolor", "grid.color"), GRID),
    **dict.fromkeys(("axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
}  # fmt: skip
VARIABLES = f"svg{{{page.LIGHT}}}@media screen and (prefers-color-scheme:dark){{svg{{{page.DARK}}}}}"
SIZES = {"wide": (7.6, 5.2), "narrow": (3.8, 4.6)}  # inches; 96 CSS pixels each


def draw(content: Bars | Units, size: tuple[float, float]) -> tuple[str, dict[str, Any]]:
    """The figure as SVG, and where its moving marks lie: the number of a value's pixel is a + b × value."""
    with mpl.rc_context(mpl.rcParamsDefault | {k: v for k, v in RC.items()}):  # type: ignore[arg-type]
        one = isinstance(content, Units) or content.tokens is None
        figure = Figure((size[0], size[1] * (0.6 if one else 1)), dpi=72, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(1 if one else 2, squeeze=False)[:, 0]
        scatter(axes[0], content) if isinstance(content, Units) else bars(axes, content)
        figure.draw_without_rendering()
        height = figure.bbox.height
        moves = {}
        for name, axis in zip(("bars", "curves"), axes, strict=False):
            (x0, y0), (x1, y1) = axis.transAxes.transform([(0, 0), (1, 1)])
            moves[name] = {
                "x": [x0, x1],
                "y": [height - y0, height - y1],
                "xlim": axis.get_xlim(),
                "ylim": axis.get_ylim(),
            }
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, dpi=144)
    text = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->", "", out.getvalue(), flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    for colour, name in STAND_INS.items():
        text = text.replace(colour, f"var(--{name})")
    # a tenth of a point is enough, inside attributes
    text = re.sub(r'"[^"]*"', lambda attribute: re.sub(r"(\d\.\d)\d{3,}", r"\1", attribute[0]), text)
    return re.sub(r"\n\s*", "\n", text), moves


def bars(axes: Any, content: Bars) -> None:
    top: Axes = axes[0]
    numbers, seeds = np.arange(content.values.shape[1]), content.seeds[content.first]
    for i, value in enumerate(content.values[content.first]):
        top.bar(i, value, 0.72, color=RAMP[i], gid=f"bar-{i}")
        for k, dx in enumerate(np.linspace(-0.16, 0.16, len(seeds))):
            top.plot(i + dx, seeds[k, i], "o", ms=3.2, mfc="white", mec=INK, mew=0.8, gid=f"seed-{i}-{k}")
    for layer, value in SOURCE.items():
        top.plot([layer - 0.42, layer + 0.42], [value, value], color=INK, lw=2)
        top.text(layer, value + 2, f"W&A {value} %", ha="center")
    top.set(xlabel="layer", ylabel="batch use, % of units", ylim=(0, 104), xticks=numbers)
    if content.tokens is None:
        return
    below: Axes = axes[1]
    later = content.tokens > 0
    for i in numbers:
        values = content.seeds[later, :, i]
        below.plot(content.tokens[later], values, color=RAMP[i], lw=0.6, alpha=0.45)
        below.plot(content.tokens[later], values.mean(axis=1), color=RAMP[i], lw=1.6, gid=f"line-{i}")
        ends = content.values[-1]
        apart = ends[i] + 6 * np.sum((ends < ends[i] + i * 1e-6) & (ends > ends[i] - 5))  # labels keep off each other
        below.annotate(f"{i}", (1.01, apart), xycoords=("axes fraction", "data"), color=RAMP[i], va="center")
    below.axvline(content.tokens[content.first], color=INK, lw=1.2, ls=":", gid="cursor")
    below.set(xscale="log", xlabel="tokens seen", ylabel="%", ylim=(0, 104))
    below.xaxis.set_major_formatter(EngFormatter(sep=""))


def scatter(axes: Axes, content: Units) -> None:
    axes.plot(content.rate, content.sequences, ".", ms=1.2, alpha=0.4, color="#2171b5", mew=0, rasterized=True)
    axes.set(xscale="log", yscale="log", xlabel="fires at, % of tokens", ylabel="fires in, % of sequences")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def shares(content: Units, limits: list[tuple[float, float]]) -> np.ndarray:
    """Where the points lie on the log axes, as shares of 65,535: (axis, unit); a quarter of the bytes of their text."""
    columns = zip((content.rate, content.sequences), limits, strict=True)
    each = [np.log(values / low) / np.log(high / low) for values, (low, high) in columns]
    return np.round(65_535 * np.stack(each)).astype("<u2")


PAGE = """
addEventListener("DOMContentLoaded", () => {
  const at = (m, axis, value, log) => {
    const [low, high] = m[axis + "lim"].map((v) => log ? Math.log(v) : v), v = log ? Math.log(value) : value;
    return m[axis][0] + (m[axis][1] - m[axis][0]) * (v - low) / (high - low);
  };
  const box = document.createElement("div");
  box.className = "tip"; box.hidden = true; document.body.append(box);
  const tell = (text, event) => {
    box.hidden = !text; box.textContent = text ?? "";
    box.style.left = Math.min(event.clientX + 12, innerWidth - 220) + "px"; box.style.top = event.clientY + 12 + "px";
  };
  for (const figure of document.querySelectorAll("figure")) {
    const { labels, values, seeds, tokens, moves, points, svg } = FIGURES[figure.id];
    const places = points && new Uint16Array(Uint8Array.from(atob(points), (c) => c.charCodeAt(0)).buffer);
    figure.insertAdjacentHTML("beforeend", svg);
    let state = labels.length - 1;
    const drawings = [...figure.querySelectorAll("svg")].map((svg) => [svg, moves[svg.dataset.size]]);
    const apply = (k) => {
      state = k;
      for (const [svg, { bars, curves }] of drawings) {
        const part = (id, tag) => svg.querySelector(`#${figure.id}-${svg.dataset.size}-${id} ${tag}`);
        values[k].forEach((v, i) => {
          const path = part("bar-" + i, "path"), y = at(bars, "y", v);
          const xs = path.getAttribute("d").match(/[MLH] ?[\\d.]+/g).map((s) => Number(s.slice(1)));
          const left = Math.min(...xs), right = Math.max(...xs);
          path.setAttribute("d", `M${left} ${bars.y[0]}H${right}V${y}H${left}z`);
        });
        seeds[k].forEach((row, n) => row.forEach((v, i) => {
          part(`seed-${i}-${n}`, "use").setAttribute("y", at(bars, "y", v));
        }));
        if (tokens) {
          const x = at(curves, "x", Math.max(tokens[k], curves.xlim[0]), true);
          part("cursor", "path").setAttribute("d", `M${x} ${curves.y[0]}V${curves.y[1]}`);
        }
      }
    };
    connect(figure, labels, apply);
    for (const [svg, m] of drawings) svg.addEventListener("pointermove", (event) => {
      const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const inside = (a) => a && p.x >= a.x[0] && p.x <= a.x[1] && p.y <= a.y[0] && p.y >= a.y[1];
      if (points && inside(m.bars)) {
        const { x, y, xlim, ylim } = m.bars, n = places.length / 2, part = (i) => places[i] / 65535;
        let best = 64, found;
        for (let i = 0; i < n; i++) {
          const d = (x[0] + (x[1] - x[0]) * part(i) - p.x) ** 2 + (y[0] + (y[1] - y[0]) * part(n + i) - p.y) ** 2;
          if (d < best) [best, found] = [d, i];
        }
        if (found === undefined) return tell(null, event);
        const value = ([low, high], i) => (low * (high / low) ** part(i)).toPrecision(3);
        const said = `unit ${found}: ${value(xlim, found)} % of tokens, ${value(ylim, n + found)} % of sequences`;
        return tell(said, event);
      }
      if (values && inside(m.bars)) {
        const [low, high] = m.bars.xlim, width = m.bars.x[1] - m.bars.x[0];
        const layer = Math.round(low + (high - low) * (p.x - m.bars.x[0]) / width);
        if (values[state]?.[layer] !== undefined) return tell(`layer ${layer}: mean ${values[state][layer]} %`, event);
      }
      if (tokens && inside(m.curves)) {
        const distances = tokens.map((t) => Math.abs(at(m.curves, "x", t || 1, true) - p.x));
        const k = distances.indexOf(Math.min(...distances));
        return tell(`${labels[k]}: ${values[k].map((v, i) => i + ": " + v + " %").join(", ")}`, event);
      }
      tell(null, event);
    });
  }
});
"""
STYLE = """<style>.is-live picture { display: none; } figure svg.narrow { display: none; }
@media (max-width: 560px) { figure svg.wide { display: none; } figure svg.narrow { display: block; } }
.tip { position: fixed; pointer-events: none; background: var(--ground); border: 1px solid var(--grid);
  padding: 4px 8px; font-size: 14px; max-width: 200px; }</style>"""


def build(folder: Path, contents: dict[str, Bars | Units], pages: dict[str, list[str]]) -> None:
    folder.mkdir(parents=True)
    (folder / "page.js").write_text(page.CONTROLS + PAGE)
    made = {}
    for name, content in contents.items():
        drawings: dict[str, str] = {}
        moves = {}
        for size, inches in SIZES.items():
            text, moves[size] = draw(content, inches)
            text = re.sub(r'id="', f'id="{name}-{size}-', text)  # ids are of the page, not of the drawing
            text = re.sub(r'(href="|url\()#', rf"\1#{name}-{size}-", text)
            alone = re.sub(r"(<svg[^>]*>)", rf"\1<style>{VARIABLES}</style>", text, count=1)
            (folder / f"{name}-{size}.svg").write_text(alone)
            label = f'<svg class="{size}" data-size="{size}" role="img" aria-label="{html.escape(content.title)}"'
            drawings[size] = text.replace("<svg", label, 1)
        data: dict[str, Any] = {"labels": [], "moves": moves, "svg": "".join(drawings.values())}
        if isinstance(content, Bars):
            data |= {"labels": content.labels, "values": np.round(content.values.astype(float), 1).tolist()}
            data |= {"seeds": np.round(content.seeds.astype(float), 1).tolist()}
            data |= {} if content.tokens is None else {"tokens": content.tokens.tolist()}
        else:
            limits = [moves["wide"]["bars"][axis] for axis in ("xlim", "ylim")]
            data["points"] = base64.b64encode(shares(content, limits).tobytes()).decode()
        page.data(folder, name, data)
        still = f'<source srcset="{name}-narrow.svg" media="(max-width: 560px)">'
        still = f'<picture>{still}<img src="{name}-wide.svg" alt="{html.escape(content.title)}"></picture>'
        made[name] = page.figure(name, content, still)
    head = STYLE + "<script>document.documentElement.dataset.theme='light'</script>"
    for title, names in pages.items():
        page.write(folder, title, [made[n] for n in names], [*(f"{n}.js" for n in names), "page.js"], head)
