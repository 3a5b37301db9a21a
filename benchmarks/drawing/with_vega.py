"""Candidate `vega`: described with Altair, compiled by vl-convert, which also draws the still twin.

The page needs Vega alone (npm's vega.min.js). The bundle of all that vl-convert holds is 898 kB, and its `vega` is null
in 1.9.0 (`vegaEmbed.vega` works).
"""

import io
import json
from pathlib import Path
from typing import Any

import altair as alt
import matplotlib
import numpy as np
import page
import pandas as pd
import vl_convert as vlc
from figures import SOURCE, Bars, Units
from PIL import Image

vlc.register_font_directory(
    str(Path(matplotlib.get_data_path()) / "fonts/ttf")
)  # the twin is the same on every machine
VERSION = vlc.get_vegalite_versions()[-1]
WIDTH = 700
LIGHT = {
    "ink": "#23282e",
    "grid": "#dcdfe3",
    **{f"ramp{i}": c for i, c in enumerate(("#08306b", "#0f4f8f", "#2171b5", "#3f8fc8", "#5a9bc9", "#6d98b8"))},
}
SCALE = alt.Scale(domain=[0, 104], nice=False)
RAMP = alt.Color("layer:O").scale(range=[{"expr": f"ramp{i}"} for i in range(6)])
CONFIG: dict[str, Any] = {
    "aria": False,  # else each mark of the twin carries its numbers as words: three times the bytes
    "font": "DejaVu Sans", "background": "transparent", "view": {"stroke": None},
    "axis": {"labelColor": {"expr": "ink"}, "titleColor": {"expr": "ink"}, "gridColor": {"expr": "grid"},
             "domainColor": {"expr": "grid"}, "tickColor": {"expr": "grid"}, "titleFontWeight": "normal",
             "labelFontSize": 12, "titleFontSize": 12},
    "legend": {"labelColor": {"expr": "ink"}, "titleColor": {"expr": "ink"}, "orient": "top",
               "labelFontSize": 12, "titleFontSize": 12},
}  # fmt: skip


def bars(content: Bars) -> alt.TopLevelMixin:
    state = alt.param("state", value=content.first)
    seeds = np.moveaxis(content.seeds, 1, 2)
    rows = [
        (k, layer, seed, round(float(seeds[k, layer, seed]), 2))
        for k, layer, seed in np.ndindex(*seeds.shape)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["k", "layer", "seed", "use"])
    base = alt.Chart(table).transform_filter("datum.k == state")
    x, y = alt.X("layer:O").axis(labelAngle=0, grid=False), alt.Y("use:Q").scale(SCALE).title("batch use, % of units")
    mean = alt.Y("mean(use):Q").scale(SCALE).title("batch use, % of units")
    tip = ["layer", alt.Tooltip("mean(use)", format=".3~g", title="mean, %"), "min(use)", "max(use)"]
    tall = base.mark_bar().encode(x, mean, RAMP.legend(None), tooltip=tip)
    dots = base.mark_point(size=18, color={"expr": "ink"}, opacity=1).encode(x, y, alt.XOffset("seed:N"))
    source = alt.Chart(pd.DataFrame({"layer": list(SOURCE), "use": list(SOURCE.values())}))
    tick = source.mark_tick(thickness=3, color={"expr": "ink"}).encode(x, y)
    said = source.mark_text(dy=-8, color={"expr": "ink"}).encode(x, y, alt.Text("said:N"))
    said = said.transform_calculate(said="'W&A ' + datum.use + ' %'")
    top = alt.layer(tall, dots, tick, said).resolve_scale(xOffset="independent").properties(width=WIDTH, height=230)
    if content.tokens is None:
        return top.add_params(state)
    seen = alt.LookupData(pd.DataFrame({"k": range(len(content.labels)), "tokens": content.tokens}), "k", ["tokens"])
    over = alt.Chart(table).transform_lookup("k", seen).transform_filter("datum.tokens > 0")
    scale = alt.Scale(type="log", nice=False)
    x, y = alt.X("tokens:Q").scale(scale).axis(format="~s", grid=False, tickCount=6).title("tokens seen"), y.title("%")
    thin = over.mark_line(strokeWidth=0.8, opacity=0.45).encode(x, y, RAMP.title("layer"), alt.Detail("seed"))
    tip = ["layer", alt.Tooltip("tokens:Q", format=".3~s"), alt.Tooltip("mean(use)", format=".3~g")]
    thick = over.mark_line(point={"size": 24, "opacity": 0}).encode(x, y.aggregate("mean"), RAMP, tooltip=tip)
    rule = over.transform_filter("datum.k == state").mark_rule(strokeDash=[2, 2], color={"expr": "ink"}).encode(x)
    both = top & (thin + thick + rule).properties(width=WIDTH, height=200)
    return both.resolve_scale(color="independent").add_params(state)


