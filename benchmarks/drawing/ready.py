"""What the figures of a built page cost its reader: the page of one chapter in several builds, loaded in turns.

python benchmarks/drawing/ready.py 02_layer_patterns BUILD/_build/html OTHER/_build/html --loads 7
"""

import argparse
import re
import shutil
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright

READY = """
new Promise((done) => {
  const look = () => {
    const all = [...document.querySelectorAll(".live-figure")];
    const drawn = all.length && all.every((figure) => figure.classList.contains("is-live"));
    drawn && document.readyState === "complete" ? done(performance.now()) : requestAnimationFrame(look);
  };
  look();
})
"""


def load(browser: Browser, file: Path) -> dict[str, float]:
    """One load: milliseconds until every figure is drawn, elements of the page, MB of JavaScript's heap."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page, troubles = context.new_page(), list[str]()
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(file.as_uri())
    ready = page.evaluate(READY)
    assert not troubles, (file, troubles)
    session = context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    heap = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}["JSHeapUsedSize"]
    elements = page.evaluate("document.querySelectorAll('*').length")
    context.close()
    return {"ready_ms": ready, "elements": elements, "heap_MB": heap / 1e6}


def weigh(file: Path) -> dict[str, float]:
    """Kilobytes of the page without its figures' data, of these, and of the drawings that it shows without scripts."""
    text = file.read_text(encoding="utf-8")
    inside = sum(len(part.encode()) for part in re.findall(r'<script type="application/json">(.*?)</script>', text))
    data = re.findall(r'<script src="([^"]*_figures/[^"]+)"', text)
    stills = re.findall(r'(?:src|srcset)="([^"]*_figures/[^"]+\.svg)"', text)
    size = {
        name: sum((file.parent / one).stat().st_size for one in each)
        for name, each in (("data", data), ("svg", stills))
    }
    html = len(text.encode()) - inside
    return {"html_kB": html / 1e3, "data_kB": (inside + size["data"]) / 1e3, "svg_kB": size["svg"] / 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapter", help="name of the page in chapters/")
    parser.add_argument("builds", type=Path, nargs="+", help="folders with index.html")
    parser.add_argument("--loads", type=int, default=7, help="loads of each (default: %(default)s)")
    given = parser.parse_args()
    files = [(build / "chapters" / f"{given.chapter}.html").resolve() for build in given.builds]
    found: dict[Path, list[dict[str, Any]]] = {file: [] for file in files}
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(given.loads):  # in turns: a slow minute slows all
            for file in files:
                found[file].append(load(browser, file))
        browser.close()
    for file, loads in found.items():
        ready = sorted(round(each["ready_ms"]) for each in loads)
        said = {name: round(median(each[name] for each in loads), 1) for name in loads[0]} | weigh(file)
        print(
            file,
            *(f"{name} {value:,.0f}" for name, value in said.items()),
            f"ready from {ready[0]} to {ready[-1]}",
            sep="\n  ",
        )


if __name__ == "__main__":
    main()
