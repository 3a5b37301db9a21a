"""Figures of chapter 19: the map of heads to walk through, its controls, and what is left without the best heads."""

from .controls import controls
from .removed import removed
from .walk import walk

__all__ = ["controls", "removed", "walk"]
