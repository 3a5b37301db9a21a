"""Chapter 07: whether a common direction of its input empties a layer: taken out of one layer, added to another.

Each arm treats one layer (0, 1 or 5) of the first recipe, three seeds each beside an untreated twin of the same seed;
see `interventions`. The rule, row 15 of the ledger: base *first* at Mid: centring the MLP input of layer 1 keeps
U_1 ≥ 90 in 3 of 3 seeds where the twin ends < 50; adding 2·‖σ‖·e to layer 5 takes U_5 < 50 in 3 of 3; each placebo
moves U by less than a quarter of its treatment's move, paired by seed.

Written before the runs (2026-11-28), when the twins' ends were known from earlier runs of that recipe, and tries of
shape smoke in which the vector and its placebo both emptied layer 5: `EXPECTED`, about four in five of which should
hold. Centring keeps layer 1, at odds of two to one; a drawn vector takes layer 5 under 50 in all three seeds, at two to
three. Centring's placebo moves U_1 by more than a quarter of the treatment, at three to one: it centres every second
token, and a unit that fires on one of 8,192 tokens is in use. So row 15 as a whole should not hold.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from ..claims.reading import Finding, Reading, seeds, take
from ..config import RunConfig, replace
from ..recipes import RECIPES
from ..scales import base, names
from ..store import results
from . import factorial, shared, variants

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed. There, three arms of one seed so far: the others are missing, as of no run."""

TWIN, LAYERS = "untreated", (0, 1, 5)

TREATMENTS: dict[str, dict[str, Any]] = {
    "centre": {"kind": "centre"},
    "centre, placebo": {"kind": "centre", "placebo": True},
    "add 2": {"kind": "add", "strength": 2.0},
    "add 2, placebo": {"kind": "add", "strength": 2.0, "placebo": True},
    "add 1": {"kind": "add", "strength": 1.0},
    "add 0.5": {"kind": "add", "strength": 0.5},
    "add 2 along": {"kind": "add", "strength": 2.0, "direction": "along"},
}

EXPECTED: dict[str, tuple[tuple[float, float], ...]] = {
    TWIN: ((67, 75), (14, 38), (95.5, 97.5)),
    "centre": ((88, 100), (85, 100), (93, 100)),
    "centre, placebo": ((75, 100), (60, 99), (92, 100)),
    "add 2": ((5, 50), (2, 35), (25, 85)),
    "add 2, placebo": ((50, 98), (20, 85), (70, 99)),
    "add 1": ((25, 65), (3, 35), (65, 95)),
    "add 0.5": ((50, 75), (5, 40), (85, 97)),
    "add 2 along": ((3, 45), (2, 30), (20, 85)),
}
"""Treatment → batch use (percent) of layers 0, 1, 5 at the end where they are treated, mean over the seeds."""

_JUDGED = (TWIN, "centre, layer 1", "centre, placebo, layer 1", "add 2, layer 5", "add 2, placebo, layer 5")
_OTHERS = (f"{treatment}, layer {layer}" for treatment in TREATMENTS for layer in LAYERS)
ARMS = (*_JUDGED, *(name for name in _OTHERS if name not in _JUDGED))
"""In the order of their importance: first what row 15 reads."""


def changes(arm: str, seed: int = 0) -> dict[str, Any]:
    """What an arm changes of its twin, as fields; the seed draws vector and signs, where there are any."""
    treatment, _, layer = arm.rpartition(", layer ")
    fields = {} if arm == TWIN else TREATMENTS[treatment] | {"layer": int(layer)}
    draws = fields.get("placebo") or (fields.get("kind") == "add" and "direction" not in fields)
    return {f"intervention.{name}": value for name, value in (fields | ({"seed": seed} if draws else {})).items()}


def arms(scale: str) -> Iterator[tuple[str, RunConfig]]:
    """Name and run of every arm, seed by seed, the most important first: a part of the list is of use too."""
    for seed in RECIPES["first"].seeds(scale)[:3]:
        twin = replace(base(scale, seed, "first"), **(factorial.FEWER if scale == "mid" else {}))
        for arm in ARMS:
            yield arm, replace(twin, **changes(arm, seed))


