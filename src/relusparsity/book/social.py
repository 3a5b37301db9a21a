"""A page's social card: its title, what it says, and its first figure, drawn while the book is built."""

import textwrap
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.text import Text

WIDTH, HEIGHT = 1200, 630
"""Pixels: what services that show cards ask for."""
INK, QUIET, BLUE = "#23282e", "#5a636e", "#1f5a8a"


def draw(path: Path, title: str, about: str, picture: Path, book: str) -> None:
    """Write a card.

    Parameters
    ----------
    title, about
        What stands in large letters, and in small ones beside the picture.
    picture
        A PNG; it keeps its proportions.
    book
        The title of the book, which stands at the foot.
    """
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    written = figure.text(0.04, 0.93, "", size=25, color=INK, va="top", family="serif", weight="bold")
    heading = _heading(title, written)
    top = 0.93 - 0.085 * len(heading)
    axes = figure.add_axes((0.04, 0.1, 0.56, top - 0.13))
    axes.imshow(imread(picture), interpolation="antialiased")
    axes.set_anchor("NW")
    axes.set_axis_off()
    lines = textwrap.wrap(about, 32)
    if len(lines) > 11:
        lines = [*lines[:10], f"{lines[10]}…"]
    figure.text(0.64, top - 0.03, "\n".join(lines), size=16, color=INK, va="top", linespacing=1.35)
    figure.text(0.04, 0.035, f"{book} · from recorded data", size=13, color=QUIET)
    figure.add_artist(Line2D([0, 1], [0.995, 0.995], color=BLUE, linewidth=10))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _heading(title: str, written: Text) -> list[str]:
    """Write a title in at most two lines, the longest that end before the card's margin."""
    for letters in range(58, 0, -1):
        lines = textwrap.wrap(title, letters)[:2]
        written.set_text("\n".join(lines))
        if written.get_window_extent().x1 <= 0.96 * WIDTH:
            break
    return lines
