"""What chapter 4 found."""

from ... import store
from ...claims.short import Short, measured, spread

ENOUGH = 0.33
"""The δ that row 13 of the ledger asks of both measures."""
SAMPLES = (("wide", "nearest"), ("wide", "first"), ("mid", "first"))
"""Shape and recipe of what is judged."""


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    topic, word = ("13", "δ within_sequence_rate"), ("13", "δ token_selectivity")
    found = [
        measured({("feature_specificity", shape): store.recorded("feature_specificity", shape, recipe)})
        for shape, recipe in SAMPLES
    ]
    topics, words = ([each[label] for each in found] for label in (topic, word))
    wide = [delta for sample in topics[:2] for delta in sample]
    both = sum(
        min(pair) >= ENOUGH for sample in zip(topics[:2], words[:2], strict=True) for pair in zip(*sample, strict=True)
    )
    said = [f"δ is {spread(topics[at])} for sequences and {spread(words[at])} for words" for at in range(3)]
    return Short(
        f"In Wide the units of the last layer keep more to few sequences than those of the first, in "
        f"{sum(delta >= ENOUGH for delta in wide)} of {len(wide)} seeds by a Cliff's δ of {ENOUGH} or more; that "
        f"they keep to few words too, by as much, holds in {both}.",
        (
            f"Wide (6 × 32,768 units, recipe *{SAMPLES[0][1]}*): between units that fire equally often, {said[0]}. "
            "Above 0, the last layer's unit is the higher.",
            f"Wide by *{SAMPLES[1][1]}*: {said[1]}.",
            f"Mid (6 × 8,192, *{SAMPLES[2][1]}*): {said[2]}; the rule asks for {ENOUGH} of both.",
        ),
    )
