"""Chapter 09: whether outliers kill units: rare large gradients added or left out, and how a dying unit falls.

The source says that death is not "simply occurring randomly or accidentally as a result of outliers". Row 11b of the
ledger asks three things, the second of which `attribution` trains:

- **(a)** the positive control: ten-fold gradients in 1 % of the batches, of all parameters, without clipping, raise
  deaths by 25 % or more. If they do not, outliers as large as these kill nobody under this optimiser, and the row is
  not testable. The fork and its twin both clip nothing; the state that they begin with was clipped up to there.
- **(b)** winsorised updates, 90 % interval of the ratio of deaths: `attribution.equivalent`.
- **(c)** of a dying unit's falls, 5 % or less lie in its largest 1 % of steps. A fall is what a step's data-driven
  update of the unit's input weights and bias takes, to first order, off the 99.9th percentile of its pre-activation on
  the first held-out set; see `counting.falls`. Steps are those from the fork to the unit's last firing.

Besides, the same text is replayed with and without the hundredth of its batches that had the largest gradients in the
parent, each in proportion to the median of its hundred; and without as many drawn ones. A batch left out is read, and
moves nothing.

Base *first* at Mid, five seeds, forks at 25 % of training to the parent's end, all layers; all are watched. A unit
lived at the fork, or died, as `forked` has it.

Choices that the row leaves open: (a) is asked of the mean over the seeds of the ratio of deaths in all layers; (c) of
the median dying unit of all layers, which must have 5 % or less in every seed. A unit without a firing since the fork
has no steps, and one that never fell has no share. Changes of one size would put 1 % of the falls there, and normal
ones around zero 6.7 %.

Written before the runs (2026-11-30), with no such fork seen but in tests: `EXPECTED` and `CHANCES`. Adam divides a
gradient by what the last fifty or so squared ones give, so that a ten-fold one lengthens a few steps, to two or three
times, and shortens the fifty after: we do not expect the positive control to kill.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..claims import Verdict
from ..claims.statistics import student
from . import every, forked, shared

DATE = "2026-11-30"
RAN = "2026-11-30"
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed once it ran."""

POINT = "25 %"
UNTREATED, UNCLIPPED, TENFOLD = "untreated", "not clipped", "not clipped, ten-fold gradients in 1 % of batches"
LARGEST, DRAWN = "without the batches with the largest gradients", "without as many drawn batches"

_WATCHED: dict[str, Any] = {"control.kind": "watch", "control.follow_falls": True}
_CHANGES: dict[str, dict[str, Any]] = {
    UNCLIPPED: {"fork.clip": 0.0},
    TENFOLD: {"fork.clip": 0.0, "control.outliers.share": 0.01},
    UNTREATED: {},
    LARGEST: {"fork.leave_out": "largest"},
    DRAWN: {"fork.leave_out": "drawn"},
}
ARMS = {arm: (POINT, _WATCHED | fields) for arm, fields in _CHANGES.items()}

TWINS = {TENFOLD: UNCLIPPED, UNCLIPPED: UNTREATED, LARGEST: UNTREATED, DRAWN: UNTREATED}
"""Arm → the one that it is compared with."""

EXPECTED: dict[str, tuple[float, float]] = {
    TENFOLD: (0.8, 1.2),
    UNCLIPPED: (0.9, 1.1),
    LARGEST: (0.93, 1.07),
    DRAWN: (0.93, 1.07),
}
"""Arm → interval of its deaths in those of its twin, all layers, mean of the seeds."""

CHANCES = {
    "row 11b (a): ten-fold gradients in 1 % of batches raise deaths by a quarter or more": 0.12,
    "row 11b (c): of the median dying unit, 5 % of the falls or less lie in the largest 1 % of steps": 0.1,
    "without the batches with the largest gradients, deaths change by less than a tenth": 0.9,
    "without those batches fewer die than without as many drawn ones": 0.55,
    "without clipping, deaths change by less than a tenth": 0.75,
    "the largest 1 % of steps make more of the falls of those that die than of those that live": 0.7,
    "ten-fold gradients make that largest 1 % more of the falls of those that die": 0.85,
}
"""Sentence → the chance written for it; see `sentences`."""

RAISED = 1.25
"""Deaths with ten-fold gradients, in those without, from which on outliers can kill."""
FEW = 5
"""Percent of a unit's falls that may lie in the largest 1 % of its steps."""


def config(scale: str) -> shared.Config:
    """All forks of every seed at a shape, seed by seed."""
    return forked.config(scale, ARMS)


