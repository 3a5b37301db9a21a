"""Chapter 12: what the theorem's gradient comes to over whole runs, beside how far pre-activations really move.

Theorem 3.1 of Li et al. (2022, arXiv 2210.06313) is about the first step (see `theory`). Here networks of two layers
train by it and after it (see `two_layer_runs`), each in arms that keep what the theorem asks for, or break it, at the
first step or at every one. Does sparsity reverse where the sign of the gradient does?

Written before the runs (2026-11-30): `EXPECTED` and `CHANCES`. Known were two other seeds of 30 steps, with 128 and
with 256 samples, labels drawn anew by another generator. There the mean pre-activation rose in all arms but two:
labels drawn anew, and random labels with a frozen V, by gradient descent. The share of positive entries moved by less
than 1.5 points on normal samples, and rose by 1 to 19 on digits.
"""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from ..checks import plain, shown
from ..checks import seeds as checked
from ..errors import UserError
from ..scales import pictures
from ..store import results
from ..theory import TwoLayers
from . import first_gradient, forked, shared
from .first_gradient import COMMON, OWN, RANDOM, SHIFTED, SQUARED
from .two_layer_runs import INPUTS, MEASURED, Arm, train

DATE = "2026-11-30"
RAN = "2026-11-30"
"""The day of the runs."""

SEEDS = range(2, 22)
"""Those that nobody had seen."""

OPTIMIZERS = ("SGD", "Adam")

ANEW, FROZEN, OWN_ANEW, OWN_FROZEN = (
    "random labels, anew at each step",
    "random labels, frozen V",
    "own labels, anew at each step",
    "own labels, frozen V",
)
DIGITS, DIGITS_RANDOM, DIGITS_OWN = "digits", "digits, random labels", "digits, own labels"
ARMS = {
    RANDOM: (RANDOM, Arm()),
    ANEW: (RANDOM, Arm(anew=True)),
    FROZEN: (RANDOM, Arm(frozen=True)),
    COMMON: (COMMON, Arm()),
    OWN: (OWN, Arm()),
    OWN_ANEW: (OWN, Arm(anew=True)),
    OWN_FROZEN: (OWN, Arm(frozen=True)),
    SQUARED: (SQUARED, Arm()),
    SHIFTED: (SHIFTED, Arm()),
    DIGITS: (RANDOM, Arm(digits=True)),
    DIGITS_RANDOM: (RANDOM, Arm(digits=True, shuffled=True)),
    DIGITS_OWN: (OWN, Arm(digits=True)),
}
"""Name → the arm of `first_gradient` whose network, loss and labels it has, and what else it changes."""

UNITS_OF = MEASURED | {
    "arm": ("1", "what the network trains on"),
    "optimizer": ("1", "how it trains"),
    "seed": ("1", "random seed of network, samples and labels"),
    "step": ("1", "training steps done"),
}


RECORDED = (("laptop", "default"),)
"""Shapes whose dataset is committed; of these networks, the shape says how many seeds there are, and steps."""


SHORT: dict[str, dict[str, Any]] = {"smoke": {"seeds": range(2), "steps": 20}}
"""Shape → what it changes of `measure`."""

config = shared.without_runs


def run(config: shared.Config) -> xr.Dataset:
    """See `measure`."""
    given = SHORT.get(config.scale, {})
    return shared.cached(
        "preactivation_drift", config, (), __name__, lambda: measure(**given).assign_attrs(scale=config.scale)
    )


def measure(
    seeds: Iterable[int] = SEEDS,
    steps: int = 300,
    classes: int = 10,
    units: int = 64,
    samples: int = 128,
    std: float = 0.02,
) -> xr.Dataset:
    """What each arm comes to: variables `MEASURED` by (arm, optimizer, seed, step); half a minute on two cores.

    Parameters
    ----------
    steps
        Of training, each on all samples; they are told at 0 to 10, and then at every tenth.
    classes, units, samples, std
        K; hidden units; samples of a seed; standard deviation of V's entries: see `TwoLayers`. Digits have 10 classes.

    Raises
    ------
    UserError
        For fewer than two seeds or the same twice, fewer than ten steps, other classes than the digits', a network
        that cannot be, a run that diverges, or digits that were not fetched.
    """
    begun, drawn = monotonic(), checked(seeds)
    if not isinstance(steps, int) or steps < 10:
        raise UserError(f"steps = {shown(steps)}: expected a whole number from 10.")
    if classes != pictures("digits").corpus.classes:
        raise UserError(f"classes = {shown(classes)}: expected the 10 of the digits, which some arms train on.")
    fields = first_gradient.arms(units)
    size: dict[str, Any] = {"classes": classes, "units": units, "samples": samples, "std": std, "inputs": INPUTS}
    networks = {name: TwoLayers(**size, **fields[like]) for name, (like, _) in ARMS.items()}
    told = [*range(10), *range(10, steps, 10), steps]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one run waits for a second thread longer than it computes; two runs side by side do not
    try:
        with ThreadPoolExecutor(threads) as pool:
            made = pool.map(
                lambda of: train(networks[of[0]], ARMS[of[0]][1], of[1], drawn, told, of[0]), product(ARMS, OPTIMIZERS)
            )
            found = np.array(list(made)).reshape(len(ARMS), len(OPTIMIZERS), len(MEASURED), len(drawn), len(told))
    finally:
        torch.set_num_threads(threads)
    dims = ("arm", "optimizer", "seed", "step")
    values: dict[str, Any] = {name: (dims, found[:, :, at]) for at, name in enumerate(MEASURED)}
    coordinates = {"arm": list(ARMS), "optimizer": list(OPTIMIZERS), "seed": list(drawn), "step": told}
    values |= {name: ((name,), given) for name, given in coordinates.items()}
    facts = {
        "config": {name: plain(network) for name, network in networks.items()} | {"steps": steps},
        "environment": results.environment(),
        "runs": [],
        "wall_seconds": [monotonic() - begun],
    }
    return results.described(values, UNITS_OF).assign_attrs(provenance=json.dumps(facts, sort_keys=True))


