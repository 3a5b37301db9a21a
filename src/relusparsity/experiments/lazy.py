"""Chapter 12: the share of positive entries after ReLU, as its experiments on pictures and on text have it alike.

Li et al. 2023, *The Lazy Neuron Phenomenon*, arXiv 2210.06313: an entry is what one unit gives at one token; the share
of a model is the mean over its layers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..config import RunConfig, from_dict
from ..store import results
from . import shared, variants

AS_IS = "as it is"
"""The arm that changes nothing."""

KEPT = (
    "token_use",
    "sequence_use",
    "batch_use",
    "train_token_use",
    "silent_units",
    "dead_units",
    "heldout_loss",
    "heldout_accuracy",
    "train_loss",
    "final_token_use",
    "final_sequence_use",
    "final_batch_use",
    "final_loss",
)
"""Variables of their datasets, but for what each adds."""

Added = Mapping[str, tuple[tuple[str, ...], tuple[str, str], Callable[[xr.Dataset], Any]]]
"""Name of a variable → its dimensions in a run, unit and meaning, and how it is read off a run that came to its end."""


def assemble(
    config: shared.Config, runs: Sequence[xr.Dataset | None], changes: Mapping[str, dict[str, Any]], added: Added
) -> xr.Dataset:
    """The dataset of the runs there are, in the order of `config.runs`; None was not run, its values are missing.

    By (recipe, seed, step, layer). Layers that an arm has not are missing, too.
    """
    deepest = max(run.model.n_layers for run in config.runs)
    padded = [run if run is None else run.reindex(layer=range(deepest)) for run in runs]
    whole = variants.whole(variants.with_missing(padded, config.runs), changes, config.scale)
    for name, (dims, (units, said), read) in added.items():
        none = np.full([whole.sizes[dim] for dim in dims], np.nan)
        values = np.array([none if run is None or "final_loss" not in run else read(run) for run in padded])
        by_arm = values.reshape(-1, len(changes), *none.shape).swapaxes(0, 1)
        whole[name] = (("recipe", "seed", *dims), by_arm, {"units": units, "long_name": said})
    return whole[[*KEPT, *added]]


def models(dataset: xr.Dataset) -> dict[str, RunConfig]:
    """Arm → the run of its first seed."""
    configs = results.provenance(dataset)["configs"]
    return {arm: from_dict(RunConfig, configs[arm]) for arm in map(str, dataset["recipe"].values)}


def numbers(dataset: xr.Dataset) -> pd.DataFrame:
    """Layers and units a layer of each arm."""
    rows = {arm: (run.model.n_layers, run.model.width) for arm, run in models(dataset).items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["layers", "units"]).rename_axis("arm")


def share(dataset: xr.Dataset) -> xr.DataArray:
    """Percent of positive entries at a held-out token, mean over the layers of an arm: (recipe, seed, step)."""
    return 100 * dataset["token_use"].mean("layer").transpose("recipe", "seed", "step").astype(float)


def alive(dataset: xr.Dataset, silent: xr.DataArray) -> xr.DataArray:
    """Share of a layer's units that are not among its silent ones, which are counted by (recipe, …, layer)."""
    return 1 - silent.astype(float) / numbers(dataset)["units"].to_xarray().rename(arm="recipe")


def living(use: xr.DataArray, alive: xr.DataArray) -> xr.DataArray:
    """Percent of positive entries of the units that fire at all, each weighing alike whatever its layer.

    So it is the sum of the layers' token use over that of their shares of such units, on the same tokens, and no mean
    of the layers' ratios, in which a layer with few of them would weigh as much as any. NaN where none fires.
    """
    return 100 * use.astype(float).sum("layer") / alive.sum("layer")


def tabulated(columns: Mapping[str, xr.DataArray], *dims: str) -> pd.DataFrame:
    """A column of each, (recipe, seed) and what is named in `dims`: a row per arm and seed, and of these."""
    series = {name: of.astype(float).transpose("recipe", "seed", *dims).to_series() for name, of in columns.items()}
    return pd.DataFrame(series).rename_axis(["arm", "seed", *dims])


def ends(dataset: xr.Dataset) -> pd.DataFrame:
    """One row per arm and seed, NaN where there is no end.

    Columns, in percent: `start` and `end`, the share of positive entries over all layers before the first step and
    after the last; `without last`, that of all layers but the last; `accuracy` at the end.
    """
    final, sizes, rows = dataset["final_token_use"].astype(float), numbers(dataset), {}
    for arm in map(str, dataset["recipe"].values):
        layers = sizes.loc[arm, "layers"]
        for seed in dataset["seed"].values.tolist():
            of = final.sel(recipe=arm, seed=seed).values[:layers]
            rows[arm, int(seed)] = {
                "start": float(share(dataset).sel(recipe=arm, seed=seed).isel(step=0)),
                "end": 100 * of.mean(),
                "without last": 100 * of[:-1].mean() if layers > 1 else np.nan,
                "accuracy": 100 * float(dataset["final_accuracy"].sel(recipe=arm, seed=seed)),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["arm", "seed"])


def halved(table: pd.DataFrame) -> pd.Series:
    """Of rows of `ends`, whether the share ends below half of its start; None: no end."""
    return (table["end"] < table["start"] / 2).astype(object).where(table["end"].notna(), None)


def predicted(expected: Mapping[str, tuple[float, float]], ends: pd.DataFrame) -> pd.DataFrame:
    """Intervals of the share at the end, mean of the seeds, against what came; neither right nor wrong: a seed lacks.

    Parameters
    ----------
    expected
        Arm → interval, percent.
    ends
        See `ends`.
    """
    end, rows = ends["end"].unstack("seed").mean(axis=1, skipna=False), []
    for arm, (low, high) in expected.items():
        came = float(end[arm])
        rows.append((arm, f"{low:g} to {high:g}", round(came, 1), None if came != came else low <= came <= high))
    return pd.DataFrame(rows, columns=["arm", "written before", "came", "holds"])
