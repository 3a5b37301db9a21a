"""What chapter 8 found."""

import numpy as np

from ...claims.short import Short, between
from ...source import BATCH_USE
from . import runs, words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    table = runs.ends(runs.recorded())
    name = str(table["distance"].idxmin())
    first, last = (words.percent(table, name, layer) for layer in BATCH_USE)
    strong = runs.FAMILIES[0][0]
    return Short(
        f"Of {len(table)} runs of 6 layers with 32,768 units (Wide), the closest to W&A's {BATCH_USE[0]} and "
        f"{BATCH_USE[5]} % ends at {first} and {last} %; layer 0 is its lowest.",
        (
            f"Each number alone is within reach: {words.percent(table, strong, 0)} % in layer 0 with "
            f"{words.percent(table, strong, 5)} % in layer 5 (*{strong}*), {words.percent(table, 'modern', 5)} % in "
            f"layer 5 with {words.percent(table, 'modern', 0)} % in layer 0 (*modern*).",
            f"More weight decay lowers both ends, {between(np.round(runs.exchanges(table), 1))} points of layer 5 per "
            "point of layer 0. Fan-in matrices with longer training brought both ends nearer at once and left layer "
            "0 the lowest.",
            "Every run but those of the two frozen recipes is a single seed. The search goes on by rules that were "
            "written before its first run.",
        ),
    )
