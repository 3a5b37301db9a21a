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

What came (66 runs): row 15 holds in no seed. A vector takes layer 5 from 97, 97 and 96 to 0.6, 0.5 and 0.6 %, and
centring takes layer 1 from 37, 10 and 25 to 94, 86 and 86 %, in two seeds short of 90. Each placebo moves its layer by
59 to 86 % of that, and in layers 0 and 1 a vector's placebo does what the vector does. Of the
intervals written before, all nine of twins and centring hold, and four of the fifteen of added vectors.

Runs of seed 2 and the first nine of seed 3 were made alone on a GPU; in seven of the last ten of these PyTorch's
compiler gave up (its limit of eight models a process), so that they ran uncompiled, which rounds otherwise in bf16. Of
the others, 32 ran three at a time, two together and one alone. The untreated run of seed 4 was made twice: its other
run is an arm of `embedding_scale`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from ..claims import Rule
from ..claims.reading import Finding, Reading, seeds, take
from ..config import RunConfig, replace
from ..recipes import RECIPES
from ..scales import base, names
from . import arms as by_seed
from . import factorial, shared, variants

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed."""

LEFT_OUT = "sequence_use_percentiles"
"""With it, 66 runs would take more than a dataset may; those of token use and firing rates stay."""

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
NO_END = "some of its runs have no end"


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
    return variants.made("dissociation", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """As `arms.assemble`, without `LEFT_OUT`; None stands for a run that was not made, whose values are missing."""
    return by_seed.assemble(config, runs, {arm: changes(arm) for arm in ARMS}).drop_vars(LEFT_OUT)


def judge(dataset: xr.Dataset) -> Finding:
    """Row 15 by seed: None where an arm that it reads has no end yet, or its twin does not end under 50."""
    use = 100 * take(dataset, "final_batch_use", "recipe", "seed", "set", "layer", share=True, missing=True).mean("set")
    readings = tuple(_reading(seed, use.isel(seed=at)) for at, seed in enumerate(seeds(dataset)))
    lacks = any(reading.note == NO_END for reading in readings)
    return Finding(readings, to_come=variants.to_come((dataset, _JUDGED)) if lacks else "")


RULES = {"15": Rule("dissociation", judge)}
"""The ledger's row that these runs decide."""


def label(layer: int, arm: str) -> str:
    """What readers call the batch use that row 15 reads of a layer.

    Examples
    --------
    >>> label(1, "treated"), label(5, "twin"), label(5, "placebo")
    ('layer 1, input centred (%)', 'layer 5, untreated (%)', 'layer 5, placebo of that (%)')
    """
    treated = {1: "input centred", 5: "vector added to its input"}[layer]
    words = {"twin": "untreated", "treated": treated, "placebo": "placebo of that"}
    return f"layer {layer}, {words[arm]} (%)"


def _reading(seed: int, use: xr.DataArray) -> Reading:
    twin, centred, one_placebo, added, other_placebo = (use.sel(recipe=arm) for arm in _JUDGED)
    values = {
        label(layer, name): float(arm[layer])
        for layer, arms in ((1, (twin, centred, one_placebo)), (5, (twin, added, other_placebo)))
        for name, arm in zip(("twin", "treated", "placebo"), arms, strict=True)
    }
    if any(value != value for value in values.values()):
        return Reading(seed, None, dict(values), NO_END)
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