def run(config: shared.Config) -> xr.Dataset:
    """Deaths, paths and shares of falls by (arm, seed, layer, …), trained where they do not exist."""
    return forked.made("outliers", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """The dataset of the forks there are, in the order of `config.runs`; None was not run, its values are missing."""
    return forked.assemble(config, runs, ARMS, measured)


def measured(fork: xr.Dataset) -> forked.Kept:
    """What is kept of a fork, by name: dimensions, values, unit and description."""
    alive, dead = forked.lived(fork), forked.dead_at_the_end(fork)
    falls, largest, path = (
        fork[name].astype(float).transpose("layer", "unit").values for name in ("falls", "largest_falls", "path_length")
    )
    share = 100 * largest / np.where(falls > 0, falls, np.nan)
    percent = np.ceil(np.nan_to_num(share, nan=1)).clip(1, 100).astype(int) - 1
    kinds = (dead.astype(int), 2), (percent, 100)
    return {
        "lived": (("layer",), alive.sum(1), "units", "units that lived at the fork"),
        "died": (("layer",), (alive & dead).sum(1), "units", "of these, units that are dead at the end"),
        "falls_in_largest": (
            ("layer", "dead", "share"),
            forked.counted(alive & np.isfinite(share), *kinds),
            "units",
            "of these, units by the share of their falls that lies in the largest 1 % of their steps",
        ),
        "path_length": (("layer",), path.sum(1), "1", "length of the units' data-driven updates, added up"),
    }


def ratio(dataset: xr.Dataset, arm: str) -> np.ndarray:
    """Deaths in those of the twin, all layers, by seed; NaN where none died there, or a fork has no end."""
    of, twin = (dataset["died"].sel(arm=each).sum("layer", skipna=False).values for each in (arm, TWINS[arm]))
    return of / np.where(twin > 0, twin, np.nan)


def median(dataset: xr.Dataset, arm: str, dead: bool) -> np.ndarray:
    """Median share (percent, rounded up) of the falls in the largest 1 % of steps, all layers, by seed.

    Parameters
    ----------
    dead
        Over the units that died, or those that live on; NaN where there is none, or the fork has no end.
    """
    counts = dataset["falls_in_largest"].sel(arm=arm, dead=dead).sum("layer", skipna=False)
    total = counts.sum("share", skipna=False)
    places = (counts.cumsum("share") >= total / 2).argmax("share")
    return dataset["share"][places].where(total > 0).values.astype(float)


def raised(dataset: xr.Dataset) -> tuple[str, bool | None]:
    """Row 11b (a): what came, and whether outliers can kill; None where a seed is missing."""
    values = ratio(dataset, TENFOLD)
    if not _whole(values):
        return "", None
    mean, (low, high) = float(values.mean()), student(values)
    return f"{mean:.2f} ({low:.2f} to {high:.2f})", mean >= RAISED


def gradual(dataset: xr.Dataset) -> tuple[str, bool | None]:
    """Row 11b (c): what came, and whether the dying fall in many steps; see `every.in_every`."""
    values = pd.Series(median(dataset, UNTREATED, True)).reindex(range(forked.SEEDS))
    came, holds = every.in_every(values, values <= FEW, "{:.0f} to {:.0f} %")
    return came if holds is not None else "", holds


def row_11b(dataset: xr.Dataset, winsorised: tuple[float, float]) -> tuple[Verdict, pd.DataFrame]:
    """The row's word and its three parts: what came, and whether each holds (None: not known).

    Parameters
    ----------
    winsorised
        The interval of part (b), `attribution.equivalent`; NaN where it is not known.

    Returns
    -------
    verdict
        Not testable where (a) fails, whatever the others; else of (b) and (c) together.
    """
    low, high = winsorised
    known = low == low and high == high
    b = (f"{low:.2f} to {high:.2f}", low >= 0.9 and high <= 1.1) if known else ("", None)
    parts = {"(a) outliers can kill": raised(dataset), "(b) capped updates": b, "(c) falls": gradual(dataset)}
    table = pd.DataFrame(list(parts.values()), columns=["came", "holds"], index=list(parts))
    a, *others = (holds for _, holds in parts.values())
    if a is False:
        return Verdict.NOT_TESTABLE, table
    if a is None or (None in others and False not in others):
        return Verdict.NOT_YET_TESTED, table
    return Verdict.REPRODUCED if all(others) else Verdict.NOT_REPRODUCED, table


def _whole(values: np.ndarray) -> bool:
    """Whether all seeds that the rule asks for are known."""
    return len(values) == forked.SEEDS and bool(np.isfinite(values).all())


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; an arm without an end in every seed is neither right nor wrong."""
    rows = []
    for arm, (low, high) in EXPECTED.items():
        came = float(ratio(dataset, arm).mean())
        rows.append((arm, f"{low:g} to {high:g}", round(came, 2), None if came != came else low <= came <= high))
    return pd.DataFrame(rows, columns=["arm", "written before", "came", "holds"])


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a seed of what they read is missing, unless one known is against it."""
    clipless, largest, drawn = (float(ratio(dataset, arm).mean()) for arm in (UNCLIPPED, LARGEST, DRAWN))
    dying, living, tenfold, twin = (
        float(median(dataset, arm, dead).mean())
        for arm, dead in ((UNTREATED, True), (UNTREATED, False), (TENFOLD, True), (UNCLIPPED, True))
    )
    came = [
        raised(dataset),
        gradual(dataset),
        (f"{largest:.2f}", forked.larger(0.1, abs(largest - 1))),
        (f"{largest:.2f} and {drawn:.2f}", forked.larger(drawn, largest)),
        (f"{clipless:.2f}", forked.larger(0.1, abs(clipless - 1))),
        (f"{dying:.1f} and {living:.1f} %", forked.larger(dying, living)),
        (f"{tenfold:.1f} and {twin:.1f} %", forked.larger(tenfold, twin)),
    ]
    return forked.said(CHANCES, came)
