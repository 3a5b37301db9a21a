"""Figures of chapter 03: which units die, when, who comes back, what precedes it, and whom more text wakes."""

from .coming_back import deaths_and_revivals, revivals
from .deaths import dead_over_training, death_onsets, survival
from .details import drift_before_death
from .foresight import foresight
from .silence import woken

__all__ = [
    "dead_over_training",
    "death_onsets",
    "deaths_and_revivals",
    "drift_before_death",
    "foresight",
    "revivals",
    "survival",
    "woken",
]
