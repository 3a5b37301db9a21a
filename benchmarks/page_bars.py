"""What the built pages owe their readers, page by page, measured in a headless Chromium from file:// alone.

    jupyter-book build book/ && python benchmarks/page_bars.py

Prints a table, a row a page; --out also writes it as JSON, with what misses a bar. Times are of this machine as it is
loaded now, and are no bar of the tests. A table or figure counts as clipped if it must be scrolled sideways to be read;
long lines of code scroll and are not counted. Contrast of text is axe-core's; that of marks in figures is not measured.
"""

import argparse
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api
from support import machine

ROOT = Path(__file__).resolve().parents[1]
FRONT = ("index", "ledger", "honest", "glossary", "related")
WIDTHS = {"1440": 900, "390": 844}
DATA = re.compile(r'<script type="application/json">.*?</script>', re.DOTALL)

FIRST_SCREEN = """() => [...document.querySelectorAll('article :is(p, li, h1, figcaption)')].flatMap(block => {
  const sentences = block.innerText.match(/[^.?!]+(?:[.?!](?!\\s|$)[^.?!]*)*[.?!]?/g) ?? [];
  return block.getBoundingClientRect().bottom <= innerHeight ? sentences : [];
}).find(said => /\\d/.test(said) && /\\b(Wide|Mid|Laptop|Fashion|SmolLM2)\\b/.test(said)) ?? ''"""
CLIPPED = """() => [...document.querySelectorAll('article *')].filter(one => one.scrollWidth > one.clientWidth + 1
  && getComputedStyle(one).overflowX !== 'visible' && !one.closest('pre, .highlight, .math, svg')
  && one.clientWidth && one.querySelector('table, img, svg, td')).length"""
MOUSE_ALONE = """() => [...document.querySelectorAll(
    'article :is(button, input, select, summary, [onclick])')]
  .filter(one => one.getClientRects().length && !one.disabled && one.tabIndex < 0).length"""
READY = """() => document.readyState === 'complete'
  && [...document.querySelectorAll('.live-figure, .walk')].every(one => one.classList.contains('is-live'))"""


def pages_of(folder: Path) -> list[str]:
    """Front pages and chapters."""
    chapters = {path.stem for path in (ROOT / "notebooks").glob("*.py")}
    there = [f"{name}.html" for name in FRONT]
    return there + sorted(f"chapters/{page.stem}.html" for page in folder.glob("chapters/*") if page.stem in chapters)


def opened(browser: sync_api.Browser, address: str, width: int, height: int) -> Iterator[Any]:
    """A page of a size, and the troubles that it meets."""
    context = browser.new_context(viewport={"width": width, "height": height}, is_mobile=width < 600)
    page, troubles = context.new_page(), list[str]()
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("requestfailed", lambda request: troubles.append(f"failed: {request.url}"))
    inside = ("file:", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(inside) else troubles.append(request.url))
    start = perf_counter()
    page.goto(address)
    page.wait_for_function(READY, timeout=120_000)
    yield page, troubles, round(perf_counter() - start, 2)
    context.close()


def measured(browser: sync_api.Browser, file: Path) -> dict[str, Any]:
    """All bars of one page."""
    html = file.read_text(encoding="utf-8")
    found: dict[str, Any] = {
        "html_kB": round(len(DATA.sub("", html).encode()) / 1e3, 1),
        "data_kB": round((sum(len(part.encode()) for part in DATA.findall(html)) + figures(file)) / 1e3, 1),
    }
    for width, height in WIDTHS.items():
        for page, troubles, seconds in opened(browser, file.as_uri(), int(width), height):
            found[f"sideways_{width}"] = page.evaluate("document.documentElement.scrollWidth") - int(width)
            found[f"clipped_{width}"] = page.evaluate(CLIPPED)
            found[f"troubles_{width}"] = list(troubles)  # axe-core, below, asks for files itself
            if width == "390":
                continue
            found |= {"ready_s": seconds, "first": page.evaluate(FIRST_SCREEN).strip()}
            found["mouse_alone"] = page.evaluate(MOUSE_ALONE)
            for mode in ("light", "dark"):
                page.evaluate("mode => { document.documentElement.dataset.theme = mode }", mode)
                page.wait_for_timeout(300)  # colours move for a moment
                said = Axe().run(page).response["violations"]
                found[f"axe_{mode}"] = {
                    v["id"]: len(v["nodes"]) for v in said if v["impact"] in ("serious", "critical")
                }
    return found


def figures(file: Path) -> int:
    """Bytes of the files that move a chapter's figures; they lie beside the pages."""
    return sum(each.stat().st_size for each in (file.parents[1] / "_figures" / file.stem).glob("*.js"))


def missed(found: dict[str, Any]) -> list[str]:
    """The bars that a page misses, without those of time."""
    bars = {
        "first sentence": bool(found["first"]),
        "sideways": found["sideways_1440"] <= 0 and found["sideways_390"] <= 0,
        "clipped at 1440": not found["clipped_1440"],
        "clipped at 390": not found["clipped_390"],
        "keyboard": not found["mouse_alone"],
        "axe": not found["axe_light"] and not found["axe_dark"],
        "troubles": not found["troubles_1440"] and not found["troubles_390"],
        "HTML": found["html_kB"] <= 120,
        "figure data": found["data_kB"] <= 1000,
    }
    return [name for name, met in bars.items() if not met]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, default=ROOT / "_build" / "html", help="folder of built pages")
    parser.add_argument("--out", type=Path, help="a JSON file for what was measured")
    arguments = parser.parse_args()
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None or not (arguments.pages / "index.html").is_file():
        print(f"page_bars: needs Chromium and built pages in {arguments.pages}; nothing is measured")
        return
    rows = [
        (
            "page",
            "first screen",
            "clipped 1440/390",
            "mouse alone",
            "axe",
            "troubles",
            "HTML",
            "data",
            "ready",
            "misses",
        )
    ]
    every = {}
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for name in pages_of(arguments.pages):
            found = measured(browser, (arguments.pages / name).resolve())
            found["misses"] = missed(found)
            every[name] = found
            axe = found["axe_light"] | found["axe_dark"]
            troubles = len(found["troubles_1440"]) + len(found["troubles_390"])
            clipped = f"{found['clipped_1440']}/{found['clipped_390']}"
            cells = ("yes" if found["first"] else "no", clipped, found["mouse_alone"], ", ".join(axe) or 0, troubles)
            sizes = (f"{found['html_kB']:.0f} kB", f"{found['data_kB']:.0f} kB", f"{found['ready_s']:.1f} s")
            rows.append((name.removesuffix(".html"), *map(str, cells), *sizes, ", ".join(found["misses"]) or "none"))
        browser.close()
    print(machine.table(rows))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(every, indent=1) + "\n")


if __name__ == "__main__":
    main()
