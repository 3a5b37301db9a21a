"""Chapter 19: the birth of induction heads, seed by seed, beside a decoder of one layer, and text without an order.

Written before the runs (2026-12-01): `EXPECTED` and `CHANCES`. Known was seed 0 of all three arms, read at every 20th
of 600 steps, whose heads were not taken away: the best score of two layers rose between steps 200 and 300 and ended at
0.95; those of one layer and without an order stayed below 0.1. Seed 0 had chosen learning rate, shapes and data, after
text of the book's own corpus brought no induction head within a minute. It judges nothing.
"""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from ...checks import plain, shown
from ...checks import seeds as checked
from ...errors import UserError
from ...experiments import forked, shared
from ...experiments.every import in_every
from ...store import results
from .birth import MEASURED, Arm, model, train

DATE = "2026-12-01"
RAN = "2026-12-01"
"""The day of the runs."""

NAME, RECORDED = "induction_birth", (("laptop", "default"),)
"""Of its dataset, and the shapes whose is committed; of these decoders, the shape says how many seeds there are."""

SEEDS = range(1, 6)
"""Those that nobody had seen."""
TWO, ONE, SHUFFLED = "two layers", "one layer", "two layers, no order"
ARMS = {TWO: Arm(), ONE: Arm(layers=1), SHUFFLED: Arm(ordered=False)}
STEPS, EVERY, KEPT = 400, 10, 20
"""Steps of training, how often it is read, and how often the weights of attention are kept."""
BORN = 0.25
"""A score above which a head is said to do what it measures."""

SHORT: dict[str, dict[str, Any]] = {"smoke": {"seeds": range(2), "steps": 20}}
"""Shape → what it changes of `measure`."""

UNITS_OF = {name: about for name, (_, *about) in MEASURED.items()} | {
    "arm": ("1", "what the decoder is, and what it reads"),
    "seed": ("1", "random seed of weights and tokens"),
    "step": ("1", "training steps done"),
    "kept": ("1", "training steps done when weights of attention were kept"),
    "layer": ("1", "number of the layer"),
    "head": ("1", "number of the head in its layer"),
    "query": ("tokens", "position that looks back"),
    "key": ("tokens", "position that is looked at"),
}

config = shared.without_runs


def run(config: shared.Config) -> xr.Dataset:
    """See `measure`."""
    given = SHORT.get(config.scale, {})
    return shared.cached(NAME, config, (), __name__, lambda: measure(**given).assign_attrs(scale=config.scale))


