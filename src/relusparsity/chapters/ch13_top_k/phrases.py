"""How chapter 13 says differences in points, their intervals, and what is not there yet."""

import numpy as np


def proper(kind: str) -> str:
    """A kind of noise as a sentence writes it.

    >>> proper("gaussian"), proper("shot")
    ('Gaussian', 'shot')
    """
    return kind.replace("gauss", "Gauss")


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, a true minus.

    >>> signed(0.314), signed(-1.0, 1), signed(-0.001)
    ('+0.31', '−1.0', '0.00')
    """
    said = f"{value:+.{digits}f}".replace("-", "−")
    return said[1:] if not float(f"{value:.{digits}f}") else said


def span(low: float, high: float, digits: int = 2) -> str:
    """An interval of differences.

    >>> span(-0.1, 0.72)
    '−0.10 to +0.72'
    """
    return f"{signed(low, digits)} to {signed(high, digits)}"


def spread(values: np.ndarray, digits: int = 1, unit: str = " %") -> str:
    """Mean of the seeds that have run, with the least and the largest of several.

    >>> spread(np.array([2.0, 4.0])), spread(np.array([2.0, np.nan]), 0), spread(np.array([np.nan]))
    ('3.0 % (2.0 to 4.0)', '2 %', 'to come')
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return "to come"
    mean = f"{known.mean():.{digits}f}{unit}"
    return f"{mean} ({known.min():.{digits}f} to {known.max():.{digits}f})" if known.size > 1 else mean


def mean(values: np.ndarray, digits: int = 1, unit: str = " %") -> str:
    """Mean of the seeds that have run.

    >>> mean(np.array([2.0, 4.0])), mean(np.array([np.nan]))
    ('3.0 %', 'to come')
    """
    known = values[np.isfinite(values)]
    return f"{known.mean():.{digits}f}{unit}" if known.size else "to come"


def compared(differences: np.ndarray, low: float, high: float, percent: float = 95) -> str:
    """A mean of paired differences, with its interval where every seed has run; else how many have.

    >>> compared(np.array([0.5, 1.5]), -5.35, 7.35)
    '+1.00 points (95 %: −5.35 to +7.35)'
    >>> compared(np.array([0.5, np.nan]), np.nan, np.nan)
    '+0.50 points in 1 of 2 pairs, the others to come'
    >>> compared(np.array([np.nan, np.nan]), np.nan, np.nan), compared(np.array([0.5]), np.nan, np.nan)
    ('to come', '+0.50 points in one pair')
    """
    known = differences[np.isfinite(differences)]
    if not known.size:
        return "to come"
    mean = f"{signed(known.mean())} points"
    if known.size < differences.size:
        return f"{mean} in {known.size} of {differences.size} pairs, the others to come"
    return f"{mean} in one pair" if known.size == 1 else f"{mean} ({percent:g} %: {span(low, high)})"


def labels(noise: float) -> str:
    """How many labels are replaced.

    >>> labels(0.0), labels(40.0)
    ('true labels', '40 % of the labels replaced')
    """
    return f"{noise:g} % of the labels replaced" if noise else "true labels"
