"""Chapter 12: which way the first step moves pre-activations, in a network of two layers, with the theorem's controls.

Theorem 3.1 of Li et al. (2022, arXiv 2210.06313) says that cross-entropy lowers the activations that fire, if labels do
not depend on the last layer V: see `theory`. The arms here keep that, or break it. At step 0 it is the same whether V
will be trained or not.
"""

import json
import math
from collections.abc import Iterable
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .. import theory
from ..checks import plain, seeds
from ..claims import Rule, Verdict
from ..claims.judge import ANY
from ..claims.ledger import seeds_needed
from ..claims.reading import Finding, NotTestable, Reading
from ..claims.statistics import half_width
from ..store import results
from ..theory import TwoLayers
from . import shared

RANDOM, OWN, COMMON = "random labels", "own labels", "V with a mean"
SQUARED, SQUARED_COMMON, SHIFTED = (
    "squared error",
    "squared error, V with a mean",
    "squared error, V and targets with a mean",
)
HOLDS = {RANDOM: 1, OWN: -1, COMMON: 1, SQUARED: 1, SQUARED_COMMON: 1, SHIFTED: -1}
"""Arm → sign of the mean gradient by the theorem and its proof: 1, activations that fire are lowered; −1, raised."""

MEAN = 0.05
"""Of V's entries in the arms whose V has one."""

NEEDED, FEWER = seeds_needed("24", ANY), {"smoke": 3}
"""Seeds that row 24 asks for, and shape → how many where that is less."""

UNITS_OF = {
    "gradient": ("loss per unit of p", "mean ∂loss/∂p over the pre-activations above 0"),
    "theorem": ("loss per unit of p", "the same by the theorem, to first order, for targets that do not depend on V"),
    "spread": ("loss per unit of p", "standard deviation of one ∂loss/∂p among them"),
    "arm": ("1", "what the network and its targets are"),
    "seed": ("1", "random seed"),
}


RECORDED = (("laptop", "default"),)
"""Shapes whose dataset is committed; of these networks, the shape says how many seeds there are."""


config = shared.without_runs


def run(config: shared.Config) -> xr.Dataset:
    """See `measure`."""
    drawn = range(FEWER.get(config.scale, NEEDED))
    return shared.cached(
        "first_gradient", config, (), __name__, lambda: measure(drawn).assign_attrs(scale=config.scale)
    )


def arms(units: int) -> dict[str, dict[str, Any]]:
    """Name of each arm → what it changes of `TwoLayers`, for so many hidden units.

    Targets with a mean have twice the mean of what comes out, Σ_j a_j · `MEAN` with a of mean 1/√(2π): so f is too low.
    """
    twice = 2 * MEAN * units / math.sqrt(2 * math.pi)
    return {
        RANDOM: {},
        OWN: {"labels": "own"},
        COMMON: {"mean": MEAN},
        SQUARED: {"loss": "squared"},
        SQUARED_COMMON: {"loss": "squared", "mean": MEAN},
        SHIFTED: {"loss": "squared", "mean": MEAN, "target_mean": twice},
    }


def measure(
    seeds: Iterable[int] = range(NEEDED), classes: int = 100, units: int = 512, samples: int = 512, std: float = 0.02
) -> xr.Dataset:
    """The gradient at step 0 by (arm, seed): `gradient`, `theorem` and `spread`; seconds on a CPU.

    Parameters
    ----------
    classes, units, samples, std
        K; hidden units; samples of a seed; standard deviation of V's entries: see `TwoLayers`.

    Raises
    ------
    UserError
        For fewer than two seeds, the same seed twice, or a network that cannot be.
    """
    begun, drawn = monotonic(), checked(seeds)
    networks = {
        arm: TwoLayers(classes=classes, units=units, samples=samples, std=std, **fields)
        for arm, fields in arms(units).items()
    }
    found = np.array([theory.measure(network, drawn) for network in networks.values()])
    values: dict[str, Any] = {
        name: (("arm", "seed"), found[:, at]) for at, name in enumerate(("gradient", "theorem", "spread"))
    }
    coordinates: dict[str, Any] = {"arm": (("arm",), list(networks)), "seed": (("seed",), list(drawn))}
    facts = {
        "config": {arm: plain(network) for arm, network in networks.items()},
        "environment": results.environment(),
        "runs": [],
        "wall_seconds": [monotonic() - begun],
    }
    dataset = results.described(values | coordinates, UNITS_OF)
    return dataset.assign_attrs(provenance=json.dumps(facts, sort_keys=True))


