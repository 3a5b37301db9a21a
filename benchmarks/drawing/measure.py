"""What drawing engines cost a reader: the same figures by each candidate, opened in Chromium from file://.

    python benchmarks/drawing/measure.py FOLDER --loads 7

Builds the pages into FOLDER, loads them in turns, and prints the tables of ../drawing.md. That page says what must be
installed first.
"""

import argparse
import dataclasses
import gzip
import io
import json
import shutil
from pathlib import Path
from statistics import median
from typing import Any

import axe_playwright_python
import figures
import numpy as np
import with_plotly
import with_svg
import with_vega
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
READY = """
new Promise((done) => {
  const look = () => {
    const all = [...document.querySelectorAll("figure")];
    const drawn = all.length && all.every((f) => f.classList.contains("is-live"));
    drawn && document.readyState === "complete" ? done(performance.now()) : requestAnimationFrame(look);
  };
  look();
})
"""
# milliseconds from a control's new place until the page is laid out again, 20 times
STEP = """
async (plotly) => {
  const figure = document.querySelector("figure"), times = [];
  const slider = figure.querySelector("input, select"), plot = figure.querySelector(".js-plotly-plot");
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    if (plotly) {
      const steps = plot.layout.sliders[0].steps, step = steps[(7 * i + 3) % steps.length];
      await Plotly[step.method](plot, ...step.args);
    } else {
      slider.value = slider.options ? i % 2 : (7 * i + 3) % (Number(slider.max) + 1);
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
    if (window.vega) await figure.view.runAsync();
    document.body.offsetHeight; figure.getBoundingClientRect();
    times.push(performance.now() - start);
    await new Promise(requestAnimationFrame);
  }
  return times;
}
"""


def opened(browser: Browser, file: Path, width: int = 1440, scripts: bool = True) -> tuple[Page, list[str]]:
    context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=scripts)
    page, troubles = context.new_page(), list[str]()
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else troubles.append(r.url))
    page.goto(file.as_uri())
    return page, troubles


def load(browser: Browser, file: Path) -> dict[str, float]:
    """One load: milliseconds to ready, MB of JavaScript's heap after a collection."""
    page, troubles = opened(browser, file)
    ready = page.evaluate(READY)
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    heap = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}["JSHeapUsedSize"]
    page.context.close()
    assert not troubles, (file, troubles)
    return {"ready": ready, "heap": heap / 1e6}


def looked_at(browser: Browser, file: Path) -> dict[str, Any]:
    """What does not vary: keyboard, axe, narrow screens, no scripts; and a slider's step."""
    page, _ = opened(browser, file)
    page.evaluate(READY)
    plotly = page.locator(".slider-container").count()
    steps = [] if file.stem == "units" else page.evaluate(STEP, bool(plotly))
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("[...document.querySelectorAll('input, select')].indexOf(document.activeElement)"))
    out: dict[str, Any] = {
        "step": median(steps) if steps else None,
        "controls": page.locator("input, select").count() + plotly,
        "reached": len(reached - {-1}),
    }
    out["elements"] = page.evaluate("document.querySelectorAll('*').length")
    for theme in (
        ("light", "dark") if out["elements"] < 10_000 else ()
    ):  # axe did not end in 9 minutes where each unit is one
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.wait_for_timeout(800)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run().then((r) => r.violations.map((v) => [v.impact, v.id, v.nodes.length]))")
        out[f"axe_{theme}"] = [f"{name} ({n})" for impact, name, n in found if impact in ("serious", "critical")]
    page.context.close()
    for width in (1440, 390):
        page, _ = opened(browser, file, width)
        page.evaluate(READY)
        out[f"sideways_{width}"] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        page.context.close()
    page, _ = opened(browser, file, scripts=False)
    stills = page.locator("figure img")
    out["stills_without_scripts"] = sum(still.is_visible() for still in stills.all())
    page.context.close()
    return out


def differing(browser: Browser, folder: Path, bars: figures.Bars, state: int) -> tuple[int, int]:
    """Pixels in which the script's drawing of a slider's state is not Matplotlib's own drawing, and all pixels."""
    drawings = []
    for name, shown in {"moved": bars, "drawn": dataclasses.replace(bars, first=state)}.items():
        with_svg.build(folder / name, {"figure": shown}, {"page": ["figure"]})
        page, _ = opened(browser, folder / name / "page.html")
        page.evaluate(READY)
        move = "(e, state) => { e.value = state; e.dispatchEvent(new Event('input', { bubbles: true })); }"
        page.locator("input").evaluate(move, state)
        picture = page.locator("svg.wide").screenshot()
        drawings.append(np.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=int))
        page.context.close()
    return int((abs(drawings[0] - drawings[1]) > 32).sum()), drawings[0].size


