"""Chapter 08: every recorded run of Wide's width by its name in the chapter, and what two of them differ by."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from ... import store
from ...experiments import endings

NAMED: dict[str, tuple[str, str, str | None]] = {
    "modern": ("modern", "wide", None),
    "nearest, seed 0": ("stronger_decay", "wide", None),
    "modern, decay 1.75": ("equal_decay", "wide", "modern"),
    "modern, rate ÷ 2, decay 3.5": ("equal_decay", "wide", "modern, rate ÷ 2"),
    "rate ÷ 4, decay 7": ("equal_decay", "wide", "rate ÷ 4"),
    "rotary, decay 3.5": ("equal_decay", "wide", "rate ÷ 2, rotary"),
    "rotary, decay 2": ("rotary", "wide", "rotary, decay 2"),
    "rotary, decay 1": ("rotary", "wide", "rotary, decay 1"),
    "rate ÷ 2, decay 3.5": ("residual_stream", "wide", "stream 1,024, 32,768 units"),
    "rate ÷ 2, decay 3.5, stream 1,536": ("residual_stream", "wide", "stream 1,536, 32,768 units"),
    "fan-in, decay 1": ("lead", "wide", "decay 1"),
    "fan-in, decay 1.5": ("lead", "wide", "decay 1.5"),
    "fan-in, decay 2": ("lead", "wide", "decay 2"),
    "normal matrices, stream 512": ("rate_or_units", "mid", None),
}
"""Name → dataset, shape, and the recipe within it, of runs with one seed. *rotary* and *fan-in* have half of *first*'s
rate and rotary positions; *fan-in* matrices too."""

DATASETS = tuple(dict.fromkeys(name for name, shape, _ in NAMED.values() if shape == "wide"))
"""Those of Wide's shape."""

FROZEN = ("first", "nearest")
"""Recipes with fresh seeds."""

FAMILIES = (
    ("fan-in, decay 2", "fan-in, decay 1.5", "fan-in, decay 1"),
    ("rotary, decay 3.5", "rotary, decay 2", "rotary, decay 1"),
    ("modern, decay 1.75", "modern"),
)
"""Runs that differ in nothing but weight decay (of *modern* in the seed too), from the strongest to the weakest."""

PAIRS = (
    ("fan-in, decay 1", "fan-in, decay 2"),
    ("rotary, decay 1", "rotary, decay 3.5"),
    ("rate ÷ 2, decay 3.5", "rotary, decay 3.5"),
    ("rotary, decay 1", "fan-in, decay 1"),
    ("rate ÷ 2, decay 3.5", "nearest, seed 0"),
    ("rate ÷ 2, decay 3.5", "rate ÷ 4, decay 7"),
    ("rate ÷ 2, decay 3.5", "rate ÷ 2, decay 3.5, stream 1,536"),
    ("modern", "modern, decay 1.75"),
    ("modern, decay 1.75", "modern, rate ÷ 2, decay 3.5"),
)
"""Pairs of runs of which the second is the first with one lever moved, or two that go together."""

WORDS = {
    "weight_decay": "decay",
    "lr": "rate",
    "tokens": "tokens",
    "positions": "positions",
    "init": "matrices",
    "d_model": "stream",
}
"""What readers call the fields that pairs differ in; others follow from these (heads from the stream)."""


def recorded() -> dict[str, xr.Dataset]:
    """Name → dataset of one recipe and one seed, (seed, set, layer) and more; the frozen recipes' seeds apart."""
    out = {}
    for recipe in FROZEN:
        dataset = store.recorded("layer_patterns", "wide", recipe)
        for seed in dataset["seed"].values.tolist():
            out[f"{recipe}, seed {seed}"] = dataset.sel(seed=[seed])
    for name, (dataset_name, shape, recipe_name) in NAMED.items():
        dataset = store.recorded(dataset_name, shape)
        if "recipe" in dataset.dims:
            dataset = dataset.sel(recipe=recipe_name) if recipe_name else dataset.isel(recipe=0)
        out[name] = dataset
    return out


def named(dataset: xr.Dataset) -> xr.Dataset:
    """A sweep's dataset with its recipes under the names of this chapter."""
    called = {recipe: name for name, (_, _, recipe) in NAMED.items()}
    return dataset.assign_coords(recipe=[called[recipe] for recipe in dataset["recipe"].values.tolist()])


def ends(runs: dict[str, xr.Dataset]) -> pd.DataFrame:
    """A row a run: batch use of layers 0 to 5 (percent, columns 0 … 5), `distance`, `loss`, and whether layer 0 is the
    `lowest`."""
    rows = {}
    for name, dataset in runs.items():
        use = endings.use(dataset).mean("seed").values
        rows[name] = dict(enumerate(use)) | {
            "distance": endings.distance(use),
            "loss": float(dataset["final_loss"].mean()),
            "lowest": int(use.argmin()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def changed(one: xr.Dataset, other: xr.Dataset) -> dict[str, tuple[object, object]]:
    """Field that `WORDS` knows → its value in both runs, where these differ."""
    before, after = (dict(_fields(each)) for each in (one, other))
    return {name: (before[name], after[name]) for name in WORDS if before[name] != after[name]}


def others_changed(one: xr.Dataset, other: xr.Dataset) -> set[str]:
    """Fields that both runs do not share and `WORDS` does not know."""
    before, after = (dict(_fields(each)) for each in (one, other))
    return {name for name in before if name not in WORDS and before[name] != after[name]}


def _fields(dataset: xr.Dataset) -> Iterator[tuple[str, object]]:
    run = asdict(endings.setting(dataset))
    for part in ("model", "train"):
        yield from run[part].items()


def exchange(table: pd.DataFrame, weak: str, strong: str) -> float:
    """Points of layer 5 that a lever costs for each point that it takes off layer 0."""
    u0, u5 = (table.loc[strong, layer] - table.loc[weak, layer] for layer in (0, 5))
    return float(np.divide(u5, u0))


def exchanges(table: pd.DataFrame) -> list[float]:
    """`exchange` from each run of a family to the next with more decay."""
    return [exchange(table, weak, strong) for family in FAMILIES for strong, weak in pairwise(family)]
