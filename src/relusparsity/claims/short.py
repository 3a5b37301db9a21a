"""*In short*: what a chapter found, a sentence and a few lines under its title, with numbers read from the data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .judge import Datasets, evaluate
from .table import number


@dataclass(frozen=True)
class Short:
    """What a notebook shows of a chapter, as Markdown."""

    finding: str
    lines: tuple[str, ...]

    def _repr_markdown_(self) -> str:
        return "\n".join([f"**{self.finding}**", "", *(f"- {line}" for line in self.lines)])

    def __repr__(self) -> str:
        return "\n".join([self.finding, *self.lines])


@dataclass(frozen=True)
class Said:
    """A paragraph of a chapter, as Markdown, whose numbers or words the data give."""

    text: str

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def measured(datasets: Datasets) -> dict[tuple[str, str], list[float]]:
    """What the rows of the ledger read of datasets of one shape: (number, label) → a value per seed that counts.

    Labels are those of the ledger's page, such as ``("1", "batch use of layer 0 (%)")``. Values that are words are
    left out.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for outcome in evaluate(datasets):
        for reading in outcome.readings:
            for label, value in reading.values.items():
                if reading.seed not in outcome.ignored and not isinstance(value, str):
                    found.setdefault((outcome.row.number, label), []).append(float(value))
    return found


def spread(values: Sequence[float], unit: str = "") -> str:
    """The mean with its unit and, of several, the smallest and largest value, to three digits.

    Examples
    --------
    >>> spread([8.0, 15.0, 10.0], " %"), spread([4.0])
    ('11 % (8 to 15)', '4')
    """
    some = [float(value) for value in values]
    mean = number(float(np.mean(some))) + unit
    return mean if len(some) == 1 else f"{mean} ({number(min(some))} to {number(max(some))})"


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them.

    Examples
    --------
    >>> listed(["53.9", "94.8", "100"]), listed(["37"])
    ('53.9, 94.8 and 100', '37')
    """
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def between(values: ArrayLike) -> str:
    """The smallest and the largest value.

    Examples
    --------
    >>> between([3.0, 1.5]), between([2.0, 2.0])
    ('1.5 to 3', '2')
    """
    low, high = number(float(np.min(values))), number(float(np.max(values)))
    return low if low == high else f"{low} to {high}"


def most(lowest: Sequence[int]) -> str:
    """Which layers are named how often, the commonest first.

    Examples
    --------
    >>> most([1, 1, 2])
    'layer 1 in 2 of 3 seeds, layer 2 in 1'
    """
    layers, times = np.unique(np.asarray(lowest), return_counts=True)
    order = sorted(zip(layers.tolist(), times.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    (first, count), *others = order
    return f"layer {first} in {count} of {len(lowest)} seeds" + "".join(f", layer {one} in {n}" for one, n in others)
