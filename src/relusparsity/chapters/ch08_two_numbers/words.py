"""Sentences of chapter 08 whose numbers the recorded data give."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ...claims.short import Said, spread
from ...claims.table import number
from ...experiments import endings, search
from ...source import BATCH_USE
from . import runs

FIRST, LAST = min(BATCH_USE), max(BATCH_USE)


def percent(table: pd.DataFrame, name: str, layer: int) -> str:
    """How full a layer of a run ends, to a tenth of a percent."""
    return f"{table.loc[name, layer]:.1f}"


def closest(table: pd.DataFrame) -> Said:
    """Which run ends the closest to the source's two numbers, and on which side of them."""
    name = str(table["distance"].idxmin())
    met = [str(run) for run in table.index if search.met(table.loc[run, list(range(6))].to_numpy(float))]
    if met:
        return Said(f"**{len(met)} of {len(table)} runs have both numbers**: {', '.join(met)}.")
    over = {layer: table.loc[name, layer] - stated for layer, stated in BATCH_USE.items()}
    said = " and ".join(
        f"{abs(points):.0f} points {'above' if points > 0 else 'below'} W&A's {BATCH_USE[layer]} % in layer {layer}"
        for layer, points in over.items()
    )
    least = table[FIRST].sub(BATCH_USE[FIRST]).abs().idxmin()
    fullest = table[LAST].sub(BATCH_USE[LAST]).abs().idxmin()
    return Said(
        f"**None of the {len(table)} recorded runs of this width has both numbers.** The closest, *{name}*, ends "
        f"{said}. "
        f"Each number alone is reached: *{least}* has {percent(table, least, FIRST)} % in layer 0 and leaves "
        f"{percent(table, least, LAST)} % in layer 5; *{fullest}* has {percent(table, fullest, LAST)} % in layer 5 and "
        f"leaves {percent(table, fullest, FIRST)} % in layer 0."
    )


def order(datasets: Mapping[str, xr.Dataset], table: pd.DataFrame, apart: float = 5.0) -> Said:
    """In which runs layer 0 is the lowest, and in which the order is the source's, as row 4 of the ledger asks."""
    use = table[list(range(6))].to_numpy(float)
    middle = use[:, 1:5]
    whole = (middle.min(1) - use[:, 0] >= apart) & (use[:, 5] - middle.max(1) >= apart)
    lowest = [str(name) for name in table.index[table["lowest"] == 0]]
    names = [str(name) for name in table.index[whole]]
    positions = sorted({endings.setting(datasets[name]).model.positions for name in lowest})
    said = f"Layer 0 ends as the lowest in {len(lowest)} of {len(table)} runs, "
    said += (
        f"all with {positions[0]} positions: " if len(positions) == 1 else f"with {' or '.join(positions)} positions: "
    )
    said += ", ".join(f"*{name}*" for name in lowest)
    one = f"only *{names[0]}* has" if len(names) == 1 else f"{', '.join(f'*{name}*' for name in names) or 'none'} have"
    return Said(
        f"{said}. Row 4 of the ledger also asks that layer 5 be the highest, both by {apart:g} points: {one} that."
    )


def exchanged(table: pd.DataFrame) -> Said:
    """What decay costs layer 5 for what it takes off layer 0, family by family."""
    parts = []
    for family in runs.FAMILIES:
        strong, weak = family[0], family[-1]
        rate = runs.exchange(table, weak, strong)
        u0, u5 = (abs(table.loc[strong, layer] - table.loc[weak, layer]) for layer in (FIRST, LAST))
        parts.append(
            f"from *{weak}* to *{strong}* layer 0 falls by {u0:.0f} points and layer 5 by {u5:.0f} ({rate:.1f} for one)"
        )
    return Said(f"**Decay empties both ends.** {'; '.join(parts).capitalize()}. So decay alone cannot lead to the box.")


def both_ways(datasets: Mapping[str, xr.Dataset], table: pd.DataFrame) -> Said:
    """Which pairs of runs move both ends towards the source."""
    helped = []
    for before, after in runs.PAIRS:
        towards = [
            abs(table.loc[after, layer] - stated) < abs(table.loc[before, layer] - stated)
            for layer, stated in BATCH_USE.items()
        ]
        if all(towards):
            fields = runs.changed(datasets[before], datasets[after])
            helped.append(" and ".join(runs.WORDS[field] for field in fields))
    counted = f"In {len(helped)} of these {len(runs.PAIRS)} pairs both ends come nearer to W&A's numbers"
    return Said(f"{counted}: those that change {'; '.join(helped)}." if helped else f"{counted}.")


def frozen(recipes: Mapping[str, xr.Dataset]) -> Said:
    """How the frozen recipes' fresh seeds end."""
    parts = []
    for name, dataset in recipes.items():
        use = 100 * dataset["final_batch_use"].mean("set").astype(float)
        first, last = (spread(use.sel(layer=layer).values.tolist(), " %") for layer in (FIRST, LAST))
        parts.append(f"*{name}* ends layer 0 at {first} and layer 5 at {last}")
    return Said(f"**A recipe's ends are no accident of a seed.** {'; '.join(parts)} (three fresh seeds each).")


def foretold(table: pd.DataFrame, what: str) -> Said:
    """How many of the predictions of a table, with a column `holds`, came true."""
    held, of = int((table["holds"] == "held").sum()), len(table)
    return Said(f"**{what}: {held} of {of} held.**")


def lead(dataset: xr.Dataset) -> Said:
    """Whether the first rows of the search had stopped moving when their schedule ended."""
    use = 100 * dataset["batch_use"].astype(float).mean("seed")
    tokens = dataset["tokens"].values
    half = int(np.abs(tokens - tokens[-1] / 2).argmin())
    moved = [use.isel(step=-1).sel(layer=layer) - use.isel(step=half).sel(layer=layer) for layer in (FIRST, LAST)]
    ranges = [f"{number(float(abs(each).min()))} to {number(float(abs(each).max()))}" for each in moved]
    return Said(
        "**The first three runs had come to rest.** In the second half of their training they move layer 0 by "
        f"{ranges[0]} points and layer 5 by {ranges[1]}."
    )


def sought() -> Said:
    """The target of the search, its stop rule and its screens, from where they are written."""
    low_high = {layer: f"{number(low)} to {number(high)} %" for layer, (low, high) in search.TARGET.items()}
    ran = sum(bool(row.date) for row in (*search.ROWS, *search.MORE))
    return Said(
        f"One recipe that ends layer 0 at {low_high[FIRST]} and the lowest, and layer 5 at {low_high[LAST]}. The "
        f"search ends with the first run that does, or after {search.MOST} runs; {ran} of them have run. Runs after "
        "the third stop early where layer 5 is already under 92 % or γ of layer 0 under that of layer 1 at 3,700 "
        "steps, or layer 0 still over 45 % at 7,300."
    )
