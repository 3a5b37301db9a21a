"""Sentences that are asked of every seed, or of every arm and seed: one that is known against them is enough."""

from collections.abc import Iterable

import pandas as pd


def all_hold(holds: Iterable[bool | None]) -> bool | None:
    """Whether all of them hold: not, as soon as one does not; None where one is not known and none is against it.

    Examples
    --------
    >>> all_hold([True, True]), all_hold([True, None]), all_hold([None, False])
    (True, None, False)
    """
    each = list(holds)
    known = [bool(of) for of in each if of is not None]
    if not all(known):
        return False
    return True if len(known) == len(each) else None


def in_every(numbers: pd.Series, holds: pd.Series, said: str = "{:.3g} to {:.3g}") -> tuple[str, bool | None]:
    """What a sentence reads, the least and the largest of the numbers that are known, and whether it holds of all.

    Parameters
    ----------
    numbers
        What the sentence reads, NaN where that is not known.
    holds
        Whether the sentence holds of each number; of those that are not known it is not asked.
    said
        The words around the least and the largest.

    Examples
    --------
    >>> in_every(pd.Series([3.0, 1.0]), pd.Series([True, True]))
    ('1 to 3', True)
    >>> in_every(pd.Series([3.0, float("nan")]), pd.Series([False, False]))
    ('3 to 3, 1 of 2 known', False)
    """
    known = numbers.notna()
    lacks = f", {int(known.sum())} of {len(known)} known" if not known.all() else ""
    return said.format(numbers.min(), numbers.max()) + lacks, all_hold(holds.astype(object).where(known, None))
