"""Measure any model: find the hidden activations of its MLPs, count exactly while it runs, report.

`track` is the part for Python; `measure` and `compare` are what the command line runs.
"""

from .attach import find
from .place import Place
from .rules import Rule, above
from .track import Use, track

__all__ = ["Place", "Rule", "Use", "above", "find", "track"]
