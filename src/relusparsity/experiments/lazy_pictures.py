"""Chapter 12: sparsity that nobody asked for, in vision Transformers: how wide, how deep, and on which data.

The share of positive entries after ReLU, by layer and over training (Li et al. 2023, *The Lazy Neuron Phenomenon*,
arXiv 2210.06313), on Fashion-MNIST whole: 6 layers of 768 units on a stream of 192, 64 patches a picture. Beside it
five widths, three depths, GELU, and three kinds of data that teach nothing: random labels, random pixels, and both
drawn anew at each step. Three seeds, 2,000 steps of 512 pictures; rate, decay and length are our choice, the source
trains on ImageNet.

The class token never counts. So in the last layer we count what nobody reads: the class is told by the class token
alone, and no gradient reaches what the patches do there. Rows 21 to 23 of the ledger are asked of all layers; `ends`
has the share without the last one, too.

Written before the runs (2026-11-30): `EXPECTED` and `CHANCES`. Known were runs of 600 steps on 5,000 digits, one seed
of each (6 layers of 256 units). There the share began at 48 % and ended at 30, with random labels or pixels too, at 38
with fresh ones; at 27 with a quarter of the units, 32 with four times as many; at 31 with two layers, 34 with twelve;
at 44 with GELU.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy
import xarray as xr

from ..config import replace
from ..scales import pictures
from ..store.schema import OF_PICTURES
from . import forked, lazy, shared, variants
from .every import in_every
from .lazy import AS_IS, numbers, share

DATE = "2026-11-30"
RAN = "2026-11-30"
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("fashion", None),)
"""Shapes whose dataset is committed once it ran."""

SEEDS = (0, 1, 2)

TIMES = {1 / 4: "a quarter of the units", 1 / 2: "half of the units", 1: AS_IS, 2: "2 × the units", 4: "4 × the units"}
"""Width, in those of the shape → name of its arm, narrow to wide."""
DEPTHS = {1 / 2: "half of the layers", 1: AS_IS, 2: "2 × the layers"}
"""The same of depths, shallow to deep."""

NO_DATA: dict[str, dict[str, Any]] = {
    "random labels": {"corpus.labels": "random"},
    "random pixels": {"corpus.pixels": "random"},
    "fresh random pixels and labels": {"corpus.pixels": "fresh"},
}
"""Arms whose data have nothing to teach → what they change."""


def changes(scale: str) -> dict[str, dict[str, Any]]:
    """Name of each arm → what it changes of a shape's run."""
    model = pictures(scale).model
    wide = {name: {"model.d_ff": int(times * model.d_ff)} for times, name in TIMES.items() if times != 1}
    deep = {name: {"model.n_layers": int(times * model.n_layers)} for times, name in DEPTHS.items() if times != 1}
    return {AS_IS: {}} | NO_DATA | wide | deep | {"GELU": {"model.activation": "gelu"}}


def config(scale: str) -> shared.Config:
    """All arms of every seed at a shape, seed by seed."""
    made = changes(scale)
    runs = tuple(replace(pictures(scale, seed), **fields) for seed in SEEDS for fields in made.values())
    return shared.Config(scale, "default", runs)


