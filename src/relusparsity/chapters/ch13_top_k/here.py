"""Chapter 13, live: dense and Top-k on digits, with 40 % of the labels replaced, a few seconds each; one seed."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import xarray as xr

from ... import packages
from ...claims.short import Said
from ...config import replace
from ...experiments import shared, top_k, top_k_tuning, variants
from ...experiments.top_k_tuning import DENSE, TOP_K, named
from ...scales import pictures
from . import phrases

NOISE = 0.4
SHORT: dict[str, dict[str, Any]] = {
    "smoke": {},
    "digits": {"train.tokens": 153_600, "train.warmup": 7_680, "measure.points": 4},
}
"""Shape → what is cut of its run: a quarter of its steps, measured a few times."""


def changes(scale: str) -> dict[str, dict[str, Any]]:
    """Name of each arm → what it changes of a shape's run."""
    return {
        named(arm, NOISE): top_k_tuning.arm(scale, arm, NOISE) | SHORT[scale] | {"measure.predictions": True}
        for arm in (DENSE, TOP_K)
    }


def config(scale: str) -> shared.Config:
    """Both arms of one seed: in Smoke as Smoke has them, else on digits."""
    shape = "smoke" if scale == "smoke" else "digits"
    runs = (replace(pictures(shape), **fields) for fields in changes(shape).values())
    return shared.Config(shape, "default", tuple(runs))


def run(config: shared.Config) -> xr.Dataset:
    """What is judged of both; see `top_k.assembled`."""
    shared.train_all(config.runs)  # side by side
    return variants.made("top_k_here", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """See `top_k.assembled`."""
    return top_k.assembled(config, runs, changes(config.scale))


def shown(scale: str) -> pd.DataFrame | Said:
    """Both arms at their end on this machine; or, where the digits are not fetched, a sentence."""
    if lacking := packages.absent("digits"):
        return Said(lacking)
    return table(run(config(scale)))


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """An arm a row: what it is worth at the end, and the units that are left."""
    of, layers = top_k.ends(dataset).droplevel("seed"), dataset.sizes["layer"]
    shown = {
        "accuracy, %": of["accuracy"].map("{:.1f}".format),
        "ECE": of["error"].map("{:.1f}".format),
        "ECE, by temperature": of["scaled error"].map("{:.1f}".format),
        "temperature": of["temperature"].map("{:.2f}".format),
        "fire at a patch, %": of["use"].map("{:.1f}".format),
        "never chosen, %": (100 * of["silent"] / layers / dataset.attrs["d_ff"]).map("{:.1f}".format),
    }
    return pd.DataFrame(shown).rename(index=lambda arm: arm.replace(f", noise {NOISE:g}", f", {phrases.labels(40)}"))
