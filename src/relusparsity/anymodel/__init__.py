"""Watch any model: find the hidden activations of its MLPs, and count exactly while it runs as it always does."""

from .attach import find
from .deaths import Deaths, track_deaths
from .heads import TrackedHeads, track_heads
from .place import Place
from .rules import Rule, above
from .spikes import TrackedSpikes, track_spikes
from .track import Use, track

__all__ = [
    "Deaths",
    "Place",
    "Rule",
    "TrackedHeads",
    "TrackedSpikes",
    "Use",
    "above",
    "find",
    "track",
    "track_deaths",
    "track_heads",
    "track_spikes",
]
