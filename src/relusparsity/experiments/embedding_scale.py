"""Chapter 07: what the scale of the embeddings is, that moves the layer that empties.

In the factorial, embeddings of std 1 in place of 0.02 move the emptiest layer from 1 or 2 to 2 or 3, and γ of layer 0
from 0.6 to 0.3. That one number is three: how large the embedding is beside what the blocks add to the stream (std);
by how much of itself a step moves it (relative speed: AdamW moves a weight by about the rate, so the rate over the std:
3 % at 0.02, 0.06 % at 1); and how large the learned positions are beside it (position scale: they begin at 0.02 either
way, which is 1 of the embeddings' std, or 0.02 of it). Here the three are crossed, at Mid by the recipe *first*: eight
arms, three seeds.

A rate of its own leaves the decay what it is, so that speed is speed alone; the tied output layer moves with the
embeddings, which it is. Positions keep their own relative speed,
3 % of their std a step, in all arms: else their scale would be gone within the warm-up where it is small. Where the
std is 1, logits are scaled by d_model^-0.5, as in the factorial.

Written before the runs (2026-11-29), with the factorial, the exploration and five seeds of *first* known. The arm that
is *first* itself is therefore no forecast but a check, and of its three runs one was recorded before. The others:
`EXPECTED`, an interval or a chance for every run, and `CONTRASTS`. Our reading is that the positions do it: a table
that is added to every token is a bias of the stream, and one that begins as large as the embeddings gives layer 0 a
common direction (γ_0), which one of 0.02 of it cannot.

What came (24 runs) is against it: the std moves γ_0 most (0.27 in the mean), positions by 0.06, and by 0.1 in one pair
of four, though larger positions do go with an emptier layer 1. Embeddings that move by 0.06 % a step end at losses of
5.3 to 5.9, beside 4.3 to 4.5: those runs have hardly learned, and with std 1 no layer of theirs is under 80 %.
"""

from itertools import product
from typing import Any

import pandas as pd
import xarray as xr

from ..scales import base
from . import arms, shared
from .arms import Expected

DATE = "2026-11-29"
RAN = "2026-11-29"
"""The day on which the runs were made."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed once it ran."""

STDS, SPEEDS, SCALES = (0.02, 1.0), (0.03, 0.0006), (1.0, 0.02)
"""Of the embeddings: standard deviation, share of it that a step moves at the peak rate; positions, in that std. The
first of each is the recipe's."""
LEVELS = (STDS, SPEEDS, SCALES)


def named(std: float, speed: float, scale: float) -> str:
    """Name of an arm."""
    return f"std {std:g}, speed {100 * speed:g} %, positions {scale:g}"


def changes(scale: str, std: float, speed: float, positions: float) -> dict[str, Any]:
    """What an arm changes of the recipe, as fields of a run of that shape."""
    run = base(scale, recipe=arms.FIRST)
    of_positions = positions * std
    fields: dict[str, Any] = {
        "model.embedding_std": std,
        "model.position_std": of_positions,
        "train.embedding_rate": round(speed * std / run.train.lr, 9),
        "train.position_rate": round(SPEEDS[0] * of_positions / run.train.lr, 9),
    }
    return fields | ({"model.logit_scale": run.model.d_model**-0.5} if std == 1 else {})


def cells(scale: str = "mid") -> dict[str, dict[str, Any]]:
    """Name of every arm → what it changes, *first* itself first."""
    return {named(*cell): changes(scale, *cell) for cell in product(*LEVELS)}


