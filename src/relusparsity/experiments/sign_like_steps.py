"""Chapter 07: whether a common direction empties a layer only where steps are sign-like: SGD and Adafactor on layer 1.

`dissociation` takes the common direction out of a layer, or puts one in, under AdamW, whose step has about the same
length for every weight, however small its gradient. Adafactor's has too; SGD's is the gradient, so that a unit that
fires seldom moves little. Here layer 1 is treated under both, by the recipe *first* at Mid, three seeds beside
untreated twins of the same optimizer. Rate times decay is the recipe's, 6e-4 a step at the peak, so that decay alone
empties no more than there. Adafactor's rate of 0.04 moves a matrix by as much of itself as AdamW does here (6e-4 over
Xavier's 0.015); SGD's, 0.3 with a momentum of 0.9, is a guess: with a loss above `LEARNS` its twin has learned too
little to count.

Written before the runs (2026-11-29): `EXPECTED`, and `CHANCES` of the rule that `judge` reads. Known were the three
arms of `dissociation` that one seed had then under AdamW: centring filled layer 1, 37 to 94 %; the placebo, which moves
nothing common, filled it too, to 79 %. No run of ours had used SGD at Mid, and none Adafactor; one pilot run with
Adafactor emptied no layer.

What came (18 runs, two at a time on a GPU): by `judge` it holds under SGD and fails under Adafactor, and neither says
what we asked. Under SGD no layer empties untreated, so that centring has nothing to spare; the vector takes layer 1 to
7 % all the same. Under Adafactor the running mean did not follow: γ of the centred layer is 0.69 at the end, untreated
0.89 (under AdamW 0.22 and 1.30), so that it was not centred. Half of the intervals hold: losses under SGD are better
than we wrote, and the vector empties layer 1 further.
"""

from itertools import product
from typing import Any

import pandas as pd
import xarray as xr

from . import arms, shared
from .arms import Expected

DATE = "2026-11-29"
RAN = "2026-11-29"
"""The day on which the runs ended."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed once it ran."""

LEARNS = 6.0
"""Final loss (nats per token) that a twin must stay under to count."""

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "Adafactor": {"train.optimizer": "adafactor", "train.lr": 0.04, "train.weight_decay": 0.015},
    "SGD": {"train.optimizer": "sgd", "train.lr": 0.3, "train.weight_decay": 0.002},
}

TREATMENTS: dict[str, dict[str, Any]] = {
    "untreated": {},
    "centre": {"intervention.kind": "centre", "intervention.layer": 1},
    "add 2": {"intervention.kind": "add", "intervention.layer": 1, "intervention.strength": 2.0},
}
"""Of layer 1, as in `dissociation`; the added vector is one and the same in all seeds."""

ARMS = {
    f"{optimizer}, {treatment}": fields | treated
    for (optimizer, fields), (treatment, treated) in product(OPTIMIZERS.items(), TREATMENTS.items())
}

EXPECTED = {
    "Adafactor, untreated": Expected(
        {1: 0.42, 2: 0.38, 0: 0.1}, {"U_1": (10, 85), "loss": (4.35, 5.0), "γ_1": (0.7, 1.3)}
    ),
    "Adafactor, centre": Expected({2: 0.7, 0: 0.12, 3: 0.1}, {"U_1": (82, 100), "loss": (4.35, 5.0)}),
    "Adafactor, add 2": Expected({1: 0.75, 2: 0.17}, {"U_1": (1, 60), "loss": (4.35, 5.1)}),
    "SGD, untreated": Expected({1: 0.25, 0: 0.25, 2: 0.2}, {"U_1": (97, 100), "loss": (5.0, 6.6), "γ_1": (0.3, 2.0)}),
    "SGD, centre": Expected({2: 0.25, 0: 0.25, 1: 0.15}, {"U_1": (98, 100), "loss": (5.0, 6.6)}),
    "SGD, add 2": Expected({1: 0.6, 0: 0.12, 2: 0.1}, {"U_1": (70, 100), "loss": (5.0, 6.6)}),
}
"""Arm → forecast of each of its three runs."""

CHANCES = {"Adafactor": 0.6, "SGD": 0.12}
"""Optimizer → the chance written for it that the common direction decides there what layer 1 keeps; see `judge`."""


def config(scale: str) -> shared.Config:
    """All arms of every seed at a shape, seed by seed."""
    return arms.config(scale, ARMS)


def run(config: shared.Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), trained where it does not exist."""
    return arms.run("sign_like_steps", config, ARMS, __name__)


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; see `arms.predicted`."""
    return arms.predicted(dataset, EXPECTED)


def judge(dataset: xr.Dataset) -> pd.DataFrame:
    """Whether under an optimizer the common direction decides what layer 1 keeps: a row per optimizer.

    It does if in every seed layer 1 keeps at least 90 % where it is centred, and less than half where the vector is
    added. None where a run has no end yet, or a twin ends at a loss above `LEARNS`.
    """
    table, rows = arms.ends(dataset), []
    for optimizer, chance in CHANCES.items():
        twin, centred, added = (table.loc[f"{optimizer}, {treatment}"] for treatment in TREATMENTS)
        holds: bool | None = bool((centred["U_1"] >= 90).all() and (added["U_1"] < 50).all())
        if pd.concat([twin, centred, added])["loss"].isna().any() or (twin["loss"] > LEARNS).any():
            holds = None
        uses = {
            name: part["U_1"].round(1).tolist() for name, part in zip(TREATMENTS, (twin, centred, added), strict=True)
        }
        rows.append((optimizer, *uses.values(), chance, holds))
    return pd.DataFrame(rows, columns=["optimizer", *TREATMENTS, "chance", "holds"])
