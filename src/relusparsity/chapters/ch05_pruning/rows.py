"""Row 12b of the ledger as code: pruning beyond the silent units. No recorded dataset has what it reads yet."""

import xarray as xr

from ...claims import Finding, Reading, Rule
from ...claims.reading import NotTestable, attribute, seeds
from . import forecasts, spared

MOST = 1.0
"""Percent of the loss that the lowest rates may cost."""
TIMES = 5.0
"""How many times that a uniform draw has to cost."""
DRAWS = 20
SEEN = {"wide": 4, "mid": 6}
"""Shape → the last seed that was pruned before the rule was written, on 2026-11-28; later ones are fresh."""


def judge(dataset: xr.Dataset) -> Finding:
    """Row 12b: fresh seeds; where the silent and half of the rest go, the lowest rates cost ≤ 1 % of loss, a uniform
    draw of as many (20 draws) ≥ 5 × that; ties at random.

    Raises
    ------
    NotTestable
        If the dataset is of before these draws.
    """
    if not forecasts.recorded(dataset):
        raise NotTestable("the dataset has no uniform draw, and cuts ties layer by layer")
    limits = []
    if (draws := attribute(dataset, "beyond_draws")) < DRAWS:
        limits.append(f"{draws} uniform draws, the rule's are {DRAWS}")
    if known := [str(each) for each in seeds(dataset) if each <= SEEN.get(dataset.attrs["scale"], -1)]:
        limits.append(f"seeds {', '.join(known)} were run before the rule was written")
    if spared.text(dataset) == "heldout":
        limits.append("c4-eval was not evaluated (the numbers are of the held-out text)")
    readings = []
    pairs = zip(*(forecasts.cost(dataset, of, "12b") for of in (forecasts.RANKED, forecasts.UNIFORM)), strict=True)
    for seed, (low, drawn) in zip(seeds(dataset), pairs, strict=True):
        holds = bool(low <= MOST and drawn > 0 and drawn >= TIMES * low)
        shown: dict[str, float | str] = {"lowest rates (% loss)": float(low), "uniform draw (% loss)": float(drawn)}
        readings.append(Reading(seed, holds, shown, margins=(MOST - float(low), float(drawn - TIMES * low))))
    return Finding(tuple(readings), tuple(limits))


RULES = {"12b": Rule("pruning", judge)}
"""The ledger's row that recorded draws will decide; the ledger's page takes it up with them."""
