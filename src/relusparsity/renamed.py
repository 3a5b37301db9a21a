"""The one table of old names: what recorded files say in words of earlier versions → the words of today."""

DIMENSIONS = {"method": "chosen_by"}
"""Dimensions of datasets: `sel` takes `method` for how to fill gaps."""

WORDS = {"factorial": ("mid", "first"), "paper": ("wide", "nearest"), "paper_first": ("wide", "first")}
"""Scales that named shape, recipe and text in one word → shape and recipe."""

FILES = {"recipes-factorial": "factorial-mid"} | {
    f"{name}-{old}": f"{name}-{shape}"
    for old, (shape, _) in WORDS.items()
    for name in (
        "equal_decay",
        "exploration",
        "lead",
        "longer",
        "modern",
        "other_half",
        "repetition",
        "residual_stream",
        "rotary",
        "stronger_decay",
    )
}
"""Recorded files, by stem, that hold more than one recipe or one that has no name."""


def file(stem: str) -> str:
    """Today's stem of a recorded file.

    Examples
    --------
    >>> file("pruning-paper"), file("lead-factorial"), file("capacity-laptop"), file("lead-wide")
    ('pruning-wide-nearest', 'lead-mid', 'capacity-laptop-default', 'lead-wide')
    """
    if stem in FILES:
        return FILES[stem]
    experiment, _, word = stem.rpartition("-")
    words = WORDS | {"laptop": ("laptop", "default")}
    return "-".join((experiment, *words[word])) if word in words else stem
