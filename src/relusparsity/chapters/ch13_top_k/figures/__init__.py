"""Figures of chapter 13: accuracy against noise in labels and in pictures, calibration, and what units are left."""

from .calibration import reliability
from .quality import quality
from .robustness import robustness
from .units import units

__all__ = ["quality", "reliability", "robustness", "units"]
