"""Rows 21 to 23 of the ledger: what runs of vision Transformers on pictures say of them."""

import xarray as xr

from ..claims import Rule
from ..claims.reading import Finding, NotTestable, Reading
from .lazy_pictures import AS_IS, NO_DATA, ends, halved, trend


def in_a_vit(dataset: xr.Dataset) -> Finding:
    """Row 21: at 85 % accuracy or more on the test, at most 15 % of the entries are positive, all layers."""
    table = ends(dataset).loc[AS_IS]
    if (table["accuracy"] < 85).any():
        raise NotTestable(f"accuracy {table['accuracy'].min():.1f} %, below the rule's 85 %")
    readings = []
    for seed, row in table.iterrows():
        values: dict[str, float | str] = {
            "positive entries (%)": row["end"],
            "accuracy on the test (%)": row["accuracy"],
        }
        readings.append(Reading(int(seed), bool(round(row["end"], 9) <= 15), values, margins=(15 - row["end"],)))
    return Finding(tuple(readings))


def wider_and_deeper(dataset: xr.Dataset) -> Finding:
    """Row 22, at equal tokens; if that and equal loss do not agree in every seed, it is open."""
    both, readings = trend(dataset), []
    for seed in map(int, dataset["seed"].values):
        of = both.loc[(seed, "equal tokens")]
        values: dict[str, float | str] = {f"{name}, equal tokens": float(of[name]) for name in both.columns[:2]}
        values |= {f"positive entries, {name} (%)": float(of[name]) for name in ("shallow", "deep")}
        readings.append(Reading(seed, of["holds"], values, "" if of["holds"] is not None else "a run is missing"))
    tokens, loss = (both.xs(way, level="compared at")["holds"] for way in ("equal tokens", "equal loss"))
    agree = tokens.isna().any() or tokens.eq(loss).all()
    return Finding(tuple(readings), open="" if agree else "equal tokens and equal loss say different things")


def not_the_data(dataset: xr.Dataset) -> Finding:
    """Row 23: with nothing to learn, the share ends below half of its start, in every arm."""
    table, halves, readings = ends(dataset), halved(dataset), []
    for seed in map(int, dataset["seed"].values):
        values: dict[str, float | str] = {
            f"{arm}: end, % of its start": 100 * table.loc[(arm, seed), "end"] / table.loc[(arm, seed), "start"]
            for arm in NO_DATA
        }
        of = [halves[arm, seed] for arm in NO_DATA]
        known = None not in of
        margins = tuple(50 - float(each) for each in values.values())
        note = "" if known else "a run is missing"
        readings.append(Reading(seed, all(of) if known else None, values, note, margins=margins))
    return Finding(tuple(readings))


RULES = {
    "21": Rule("lazy_pictures", in_a_vit),
    "22": Rule("lazy_pictures", wider_and_deeper),
    "23": Rule("lazy_pictures", not_the_data),
}
"""The ledger's rows that these runs decide."""
