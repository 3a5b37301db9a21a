"""Chapter 09: what moves a unit to its death: its own input weights, its own bias, or what it reads.

A unit's pre-activation is its input weights times the MLP's input, plus its bias. From a quarter of the training on to
its end, each of the three is **frozen** or not, in all units of layer 2: a design of 2 × 2 × 2, five seeds of *first*
at Mid. Upstream is all that layer 2's MLP input is computed with; see `sealing`, which asks of 2,000 steps what
freezing it does to revivals. What is frozen has no optimiser: no update, no decay, and no moments that anybody reads;
its gradient is still computed, and counts in the norm that clipping looks at. All else trains as always.

With all three frozen, layer 2's units fire as at the fork, token by token. Whoever dies or comes back there does so by
chance of the text: the **floor**, which stands for two disjoint probes of one unit. Who lived at the fork, died, and
came back is said in `forked`.

The three act together, so that their parts depend on which of them move already. We give each **part** as its Shapley
value: what its moving adds to the deaths, or the revivals, mean over the six orders in which the three begin to move.
The parts add up to all beyond the floor. Besides: what it adds where it moves alone, and where it moves last.

Freezing a whole layer changes what the rest of the network learns, and with upstream frozen the output layer stands
still too, tied to the embeddings. So a part is that of a stretch of training in which this stood still, no more; what
decay and what the data do to the own weights is not parted here: see `attribution`.

Written before the runs (2026-11-30), with no such fork seen but in tests: `EXPECTED` and `CHANCES`.
"""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..claims.statistics import half_width
from . import forked, shared

DATE = "2026-11-30"
RAN = ""
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed once it ran."""

POINT, LAYER = "25 %", 2
"""Where forks begin, and the layer whose units are asked about."""

PARTS = {"weights": "freeze_input_weights", "biases": "freeze_input_biases", "upstream": "freeze_before"}
"""What a pre-activation is made of → the field of a fork that freezes it."""


def named(*frozen: str) -> str:
    """Name of an arm, by what is frozen, in the order of `PARTS`.

    Examples
    --------
    >>> named(), named("weights", "upstream"), named(*PARTS)
    ('all free', 'weights, upstream frozen', 'weights, biases, upstream frozen')
    """
    return f"{', '.join(frozen)} frozen" if frozen else "all free"


ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    named(*frozen): (POINT, {f"fork.{PARTS[part]}": LAYER for part in frozen})
    for count in range(4)
    for frozen in combinations(PARTS, count)
}
FREE, STILL = named(), named(*PARTS)

EXPECTED: dict[str, tuple[float, float]] = {
    named("weights"): (0.1, 0.8),
    named("biases"): (-0.2, 0.5),
    named("upstream"): (-0.1, 0.6),
    named("weights", "biases"): (0.2, 0.9),
    named("weights", "upstream"): (0.4, 0.95),
    named("biases", "upstream"): (0.0, 0.7),
    STILL: (0.85, 1.0),
}
"""Arm → interval of the share of layer 2's deaths that it takes away, mean of the seeds."""

CHANCES = {
    "with weights, biases and upstream frozen, a tenth of the deaths or less is left": 0.75,
    "of the deaths beyond the floor, the own weights have the largest part": 0.6,
    "of the deaths beyond the floor, upstream has a larger part than the biases": 0.6,
    "fewer die where upstream alone moves than where own weights and biases move": 0.7,
    "of the revivals beyond the floor, upstream has more than half": 0.8,
}
"""Sentence → the chance written for it; see `sentences`."""

LEAST = 100
"""Deaths, or revivals, beyond the floor in a seed from which on they are parted."""


def config(scale: str) -> shared.Config:
    """All forks of every seed at a shape, seed by seed."""
    return forked.config(scale, ARMS)


