"""Sentences of chapter 08 whose numbers the recorded data give."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ...claims.short import Said, between, spread
from ...claims.table import number
from ...experiments import endings, search, sweep_table
from ...plots.reading import how_many
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
    said += _listed(lowest)
    one = f"only *{names[0]}* has" if len(names) == 1 else f"{', '.join(f'*{name}*' for name in names) or 'none'} have"
    return Said(
        f"{said}. Row 4 of the ledger also asks that layer 5 be the highest, both by {apart:g} points: {one} that."
    )


def _listed(names: list[str]) -> str:
    """'*rotary* (decay 1, 2) and *modern*', of 'rotary, decay 1' and the like."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kind, _, decay = name.partition(", decay ")
        kinds.setdefault(kind, []).append(decay)
    return " and ".join(
        f"*{kind}*" + (f" (decay {', '.join(sorted(decays, key=float))})" if all(decays) else "")
        for kind, decays in kinds.items()
    )


def exchanged(table: pd.DataFrame) -> Said:
    """What decay costs layer 5 for what it takes off layer 0."""
    lowers = all(table.loc[f[0], layer] < table.loc[f[-1], layer] for f in runs.FAMILIES for layer in (FIRST, LAST))
    if not lowers:
        return Said("Decay does not empty both ends in every family.")
    return Said(
        f"**More decay empties both ends**, in all {len(runs.FAMILIES)} families of runs that differ in it alone: "
        f"{between(np.round(runs.exchanges(table), 1))} points of layer 5 per point of layer 0, one seed each. So "
        "decay alone does not lead to the box."
    )


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
    """How the frozen recipes' fresh seeds end, and how far they lie apart."""
    parts: list[str] = []
    apart: dict[int, float] = {}
    for name, dataset in recipes.items():
        use = endings.use(dataset)
        first, last = (spread(use.sel(layer=layer).values.tolist(), " %") for layer in (FIRST, LAST))
        parts.append(f"*{name}* ends layer 0 at {first} and layer 5 at {last}")
        for layer in use["layer"].values.tolist():
            of = use.sel(layer=layer)
            apart[layer] = max(apart.get(layer, 0.0), float(of.max() - of.min()))
    most = max(apart, key=lambda layer: apart[layer])
    return Said(
        f"**Fresh seeds of one recipe lie up to {apart[FIRST]:.1f} points apart in layer {FIRST}, {apart[LAST]:.1f} in "
        f"layer {LAST} and {apart[most]:.0f} in layer {most}.** {'; '.join(parts)} (three seeds each)."
    )


def foretold(table: pd.DataFrame, what: str) -> Said:
    """How many of the predictions of a table, with a column `holds`, came true."""
    held, of = int((table["holds"] == "held").sum()), len(table)
    return Said(f"**{what}: {held} of {of} held.**")


def lead(dataset: xr.Dataset) -> Said:
    """How far the first rows of the search still moved while their rate went to its end."""
    use = 100 * dataset["batch_use"].astype(float).mean("seed")
    tokens = dataset["tokens"].values
    half = int(np.abs(tokens - tokens[-1] / 2).argmin())
    moved = [abs(use.isel(step=-1).sel(layer=layer) - use.isel(step=half).sel(layer=layer)) for layer in (FIRST, LAST)]
    return Said(
        "In the second half of their training, while the rate falls to its end, the first three runs move layer 0 by "
        f"{between(moved[0].round(1).values)} points and layer 5 by {float(moved[1].max()):.1f} at most. Whether a "
        "longer schedule would move them further is not known."
    )


def sought() -> Said:
    """The target of the search, its stop rule and its screens, from where they are written."""
    low_high = {layer: f"{number(low)} to {number(high)} %" for layer, (low, high) in search.TARGET.items()}
    rows = (*search.ROWS, *search.MORE)
    ran, exempt = (sum(map(bool, each)) for each in ((row.date for row in rows), (not row.screened for row in rows)))
    run = sweep_table.row("lead", "wide").config().runs[0]
    by_step: dict[int, list[str]] = {}
    for screen in search.screens(run):
        by_step.setdefault(screen.step, []).append(screen.words)
    stops = "; ".join(f"at step {step:,} where {' or '.join(rules)}" for step, rules in by_step.items())
    return Said(
        "\n".join(
            [
                f"- **Sought:** one recipe that ends layer {FIRST} at {low_high[FIRST]}, as the lowest, and layer "
                f"{LAST} at {low_high[LAST]}.",
                f"- **Stop:** with the first run that does, or after {search.MOST}. {len(rows)} are written, {ran} of "
                f"them {'has' if ran == 1 else 'have'} run; the others may follow from what these find.",
                f"- **Screens**, but for the first {exempt} runs, stop a run, one of {run.train.steps:,} steps "
                f"{stops} (γ: [chapter 7](07_which_layer.html)).",
                f"- **Where:** `experiments/search.py`, of {search.DATE}; what was added on {search.LATER}, after the "
                "first three runs, says so.",
            ]
        )
    )


def expected() -> Said:
    """Of the runs to come, how many forecasts reach into the box that is sought, and how many lie in it."""
    reach, within = 0, 0
    to_come = [row for row in (*search.ROWS, *search.MORE) if not row.date]
    for row in to_come:
        forecast = dict(zip((FIRST, LAST), search.NOW.get(row.name, (row.u0, row.u5, row.loss))[:2], strict=True))
        reach += all(
            low <= forecast[layer][1] and forecast[layer][0] <= high for layer, (low, high) in search.TARGET.items()
        )
        within += all(
            low <= forecast[layer][0] and forecast[layer][1] <= high for layer, (low, high) in search.TARGET.items()
        )
    return Said(
        f"{how_many(len(to_come), 'run')} {'is' if len(to_come) == 1 else 'are'} to come. The forecasts of "
        f"{reach} reach into the box; {within or 'none'} of them {'lies' if within == 1 else 'lie'} wholly in it."
    )
