"""What chapter 4 found."""

from ... import store
from ...claims.short import Short, measured, spread
from ...recipes import RECIPES


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    wide, first, mid = (
        store.recorded("feature_specificity", *name) for name in (("wide",), ("wide", "first"), ("mid",))
    )
    topic, word = ("13", "δ within_sequence_rate"), ("13", "δ token_selectivity")
    found = [measured({("feature_specificity", each.attrs["scale"]): each}) for each in (wide, first, mid)]
    assert {each.attrs["recipe"] for each in (wide, first, mid)} <= set(RECIPES)
    said = [f"{spread(each[topic])} for sequences and {spread(each[word])} for words" for each in found]
    both = [
        "both measures"
        if min(each[topic] + each[word]) >= 0.33
        else "the first measure alone"
        if min(each[topic]) >= 0.33
        else "neither measure"
        for each in found
    ]
    return Short(
        "Whether units of the first and the last layer differ in how specific they are depends on the measure and on "
        f"the recipe: in every seed of Wide's frozen recipe, {both[0]} comes to the δ of 0.33 that the rule asks of "
        "both.",
        (
            f"Wide (6 × 32,768 units, recipe *{wide.attrs['recipe']}*): between units that fire equally often, Cliff's "
            f"δ is {said[0]}.",
            f"Wide by *{first.attrs['recipe']}*: {said[1]}; {both[1]} comes to 0.33 in every seed.",
            f"Mid (6 × 8,192, *{mid.attrs['recipe']}*): {said[2]}; {both[2]} does.",
        ),
    )
