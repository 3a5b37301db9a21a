"""Small exact statistics of the rules: Kendall's tau, Cliff's delta, changes along training, a Poisson limit."""

import math

import numpy as np

from .reading import Floats


def kendall_tau(x: Floats, y: Floats) -> float:
    """Kendall's tau-b of two equally long lists of numbers; NaN where one of them is constant.

    tau-b = (concordant − discordant) / sqrt(pairs untied in x · pairs untied in y) (Kendall 1945).

    Examples
    --------
    >>> kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])).__round__(3)
    0.333
    """
    rows, columns = np.triu_indices(len(x), 1)
    in_x, in_y = np.sign(x[rows] - x[columns]), np.sign(y[rows] - y[columns])
    untied = math.sqrt(np.abs(in_x).sum() * np.abs(in_y).sum())
    return float((in_x * in_y).sum() / untied) if untied else math.nan


def cliffs_delta(x: Floats, y: Floats) -> float:
    """Cliff's delta: share of pairs with y > x minus share with y < x (Cliff 1993); neither list may be empty.

    Examples
    --------
    >>> cliffs_delta(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.75
    """
    ordered = np.sort(x)
    below = np.searchsorted(ordered, y, side="left").sum()
    above = (len(x) - np.searchsorted(ordered, y, side="right")).sum()
    return float((below - above) / (len(x) * len(y)))


def matched_delta(x: Floats, y: Floats, count_x: Floats, count_y: Floats, least: int = 10) -> tuple[float, int]:
    """Cliff's delta between units of equal firing count, and the number of units compared.

    Units are put in strata of log10(count), ten a decade, so that two units of a stratum differ by at most 26 % in
    how often they fire; a stratum counts where it holds at least `least` units of each list. The delta is the
    mean over strata weighted by their pairs. NaN where no stratum counts.
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
    """Changes of a curve over every stretch of `span` tokens from `start` on that can be the largest.

    The curve is linear in tokens between its points, so its change over a sliding stretch is extreme where one
    end of the stretch is a point of the curve or the range ends there.
    """
    edges = np.concatenate([tokens, tokens - span, [start, tokens[-1] - span]])
    edges = edges[(edges >= start) & (edges <= tokens[-1] - span)]
    return np.interp(edges + span, tokens, values) - np.interp(edges, tokens, values)


def fallen_for_good(tokens: Floats, values: Floats, level: float) -> float:
    """Tokens from which a curve, linear between its points, stays at or below a level; inf where it ends above.

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


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """Exact one-sided upper limit of a Poisson mean of which `count` was seen: P(X ≤ count) = 1 − confidence.

    Examples
    --------
    >>> round(poisson_upper(0), 3)
    2.996
    """
    low, high = float(count), count + 20.0 + 10.0 * math.sqrt(count + 1.0)
    terms = np.arange(count + 1)
    log_factorials = np.cumsum(np.log(np.maximum(terms, 1)))
    for _ in range(200):
        mean = (low + high) / 2
        below = np.exp(terms * math.log(mean) - mean - log_factorials).sum()
        low, high = (mean, high) if below > 1 - confidence else (low, mean)
    return (low + high) / 2