checked = seeds
"""Under a name that the parameter `seeds` does not hide."""


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """A row per arm, means over the seeds.

    Columns: `gradient` and `theorem`; `low` and `high`, Student's 95 % interval of the gradient; `of the theorem`,
    their ratio in percent; `of one gradient`, the mean in percent of a single gradient's standard deviation; `seeds
    above 0`, of how many.
    """
    rows = {}
    for arm in map(str, dataset["arm"].values):
        gradient, theorem, spread = (
            dataset[name].sel(arm=arm).values.astype(float) for name in ("gradient", "theorem", "spread")
        )
        mean, half = gradient.mean(), half_width(gradient)
        rows[arm] = {
            "gradient": mean,
            "low": mean - half,
            "high": mean + half,
            "theorem": theorem.mean(),
            "of the theorem": 100 * mean / theorem.mean(),
            "of one gradient": 100 * mean / spread.mean(),
            "seeds above 0": f"{(gradient > 0).sum()} of {len(gradient)}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def row_24(dataset: xr.Dataset, by_layer: xr.Dataset) -> pd.DataFrame:
    """Row 24 of the ledger, part by part, NaN and None where it cannot be asked.

    Of the two layers: the mean over the seeds is within 10 % of the theorem's, and 95 % sure below 0 with own labels;
    a single draw of V is no part of the theorem, so seeds are not judged one by one. Of decoder and ViT, with model and
    labels as they are: the mean of the paired gradient is above 0 in every layer; None where its 95 % interval has 0
    inside. A layer that no gradient reaches is not asked.

    Parameters
    ----------
    dataset
        Of `measure`, with 20 seeds or more.
    by_layer
        Of `first_gradient_by_layer.measure`.

    Returns
    -------
    DataFrame
        Index: the part. Columns: `came`, `low`, `high` (of the first part percent of the theorem's, else loss per unit
        of p), `holds`.
    """
    two, known = table(dataset), dataset.sizes["seed"] >= NEEDED
    ratio, own = two.loc[RANDOM], two.loc[OWN]
    percent = [100 * ratio[name] / ratio["theorem"] for name in ("gradient", "low", "high")]
    rows: dict[str, tuple[Any, ...]] = {
        "two layers: percent of the theorem's": (*percent, bool(abs(percent[0] - 100) <= 10) if known else None),
        "two layers, own labels": (own["gradient"], own["low"], own["high"], bool(own["high"] < 0) if known else None),
    }
    real = by_layer["paired"].sel(norm="as it is", labels="real")
    for model in map(str, real["model"].values):
        for layer in real["layer"].values.tolist():
            of = real.sel(model=model, layer=layer).values.astype(float)
            if np.isnan(of).all() or not of.any():  # no gradient reaches it, or there is no such layer
                continue
            mean, half = of.mean(), half_width(of)
            rows[f"{model}, layer {layer}"] = (
                mean,
                mean - half,
                mean + half,
                bool(mean > 0) if abs(mean) > half else None,
            )
    return pd.DataFrame.from_dict(rows, orient="index", columns=["came", "low", "high", "holds"]).rename_axis("part")


def verdict(row: pd.DataFrame) -> Verdict:
    """What `row_24` comes to.

    Reproduced: all parts hold. Not reproduced: one of the two layers' fails, or all layers have the other sign.
    """
    two, layers = row["holds"].iloc[:2], row["holds"].iloc[2:]
    if not len(layers):
        return Verdict.NOT_TESTABLE
    if two.isna().any():
        return Verdict.NOT_YET_TESTED
    if not two.all() or layers.eq(False).all():
        return Verdict.NOT_REPRODUCED
    return Verdict.REPRODUCED if layers.eq(True).all() else Verdict.INCONCLUSIVE


def finding(by_layer: xr.Dataset, dataset: xr.Dataset) -> Finding:
    """Row 24, of means over the seeds; layers of either sign leave it open, see `verdict`."""
    parts, two = row_24(dataset, by_layer), table(dataset)
    if len(parts) == 2:
        raise NotTestable("a gradient reaches no layer of the models")
    word = verdict(parts)
    readings = []
    for place, seed in enumerate(map(int, dataset["seed"].values)):
        of = dataset.isel(seed=place)
        values: dict[str, float | str] = {
            "gradient, random labels (% of the theorem's)": 100
            * float(of["gradient"].sel(arm=RANDOM))
            / two.loc[RANDOM, "theorem"],
            "gradient, own labels (%)": 100 * float(of["gradient"].sel(arm=OWN)) / two.loc[RANDOM, "theorem"],
        }
        readings.append(Reading(seed, word != Verdict.NOT_REPRODUCED, values))
    layers = parts["holds"].iloc[2:]
    said = f"of {len(layers)} cases {layers.eq(True).sum()} are pushed down, {layers.eq(False).sum()} up"
    unsure = f"{said}; {layers.isna().sum()} have 0 in their 95 % interval"
    return Finding(tuple(readings), open=unsure if word == Verdict.INCONCLUSIVE else "")


RULES = {"24": Rule("first_gradient", finding, beside="first_gradient_by_layer")}
"""The ledger's row that these measurements decide."""
