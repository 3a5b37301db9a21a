"""Weight of the book's pages and the time that `jupyter-book build book/` takes.

    python benchmarks/pages.py

Builds the committed book into a fresh folder outside the checkout, as often as --rounds says, and weighs what a
reader of each chapter fetches: the page, the files that hold its figures (without scripts, their drawings), and once
for the whole book the scripts that move figures and set formulas. Without executed chapters in
book/chapters it says so and measures nothing.
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
FIGURE = re.compile(r'<figure class="live-figure".*?<script src="([^"]+)"', re.DOTALL)
ONCE = ("figures.js", "tex-svg-full.js")  # figures and formulas
PICTURE = re.compile(r'(?:src|srcset)="([^":]+\.svg)"')


def build(folder: Path) -> float:
    """Seconds of one build of a copy of the book from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("book", "notebooks", "src"):
        ignored = shutil.ignore_patterns("_build", "__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    for name in ("_config.yml", "_toc.yml", "pyproject.toml", "CITATION.cff", "README.md"):
        shutil.copy2(ROOT / name, folder)
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
        "figures_kB": kilobytes(sum((page.parent / figure).stat().st_size for figure in figures)),
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
    here = machine.describe("jupyter-book", "sphinx", "myst-nb", "matplotlib")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        seconds = [round(build(folder), 2) for _ in range(arguments.rounds)]
        built = folder / "book" / "_build" / "html"
        built = built if built.is_dir() else folder / "_build" / "html"
        pages = {chapter: weigh(built / "chapters" / f"{chapter}.html") for chapter in chapters}
        scripts = {name: (built / "_static" / name).read_bytes() for name in ONCE}
    once = {
        name: {"kB": kilobytes(len(script)), "gzip_kB": kilobytes(len(gzip.compress(script, 6, mtime=0)))}
        for name, script in scripts.items()
    }
    rows = [("chapter", "figures", "HTML", "figures' data", "HTML gzipped", "drawings without scripts")]
    for chapter, (figures, *sizes) in ((chapter, page.values()) for chapter, page in pages.items()):
        rows.append((chapter, str(figures), *(f"{size:.0f} kB" for size in sizes)))
    shared = "; ".join(f"{name} {size['kB']:.0f} kB ({size['gzip_kB']:.0f} kB gzipped)" for name, size in once.items())
    text = (
        f"{machine.table(rows)}\n\nOnce for the whole book: {shared}.\n\n`jupyter-book build book/` from nothing: "
        f"median of {len(seconds)}: {median(seconds):.1f} s."
    )
    result = {"build_s": median(seconds), "build_s_all": seconds, "once": once, "pages": pages}
    machine.publish("pages", here, result, text)


if __name__ == "__main__":
    main()
