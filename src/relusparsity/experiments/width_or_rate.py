"""Chapter 07: whether a wider layer empties through its width or through its parametrisation.

With Xavier matrices and 32,768 units on a stream of 512, the last layer ends at 65 % (`capacity`), with 8,192 at 96 %.
Xavier's weights shrink as a layer widens, so each step moves them by more of themselves; and as many more output
weights, each moved by the rate, move the stream by more. The two are taken apart: 8,192 and 32,768 units; MLP matrices
of Xavier's scale or of std 0.02; the output matrices' rate as it is, or divided by the width, in units of 2,048, four
times the stream (÷ 4 and ÷ 16). At Mid by the recipe *first*: eight arms, three seeds.

Written before the runs (2026-11-29): `EXPECTED`, and which layer the early wave hits, `EARLY`. Known were *first* at
both widths, though at 32,768 units its end alone, and one run of 32,768 units with all matrices normal of std 0.02
(`rate_or_units`). The early wave is what a layer has lost by `WAVE` tokens, just after the warm-up. In the runs whose
course is recorded, of 8,192 and 16,384 units with Xavier's scale, layer 5 has lost the most by then (5 to 18 %), and
each layer more than the one before it; with std 0.02, layer 5 of 32,768 units has lost 0.7 %.

Its candidate is rate over initial weight. That ratio is the same in all layers: it says how hard the wave hits, not
where. Our account of where: before γ tells layers apart, the gradient that moves a layer's units together is that of
the first thing learned, how often each token occurs, and it reaches the last layer straight from the logits, the others
through those above. So we say layer 5, in every arm; that Xavier's layer 5 has lost more at 32,768 units than at 8,192;
and that std 0.02 takes this away. For the slower output rate we have no account: it should do less than the scale.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from . import arms, shared
from .arms import Expected

DATE = "2026-11-29"
RAN = "2026-11-29"
"""The day of the last runs. So far 3 of 24: the others are missing, as of no run."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed once it ran."""

WAVE = 3_000_000
"""Training tokens at which the early wave is read: the nearest measurement; the warm-up ends at 2.5 M."""

WIDTHS, STDS, RATES = (8192, 32_768), ("Xavier", "0.02"), ("same", "÷ width")


def named(width: int, std: str, rate: str) -> str:
    """Name of an arm."""
    return f"{width:,} units, {std}, output rate {rate}"


def changes(width: int, std: str, rate: str) -> dict[str, Any]:
    """What an arm changes of the recipe, as fields of a run."""
    fields: dict[str, Any] = {"model.d_ff": width}
    fields |= {} if std == "Xavier" else {"model.mlp_std": float(std)}
    return fields | ({} if rate == "same" else {"train.fc_out_rate": 2048 / width})


CELLS = list(product(WIDTHS, STDS, RATES))
ARMS = {named(*cell): changes(*cell) for cell in CELLS}

_LOWEST = {1: 0.45, 2: 0.45, 3: 0.06}

EXPECTED = {
    # five seeds of it are known
    named(8192, "Xavier", "same"): Expected({1: 0.5, 2: 0.48}, {"U_5": (95.5, 97.5), "loss": (4.42, 4.48)}),
    named(8192, "Xavier", "÷ width"): Expected(_LOWEST, {"U_5": (95.5, 99.8), "loss": (4.4, 4.6)}),
    named(8192, "0.02", "same"): Expected(_LOWEST, {"U_5": (93, 99), "loss": (4.35, 4.48)}),
    named(8192, "0.02", "÷ width"): Expected(_LOWEST, {"U_5": (95, 100), "loss": (4.35, 4.58)}),
    # one seed of it is known, 65 %
    named(32_768, "Xavier", "same"): Expected(_LOWEST, {"U_5": (58, 72), "loss": (4.38, 4.46)}),
    named(32_768, "Xavier", "÷ width"): Expected(_LOWEST, {"U_5": (66, 92), "loss": (4.36, 4.6)}),
    # with normal matrices in attention too, 90 %
    named(32_768, "0.02", "same"): Expected(_LOWEST, {"U_5": (83, 94), "loss": (4.33, 4.44)}),
    named(32_768, "0.02", "÷ width"): Expected(_LOWEST, {"U_5": (86, 98), "loss": (4.33, 4.58)}),
}
"""Arm → forecast of each of its three runs."""

EARLY = {
    "layer 5 has lost the most of all, in each of the 24 runs": 0.6,
    "layer 5 has lost the most of all, in each of the 12 runs with Xavier's scale": 0.85,
    "with Xavier's scale, layer 5 of 32,768 units has lost 8 points more than of 8,192, mean over seeds": 0.7,
    "std 0.02 takes at least half of that away": 0.9,
    "the slower output rate takes less of that away than std 0.02 does": 0.75,
}
"""Sentence about the early wave, at `WAVE` tokens → the chance that was written for it before the runs."""


def config(scale: str) -> shared.Config:
    """All arms of every seed at a shape, seed by seed."""
    return arms.config(scale, ARMS)


def run(config: shared.Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), trained where it does not exist."""
    return arms.run("width_or_rate", config, ARMS, __name__)


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; see `arms.predicted`."""
    return arms.predicted(dataset, EXPECTED)


def lost(dataset: xr.Dataset) -> xr.DataArray:
    """What each layer has lost of its batch use at the early wave, in points, (recipe, seed, layer)."""
    near = int(abs(dataset["tokens"].values - WAVE).argmin())
    return 100 * (1 - dataset["batch_use"].isel(step=near).transpose("recipe", "seed", "layer").astype(float))


def early(dataset: xr.Dataset) -> pd.DataFrame:
    """`EARLY` against the runs: what came, its chance, whether it holds; None where one that it reads is missing."""
    points = lost(dataset)
    known = bool(np.isfinite(points).all())
    hits = points.fillna(0).argmax("layer") == 5  # type: ignore[operator]
    xavier = hits.sel(recipe=[named(*cell) for cell in CELLS if cell[1] == "Xavier"])

    def layer5(*cell: Any) -> float:
        return float(points.sel(recipe=named(*cell), layer=5).mean("seed"))

    more = layer5(32_768, "Xavier", "same") - layer5(8192, "Xavier", "same")
    by_std = layer5(32_768, "Xavier", "same") - layer5(32_768, "0.02", "same")
    by_rate = layer5(32_768, "Xavier", "same") - layer5(32_768, "Xavier", "÷ width")
    came = [
        (f"{int(hits.sum())} of {hits.size}", bool(hits.all())),
        (f"{int(xavier.sum())} of {xavier.size}", bool(xavier.all())),
        (f"{more:.1f} points", more >= 8),
        (f"{by_std:.1f} of {more:.1f} points", by_std >= more / 2),
        (f"{by_rate:.1f} and {by_std:.1f} points", by_rate < by_std),
    ]
    return arms.said(EARLY, came, known)
