"""How early one can tell which units will be dead at the end, by what is known of them before: areas under ROC curves.

Seen after the runs: the scores are ours, and none was written before.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from ...claims.statistics import cliffs_delta

SCORES: dict[str, Callable[[xr.Dataset], xr.DataArray]] = {
    "small input weights": lambda of: -of["input_weight_norm"],
    "a narrow spread of its pre-activation": lambda of: -of["preactivation_std"],
    "a low 99th percentile of its pre-activation": lambda of: -of["preactivation_p99"],
    "a mean far below zero, in such spreads": lambda of: -of["preactivation_mean"] / of["preactivation_std"],
}
"""What may tell a unit that will die → the higher, the surer; of the units that are followed one by one."""

LEAST = 10
"""Units of either fate from which on a layer of a seed has an area."""


def areas(dataset: xr.Dataset) -> xr.Dataset:
    """How well each score sorts, at each step, the units that are dead at the end from those that live then.

    Of the units that are followed; those are left out whose first silence has begun, which a score would only read off.

    Parameters
    ----------
    dataset : Dataset
        `death_onset`, `death_count`, `revival_count` (seed, layer, unit); `preactivation_mean`, `preactivation_std`,
        `preactivation_p99`, `input_weight_norm` (seed, history_step, layer, history_unit), `history_tokens`
        (history_step).

    Returns
    -------
    Dataset
        `area` (score, seed, history_step, layer): the share of pairs, one of each fate, in which the one that will be
        dead scores higher (ties count half); missing with fewer than `LEAST` of a fate. `error` (seed, history_step,
        layer): its standard deviation if the score told nothing. `left`, likewise: the units that are sorted.
    """
    followed = dataset.isel(unit=dataset["history_unit"].values.astype(int))
    onset, died, back = (
        followed[name].transpose("seed", "layer", "unit").values.astype(float)
        for name in ("death_onset", "death_count", "revival_count")
    )
    scores = [of(dataset).transpose("seed", "history_step", "layer", "history_unit").values for of in SCORES.values()]
    tokens = dataset["history_tokens"].values.astype(float)
    left = ~(onset[:, None] <= tokens[:, None, None])  # (seed, history_step, layer, unit); never dead: missing
    area, error = np.full((len(scores), *left.shape[:3]), np.nan), np.full(left.shape[:3], np.nan)
    for place in np.ndindex(left.shape[:3]):
        seed, _, layer = place
        dead = (died > back)[seed, layer][left[place]]
        fates = int(dead.sum()), int((~dead).sum())
        if min(fates) < LEAST:
            continue
        error[place] = np.sqrt((sum(fates) + 1) / (12 * fates[0] * fates[1]))
        for n, score in enumerate(scores):
            area[n, *place] = _area(score[place][left[place]].astype(float), dead)
    by = ("seed", "history_step", "layer")
    coords = {name: dataset[name] for name in (*by, "history_tokens")} | {"score": list(SCORES)}
    return xr.Dataset(
        {"area": (("score", *by), area), "left": (by, left.sum(-1)), "error": (by, error)}, coords, dataset.attrs
    )


def _area(scores: np.ndarray, dead: np.ndarray) -> float:
    return (cliffs_delta(scores[~dead], scores[dead]) + 1) / 2


def at(found: xr.Dataset, share: float) -> xr.Dataset:
    """`areas` at the measurement nearest to a share of the training's tokens."""
    tokens = found["history_tokens"].values.astype(float)
    return found.isel(history_step=int(np.abs(tokens - share * tokens[-1]).argmin()))


def before(found: xr.Dataset) -> tuple[float, float, float]:
    """Least and largest area before training, percent, means of the seeds, and the most standard errors off 50 %."""
    start = at(found, 0.0)
    known = start["error"].notnull().sum("seed")  # a seed may have too few units of one fate
    error = (start["error"] ** 2).sum("seed") ** 0.5 / known.where(known > 0)
    area = start["area"].mean("seed")
    return 100 * float(area.min()), 100 * float(area.max()), float((abs(area - 0.5) / error).max())
