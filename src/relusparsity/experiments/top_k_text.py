"""Chapter 13: Top-k in the decoder of Part I: what it costs on text, and which layers and units are left.

Top-k keeps of each token the k largest entries after ReLU, in training and when read (Li et al. 2023, *The Lazy Neuron
Phenomenon*, arXiv 2210.06313). Mid (6 layers of 8,192 units), recipe *first*, k = d_ff/12, d_ff/24 and d_ff/96, and
dense, which is d_ff; three seeds. All arms are trained as *first* is, which was found for dense: none is tuned.

After training, the dense model fires 0.2 to 6.4 % of a layer's units at a token, of which d_ff/12 (8.3 %) takes none
away in the mean, d_ff/24 (4.2 %) those of the last layer and some of the first, and d_ff/96 (1.0 %) most of those of
layers 0, 4 and 5 and some of layer 3. Before training half of the units fire, so that every k cuts. So this asks
whether what a layer ends up using is made early: the pattern of Part I, in which the layers in the middle empty, is
there in the batch use of a layer.

Written before the runs (2026-11-30): `EXPECTED` and `CHANCES`. Known were the five seeds of *first* in Mid, whose
layers end at 69, 21, 31, 71, 92 and 96 % of their units in a set, and one run of 300 steps of dense and of d_ff/12
(6.70 and 6.74 nats).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..config import replace
from ..scales import base
from . import forked, lazy, shared, variants
from .every import in_every
from .top_k_tuning import DENSE, size

DATE = "2026-11-30"
RAN = ""
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed once it ran."""

SEEDS = (2, 3, 4)
"""The first of those of *first* that took no part in its search."""

PARTS = (12, 24, 96)


def changes(scale: str) -> dict[str, dict[str, Any]]:
    """Name of each arm → what it changes of a shape's run; k is rounded down, and 1 at least."""
    units = base(scale, SEEDS[0], "first").model.width
    of = {size(parts): {"model.activation": "topk", "model.top_k": max(1, units // parts)} for parts in PARTS}
    return {DENSE: {}} | of


def config(scale: str) -> shared.Config:
    """All arms of every seed at a shape, seed by seed."""
    made = changes(scale)
    runs = tuple(replace(base(scale, seed, "first"), **fields) for seed in SEEDS for fields in made.values())
    return shared.Config(scale, "first", runs)


def run(config: shared.Config) -> xr.Dataset:
    """Use of every layer by (recipe, seed, step, layer) and losses, trained where they do not exist."""
    return variants.made("top_k_text", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """See `lazy.assemble`; with the units that fire nowhere on the final held-out sets."""
    silent = ("units", "units that fire nowhere on the final held-out sets")
    added: lazy.Added = {
        "final_silent_units": (("layer",), silent, lambda run: (run["final_firing_count"] == 0).sum("unit").values)
    }
    return lazy.assemble(config, runs, changes(config.scale), added)


def by_layer(dataset: xr.Dataset) -> pd.DataFrame:
    """A row per arm, seed and layer, NaN where there is no end.

    Columns, in percent of the layer's units: `batch` and `token`, those that fire in a set and at a token, on the final
    held-out sets; `silent`, those that fire nowhere on them.
    """
    columns = {
        "batch": 100 * dataset["final_batch_use"].astype(float).mean("set", skipna=False),
        "token": 100 * dataset["final_token_use"].astype(float),
        "silent": 100 * dataset["final_silent_units"] / dataset.attrs["d_ff"],
    }
    return lazy.tabulated(columns, "layer")


def ends(dataset: xr.Dataset) -> pd.DataFrame:
    """A row per arm and seed, NaN where there is no end.

    Columns: `loss`, nats per token; `costs`, percent of loss beyond that of dense in the seed; `emptiest`, the layer of
    the least batch use; `like dense`, Spearman's rank correlation of the layers' batch use with that of dense.
    """
    loss = dataset["final_loss"].transpose("recipe", "seed").astype(float).to_series()
    batch = by_layer(dataset)["batch"].unstack("layer")
    rows = {}
    for arm, seed in batch.index:
        of, dense = batch.loc[(arm, seed)], batch.loc[(DENSE, seed)]
        known = bool(of.notna().all())
        rows[arm, seed] = {
            "loss": loss[arm, seed],
            "costs": 100 * (loss[arm, seed] / loss[DENSE, seed] - 1),
            "emptiest": float(of.idxmin()) if known else np.nan,
            "like dense": of.corr(dense, method="spearman") if known and dense.notna().all() else np.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["arm", "seed"])


EXPECTED = {size(12): (-0.3, 1.5), size(24): (0.0, 3.0), size(96): (1.5, 9.0)}
"""Arm → interval of its loss beyond that of dense, percent, mean of the seeds."""

CHANCES = {
    "with k = d_ff/12 the loss ends within 1 % of dense, in every seed": 0.75,
    "with k = d_ff/96 the loss ends 2 % or more above dense, in every seed": 0.7,
    "with k = d_ff/12 layer 1 or 2 is the emptiest, in every seed": 0.7,
    "with k = d_ff/96 layer 1 or 2 is the emptiest, in every seed": 0.35,
    "with k = d_ff/24 more units are silent than in dense, all layers together, in every seed": 0.7,
    "with k = d_ff/96 the last layer uses less than 90 % of its units in a set, in every seed": 0.6,
}
"""Sentence → the chance written for it; see `sentences`."""


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; an arm without an end in every seed is neither right nor wrong."""
    return lazy.predicted(EXPECTED, ends(dataset).rename(columns={"costs": "end"}))


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a run of what they read is missing, unless one known is against it."""
    table, layers = ends(dataset), by_layer(dataset)
    twelfth, small = table.loc[size(12)], table.loc[size(96)]
    silent = layers["silent"].unstack("layer").mean(axis=1, skipna=False)
    beyond = silent.loc[size(24)] - silent.loc[DENSE]
    last = layers["batch"].unstack("layer").iloc[:, -1].loc[size(96)]
    came = [
        in_every(twelfth["costs"], twelfth["costs"].abs().round(9) <= 1),
        in_every(small["costs"], small["costs"].round(9) >= 2),
        in_every(twelfth["emptiest"], twelfth["emptiest"].isin([1, 2])),
        in_every(small["emptiest"], small["emptiest"].isin([1, 2])),
        in_every(beyond, beyond > 0),
        in_every(last, last < 90),
    ]
    return forked.said(CHANCES, came)