def scatter(content: Units) -> alt.TopLevelMixin:
    rows = "\n".join(f"{x:.4g},{y:.4g}" for x, y in zip(content.rate, content.sequences, strict=True))
    kinds = {"rate": "number", "sequences": "number"}
    table = alt.InlineData(f"rate,sequences\n{rows}", format={"type": "csv", "parse": kinds})
    tens, log = alt.Axis(values=[10.0**k for k in range(-4, 3)], format="~g"), alt.Scale(type="log", nice=False)
    x = alt.X("rate:Q", axis=tens, scale=log).title("fires at, % of tokens")
    y = alt.Y("sequences:Q", axis=tens, scale=log).title("fires in, % of sequences")
    dots = alt.Chart(table).mark_circle(size=4, opacity=0.4, color={"expr": "ramp0"})
    dots = dots.transform_window(unit="row_number()").transform_calculate(unit="datum.unit - 1")
    return dots.encode(x, y, tooltip=["unit:Q", "rate:Q", "sequences:Q"]).properties(width=WIDTH, height=400)


PAGE = """
addEventListener("DOMContentLoaded", async () => {
  const css = (k) => getComputedStyle(document.documentElement).getPropertyValue("--" + k).trim();
  const draw = async (figure) => {
    const { spec, labels, renderer } = FIGURES[figure.id], plot = document.createElement("div");
    figure.append(plot);
    const view = new vega.View(vega.parse(spec), { renderer, container: plot, hover: true, tooltip: tip });
    figure.view = view;
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", figure.querySelector("img").alt);
    const width = spec.signals.find((s) => /childWidth|^width$/.test(s.name))?.name;
    const fit = () => width ? view.signal(width, figure.clientWidth - 70) : view.width(figure.clientWidth - 70);
    const theme = () => { for (const k of COLOURS) view.signal(k, css(k)); return view.runAsync(); };
    fit();
    await theme();
    plot.firstElementChild.setAttribute("aria-hidden", "true"); // else axe finds axes and legends without a name
    addEventListener("resize", () => { fit(); view.runAsync(); });
    new MutationObserver(theme)
      .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    connect(figure, labels, (k) => view.signal("state", k).runAsync());
  };
  const box = document.createElement("div");
  box.style = "position:fixed;pointer-events:none;background:var(--ground);border:1px solid;padding:4px 8px";
  box.hidden = true;
  document.body.append(box);
  const tip = (_, event, item, value) => {
    box.hidden = !value;
    if (!value) return;
    box.innerText = Object.entries(value).map(([k, v]) => k + ": " + v).join("\\n");
    box.style.left = Math.min(event.clientX + 12, innerWidth - 180) + "px";
    box.style.top = event.clientY + 12 + "px";
  };
  for (const figure of document.querySelectorAll("figure")) await draw(figure);
});
"""


def build(folder: Path, engine: Path, contents: dict[str, Bars | Units], pages: dict[str, list[str]]) -> None:
    folder.mkdir(parents=True)
    (folder / "vega.js").write_bytes(engine.read_bytes())
    (folder / "page.js").write_text(f"const COLOURS={list(LIGHT)};{page.CONTROLS}{PAGE}")
    made = {}
    alt.data_transformers.disable_max_rows()
    alt.data_transformers.consolidate_datasets = True
    for name, content in contents.items():
        chart = scatter(content) if isinstance(content, Units) else bars(content)
        spec = chart.to_dict()
        spec["config"] = CONFIG
        spec.setdefault("params", []).extend({"name": k, "value": v} for k, v in LIGHT.items())
        big = isinstance(content, Units)
        if big:  # as many dots are fewer bytes as a picture, in 128 colours as today's twin
            drawn, out = (
                io.BytesIO(vlc.vegalite_to_png(spec | {"background": "white"}, VERSION, scale=1.1)),
                io.BytesIO(),
            )
            Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(out, "png", optimize=True)
            twin = out.getvalue()
        else:
            unseen = json.loads(json.dumps(spec).replace('"point": {"size": 24, "opacity": 0}', '"point": false'))
            twin = vlc.vegalite_to_svg(unseen, VERSION).encode()
        still = page.picture(folder, name, twin, "png" if big else "svg", content.title)
        compiled = vlc.vegalite_to_vega(spec, VERSION)
        labels = content.labels if isinstance(content, Bars) else []
        page.data(folder, name, {"spec": compiled, "labels": labels, "renderer": "canvas" if big else "svg"})
        made[name] = page.figure(name, content, still)
    for title, names in pages.items():
        head = "<script>document.documentElement.dataset.theme='light'</script>"
        page.write(folder, title, [made[n] for n in names], ["vega.js", *(f"{n}.js" for n in names), "page.js"], head)