def config(scale: str) -> shared.Config:
    """All arms of every seed at a shape, seed by seed, in the order of `ARMS`."""
    scale, _ = names(scale)
    return shared.Config(scale, "first", tuple(run for _, run in arms(scale)))


def run(config: shared.Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), trained where it does not exist."""

    def compute() -> xr.Dataset:
        return assemble(config, [variants.measured(run) for run in config.runs])

    return shared.cached("dissociation", config, config.runs, __name__, compute)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """The dataset of the runs there are, in the order of `config.runs`: None was not run, its values are missing.

    A seed of which nothing was run to its end is left out.
    """
    some = next(run for run in runs if run is not None)
    given = [variants.missing(some, of) if run is None else run for run, of in zip(runs, config.runs, strict=True)]
    named = {arm: changes(arm) for arm in ARMS}
    rows = [given[first : first + len(ARMS)] for first in range(0, len(given), len(ARMS))]
    by_seed = [variants.stack(row, named, config.scale) for row in rows if any("final_loss" in one for one in row)]
    dataset = xr.concat(
        by_seed, dim="seed", join="exact", coords="minimal", compat="override", combine_attrs=shared.agreed
    )
    facts = [results.provenance(part) for part in by_seed]
    of_arms: dict[str, Any] = {
        n: list(zip(*(each[n] for each in facts), strict=True)) for n in ("runs", "wall_seconds")
    }
    of_arms["stopped_after_step"] = [each["stopped_after_step"] for each in facts]  # by seed
    dataset.attrs["provenance"] = json.dumps(facts[0] | of_arms, sort_keys=True)
    return dataset.drop_vars(factorial.LEFT_OUT)


def judge(dataset: xr.Dataset) -> Finding:
    """Row 15 by seed: None where an arm that it reads has no end yet, or its twin does not end under 50."""
    use = 100 * take(dataset, "final_batch_use", "recipe", "seed", "set", "layer", share=True, missing=True).mean("set")
    return Finding(tuple(_reading(seed, use.isel(seed=at)) for at, seed in enumerate(seeds(dataset))))


def _reading(seed: int, use: xr.DataArray) -> Reading:
    twin, centred, one_placebo, added, other_placebo = (use.sel(recipe=arm) for arm in _JUDGED)
    values = {
        f"U_{layer}, {name} (%)": float(arm[layer])
        for layer, arms in ((1, (twin, centred, one_placebo)), (5, (twin, added, other_placebo)))
        for name, arm in zip(("twin", "treated", "placebo"), arms, strict=True)
    }
    if any(value != value for value in values.values()):
        return Reading(seed, None, dict(values), "not yet: some of its runs have no end")
    before1, after1, placebo1, before5, after5, placebo5 = values.values()
    if before1 >= 50:
        return Reading(seed, None, dict(values), "its twin does not end under 50, so that the seed does not count")
    small1 = abs(placebo1 - before1) < abs(after1 - before1) / 4
    small5 = abs(placebo5 - before5) < abs(after5 - before5) / 4
    return Reading(seed, after1 >= 90 and after5 < 50 and small1 and small5, dict(values))


def verdict(finding: Finding) -> str:
    """The ledger's word: it takes three seeds that count."""
    held = [reading.holds for reading in finding.readings if reading.holds is not None]
    if len(held) < 3:
        return "not yet tested"
    return "reproduced" if all(held) else "inconclusive" if any(held) else "not reproduced"


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs, a row an arm and layer; what has no end yet is neither right nor wrong."""
    use = 100 * dataset["final_batch_use"].mean("set").mean("seed").astype(float)
    rows = []
    for arm in dataset["recipe"].values.tolist():
        treatment, _, layer = arm.rpartition(", layer ")
        for at in (int(layer),) if layer and treatment else LAYERS:
            low, high = EXPECTED[treatment or arm][LAYERS.index(at)]
            came = float(use.sel(recipe=arm, layer=at))
            rows.append((arm, at, f"{low:g}–{high:g}", round(came, 1), None if came != came else low <= came <= high))
    return pd.DataFrame(rows, columns=["arm", "layer", "written before", "came", "holds"])
