"""Figures of chapter 10: the bound over training, loss against tokens or seconds, units left, bound and speed."""

from .arms import bound_and_speed, loss, units_left
from .saved import over_training

__all__ = ["bound_and_speed", "loss", "over_training", "units_left"]
