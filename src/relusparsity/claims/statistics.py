"""Statistics that the rules use: Kendall's tau, Cliff's delta, changes along training, limits and intervals."""

import math
from collections.abc import Sequence

import numpy as np
import scipy  # imports `scipy.stats`, which takes a second, only when it is first used
from numpy.typing import ArrayLike

from .reading import Floats


def kendall_tau(x: Floats, y: Floats) -> float:
    """Kendall's tau-b (Kendall 1945) of two equally long lists of numbers; NaN where one is constant or too short.

    SciPy divides by one root after the other, which can turn 0.6 into 0.6 − 1e-16: 12 decimals are kept.

    Examples
    --------
    >>> kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])).__round__(3)
    0.333
    """
    if len(x) < 2:  # of which SciPy would warn
        return math.nan
    return round(float(scipy.stats.kendalltau(x, y).statistic), 12)


def cliffs_delta(x: Floats, y: Floats) -> float:
    """Cliff's delta (Cliff 1993): share of pairs with y > x minus share with y < x; neither list may be empty.

    Examples
    --------
    >>> cliffs_delta(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.75
    """
    pairs = len(x) * len(y)
    return float((2 * scipy.stats.mannwhitneyu(y, x).statistic - pairs) / pairs)


def matched_delta(x: Floats, y: Floats, count_x: Floats, count_y: Floats, least: int = 10) -> tuple[float, int]:
    """Cliff's delta between units of equal firing count, and the number of units compared.

    Units are put in strata of log10(count), ten per decade, so that two units of a stratum differ by at most 26 % in
    how often they fire. A stratum counts if it holds at least `least` units of each list. The delta is the mean over
    the strata, weighted by their pairs; NaN where no stratum counts.
    """
    strata_x, strata_y = (np.floor(10 * np.log10(count)).astype(int) for count in (count_x, count_y))
    total, pairs, units = 0.0, 0, 0
    for stratum in np.intersect1d(strata_x, strata_y):
        a, b = x[strata_x == stratum], y[strata_y == stratum]
        if min(len(a), len(b)) >= least:
            total += cliffs_delta(a, b) * len(a) * len(b)
            pairs += len(a) * len(b)
            units += len(a) + len(b)
    return (total / pairs if pairs else math.nan), units


def changes(tokens: Floats, values: Floats, span: float, start: float) -> Floats:
    """Changes of a curve over the stretches of `span` tokens, after `start`, that can hold its largest change.

    The curve is linear in tokens between its points, so its change over a sliding stretch is extreme where an end of
    the stretch is a point of the curve or an end of the range.
    """
    edges = np.concatenate([tokens, tokens - span, [start, tokens[-1] - span]])
    edges = edges[(edges >= start) & (edges <= tokens[-1] - span)]
    return np.interp(edges + span, tokens, values) - np.interp(edges, tokens, values)


def fallen_for_good(tokens: Floats, values: Floats, level: float) -> float:
    """Tokens after which a curve, linear between its points, stays at or below a level; inf where it ends above.

    Examples
    --------
    >>> fallen_for_good(np.array([0.0, 10.0, 20.0]), np.array([1.0, 0.5, 0.0]), 0.75)
    5.0
    """
    above = np.flatnonzero(values > level)
    if not len(above):
        return float(tokens[0])
    last = above[-1]
    if last == len(values) - 1:
        return math.inf
    part = (values[last] - level) / (values[last] - values[last + 1])
    return float(tokens[last] + part * (tokens[last + 1] - tokens[last]))


def poisson_upper(count: ArrayLike, confidence: float = 0.95) -> Floats:
    """Exact one-sided upper limits of Poisson means of which `count` was seen: P(X ≤ count) = 1 − confidence.

    Examples
    --------
    >>> poisson_upper([0, 1]).round(3)
    array([2.996, 4.744])
    """
    return scipy.special.gammaincinv(np.asarray(count) + 1, confidence)  # P(X > count) is gammainc(count + 1, mean)


def half_width(values: ArrayLike, confidence: float = 0.95) -> float:
    """Half of Student's interval of the mean of values, one a seed; NaN where one is missing, or there is only one."""
    some = np.asarray(values, dtype=float)
    if len(some) < 2:
        return math.nan
    return float(scipy.stats.t.ppf((1 + confidence) / 2, len(some) - 1) * some.std(ddof=1) / math.sqrt(len(some)))


def student(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Both ends of Student's interval of the mean; see `half_width`.

    Examples
    --------
    >>> [round(end, 3) for end in student([1.0, 2.0, 3.0])], student([1.0])
    ([-0.484, 4.484], (nan, nan))
    """
    half = half_width(values, confidence)
    mean = float(np.mean(np.asarray(values, float))) if half == half else math.nan
    return mean - half, mean + half


def against_threshold(margins: Sequence[Sequence[float]], confidence: float = 0.95) -> str:
    """Where the mean over seeds lies by Student's interval: "holds", "fails", "open"; "" with fewer than two seeds.

    Parameters
    ----------
    margins : (seed, condition)
        How far each number lies on the holding side of its threshold. A rule of several conditions holds where every
        interval lies on that side, and fails where one lies wholly on the other.

    Examples
    --------
    >>> against_threshold([(1.0,), (2.0,), (1.5,)]), against_threshold([(1.0,), (-2.0,)]), against_threshold([(1.0,)])
    ('holds', 'open', '')
    """
    values = np.array(margins, float)
    if len(values) < 2 or values.size == 0:
        return ""
    low, high = np.transpose([student(each, confidence) for each in values.T])
    if (low >= 0).all():
        return "holds"
    return "fails" if (high < 0).any() else "open"
