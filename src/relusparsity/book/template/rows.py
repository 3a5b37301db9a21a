"""What chapter 00 claims and the rule that decides it, written before its runs.

A row is never edited once it was judged: a later change is a new row with its own number and date.
"""

import xarray as xr

from ...claims import Claim, Finding, Reading, Rule
from ...claims.reading import seeds, take

ROWS = (
    Claim(
        "00.1",
        "most units are silent at a token",
        "(ours)",
        "token_use < 50 in every layer of every run at the end of training",
        ("smoke",),
        date="2000-01-01",
    ),
)
"""Rows at the end of the chapter, each judged at the shapes that it names: smoke, L (Laptop), S (Mid) or P (Wide)."""


def few_units_at_a_token(dataset: xr.Dataset) -> Finding:
    """00.1: the highest token use of any layer and run, by seed."""
    use = 100 * take(dataset, "final_token_use", "recipe", "seed", "layer", share=True)
    highest = use.max(["recipe", "layer"]).values
    values = zip(seeds(dataset), map(float, highest), strict=True)
    return Finding(tuple(Reading(seed, high < 50, {"highest token use (%)": high}) for seed, high in values))


RULES = {"00.1": Rule("chapter_name", few_units_at_a_token)}
"""Number of a row → the dataset that it reads and the function that reads it; a row without one is not yet tested."""
