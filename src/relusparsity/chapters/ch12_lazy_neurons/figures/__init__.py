"""Figures of chapter 12: the share of positive entries over training, by width, by data, by stack; what lowers it."""

from .drift import drift, ends
from .shares import no_data, over_training, widths
from .stacks import stacks

__all__ = ["drift", "ends", "no_data", "over_training", "stacks", "widths"]
