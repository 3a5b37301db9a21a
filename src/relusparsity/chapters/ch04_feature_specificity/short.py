"""What chapter 4 found."""

from ... import store
from ...claims.short import Short, spread
from . import compared, words

SAMPLES = (("wide", "nearest"), ("wide", "first"), ("mid", "first"))
"""Shape and recipe of what is judged."""


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    found = [compared.deltas(store.recorded("feature_specificity", *sample)) for sample in SAMPLES]
    rate, selectivity = ([each[name].values.tolist() for each in found] for name in compared.MEASURES)
    wide = [value for values in rate[:2] for value in values]
    high = sum(value >= compared.ENOUGH for value in wide)
    both = [words.passing(*pair) for pair in zip(rate, selectivity, strict=True)]
    divided = compared.by_random(store.recorded("feature_specificity", *SAMPLES[2])).values.tolist()
    said = [
        f"δ of the within-sequence rate is {spread(r)}, of token selectivity {spread(s)}"
        for r, s in zip(rate, selectivity, strict=True)
    ]
    return Short(
        f"First and last layer differ clearly by one of our two measures. In {high} of {len(wide)} seeds of Wide, "
        "units of the last layer bunch their firing in fewer sequences than units of the first that fire as often, by "
        "what our rule asks or more; that they keep to fewer kinds of token too holds in "
        f"{both[0]} of {len(rate[0])} seeds with the recipe *nearest* and in {both[1]} of {len(rate[1])} with *first*.",
        (
            "How far they differ is Cliff's δ, from −1 to 1, between units that fire equally often: above 0 the last "
            f"layer's are the higher. The rule asks for {compared.ENOUGH} of both measures in every seed. Ranges are "
            "over seeds.",
            f"Wide (6 × 32,768 units), *nearest*: {said[0]}. *first*: {said[1]}.",
            f"Mid (6 × 8,192), *first*: {said[2]}. Both reach {compared.ENOUGH} in {both[2]} of {len(rate[2])} seeds. "
            "The rule blunts the first of these: once each unit's rate is divided by that of random firing, its δ is "
            f"{spread(divided)}.",
        ),
    )
