"""Figures of chapter 19: the map of heads to walk through, its controls, what is left without some, and a birth."""

from .birth import birth
from .controls import controls
from .removed import removed
from .walk import walk

__all__ = ["birth", "controls", "removed", "walk"]