EXPECTED = {
    # five seeds of it are known: layer 1 or 2
    named(0.02, 0.03, 1): Expected({1: 0.5, 2: 0.48, 0: 0.01}, {"γ_0": (0.6, 0.8), "γ": (0.9, 1.1)}),
    named(0.02, 0.03, 0.02): Expected({2: 0.55, 1: 0.27, 3: 0.14}, {"γ_0": (0.35, 0.65), "γ": (0.75, 1.15)}),
    named(0.02, 0.0006, 1): Expected({1: 0.35, 0: 0.3, 2: 0.2, 3: 0.08}, {"γ_0": (0.6, 1.6), "γ": (0.8, 2.0)}),
    named(0.02, 0.0006, 0.02): Expected({2: 0.4, 1: 0.3, 3: 0.15, 0: 0.1}, {"γ_0": (0.3, 1.1), "γ": (0.7, 1.7)}),
    named(1.0, 0.03, 1): Expected({2: 0.38, 1: 0.33, 3: 0.15, 0: 0.09}, {"γ_0": (0.4, 0.9), "γ": (0.7, 1.3)}),
    named(1.0, 0.03, 0.02): Expected({2: 0.46, 3: 0.38, 1: 0.1}, {"γ_0": (0.25, 0.45), "γ": (0.65, 1.2)}),
    named(1.0, 0.0006, 1): Expected({2: 0.42, 1: 0.3, 3: 0.15, 0: 0.08}, {"γ_0": (0.4, 1.0), "γ": (0.6, 1.3)}),
    # at the rates 3e-4 (none empties) and 1e-3 (layer 2 in eight of eight runs) it is known
    named(1.0, 0.0006, 0.02): Expected({2: 0.8, 3: 0.12, 1: 0.03}, {"γ_0": (0.28, 0.42), "γ": (0.5, 1.1)}),
}
"""Arm → forecast of each of its three runs; γ at 12 M tokens, the largest of all layers where none is named."""

CONTRASTS = {
    "positions at 1, not 0.02, raise γ_0 by 0.1 or more in three of four pairs": 0.75,
    "positions at 1, not 0.02, move the emptiest layer towards layer 0, means over arms": 0.65,
    "std moves γ_0 by less than positions do, means over arms": 0.6,
    "speed moves γ_0 by less than positions do, means over arms": 0.5,
}
"""Sentence about the eight arms → the chance that was written for it before they ran."""


def config(scale: str) -> shared.Config:
    """All arms of every seed at a shape, seed by seed."""
    return arms.config(scale, cells(scale))


def run(config: shared.Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), trained where it does not exist."""
    return arms.run("embedding_scale", config, cells(config.scale), __name__)


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; see `arms.predicted`."""
    return arms.predicted(dataset, EXPECTED)


def moves(dataset: xr.Dataset) -> dict[str, list[pd.Series]]:
    """Factor → by how much the first of its levels moves γ_0 and the lowest layer from the other, pair by pair of arms.

    Means over the seeds there are; of an arm that has no end yet, missing.
    """
    means = arms.ends(dataset)[["γ_0", "lowest"]].groupby("arm").mean()
    by_factor: dict[str, list[pd.Series]] = {"std": [], "speed": [], "positions": []}
    for cell in product(*LEVELS):
        for at, factor in enumerate(by_factor):
            levels = LEVELS[at]
            if cell[at] == levels[0]:
                other = named(*(levels[1] if place == at else value for place, value in enumerate(cell)))
                by_factor[factor].append(means.loc[named(*cell)] - means.loc[other])
    return by_factor


def contrasts(dataset: xr.Dataset) -> pd.DataFrame:
    """`CONTRASTS` against the runs, means over the seeds; None: an arm that has no end yet."""
    by_factor = moves(dataset)
    gamma = {factor: [float(each["γ_0"]) for each in pairs] for factor, pairs in by_factor.items()}
    mean = {factor: sum(pairs) / len(pairs) for factor, pairs in gamma.items()}
    lower = sum(float(each["lowest"]) for each in by_factor["positions"]) / 4
    came = [
        (
            f"{sum(move >= 0.1 for move in gamma['positions'])} of 4",
            sum(move >= 0.1 for move in gamma["positions"]) >= 3,
        ),
        (f"by {lower:+.2f} layers", lower < 0),
        (f"{abs(mean['std']):.2f} and {abs(mean['positions']):.2f}", abs(mean["std"]) < abs(mean["positions"])),
        (f"{abs(mean['speed']):.3f} and {abs(mean['positions']):.3f}", abs(mean["speed"]) < abs(mean["positions"])),
    ]
    known = not any(move.isna().any() for pairs in by_factor.values() for move in pairs)
    return arms.said(CONTRASTS, came, known=known)
