"""What chapter 10 reads off runs that lost units: the speed of each stage against the bound of its widths."""

from itertools import pairwise

import numpy as np
import xarray as xr

from . import bound

DENSE = "dense"
"""The arm that all others are compared with."""


def of(dataset: xr.Dataset) -> xr.Dataset:
    """How many times as fast as the dense model each arm trains between its removals, and how many times by operations.

    Parameters
    ----------
    dataset
        Arms of one recipe, as `experiments.pruned_training` and this chapter's experiment give them: `width` (arm,
        seed, step, layer), `training_seconds` (arm, seed, step), `tokens` (step).

    Returns
    -------
    Dataset
        (arm, seed, stage), missing (NaN) where an arm has fewer stages: `begins`, `ends` in training tokens; `left`,
        the units that it has, as a share of the dense model's; `bound`, by `bound.mlp_share`; `speed`, the dense run's
        seconds over the arm's from the stage's first measurement to its last.
    """
    model = bound.model_of(dataset)
    m, units = bound.mlp_share(model), sum(model.widths)
    width = dataset["width"].sum("layer", skipna=False).transpose("arm", "seed", "step")
    seconds, tokens = dataset["training_seconds"].transpose("arm", "seed", "step"), dataset["tokens"].values
    rows = {}
    for arm in map(str, dataset["arm"].values):
        for seed in dataset["seed"].values.tolist():
            had, spent = (each.sel(arm=arm, seed=seed).values for each in (width, seconds))
            dense = seconds.sel(arm=DENSE, seed=seed).values
            rows[arm, seed] = [
                (tokens[first], tokens[last], had[last] / units, _ratio(dense, spent, first, last))
                for first, last in _stages(had)
            ]
    most = max(map(len, rows.values()))
    shape = (dataset.sizes["arm"], dataset.sizes["seed"], most, 4)
    table = np.full(shape, np.nan)
    for place, found in enumerate(rows.values()):
        for stage, row in enumerate(found):
            table[place // shape[1], place % shape[1], stage] = row
    dims = ("arm", "seed", "stage")
    values = {name: (dims, table[..., k]) for k, name in enumerate(("begins", "ends", "left", "speed"))}
    values["bound"] = (dims, 1 / (1 - m * (1 - table[..., 2])))
    kept = {name: dataset.attrs[name] for name in ("scale", "recipe", "provenance") if name in dataset.attrs}
    coords = {name: dataset[name].values for name in ("arm", "seed")}
    made = xr.Dataset(values, coords | {"stage": np.arange(most)}, kept | {"mlp_share": m})
    return made.assign_coords(recipe=dataset["recipe"]) if "recipe" in dataset.coords else made


def _stages(had: np.ndarray) -> list[tuple[int, int]]:
    """First and last measurement of each stretch of one width; a removal follows the measurement of its moment."""
    known = np.flatnonzero(np.isfinite(had))
    ends = [k for k, after in pairwise(known) if had[k] != had[after]]
    edges = list(dict.fromkeys([*known[:1].tolist(), *map(int, ends), *known[-1:].tolist()]))
    return list(pairwise(edges))


def _ratio(dense: np.ndarray, spent: np.ndarray, first: int, last: int) -> float:
    return float((dense[last] - dense[first]) / (spent[last] - spent[first]))
