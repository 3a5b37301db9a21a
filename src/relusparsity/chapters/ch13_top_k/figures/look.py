"""How the arms of chapter 13 look, in all of its figures."""

from typing import Literal

import numpy as np
import xarray as xr

from ....plots import style
from ....plots.chart import Mark, broken

Dash = Literal["solid", "dot", "dash", "dashdot"]

LOOKS: tuple[tuple[str, Dash], ...] = ((style.INK, "solid"), ("layer-14", "dash"), (style.ACCENT, "solid"))
"""Colour and dash of dense, dense with dropout, and Top-k."""

DENSE = "dense"
"""The arm that Top-k stands beside in titles."""

NOISE = "Labels replaced"
"""The question how many labels of the training pictures are replaced."""


def percent(noise: float) -> str:
    """An answer to it.

    >>> percent(40.0)
    '40 %'
    """
    return f"{noise:g} %"


def over(arm: str, look: tuple[str, Dash], x: np.ndarray, gain: xr.Dataset, hover: str) -> list[Mark]:
    """Top-k's gain over an arm along x: the band of its interval, and its mean.

    Gain has `gain` (seed, x), `low` and `high` (x). The hover text may use `{0}` and `{1}`, the ends of the interval.
    """
    low, high, mean = (of.values for of in (gain["low"], gain["high"], gain["gain"].mean("seed")))
    colour, dash = look
    ends = np.stack([low, high], axis=1)
    line = Mark("line", x, mean, colour, "", f"over {arm}", hover, ends, dash=dash)
    return [Mark("band", x, high, colour, group=f"over {arm}", opacity=0.18, low=low), line]


def zero(x: np.ndarray) -> Mark:
    """Where there is no difference."""
    ends = np.array([x[0], x[-1]], dtype=float)
    return Mark("line", ends, np.zeros(2), style.INK, width=1.0, dash="dot")


def mean(x: np.ndarray, rows: np.ndarray, look: tuple[str, Dash], hover: str, arm: str, legend: str = "") -> Mark:
    """The mean of an arm's seeds that ran: rows (seed, x); missing where none did.

    The hover text may use `{0}` and `{1}`, the lowest and the highest seed.
    """
    known = np.ma.masked_invalid(rows)
    low, middle, high = (each(axis=0).filled(np.nan) for each in (known.min, known.mean, known.max))
    colour, dash = look
    return Mark("line", x, middle, colour, legend, arm, hover, np.stack([low, high], axis=1), dash=dash)


def single(x: np.ndarray, rows: np.ndarray, look: tuple[str, Dash], arm: str) -> Mark:
    """Its seeds as one thin broken line."""
    colour, dash = look
    return Mark("line", *broken(x, rows), colour, group=arm, width=0.8, opacity=0.4, dash=dash)


def dots(x: np.ndarray, rows: np.ndarray, colour: str, hover: str) -> Mark:
    """A small point per seed: rows (seed, x)."""
    xs, ys = broken(np.asarray(x, dtype=float), rows)
    there = np.isfinite(ys)
    return Mark("points", xs[there], ys[there], colour, hover=hover, size=4.5, opacity=0.7)
