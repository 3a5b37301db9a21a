"""Figures of chapter 09: one unit from birth to death, what controls take away of deaths, and who comes back."""

from .forks import by_control, by_layer, hazard
from .life import birth_to_death

__all__ = ["birth_to_death", "by_control", "by_layer", "hazard"]
