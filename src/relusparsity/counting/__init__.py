"""Masks → exact integer counts → statistics, on streams of any length; all that counts and knows nothing of hooks."""

from .deaths import DeathTracker
from .layer import LayerUse
from .use import UseTracker

__all__ = ["DeathTracker", "LayerUse", "UseTracker"]