def measure(seeds: Iterable[int] = SEEDS, steps: int = STEPS, arms: Sequence[str] = tuple(ARMS)) -> xr.Dataset:
    """`birth.MEASURED` by (arm, seed), half a minute each on one core.

    The weights of attention are of the first seed alone: (arm, kept, layer, head, query, key). A layer that an arm
    lacks is missing (NaN; 0 in the weights).

    Raises
    ------
    UserError
        For no seed or the same twice, fewer than two steps, or an arm that does not exist.
    """
    begun, drawn = monotonic(), checked(seeds, 1)
    if not isinstance(steps, int) or steps < 2:
        raise UserError(f"steps = {shown(steps)}: expected a whole number from 2.")
    if not arms or not set(arms) <= set(ARMS):
        raise UserError(f"arms = {shown(list(arms))}: expected some of {', '.join(ARMS)}.")
    told = [*range(0, steps, EVERY), steps]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices of this size gain nothing from a second core, a second run does
    try:
        with ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(lambda of: train(ARMS[of[0]], of[1], told), product(arms, drawn)))
    finally:
        torch.set_num_threads(threads)
    by_arm = [made[at : at + len(drawn)] for at in range(0, len(made), len(drawn))]
    weights = xr.concat([runs[0]["attention"] for runs in by_arm], "arm", join="outer", fill_value=0)
    weights = weights.sel(step=told[:: KEPT // EVERY]).rename(step="kept")
    others = [xr.concat([run.drop_vars("attention") for run in runs], "seed") for runs in by_arm]
    dataset = xr.concat(others, "arm", join="outer").assign(attention=weights.astype(np.uint8))
    places = {name: range(dataset.sizes[name]) for name in ("query", "key")}
    dataset = dataset.assign_coords(places | {"arm": list(arms), "seed": list(drawn)})
    for name, (units, long_name) in UNITS_OF.items():
        dataset[name].attrs = {"units": units, "long_name": long_name}
    facts = {
        "config": {arm: plain(model(ARMS[arm])) | {"ordered": ARMS[arm].ordered} for arm in arms} | {"steps": steps},
        "environment": results.environment(),
        "runs": [],
        "wall_seconds": [monotonic() - begun],
    }
    return dataset.assign_attrs(provenance=json.dumps(facts, sort_keys=True))


def live(scale: str) -> xr.Dataset:
    """What this machine makes in half a minute: two layers and one, of the seed that judges nothing."""
    steps = SHORT.get(scale, {}).get("steps", STEPS)
    return measure((0,), steps, (TWO, ONE)).assign_attrs(scale=scale, where="on this machine")


EXPECTED = {TWO: (0.8, 0.97), ONE: (0.02, 0.07), SHUFFLED: (0.02, 0.08)}
"""Arm → interval of the best prefix-matching score at the end, mean of the seeds."""

CHANCES = {
    "two layers: the best prefix-matching score ends above 0.5": 0.9,
    "one layer: it is below 0.1 whenever it is read": 0.9,
    "two layers, no order: it ends below 0.1": 0.88,
    "two layers: within 80 steps the loss on known tokens falls from above 3 nats to below 1": 0.75,
    "two layers: the previous token gets 0.25 from a head of layer 0 before a head of layer 1 matches by 0.25": 0.3,
    "one layer: every head ends with a copying score above 0.9": 0.7,
    "two layers: without its best previous-token head, the best prefix-matching score ends below half": 0.75,
    "two layers: without any other head of layer 0, it keeps 80 %": 0.55,
    "two layers: no head of layer 1, taken away alone, costs half of what is gained on known tokens": 0.5,
}
"""Sentence → the chance written for it; each is asked of every seed."""


def best(dataset: xr.Dataset, name: str = "prefix_matching") -> xr.DataArray:
    """The highest score of any head: what is left of (arm, seed, step)."""
    return dataset[name].max(("layer", "head"))


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs, a row an arm."""
    came, rows = best(dataset).isel(step=-1).mean("seed"), []
    for arm, (low, high) in EXPECTED.items():
        value = float(came.sel(arm=arm))
        rows.append((arm, f"{low:g} to {high:g}", round(value, 3), bool(low <= value <= high)))
    return pd.DataFrame(rows, columns=["arm", "written before", "came", "holds"])


def born(dataset: xr.Dataset, name: str, layer: int) -> xr.DataArray:
    """Step at which a head of a layer is first read above `BORN`, which may never come: what is left of (arm, seed)."""
    above = dataset[name].sel(layer=layer).max("head") > BORN
    return dataset["step"].where(above).min("step").fillna(np.inf)


def fall(dataset: xr.Dataset, high: float = 3.0, low: float = 1.0) -> xr.DataArray:
    """Steps from the last loss on known tokens above `high` to the first below `low`, which may never come."""
    loss, step = dataset["known_loss"], dataset["step"]
    last, first = step.where(loss > high).max("step"), step.where(loss < low).min("step")
    return first.fillna(np.inf) - last


def worth(dataset: xr.Dataset) -> xr.DataArray:
    """Percent of the gain on known tokens (new less known loss, at the end) that is lost without a head."""
    last = dataset.isel(step=-1)
    return 100 * (last["without_loss"] - last["known_loss"]) / (last["new_loss"] - last["known_loss"])


def teller(dataset: xr.Dataset) -> xr.DataArray:
    """The head of layer 0 that gives the previous token most at the end: what is left of (arm, seed)."""
    return dataset["previous"].isel(step=-1).sel(layer=0).argmax("head")


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs."""
    of = {arm: dataset.sel(arm=arm) for arm in ARMS}
    two, end = of[TWO], {arm: best(of[arm]).isel(step=-1) for arm in ARMS}
    first, second = born(two, "previous", 0), born(two, "prefix_matching", 1)
    without = two["without_matching"] / end[TWO]
    head = teller(two)
    others = without.sel(layer=0).where(without["head"] != head)

    def asked(numbers: xr.DataArray, holds: xr.DataArray) -> tuple[str, bool | None]:
        return in_every(numbers.to_series(), holds.to_series())

    one, copied = best(of[ONE]).max("step"), of[ONE]["copying"].isel(step=-1).min(("layer", "head"))
    costs = worth(two).sel(layer=1).max("head")
    came = [
        asked(end[TWO], end[TWO] > 0.5),
        asked(one, one < 0.1),
        asked(end[SHUFFLED], end[SHUFFLED] < 0.1),
        asked(fall(two), fall(two) <= 80),
        in_every(
            (second - first).to_series(),
            ((second > first) & np.isfinite(second)).to_series(),
            "{:.0f} to {:.0f} steps before",
        ),
        asked(copied, copied > 0.9),
        asked(without.sel(layer=0).isel(head=head), without.sel(layer=0).isel(head=head) < 0.5),
        asked(others.min("head"), others.min("head") >= 0.8),
        asked(costs, costs < 50),
    ]
    return forked.said(CHANCES, came)
