"""Weight of the book's pages and the time that `jupyter-book build book/` takes.

    python benchmarks/pages.py

Builds the committed book into a fresh folder outside the checkout, as often as --rounds says, and weighs what a
reader of each chapter fetches: the page (its figures' JSON is in it), the figures' pictures, and once for the whole
book Plotly. Without executed chapters in book/chapters it says so and measures nothing.
"""

import argparse
import gzip
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from support import machine

ROOT = Path(__file__).resolve().parents[1]
FIGURE = re.compile(r'<figure class="live-figure".*?<script type="application/json">(.*?)</script>', re.DOTALL)
PICTURE = re.compile(r'<img[^>]+src="([^":]+\.png)"')


def build(folder: Path) -> float:
    """Seconds of one build of a copy of the book from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("book", "notebooks", "src"):
        ignored = shutil.ignore_patterns("_build", "__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    shutil.copy2(ROOT / "_config.yml", folder)
    program = Path(sys.executable).with_name("jupyter-book")
    start = perf_counter()
    done = subprocess.run([program, "build", "book/"], cwd=folder, capture_output=True, text=True)
    seconds = perf_counter() - start
    if done.returncode:
        raise SystemExit(f"the book does not build:\n{done.stderr[-2000:]}")
    return seconds


def weigh(page: Path) -> dict[str, Any]:
    """Kilobytes of one built page."""
    text = page.read_text(encoding="utf-8")
    figures = FIGURE.findall(text)
    pictures = {(page.parent / target).resolve() for target in PICTURE.findall(text)}
    return {
        "figures": len(figures),
        "html_kB": kilobytes(len(text.encode())),
        "of_which_figures_kB": kilobytes(sum(len(figure.encode()) for figure in figures)),
        "html_gzip_kB": kilobytes(len(gzip.compress(text.encode(), 6, mtime=0))),
        "pictures_kB": kilobytes(sum(picture.stat().st_size for picture in pictures)),
    }


def kilobytes(size: int) -> float:
    return round(size / 1e3, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="builds (default: %(default)s)")
    arguments = parser.parse_args()
    chapters = sorted(path.stem for path in (ROOT / "book" / "chapters").glob("*.ipynb"))
    if not chapters:
        print("pages: book/chapters has no executed chapter yet (`make record` makes them); nothing is measured")
        return
    here = machine.describe("jupyter-book", "sphinx", "myst-nb", "plotly")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        seconds = [round(build(folder), 2) for _ in range(arguments.rounds)]
        built = folder / "book" / "_build" / "html"
        built = built if built.is_dir() else folder / "_build" / "html"
        pages = {chapter: weigh(built / "chapters" / f"{chapter}.html") for chapter in chapters}
        plotly = (built / "_static" / "plotly.min.js").read_bytes()
    once = {"plotly_kB": kilobytes(len(plotly)), "plotly_gzip_kB": kilobytes(len(gzip.compress(plotly, 6, mtime=0)))}
    rows = [("chapter", "figures", "HTML kB", "of it figures", "gzipped", "pictures kB")]
    rows += [(chapter, *(str(value) for value in page.values())) for chapter, page in pages.items()]
    machine.table(rows)
    print(f"once for the book: Plotly {once['plotly_kB']:.0f} kB ({once['plotly_gzip_kB']:.0f} kB gzipped)")
    print(f"build: median {median(seconds):.1f} s of {seconds}")
    machine.write("pages", here, {"build_s": median(seconds), "build_s_all": seconds, "once": once, "pages": pages})


if __name__ == "__main__":
    main()
