"""Candidates `plotly` (today: its own controls, JSON in the page) and `plotly-small` (partial bundle, form inputs)."""

from pathlib import Path
from typing import Any

import numpy as np
import page
import plotly
from figures import SOURCE, Bars, Units

from relusparsity.book import renderer
from relusparsity.plots import live, style, twin
from relusparsity.plots.chart import Axis, Chart, Control, Mark, Panel, State, seed_curves
from relusparsity.plots.layer_patterns import layer_axis, tokens_axis

PERCENT = Axis(limits=(0.0, 104.0))


def bars(content: Bars) -> Chart:
    numbers, n = list(range(content.values.shape[1])), content.seeds.shape[1]
    spread = np.linspace(-0.16, 0.16, n)
    hover = "layer %{x}<br>mean batch use %{y:.3~g} %"
    colours = [style.layer_colour(i) for i in numbers]
    mean = Mark("bars", numbers, content.values[content.first], colours, hover=hover, bar_width=0.72)
    points = content.seeds.transpose(0, 2, 1).reshape(len(content.seeds), -1)
    seeds = Mark("points", [i + dx for i in numbers for dx in spread], points[content.first], style.INK, size=5)
    tick = Mark("points", list(SOURCE), list(SOURCE.values()), style.ACCENT, symbol="tick", size=38, width=3)
    panel = Panel("batch use, % of units", layer_axis(numbers), PERCENT, [mean, tick, seeds])
    panels, cursors = [panel], [{} for _ in content.labels]
    if content.tokens is not None:
        later = content.tokens > 0
        curves = Panel("over training", tokens_axis(content.tokens), PERCENT, row=1)
        for i in numbers:
            hover = f"layer {i}, %{{x:.3~s}} tokens<br>%{{y:.3~g}} %"
            values = content.seeds[later, :, i].T
            curves.marks += seed_curves(content.tokens[later], values, colours[i], hover, str(i), f"layer {i}")
        curves.cursor = float(content.tokens[content.first])
        cursors = [{curves: max(float(t), float(content.tokens[later][0]))} for t in content.tokens]
        panels.append(curves)
    states = [
        State(label, {mean: {"y": content.values[k]}, seeds: {"y": points[k]}}, cursors[k])
        for k, label in enumerate(content.labels)
    ]
    return Chart(panels, [230, 210][: len(panels)], control=Control("slider", "", states, content.first))


def scatter(content: Units) -> Chart:
    names = np.arange(len(content.rate))[:, None]
    hover = "unit %{customdata[0]}<br>%{x:.3~g} % of tokens<br>%{y:.3~g} % of sequences"
    dots = Mark("points", content.rate, content.sequences, style.layer_colour(5), hover=hover, extra=names, size=2)
    x, y = Axis("fires at, % of tokens", log=True), Axis("fires in, % of sequences", log=True)
    dots.opacity = 0.4
    return Chart([Panel("", x, y, [dots])], [420])


SMALL = """
addEventListener("DOMContentLoaded", async () => {
  const draw = async (figure) => {
    const name = figure.id, { data, layout, steps, labels } = FIGURES[name], plot = document.createElement("div");
    const themed = (l) => { for (const [k, v] of Object.entries(colours())) l[k] = { ...l[k], ...v }; return l; };
    const colours = () => {
      const css = (k) => getComputedStyle(document.documentElement).getPropertyValue(k);
      const axis = { gridcolor: css("--grid"), linecolor: css("--grid"), tickcolor: css("--grid") };
      const axes = Object.keys(layout).filter((k) => /axis/.test(k)).map((k) => [k, axis]);
      return { font: { color: css("--ink") }, ...Object.fromEntries(axes) };
    };
    plot.setAttribute("role", "img"); plot.setAttribute("aria-label", figure.querySelector("img").alt);
    figure.append(plot);
    await Plotly.newPlot(plot, data, themed(layout), { responsive: true, displayModeBar: false });
    new MutationObserver(() => Plotly.relayout(plot, themed(plot.layout)))
      .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    connect(figure, labels, (k) => Plotly[steps[k].method](plot, ...steps[k].args));
  };
  for (const figure of document.querySelectorAll("figure")) await draw(figure);
});
"""


def build(folder: Path, small: Path | None, contents: dict[str, Bars | Units], pages: dict[str, list[str]]) -> None:
    """Write the pages of `plotly`, or of `plotly-small` where `small` is the partial bundle."""
    folder.mkdir(parents=True)
    engine = small or Path(plotly.__file__).parent / "package_data/plotly.min.js"
    (folder / "plotly.min.js").write_bytes(engine.read_bytes())
    (folder / "page.js").write_text(page.CONTROLS + SMALL)
    for file in ("live_figures.js", "book.css"):
        (folder / file).write_bytes((renderer.STATIC / file).read_bytes())
    made = {name: _figure(folder, name, content, small is None) for name, content in contents.items()}
    for title, names in pages.items():
        scripts = ["plotly.min.js"]
        head = "<script>document.documentElement.dataset.theme='light'</script>"
        if small is None:
            scripts += ["live_figures.js"]
            head += '<link rel="stylesheet" href="book.css"><style>[data-theme=dark] { --pst-color-text-base: #dfe3e8; '
            head += "--pst-color-surface: #29313d; }</style>"
        else:
            scripts += [*(f"{name}.js" for name in names), "page.js"]
        page.write(folder, title, [made[name] for name in names], scripts, head)


def _figure(folder: Path, name: str, content: Bars | Units, today: bool) -> str:
    chart = scatter(content) if isinstance(content, Units) else bars(content)
    still = page.picture(folder, name, twin.png(chart), "png", content.title)
    drawn: dict[str, Any] = live.plotly_json(chart)
    if today:
        text = page.json.dumps(drawn, separators=(",", ":"))
        inner = f'<script type="application/json">{text}</script>{still}'
        return page.figure(name, content, inner, "").replace("<figure ", '<figure class="live-figure" ', 1)
    steps = drawn["layout"].pop("sliders", [{"steps": []}])[0]["steps"]
    labels = content.labels if isinstance(content, Bars) else []
    page.data(folder, name, drawn | {"steps": steps, "labels": labels})
    return page.figure(name, content, still)