def run(config: shared.Config) -> xr.Dataset:
    """Living, dead and revived units by (arm, seed, layer), trained where they do not exist."""
    return forked.made("freezes", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """The dataset of the forks there are, in the order of `config.runs`; None was not run, its values are missing."""
    return forked.assemble(config, runs, ARMS, measured)


def measured(fork: xr.Dataset) -> forked.Kept:
    """What is kept of a fork, by name: dimensions, values, unit and description."""
    alive, dead = forked.lived(fork), forked.dead_at_the_end(fork)
    return {
        "lived": (("layer",), alive.sum(1), "units", "units that lived at the fork"),
        "died": (("layer",), (alive & dead).sum(1), "units", "of these, units that are dead at the end"),
        "dead_at_fork": (("layer",), (~alive).sum(1), "units", "units that are dead at the fork"),
        "came_back": (("layer",), forked.came_back(fork).sum(1), "units", "of these, units that fired since"),
    }


def removed(dataset: xr.Dataset) -> xr.DataArray:
    """Share of layer 2's deaths that an arm takes away, (arm, seed); NaN where none dies with all free."""
    died = dataset["died"].sel(layer=LAYER)
    free = died.sel(arm=FREE, drop=True)
    return 1 - died / free.where(free > 0)


def by_seed(dataset: xr.Dataset, what: str = "died") -> pd.DataFrame:
    """Each part of layer 2's deaths or revivals, percent of those beyond the floor: rows seeds, columns `PARTS`.

    NaN where fewer than `LEAST` are beyond the floor, or a fork has no end.

    Parameters
    ----------
    what
        "died", or "came_back".
    """
    return sum(_moving(dataset, what, order) for order in permutations(PARTS)) / 6


def _moving(dataset: xr.Dataset, what: str, order: Sequence[str]) -> pd.DataFrame:
    """What each of `PARTS` adds as they begin to move in this order, percent of all that is beyond the floor."""
    counts = dataset[what].sel(layer=LAYER)
    path = [counts.sel(arm=named(*(each for each in PARTS if each not in order[:n]))).values for n in range(4)]
    beyond = np.where(path[3] - path[0] >= LEAST, path[3] - path[0], np.nan)
    added = {part: 100 * (path[n + 1] - path[n]) / beyond for n, part in enumerate(order)}
    return pd.DataFrame(added, index=pd.Index(dataset["seed"].values, name="seed"))[list(PARTS)]


def parts(dataset: xr.Dataset, what: str = "died") -> pd.DataFrame:
    """`by_seed` in a row a part: mean over the seeds that are known, Student's interval (95 %), alone, and last."""
    each, rows = by_seed(dataset, what).dropna(), []
    for part in PARTS:
        others = [name for name in PARTS if name != part]
        alone, last = (_moving(dataset, what, order)[part] for order in ((part, *others), (*others, part)))
        mean = float(each[part].mean())
        half = half_width(each[part])
        rows.append((part, mean, mean - half, mean + half, float(alone.mean()), float(last.mean())))
    columns = ["part", "mean, %", "low", "high", "where it moves alone, %", "where it moves last, %"]
    return pd.DataFrame(rows, columns=columns).set_index("part")


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; an arm without an end in every seed is neither right nor wrong."""
    fraction, rows = removed(dataset).mean("seed", skipna=False), []
    for arm, (low, high) in EXPECTED.items():
        came = float(fraction.sel(arm=arm))
        rows.append((arm, f"{low:g} to {high:g}", round(came, 2), None if came != came else low <= came <= high))
    return pd.DataFrame(rows, columns=["arm", "written before", "came", "holds"])


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a seed of what they read is missing, or has too few to part."""
    died = dataset["died"].sel(layer=LAYER).mean("seed", skipna=False)
    own, upstream = (float(died.sel(arm=named(*frozen))) for frozen in (["upstream"], ["weights", "biases"]))
    left = 1 - float(removed(dataset).sel(arm=STILL).mean("seed", skipna=False))
    of_deaths, of_revivals = (by_seed(dataset, what).mean(skipna=False) for what in ("died", "came_back"))
    weights, biases, reads = of_deaths
    came = [
        (f"{100 * left:.0f} %", None if left != left else left <= 0.1),
        (f"{weights:.0f} % of {weights:.0f}, {biases:.0f}, {reads:.0f}", forked.larger(weights, max(biases, reads))),
        (f"{reads:.0f} and {biases:.0f} %", forked.larger(reads, biases)),
        (f"{upstream:.0f} and {own:.0f} deaths", forked.larger(own, upstream)),
        (f"{of_revivals['upstream']:.0f} %", forked.larger(of_revivals["upstream"], 50)),
    ]
    return forked.said(CHANCES, came)
