"""Experiments of several arms by several seeds of one recipe: their runs, their dataset, and forecasts of every run.

What an experiment adds is a table of arms, each what it changes, and of forecasts that were written before it ran.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..config import RunConfig, replace
from ..recipes import RECIPES
from ..scales import base, names
from . import factorial, shared, variants

FIRST = "first"
"""The recipe that arms change, by three of the seeds that judge it."""

AT = 12_000_000
"""Training tokens at which γ is read: the nearest measurement."""


@dataclass(frozen=True)
class Expected:
    """What was written of an arm before it ran; it is asked of each of its seeds."""

    lowest: Mapping[int, float]
    """Layer → chance that it ends with the fewest units in use, of all six; of layers left out, the rest."""
    values: Mapping[str, tuple[float, float]]
    """Name of a number of `ends` → its interval, ends included."""


def runs(scale: str, arms: Mapping[str, Mapping[str, Any]]) -> Iterator[RunConfig]:
    """The runs of all arms, seed by seed, so that a part of the list is of use too."""
    for seed in RECIPES[FIRST].seeds(scale)[:3]:
        twin = replace(base(scale, seed, FIRST), **(factorial.FEWER if scale == "mid" else {}))
        for changes in arms.values():
            yield replace(twin, **changes)


def config(scale: str, arms: Mapping[str, Mapping[str, Any]]) -> shared.Config:
    """The experiment's runs at a shape."""
    scale, _ = names(scale)
    return shared.Config(scale, FIRST, tuple(runs(scale, arms)))


def run(name: str, config: shared.Config, arms: Mapping[str, dict[str, Any]], source: str) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), trained where it does not exist."""
    return variants.made(name, config, source, lambda config, runs: assemble(config, runs, arms))


def assemble(
    config: shared.Config, runs: Sequence[xr.Dataset | None], arms: Mapping[str, dict[str, Any]]
) -> xr.Dataset:
    """The dataset of the runs there are, in the order of `config.runs`: None was not run, its values are missing.

    A seed of which nothing was run to its end is left out.
    """
    given = variants.seeds(variants.with_missing(runs, config.runs), len(arms))
    kept = [run for of_seed in given if any("final_loss" in each for each in of_seed) for run in of_seed]
    return variants.whole(kept, arms, config.scale).drop_vars(factorial.LEFT_OUT)


def said(written: Mapping[str, float], came: Iterable[tuple[str, bool]], known: bool) -> pd.DataFrame:
    """Sentences with the chance written for each before the runs, against what came and whether it holds.

    None for both where what they read is not known yet.
    """
    rows = [
        (sentence, chance, value if known else None, bool(holds) if known else None)
        for (sentence, chance), (value, holds) in zip(written.items(), came, strict=True)
    ]
    return pd.DataFrame(rows, columns=["written before", "chance", "came", "holds"])


def ends(dataset: xr.Dataset) -> pd.DataFrame:
    """One row per arm and seed, NaN where there is no end.

    Columns: `U_0` … (batch use at the end, percent), `lowest` (the layer with the fewest units in use), `loss`, `γ_0` …
    (at the measurement nearest to `AT` tokens) and `γ` (the largest of them).
    """
    use = 100 * dataset["final_batch_use"].mean("set").transpose("recipe", "seed", "layer").astype(float)
    near = int(abs(dataset["tokens"].values - AT).argmin())
    gamma = dataset["gamma"].isel(step=near).transpose("recipe", "seed", "layer").astype(float)
    rows = {}
    for arm in dataset["recipe"].values.tolist():
        for seed in dataset["seed"].values.tolist():
            of_use, of_gamma = (each.sel(recipe=arm, seed=seed).values for each in (use, gamma))
            there = np.isfinite(of_use).all()
            rows[arm, int(seed)] = {
                **{f"U_{layer}": value for layer, value in enumerate(of_use)},
                "lowest": float(of_use.argmin()) if there else np.nan,
                "loss": float(dataset["final_loss"].sel(recipe=arm, seed=seed)),
                **{f"γ_{layer}": value for layer, value in enumerate(of_gamma)},
                "γ": of_gamma.max(),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["arm", "seed"])


def predicted(dataset: xr.Dataset, expected: Mapping[str, Expected]) -> pd.DataFrame:
    """Every forecast against its run: what was written before, what came, the chance given to it, and whether it holds.

    A row per arm, seed and number. Of the lowest layer, it holds where the likeliest came, and the chance is that
    written for the layer that came; an interval's chance is left open. What has no end yet is neither right nor wrong.
    """
    table, rows = ends(dataset), []
    for (arm, seed), came in table.iterrows():  # type: ignore[misc]
        chances = expected[arm].lowest
        likely = max(chances, key=lambda layer: chances[layer])
        layer, known = came["lowest"], came["lowest"] == came["lowest"]
        rest = max(0.0, 1 - sum(chances.values())) / (6 - len(chances))
        said = " ".join(f"{layer}: {chance:.0%}" for layer, chance in chances.items())
        chance = chances.get(int(layer), rest) if known else None
        rows.append((arm, seed, "lowest layer", said, layer, chance, bool(layer == likely) if known else None))
        for name, (low, high) in expected[arm].values.items():
            value = float(came[name])
            holds = low <= value <= high if value == value and known else None
            rows.append((arm, seed, name, f"{low:g}–{high:g}", round(value, 2), None, holds))
    return pd.DataFrame(rows, columns=["arm", "seed", "number", "written before", "came", "chance", "holds"])


def scored(table: pd.DataFrame) -> pd.Series:
    """Of a table of `predicted`: how many intervals and likeliest layers held, of how many, and the mean log chance.

    A forecast that gives every one of six layers the same chance has a mean log chance of −1.79.
    """
    layers = table["number"] == "lowest layer"
    known = table["holds"].notna()
    chances = table.loc[layers & known, "chance"].astype(float)
    return pd.Series(
        {
            "intervals that hold": int(table.loc[~layers & known, "holds"].astype(bool).sum()),
            "intervals": int((~layers & known).sum()),
            "lowest layers that hold": int(table.loc[layers & known, "holds"].astype(bool).sum()),
            "lowest layers": int((layers & known).sum()),
            "mean log chance": float(np.log(chances).mean()) if len(chances) else np.nan,
        }
    )
