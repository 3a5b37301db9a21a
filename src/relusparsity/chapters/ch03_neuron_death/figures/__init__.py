"""Figures of chapter 03: which units die, when, who comes back, and what precedes it."""

from .deaths import (
    dead_over_training,
    death_onsets,
    deaths_and_revivals,
    silent_vs_dead,
    survival,
)
from .details import domains, drift_before_death

__all__ = [
    "dead_over_training",
    "death_onsets",
    "deaths_and_revivals",
    "domains",
    "drift_before_death",
    "silent_vs_dead",
    "survival",
]
