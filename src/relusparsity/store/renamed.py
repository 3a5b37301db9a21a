"""The one table of old names → today's: recorded files keep their bytes, what is read from them is translated.

`results.load` translates every dataset, `results.recorded` finds a file by either name.
"""

import json
import re
from pathlib import Path

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

RUNS: dict[str, str] = json.loads(Path(__file__).with_name("renamed.json").read_text())
"""Ids of the recorded runs, when a digest of the source named them → what `identity.MEANING` 1 calls them.

Kept, not computed when read: some datasets have the configuration of one of their runs alone, and under a later
meaning, or with other defaults, a recorded run must not pass for what its configuration would give then.
"""

_RUN = re.compile(r'(?<=")(run-)?([0-9a-f]{16})(?=")')


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


def run(name: str) -> str:
    """Today's id of a run; of one that is not in the table, the same."""
    return RUNS.get(name, name)


def with_todays_runs(provenance: str) -> str:
    """A provenance (JSON) with today's ids wherever it names a run, as ``"<id>"`` or ``"run-<id>"``.

    >>> with_todays_runs('{"runs": ["11c200362543b263", "not run"]}')
    '{"runs": ["4f1d584bc67abf76", "not run"]}'
    """
    return _RUN.sub(lambda found: (found[1] or "") + run(found[2]), provenance)
