"""Rows 20 to 23 of the ledger: what runs of an encoder-decoder and of vision Transformers say of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from ..claims import Rule
from ..claims.reading import Finding, NotTestable, Reading
from . import lazy_text, lazy_text_rates, variants
from .lazy_pictures import AS_IS, DEPTHS, NO_DATA, TIMES, ends, halved, trend


def in_a_vit(dataset: xr.Dataset) -> Finding:
    """Row 21: at 85 % accuracy or more on the test, at most 15 % of the entries are positive, all layers."""
    table = ends(dataset).loc[AS_IS]
    if (table["accuracy"] < 85).any():
        raise NotTestable(f"accuracy {table['accuracy'].min():.1f} %, below the rule's 85 %")
    readings = []
    for seed, row in table.iterrows():
        values = {"positive entries (%)": row["end"], "accuracy on the test (%)": row["accuracy"]}
        holds = None if np.isnan(row["end"]) else bool(round(row["end"], 9) <= 15)
        readings.append(_read(int(seed), holds, values, 15 - row["end"]))
    return _found(readings, dataset, [AS_IS])


def wider_and_deeper(dataset: xr.Dataset) -> Finding:
    """Row 22, at equal tokens; if that and equal loss do not agree in every seed, it is open."""
    both, readings = trend(dataset), []
    for seed in map(int, dataset["seed"].values):
        of = both.loc[(seed, "equal tokens")]
        values = {f"{name}, equal tokens": float(of[name]) for name in both.columns[:2]}
        values |= {f"positive entries, {name} (%)": float(of[name]) for name in ("shallow", "deep")}
        readings.append(_read(seed, of["holds"], values))
    tokens, loss = (both.xs(way, level="compared at")["holds"] for way in ("equal tokens", "equal loss"))
    agree = tokens.isna().any() or tokens.eq(loss).all()
    arms = list(dict.fromkeys([*TIMES.values(), *DEPTHS.values()]))
    return _found(readings, dataset, arms, "" if agree else "equal tokens and equal loss say different things")


def not_the_data(dataset: xr.Dataset) -> Finding:
    """Row 23: with nothing to learn, the share ends below half of its start, in every arm."""
    table, halves, readings = ends(dataset), halved(dataset), []
    for seed in map(int, dataset["seed"].values):
        values = {
            f"{arm}: end, % of its start": 100 * table.loc[(arm, seed), "end"] / table.loc[(arm, seed), "start"]
            for arm in NO_DATA
        }
        of = [halves[arm, seed] for arm in NO_DATA]
        holds = None if None in of else all(of)
        readings.append(_read(seed, holds, values, *(50 - each for each in values.values())))
    return _found(readings, dataset, list(NO_DATA))


def _read(
    seed: int, holds: bool | None, values: Mapping[str, float], *margins: float, why: str = "a run has no end"
) -> Reading:
    """What a rule reads in a seed; of a run that is missing there is no number."""
    shown: dict[str, float | str] = {name: "not run" if np.isnan(each) else each for name, each in values.items()}
    if holds is None:
        return Reading(seed, None, shown, why)
    return Reading(seed, holds, shown, margins=margins)


def _found(readings: Sequence[Reading], dataset: xr.Dataset, arms: Sequence[str], open: str = "") -> Finding:
    """What a rule finds that reads these arms; where a seed is not known, how many of their runs are to come."""
    lacks = any(reading.holds is None for reading in readings)
    return Finding(tuple(readings), open=open, to_come=variants.to_come((dataset, arms)) if lacks else "")


def in_an_encoder_decoder(dataset: xr.Dataset) -> Finding:
    """Row 20: at most 10 % of the entries are positive at the end, and 45 to 55 % before the first step.

    Read at the rate of the least loss; before all rates have run, at none.
    """
    rate, readings = lazy_text_rates.best(dataset), []
    table = lazy_text.row_20(dataset, rate or lazy_text_rates.FIRST)
    for seed, row in table.iterrows():
        shares = {"before the first step": row["start"], "at the end": row["end"], "of living units": row["living"]}
        values = {f"positive entries {name} (%)": each for name, each in shares.items()}
        why = "a run has no end" if np.isnan(row["end"]) else "the run is smaller than the row asks for"
        why = why if rate else "no rate is chosen"
        holds = None if rate is None else row["holds"]
        readings.append(_read(int(seed), holds, values, 10 - row["end"], 5 - abs(row["start"] - 50), why=why))
    if (table["holds"].isna() & table["end"].notna()).any():  # too small, which no run to come will change
        return Finding(tuple(readings))
    return _found(readings, dataset, [rate] if rate else list(lazy_text_rates.CHANGES))


RULES = {
    "20": Rule("lazy_text_rates", in_an_encoder_decoder),
    "21": Rule("lazy_pictures", in_a_vit),
    "22": Rule("lazy_pictures", wider_and_deeper),
    "23": Rule("lazy_pictures", not_the_data),
}
"""The ledger's rows that these runs decide."""
