"""Chapter 07: the sixteen cells of the factorial that its half fraction left out, so that all thirty-two are measured.

Written before they ran (2026-11-28): the fit of main effects and pairs to the first half foretells them. For each layer
by itself, the logit of its batch use is fitted to the first half as `recipe_effects` does for layer 0, and read off for
each new cell, as a share. Of the 96 shares (16 cells, 6 layers; means of the seeds run), at least 72 lie within 15
points of what was measured, and the layer forecast to be the lowest is the lowest in at least 11 of 16 cells. In no
cell does layer 0 end under 60 %. The cell of the first recipe at the larger rate (tied, 0.02, Xavier, decay 1, rate
1e-3) ends with layer 2 the lowest, under 10 %, and layer 5 under 90 %.
"""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ..store import results
from . import factorial, recipe_effects, shared, variants

WITHIN, SHARES, LOWEST = 15, 72, 11
"""The forecast's bars: points of a share, and how many of 96 shares and of 16 lowest layers must be right."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed."""


def config(scale: str) -> factorial.Config:
    """The other half at a shape; the seeds of the first."""
    return factorial.config(scale, half=-1)


def run(config: factorial.Config) -> xr.Dataset:
    """As `factorial.run`."""
    return variants.made("other_half", config, __name__, assemble)


def assemble(config: factorial.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """As `factorial.assemble`; None stands for a run that was not made, whose values are missing."""
    return factorial.assemble(config, variants.with_missing(runs, config.runs)).drop_vars(factorial.LEFT_OUT)


def both(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """All thirty-two cells as one dataset: what both halves have alike, by recipe; its provenance has both commits."""
    names = [name for name in first.data_vars if name in second]
    halves = [half[names].drop_vars("window", errors="ignore") for half in (first, second)]
    whole = xr.concat(
        halves, dim="recipe", join="exact", coords="minimal", compat="override", combine_attrs=shared.agreed
    )
    facts = [results.provenance(half) for half in (first, second)]
    commits = dict.fromkeys(str(each["environment"].get("commit", "unknown")) for each in facts)
    told = facts[0] | {"environment": facts[0]["environment"] | {"commit": " and ".join(commits)}}
    return whole.assign_attrs(provenance=json.dumps(told, sort_keys=True))


def forecast(first: xr.Dataset) -> xr.DataArray:
    """Batch use (percent) that main effects and pairs of the first half give each new cell, (recipe, layer)."""
    use = first["final_batch_use"].transpose("recipe", "seed", "set", "layer").astype(float)
    chances = first.attrs["d_ff"] * use.sizes["set"]
    fired = use.mean("set").values * chances
    logit = np.log((fired + 0.5) / (chances - fired + 0.5)).mean(axis=1)  # (recipe, layer)
    known = recipe_effects.design(first)
    new = _levels_of(list(factorial.cells(half=-1)))
    slopes = np.linalg.solve(_columns(known), logit)
    share = 100 / (1 + np.exp(-_columns(new) @ slopes))
    return xr.DataArray(share, dims=("recipe", "layer"), coords={"recipe": list(new.index), "layer": first["layer"]})


def _levels_of(cells: list[tuple[int, ...]]) -> pd.DataFrame:
    """The columns that `recipe_effects.design` has for the first half, for other cells."""
    values = {name: np.array([cell[i] for cell in cells]) for i, name in enumerate(factorial.FACTORS)}
    dataset = xr.Dataset(coords={"recipe": [factorial.named(cell) for cell in cells]})
    for name, (field, low, high) in factorial.FACTORS.items():
        levels = [str(high if level > 0 else low) for level in values[name]]
        dataset.coords[name] = ("recipe", levels, {"long_name": field})
    return recipe_effects.design(dataset)


def _columns(terms: pd.DataFrame) -> np.ndarray:
    return np.hstack([np.ones((len(terms), 1)), terms.values])


def judged(first: xr.Dataset, second: xr.Dataset) -> pd.DataFrame:
    """The forecast's written predictions against the runs: what was said, what came, whether it holds."""
    expected = forecast(first)
    use = 100 * second["final_batch_use"].mean(["set", "seed"]).astype(float).transpose("recipe", "layer")
    use = use.sel(recipe=expected["recipe"])
    near = int((abs(use - expected) <= WITHIN).sum())
    lowest = int((use.argmin("layer") == expected.argmin("layer")).sum())
    least = float(use.sel(layer=0).min())
    missing = use.sel(recipe=factorial.named((1, -1, 1, 1, 1)))
    rows = {
        f"shares within {WITHIN} points": (f"at least {SHARES} of {use.size}", near, near >= SHARES),
        "lowest layers": (f"at least {LOWEST} of {len(use)}", lowest, lowest >= LOWEST),
        "lowest batch use of layer 0 (%)": ("at least 60", round(least, 1), least >= 60),
        "first recipe at rate 1e-3": (
            "layer 2 lowest, under 10 %; layer 5 under 90 %",
            " ".join(f"{value:.1f}" for value in missing.values),
            bool(missing.values.argmin() == 2 and missing[2] < 10 and missing[5] < 90),
        ),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["written before", "came", "holds"])