def weigh(folder: Path, names: list[str], title: str) -> dict[str, float]:
    """Kilobytes of a page (without its figures' data), its data, its stills and the engine."""
    page = (folder / f"{title}.html").read_text()
    inside = sum(len(part.split("</script>")[0]) for part in page.split('<script type="application/json">')[1:])
    engine = [folder / name for name in ("plotly.min.js", "vega.js", "page.js", "live_figures.js")]
    scripts = [file for file in engine if file.is_file() and f'src="{file.name}"' in page]
    data = [folder / f"{name}.js" for name in names]
    stills = [file for name in names for file in (folder / f"{name}.png", folder / f"{name}.svg")]
    stills += [folder / f"{name}-wide.svg" for name in names]
    return {
        "html": (len(page.encode()) - inside) / 1e3,
        "data": inside / 1e3 + sum(file.stat().st_size for file in data if file.is_file()) / 1e3,
        "stills": sum(file.stat().st_size for file in stills if file.is_file()) / 1e3,
        "engine": sum(file.stat().st_size for file in scripts) / 1e3,
        "engine_gzip": sum(len(gzip.compress(file.read_bytes(), 6, mtime=0)) for file in scripts) / 1e3,
    }


ROWS = {  # words, key, how it is written
    "ready, ms": ("ready", "{:,.0f}"),
    "slowest load, ms": ("slowest", "{:,.0f}"),
    "a control's step, ms": ("step", "{:.1f}"),
    "JavaScript heap, MB": ("heap", "{:.1f}"),
    "engine, kB": ("engine", "{:,.0f}"),
    "engine gzipped, kB": ("engine_gzip", "{:,.0f}"),
    "HTML without data, kB": ("html", "{:.1f}"),
    "figure data, kB": ("data", "{:,.0f}"),
    "stills, kB": ("stills", "{:,.0f}"),
    "elements of the page": ("elements", "{:,}"),
    "controls, of which reached by keyboard": ("keyboard", "{}"),
    "axe: serious, light and dark": ("axe", "{}"),
}


def table(result: dict[str, dict[str, Any]], title: str, candidates: tuple[str, ...]) -> str:
    """One page's measures as Markdown, a column a candidate."""
    lines = [f"| {title} | {' | '.join(candidates)} |", "| --- |" + " --: |" * len(candidates)]
    for words, (key, form) in ROWS.items():
        cells = []
        for candidate in candidates:
            one = result[f"{title} {candidate}"]
            found = dict.fromkeys(one.get("axe_light", []) + one.get("axe_dark", []))
            axe = (", ".join(found) or "none") if "axe_light" in one else "not run"
            more = {"slowest": one["ready_all"][-1], "keyboard": f"{one['controls']}, {one['reached']}", "axe": axe}
            value = (one | more)[key]
            cells.append("–" if value is None else form.format(value))
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pages go; what is in it is replaced")
    parser.add_argument(
        "--npm", type=Path, required=True, help="node_modules with vega and plotly.js-cartesian-dist-min"
    )
    parser.add_argument("--loads", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=["batch_use", "units", "factorial", "chapter"], help="pages")
    given = parser.parse_args()
    contents = figures.all_figures()
    pages = {"batch_use": ["batch_use"], "units": ["units"], "factorial": ["factorial"], "chapter": list(contents)}
    partial = given.npm / "plotly.js-cartesian-dist-min/plotly-cartesian.min.js"
    shutil.rmtree(given.folder, ignore_errors=True)
    with_plotly.build(given.folder / "plotly", None, contents, pages)
    with_plotly.build(given.folder / "plotly-small", partial, contents, pages)
    with_vega.build(given.folder / "vega", given.npm / "vega/build/vega.min.js", contents, pages)
    with_svg.build(given.folder / "svg", contents, pages)
    candidates = ("plotly", "plotly-small", "vega", "svg")
    result: dict[str, dict[str, Any]] = {}
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for title, names in ((title, pages[title]) for title in given.only):
            files = {candidate: given.folder / candidate / f"{title}.html" for candidate in candidates}
            loads: dict[str, list[dict[str, float]]] = {candidate: [] for candidate in candidates}
            for _ in range(given.loads):  # in turns: a slow minute slows all
                for candidate, file in files.items():
                    loads[candidate].append(load(browser, file))
            for candidate, file in files.items():
                every = loads[candidate]
                measured: dict[str, Any] = {key: median(one[key] for one in every) for key in ("ready", "heap")}
                measured["ready_all"] = sorted(round(one["ready"]) for one in every)
                measured |= weigh(file.parent, names, title) | looked_at(browser, file)
                result[f"{title} {candidate}"] = measured
                print(title, candidate, measured["ready_all"], flush=True)
        some = differing(browser, given.folder / "svg-moved", contents["batch_use"], 30)
        print("svg, batch use at step 30: {} of {} pixels differ from Matplotlib's own drawing".format(*some))
        browser.close()
    (given.folder / "result.json").write_text(json.dumps(result, indent=1))
    print(*(table(result, title, candidates) for title in given.only), sep="\n\n")


if __name__ == "__main__":
    main()
