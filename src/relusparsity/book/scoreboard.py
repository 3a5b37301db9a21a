"""How many of the predictions that were written before their runs held, computed from the recorded data."""

from collections.abc import Iterator

import pandas as pd

from ..experiments import dissociation, embedding_scale, endings, other_half, search
from ..store import results


def scores() -> Iterator[tuple[str, str, pd.Series]]:
    """What was predicted, the day it was written, and which held: true, false, or missing where the run has no end."""
    first, second = (results.recorded(name, "mid") for name in ("factorial", "other_half"))
    words = "Forecast of sixteen recipes from the other sixteen (Mid)"
    yield words, "2026-11-28", other_half.judged(first, second)["holds"]
    lead = results.recorded("lead", "wide")
    ends = {str(name): lead.sel(recipe=name) for name in lead["recipe"].values}
    yield "First three runs of the search for the paper's numbers (Wide)", search.DATE, endings.searched(ends)["holds"]
    treated = dissociation.predicted(results.recorded("dissociation", "mid"))
    centred = ~treated["arm"].str.startswith("add")
    yield "Layers whose input is centred, and untreated ones (Mid)", "2026-11-28", treated.loc[centred, "holds"]
    yield "Layers to whose input a vector is added (Mid)", "2026-11-28", treated.loc[~centred, "holds"]
    scaled = results.recorded("embedding_scale", "mid")
    words = "What the scale of the embeddings is: γ and the emptiest layer of each run (Mid)"
    each = embedding_scale.predicted(scaled)
    known = each["arm"] == embedding_scale.named(*(of[0] for of in embedding_scale.LEVELS))  # *first* itself: a check
    yield words, embedding_scale.DATE, each.loc[~known, "holds"]
    yield "The same, four contrasts of its arms", embedding_scale.DATE, embedding_scale.contrasts(scaled)["holds"]


def markdown() -> str:
    """The scoreboard as a table, a row a forecast, and their sum."""
    rows, held, known = ["| forecast | written | held | of |", "|---|---|--:|--:|"], 0, 0
    for words, written, holds in scores():
        told = holds.dropna().astype(bool)
        rows.append(f"| {words} | {written} | {told.sum()} | {len(told)} |")
        held, known = held + int(told.sum()), known + len(told)
    return "\n".join([*rows, f"| **all** | | **{held}** | **{known}** |"])
