"""Figures of chapter 12: the share of positive entries by layer, by width, by data, in two stacks; and what pushes them down."""

from .drift import drift, ends
from .shares import no_data, over_training, widths
from .stacks import stacks

__all__ = ["drift", "ends", "no_data", "over_training", "stacks", "widths"]
