"""Figure of chapter 19: what is left of the gain from text that repeats, without the heads of highest induction."""

from dataclasses import replace

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Axis, Chart, Mark, Panel
from ....plots.figure import Figure, figure
from ....plots.reading import percent, variable
from .scores import named

TEXTS = {"english": "English text", "random tokens": "random tokens"}
WAYS = {"mean": "heads at their mean", "zero": "heads at zero"}
DIMS = ("evaluation", "text", "way")


def left(dataset: xr.Dataset) -> xr.DataArray:
    """Repeated-text gain of each evaluation, percent of the intact model's: (evaluation, text, way).

    The gain is the mean loss on the first reading of tokens, less that on the second. Missing where the intact model
    has none.
    """
    first, second = (variable(dataset, "removed", f"repeat_{which}_loss", *DIMS) for which in ("first", "second"))
    gain = (first - second).astype(float)
    whole = gain.sel(evaluation="none", drop=True)
    return 100 * gain / whole.where(whole > 0)


def removed(dataset: xr.Dataset) -> Figure:
    """What is left of the repeated-text gain without the top heads, and without as many drawn at random.

    Parameters
    ----------
    dataset : Dataset
        `repeat_first_loss` and `repeat_second_loss` (evaluation, text, way), nats per token; `ablated` (evaluation,
        layer, head). Evaluations are none, top, and draws whose names begin with random.
    """
    share = left(dataset)
    names = [str(name) for name in share["evaluation"].values]
    draws = [name for name in names if name.startswith("random")]
    heads = int(variable(dataset, "removed", "ablated", "evaluation", "layer", "head").sel(evaluation="top").sum())
    rows = [(text, way) for text in share["text"].values.tolist() for way in share["way"].values.tolist()]
    panel = Panel(
        "repeated-text gain that is left",
        Axis("% of the intact model's", limits=_limits(share)),
        Axis(limits=(len(rows) - 0.4, -0.6), ticks=([*map(float, range(len(rows)))], [*map(_row, rows)]), names=True),
        cursor=100.0,
    )
    for at, (text, way) in enumerate(rows):
        of = share.sel(text=text, way=way)
        drawn, top = of.sel(evaluation=draws).values, of.sel(evaluation=["top"]).values
        called = f"{TEXTS.get(text, text)}, {WAYS.get(way, way)}"
        hover, legend = f"{called}\n{heads} heads drawn at random: {{x}} % left", "drawn at random" * (at == 0)
        places = at - 0.14 + 0.28 * (np.arange(len(draws)) % 5) / 4  # so that equal ones do not hide each other
        panel.marks.append(
            Mark("points", drawn, places, style.INK, legend, "" if legend else "random", hover, size=5.0, opacity=0.6)
        )
        hover, legend = f"{called}\n{heads} heads of highest induction: {{x}} % left", "highest induction" * (at == 0)
        panel.marks.append(
            Mark("points", top, [float(at)], style.ACCENT, legend, "" if legend else "top", hover, size=11.0)
        )
    caption = (
        "The gain is the loss on tokens read for the first time less that on the same tokens read again. "
        f"{heads} heads are taken away: in each row the large point is without those of the highest prefix-matching "
        f"score, a small one is one of {len(draws)} draws of as many heads in the same layers. In place of a head's "
        "output stands its mean, or zero. The dotted line is the intact model; what lies right of it gains more."
    )
    numbers = [("", share.to_dataset(name="gain_left"))]
    chart = Chart([panel], [44 * len(rows)], legend=f"{heads} heads removed:")
    made = figure(f"{__name__}.removed", chart, caption, numbers, _finding(share, draws, heads), named(dataset))
    return replace(made, alt=f"A dot chart. {' '.join(_told(share.sel(text=t, way=w), draws) for t, w in rows)}")


def _told(of: xr.DataArray, draws: list[str]) -> str:
    """A row in words: (evaluation)."""
    top, others = float(of.sel(evaluation="top")), of.sel(evaluation=draws).values
    others = others[np.isfinite(others)]
    drawn = f"{_signed(others.min())} to {_signed(others.max())}" if others.size else "not measured"
    called = _row((of["text"].item(), of["way"].item())).replace("\n", " ")
    best = _signed(top) if np.isfinite(top) else "not measured"
    return f"{called}: left of the gain without the top heads {best}, without {len(draws)} random draws {drawn}."


def _finding(share: xr.DataArray, draws: list[str], heads: int) -> str:
    """How much of the gain goes with the top heads, and with the draws, in the first text and way that has both."""
    for text in share["text"].values.tolist():
        for way in share["way"].values.tolist():
            gone = 100 - share.sel(text=text, way=way)
            top, others = float(gone.sel(evaluation="top")), gone.sel(evaluation=draws).values
            others = others[np.isfinite(others)]
            if not np.isfinite(top) or not others.size:
                continue
            most = "more than any draw" if top > others.max() else "no more than draws do"
            span = f"{_signed(others.mean())} ({_signed(others.min())} to {_signed(others.max())})"
            return (
                f"Without the {heads} heads of highest induction {_signed(top)} of the gain from repeated "
                f"{TEXTS.get(text, text)} is gone, {most}: {heads} others of their layers take {span}"
            )
    return "What is left of the repeated-text gain is to come"


def _signed(share: float) -> str:
    return f"{'−' if round(share, 1) < 0 else ''}{percent(abs(round(share, 1)))}"


def _row(row: tuple[str, str]) -> str:
    text, way = row
    return f"{TEXTS.get(text, text)},\n{WAYS.get(way, way)}"


def _limits(share: xr.DataArray) -> tuple[float, float]:
    """Of all that is drawn, with 0 and 100."""
    known = share.values[np.isfinite(share.values)]
    low, high = min(0.0, *known, 0.0), max(100.0, *known, 100.0)
    room = 0.04 * (high - low)
    return float(low - room), float(high + room)
