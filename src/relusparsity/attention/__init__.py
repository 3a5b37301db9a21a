"""Queries and keys → statistics of attention by head, exact, in memory that is flat in the length of a sequence."""

from .heads import SINK, SINK_TOKENS, HeadUse
from .weights import Scores

__all__ = ["SINK", "SINK_TOKENS", "HeadUse", "Scores"]