def change(dataset: xr.Dataset) -> xr.DataArray:
    """Percentage points by which the share of positive entries changes over the run: (arm, optimizer, seed)."""
    share = dataset["positive"].transpose("arm", "optimizer", "seed", "step").astype(float)
    return 100 * (share.isel(step=-1, drop=True) - share.isel(step=0, drop=True))


def ends(dataset: xr.Dataset) -> pd.DataFrame:
    """A row per arm and optimiser, means over the seeds.

    Columns: `start` and `end`, percent of the entries that are positive; `rises in`, in how many seeds; `loss` at the
    end; in units of p, from step 0 to the end, `moved` and its parts, `by weights`, `by bias`, and `by the theorem`.
    """
    last = dataset.isel(step=-1).mean("seed")
    share = 100 * dataset["positive"].isel(step=[0, -1]).mean("seed")
    columns = {
        "start": share.isel(step=0, drop=True),
        "end": share.isel(step=1, drop=True),
        "rises in": (change(dataset) > 0).sum("seed"),
        "loss": last["loss"],
        "moved": last["moved"],
        "by weights": last["moved_by_weights"],
        "by bias": last["moved_by_bias"],
        "by the theorem": last["theorem_moved"],
    }
    made = {name: of.transpose("arm", "optimizer").to_series() for name, of in columns.items()}
    return pd.DataFrame(made)


EXPECTED = {
    RANDOM: ((-3, 3), (-5, 4)),
    ANEW: ((-1, 0), (-8, -1)),
    FROZEN: ((-1, 0.5), (-3, 3)),
    COMMON: ((-3, 3), (-5, 4)),
    OWN: ((0, 3), (0, 5)),
    OWN_ANEW: ((0.5, 3), (0.5, 4)),
    OWN_FROZEN: ((0.5, 5), (0.5, 8)),
    SQUARED: ((-3, 1), (-5, 3)),
    SHIFTED: ((0.3, 4), (1, 7)),
    DIGITS: ((3, 20), (5, 30)),
    DIGITS_RANDOM: ((1, 15), (3, 30)),
    DIGITS_OWN: ((2, 12), (5, 30)),
}
"""Arm → intervals of `change`, mean of the seeds, by SGD and by Adam."""

CHANCES = {
    "random labels: the share of positive entries falls": 0.12,
    "random labels, anew at each step: it falls": 0.7,
    "own labels: it rises": 0.55,
    "own labels, anew at each step: it rises": 0.75,
    "own labels, frozen V: it rises": 0.8,
    "squared error: it falls": 0.25,
    "squared error, V and targets with a mean: it rises": 0.8,
    "digits: it falls": 0.1,
    "random labels: the mean gradient is below 0 after 10 steps": 0.9,
    "random labels: the theorem moves the mean down, the runs up": 0.7,
    "random labels, anew at each step: the theorem moves the mean by 50 to 150 % of what it moves": 0.45,
}
"""Sentence → the chance written for it. Each is asked of both optimisers; those on a share, of 18 of 20 seeds."""


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs, a row per arm and optimiser."""
    came, rows = change(dataset).mean("seed"), []
    for arm, intervals in EXPECTED.items():
        for optimizer, (low, high) in zip(OPTIMIZERS, intervals, strict=True):
            value = float(came.sel(arm=arm, optimizer=optimizer))
            rows.append((arm, optimizer, f"{low:g} to {high:g}", round(value, 2), bool(low <= value <= high)))
    return pd.DataFrame(rows, columns=["arm", "optimizer", "written before", "came", "holds"])


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs."""
    points, seeds, mean = change(dataset), dataset.sizes["seed"], dataset.mean("seed")
    last = mean.isel(step=-1)

    def share(arm: str, sign: int) -> tuple[str, bool]:
        counts = (sign * points.sel(arm=arm) > 0).sum("seed").values.tolist()
        return f"in {' and '.join(map(str, counts))} of {seeds}", min(counts) >= 0.9 * seeds

    def both(values: xr.DataArray, low: float, high: float) -> tuple[str, bool]:
        numbers = values.values.astype(float)
        return " and ".join(f"{each:.3g}" for each in numbers), bool(((low < numbers) & (numbers < high)).all())

    gradient = mean["gradient"].sel(arm=RANDOM, step=10)
    up, down = (last[name].sel(arm=RANDOM) for name in ("moved", "theorem_moved"))
    ratio = 100 * last["theorem_moved"].sel(arm=ANEW) / last["moved"].sel(arm=ANEW)
    opposite = both(down / up, -np.inf, 0)
    came = [
        share(RANDOM, -1),
        share(ANEW, -1),
        share(OWN, 1),
        share(OWN_ANEW, 1),
        share(OWN_FROZEN, 1),
        share(SQUARED, -1),
        share(SHIFTED, 1),
        share(DIGITS, -1),
        both(gradient, -np.inf, 0),
        (opposite[0], opposite[1] and bool((up > 0).all())),
        both(ratio, 50, 150),
    ]
    return forked.said(CHANCES, came)