def run(config: shared.Config) -> xr.Dataset:
    """Use of every layer by (recipe, seed, step, layer), losses and accuracies, trained where they do not exist."""
    return variants.made("lazy_pictures", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """See `lazy.assemble`; with the accuracy on the test."""
    added: lazy.Added = {
        "final_accuracy": ((), OF_PICTURES["final_accuracy"], lambda run: float(run["final_accuracy"])),
    }
    return lazy.assemble(config, runs, changes(config.scale), added)


def ends(dataset: xr.Dataset) -> pd.DataFrame:
    """See `lazy.ends`; `end` is of the test."""
    return lazy.ends(dataset)


def at_equal_loss(dataset: xr.Dataset, names: Sequence[str]) -> xr.DataArray:
    """Share of positive entries (percent) where arms have come to one held-out loss, (recipe, seed).

    That loss is, in each seed, the least that all of them reach; an arm is read where it first crosses it, between two
    measurements in proportion.
    """
    loss, of = (
        each.sel(recipe=list(names)).transpose("recipe", "seed", "step")
        for each in (dataset["heldout_loss"], share(dataset))
    )
    goal = loss.min("step", skipna=False).max("recipe", skipna=False)
    found = np.full(loss.shape[:2], np.nan)
    for place in np.ndindex(found.shape):
        losses, shares, end = loss.values[place].astype(float), of.values[place], float(goal.values[place[1]])
        if end != end:
            continue
        at = int(np.argmax(losses <= end))
        part = (losses[at - 1] - end) / (losses[at - 1] - losses[at]) if at else 0.0
        found[place] = shares[at - 1] + part * (shares[at] - shares[at - 1]) if at else shares[0]
    return xr.DataArray(found, {"recipe": list(names), "seed": loss["seed"].values}, ("recipe", "seed"))


def trend(dataset: xr.Dataset) -> pd.DataFrame:
    """Row 22, a row a seed and a way to compare (`equal tokens`, `equal loss`); NaN where a run has no end.

    Columns: Kendall's τ of the share, and of the count of positive units a layer, over five widths; `deep` and
    `shallow`, the shares of the deepest and the shallowest; `holds`, None where one of them is not known.
    """
    wide, deep = list(TIMES.values()), list(DEPTHS.values())
    units = numbers(dataset)["units"]
    at_end = ends(dataset)["end"].unstack("seed")
    ways = {
        "equal tokens": (at_end.loc[wide], at_end.loc[deep]),
        "equal loss": tuple(at_equal_loss(dataset, names).to_pandas().loc[names] for names in (wide, deep)),
    }
    rows = {}
    for way, (by_width, by_depth) in ways.items():
        for seed in by_width.columns:
            of = by_width[seed]
            known = bool(of.notna().all() and by_depth[seed].notna().all())
            falls = float(scipy.stats.kendalltau(range(len(wide)), of).statistic) if known else np.nan
            count = float(scipy.stats.kendalltau(range(len(wide)), of * units[wide]).statistic) if known else np.nan
            shallow, deepest = (float(by_depth.loc[name, seed]) for name in (deep[0], deep[-1]))
            falling, rising = (round(each, 9) for each in (falls, count))  # 0.8 is a little less in floating point
            holds = bool(falling <= -0.8 and rising >= 0.8 and deepest < shallow) if known else None
            rows[int(seed), way] = (falls, count, shallow, deepest, holds)
    columns = ["τ of the share", "τ of the count", "shallow", "deep", "holds"]
    index = pd.MultiIndex.from_tuples(rows, names=["seed", "compared at"])
    return pd.DataFrame(list(rows.values()), index, columns)


def halved(dataset: xr.Dataset) -> pd.Series:
    """Row 23, by arm with nothing to learn and seed: whether the share ends below half of its start; None: no end."""
    return lazy.halved(ends(dataset).loc[list(NO_DATA)])


EXPECTED = {
    AS_IS: (14, 26),
    "random labels": (18, 32),
    "random pixels": (16, 32),
    "fresh random pixels and labels": (24, 40),
    "a quarter of the units": (13, 26),
    "half of the units": (13, 26),
    "2 × the units": (14, 28),
    "4 × the units": (15, 31),
    "half of the layers": (14, 28),
    "2 × the layers": (15, 28),
    "GELU": (28, 45),
}
"""Arm → interval of the share of positive entries at the end, percent, all layers, mean of the seeds."""

CHANCES = {
    "row 21: at 85 % accuracy or more, at most 15 % of the entries are positive, in every seed": 0.1,
    "row 22: wider and deeper is sparser, at equal tokens and at equal loss, in every seed": 0.03,
    "at equal tokens, the share falls with the width (τ at most −0.8) in every seed": 0.1,
    "at equal tokens, the count rises with the width (τ at least 0.8) in every seed": 0.93,
    "at equal tokens, the deepest ends below the shallowest in every seed": 0.35,
    "row 23: with nothing to learn, the share ends below half of its start, in every arm and seed": 0.35,
    "the last layer, whose patches nobody reads, ends as the densest in every seed": 0.6,
}
"""Sentence → the chance written for it; see `sentences`."""


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; an arm without an end in every seed is neither right nor wrong."""
    return lazy.predicted(EXPECTED, ends(dataset))


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a run of what they read is missing, unless one known is against it."""
    table, compared = ends(dataset), trend(dataset)
    base, tokens, halves = table.loc[AS_IS], compared.xs("equal tokens", level="compared at"), halved(dataset)
    of = dataset["final_token_use"].sel(recipe=AS_IS).transpose("seed", "layer").astype(float).to_pandas()
    of = of.iloc[:, : int(numbers(dataset).loc[AS_IS, "layers"])]
    beyond = 100 * (of.iloc[:, -1] - of.iloc[:, :-1].max(axis=1, skipna=False))
    below = tokens["deep"] - tokens["shallow"]
    rules = compared["holds"].map({True: 1.0, False: 0.0})
    share_of_start = table["end"].loc[list(NO_DATA)] / table["start"].loc[list(NO_DATA)]
    came = [
        in_every(base["end"], (base["end"].round(9) <= 15) & (base["accuracy"] >= 85)),
        in_every(rules, rules == 1),
        in_every(tokens["τ of the share"], tokens["τ of the share"].round(9) <= -0.8),
        in_every(tokens["τ of the count"], tokens["τ of the count"].round(9) >= 0.8),
        in_every(below, below < 0),
        in_every(share_of_start, halves.eq(True)),
        in_every(beyond, beyond > 0),
    ]
    return forked.said(CHANCES, came)
