"""How runs of several recipes end: tables of batch use by layer, loss and the distance from the source."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ..checks import in_words
from ..config import RunConfig, from_dict, replace
from ..source import BATCH_USE
from ..store import results
from ..train.step import learning_rate
from . import search, sweep_table

SETS = 64
"""Held-out sets over which batch use at the end is a mean, as the ledger reads it; some runs recorded more."""


def use(dataset: xr.Dataset) -> xr.DataArray:
    """Batch use at the end in percent, the mean over the first `SETS` sets; dimensions but `set` as they are."""
    return 100 * dataset["final_batch_use"].astype(float).isel(set=slice(SETS)).mean("set")


def of_layer(name: object) -> object:
    """What readers call a layer's row or column, whose name is its number; any other name as it is."""
    return f"layer {name}" if isinstance(name, int) else name


def distance(batch_use: np.ndarray) -> float:
    """How far a recipe is from the source: root mean square over its stated layers of the difference, in points.

    Parameters
    ----------
    batch_use : (layer)
        In percent. The rule for a recipe that is frozen and run with fresh seeds, written before the runs: the smallest
        distance of those then known.
    """
    return float(np.sqrt(np.mean([(batch_use[layer] - stated) ** 2 for layer, stated in BATCH_USE.items()])))


def ending(dataset: xr.Dataset) -> dict[int | str, float]:
    """One recipe's end: batch use (percent) by layer, `distance`, loss (means over its seeds) and number of seeds."""
    end = use(dataset)
    layers = (end.mean("seed") if "seed" in end.dims else end).values
    return dict(enumerate(layers.round(1))) | {
        "distance": round(distance(layers), 1),
        "loss": round(float(dataset["final_loss"].mean()), 2),
        "seeds": dataset.sizes.get("seed", 1),
    }


def by_recipe(dataset: xr.Dataset) -> pd.DataFrame:
    """Batch use of each layer at the end (percent), loss and `distance`: a row per recipe, the nearest first."""
    end = use(dataset).mean("seed").transpose("recipe", "layer")
    table = end.to_pandas().round(1)
    table["loss"] = dataset["final_loss"].mean("seed").to_series().astype(float).round(2)
    table["distance"] = [round(distance(row), 1) for row in end.values]
    return table.sort_values("distance")


def by_seed(recipes: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Batch use (percent) of each layer, `distance` and loss at the end: a row per recipe and seed."""
    tables = {}
    for name, dataset in recipes.items():
        end = use(dataset).transpose("seed", "layer")
        table = end.to_pandas().round(1)
        table["distance"] = [round(distance(row), 1) for row in end.values]
        tables[name] = table.assign(loss=dataset["final_loss"].to_series().astype(float).round(2))
    return pd.concat(tables, names=["recipe"])


def by_tokens(*datasets: xr.Dataset, recipe: str = "lr × 2") -> pd.DataFrame:
    """Batch use (percent) of each layer, `distance` and loss at the end of one recipe's runs.

    A row per number of training tokens, the mean over its seeds; columns 0, 1 … are the layers. Of a dataset of several
    recipes, `recipe` is meant, or its first.
    """
    rows = {}
    for dataset in datasets:
        if "recipe" in dataset.dims:
            names = dataset["recipe"].values.tolist()
            dataset = dataset.isel(recipe=names.index(recipe) if recipe in names else 0)
        rows[f"{int(dataset['tokens'][-1]):,}"] = ending(dataset)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("training tokens")


def by_summed_decay(runs: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """The end (batch use in percent of each layer, distance and loss), and the recipe: `summed_decay`, rate, shape.

    Means over the seeds; columns 0, 1 … are the layers. A row per run, by rising sum.

    Parameters
    ----------
    runs
        Name → dataset of one recipe, which may be selected from one of several.
    """
    rows = {}
    for name, dataset in runs.items():
        run = setting(dataset)
        rows[name] = ending(dataset) | {
            "sum": round(summed_decay(run), 1),
            "rate": run.train.lr,
            "decay": run.train.weight_decay,
            "steps": f"{run.train.steps:,}",
            "stream": f"{run.model.d_model:,}",
            "units": in_words(run.model.d_ff),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("sum").rename_axis("run")


def summed_decay(run: RunConfig) -> float:
    """Sum over the steps of learning rate times weight decay.

    AdamW takes that share off every matrix at each step: without a gradient, a weight of it would end at exp(−sum) of
    where it began.
    """
    steps = range(0, run.train.tokens, run.train.batch_tokens)
    return run.train.weight_decay * sum(learning_rate(run.train, seen) for seen in steps)


def setting(dataset: xr.Dataset) -> RunConfig:
    """The configuration of a dataset's one recipe."""
    facts = results.provenance(dataset)
    first = from_dict(RunConfig, facts["config"])
    if "recipe" not in dataset.coords:
        return first
    name = dataset["recipe"].item()
    if "configs" in facts:
        return from_dict(RunConfig, facts["configs"][name])
    return replace(first, **sweep_table.RECIPES[name])  # sweeps of these keep the first configuration alone


def searched(ends: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Every interval and lowest layer that was written of a row of `search` against its run, by the day it was written.

    Parameters
    ----------
    ends
        Name of a row → its run's dataset, of one recipe and seed. Of a run that a screen stopped, what came is missing,
        and what was written neither right nor wrong.
    """
    rows: list[tuple[object, ...]] = []
    for name, dataset in ends.items():
        said = search.row(name)
        end = use(dataset).values.reshape(-1)
        came, ended = (end[0], end[5], float(dataset["final_loss"].squeeze())), bool(np.isfinite(end).all())
        written = {said.written: (said.u0, said.u5, said.loss)}
        written |= {search.LATER: search.NOW[name]} if name in search.NOW else {}
        for day, intervals in written.items():
            for what, interval, value in zip(("U_0", "U_5", "loss"), intervals, came, strict=True):
                digits = max(len(f"{end:g}".partition(".")[2]) for end in interval)
                holds = interval[0] <= round(value, digits) <= interval[1] if ended else None
                rows.append((name, day, what, "{:g}–{:g}".format(*interval), round(value, 2), holds))
        lowest = int(end.argmin()) if ended else None
        right = lowest == said.lowest if ended else None
        rows.append((name, min(written), "lowest layer", str(said.lowest), lowest, right))
    return pd.DataFrame(rows, columns=["row", "date", "number", "written before", "came", "holds"])
