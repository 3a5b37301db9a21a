"""Chapter 07: what a difference of batch use is worth: how far repeats, seeds and recipes of Mid lie apart."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr


def use(dataset: xr.Dataset) -> xr.DataArray:
    """Batch use at the end, percent: (…, seed, layer)."""
    return 100 * dataset["final_batch_use"].astype(float).mean("set")


def repeats(of_one_recipe: Sequence[xr.Dataset]) -> tuple[np.ndarray, int, int]:
    """Standard deviation of runs that share recipe and seed, by layer; how many seeds, and how many runs.

    Parameters
    ----------
    of_one_recipe
        Datasets of one recipe (seed, set, layer) whose runs were made apart. A seed that only one has is left out.

    Raises
    ------
    ValueError
        If two datasets hold one and the same run.
    """
    runs = pd.concat([use(dataset).transpose("seed", "layer").to_pandas() for dataset in of_one_recipe]).dropna()
    again = runs.groupby(level=0).filter(lambda group: len(group) > 1)
    by_seed = again.groupby(level=0)
    if again.duplicated().any():
        raise ValueError("two of the datasets hold the same run: that is no repeat")
    left = ((again - by_seed.transform("mean")) ** 2).sum()
    return np.sqrt(left / (len(again) - by_seed.ngroups)).to_numpy(), by_seed.ngroups, len(again)


def table(of_one_recipe: Sequence[xr.Dataset], cells: xr.Dataset) -> pd.DataFrame:
    """What a difference of batch use is worth: standard deviations at the end, in points, by what differs.

    Parameters
    ----------
    of_one_recipe
        As of `repeats`; the first has most seeds.
    cells
        The factorial's recipes: `final_batch_use` (recipe, seed, set, layer).
    """
    again, seeds, runs = repeats(of_one_recipe)
    one = use(of_one_recipe[0])
    every = use(cells).transpose("recipe", "seed", "layer")
    rows = {
        f"a repeat of one seed ({runs} runs, {seeds} seeds of first)": again,
        f"another seed ({one.sizes['seed']} of first)": one.std("seed", ddof=1).values,
        f"another seed ({every.sizes['seed']} each of {every.sizes['recipe']} recipes)": np.sqrt(
            every.var("seed", ddof=1).mean("recipe").values
        ),
        f"another recipe ({every.sizes['recipe']}, means of their seeds)": every.mean("seed")
        .std("recipe", ddof=1)
        .values,
    }
    shown = {name: [f"{value:.1f}" for value in values] for name, values in rows.items()}
    columns = [f"layer {layer}" for layer in cells["layer"].values]
    return pd.DataFrame.from_dict(shown, orient="index", columns=columns).rename_axis("what differs")
