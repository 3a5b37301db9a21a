"""The version, and by which ones a dataset was made: below everything, so that what names them imports no more."""

from collections.abc import Mapping
from typing import Any

__version__ = "0.1.0"


def commits(provenance: Mapping[str, Any]) -> list[str]:
    """The commits that made the runs of a dataset with this provenance, each once, in order; none if none is named.

    A dataset of several runs lists them by recipe, or by recipe and seed; None stands for a run that was not made.
    """
    of_runs = provenance.get("commits") or [provenance.get("environment", {}).get("commit")]
    flat = [each for row in of_runs for each in (row if isinstance(row, list) else [row])]
    return list(dict.fromkeys(str(commit) for commit in flat if commit is not None))
