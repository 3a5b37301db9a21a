"""Chapter 09: what seals death: forks in which the dead's surroundings stand still, and their revivals.

From a quarter of the training on, forks of 2,000 steps, five seeds of *first* at Mid, in a design of 2 × 2 × 2: biases
of hidden units decayed or not (*first* does not), weights of dead units decayed or not (it does), what layer 2's input
is computed with frozen or not. Besides, for layers 0, 1 and 3, upstream frozen alone; and for layers 0 to 3 the
**floor**: upstream frozen, the optimiser's moments zeroed, no decay of the dead. There a dead unit's weights and what
it reads stand still, so that it fires again only where the text after the fork has what the text before had not: two
disjoint probes of one unit. A unit is dead at the fork, and came back, as `forked` has it.

Row 16 of the ledger: of the revivals beyond the floor, freezing upstream takes away 90 % or more, and the interval over
the five forks lies above 75 %. We ask it of each layer with at least `LEAST` revivals beyond the floor; the row holds
if it does in all of them. A public toy study froze upstream and had 79 to 94 % fewer revivals.

Written before the runs (2026-11-29), with no such fork seen but in tests: `EXPECTED` and `CHANCES`. With embeddings
tied, freezing upstream freezes the output layer too.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..claims import Rule
from ..claims.reading import Finding, Reading
from ..claims.statistics import half_width
from . import forked, shared, variants

DATE = "2026-11-29"
RAN = "2026-11-30"
"""The day of the last runs; empty before the first. Two of the 75 wait: floors of layers 1 and 3, last seed."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed once it ran."""

POINT, STEPS, LAYER = "25 %", 2000, 2
"""Where forks begin, how long they go on, and the layer of the design."""

LAYERS = (0, 1, 2, 3)
"""Those whose upstream is frozen."""


def named(biases: bool = False, dead: bool = True, frozen: int | None = None) -> str:
    """Name of an arm of the design: biases decayed, dead units decayed, upstream of which layer frozen.

    Examples
    --------
    >>> named(), named(frozen=2), named(True, False)
    ('as its parent', 'upstream of layer 2 frozen', 'biases decayed, dead not decayed')
    """
    said = ["biases decayed"] * biases + ["dead not decayed"] * (not dead)
    said += [f"upstream of layer {frozen} frozen"] if frozen is not None else []
    return ", ".join(said) or "as its parent"


def floor(layer: int) -> str:
    """Name of the arm in which the dead of a layer, and what they read, stand still.

    Examples
    --------
    >>> floor(2)
    'all that moves the dead of layer 2 frozen'
    """
    return f"all that moves the dead of layer {layer} frozen"


def _changes(biases: bool = False, dead: bool = True, frozen: int | None = None, still: bool = False) -> dict[str, Any]:
    fields = {
        "decay_input_biases": biases,
        "decay_dead": dead,
        "freeze_before": frozen,
        "zero_moments": still,
        "steps": STEPS,
    }
    return {f"fork.{name}": value for name, value in fields.items()}


CELLS = list(product((None, LAYER), (True, False), (False, True)))
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{named(biases, dead, frozen): (POINT, _changes(biases, dead, frozen)) for frozen, dead, biases in CELLS},
    floor(LAYER): (POINT, _changes(dead=False, frozen=LAYER, still=True)),
    **{named(frozen=layer): (POINT, _changes(frozen=layer)) for layer in LAYERS if layer != LAYER},
    **{floor(layer): (POINT, _changes(dead=False, frozen=layer, still=True)) for layer in LAYERS if layer != LAYER},
}

EXPECTED: dict[str, tuple[float, float]] = {
    named(): (10, 50),
    named(biases=True): (15, 70),
    named(dead=False): (15, 60),
    named(frozen=LAYER): (1, 15),
    named(dead=False, frozen=LAYER): (0.5, 8),
    floor(LAYER): (0.3, 6),
}
"""Arm → interval of the share (percent) of layer 2's dead that come back in 2,000 steps, mean of the seeds."""

CHANCES = {
    "row 16: freezing upstream takes away 90 % of the revivals beyond the floor": 0.4,
    "in layer 2, decaying biases raises revivals": 0.7,
    "in layer 2, sparing the dead from decay raises revivals": 0.6,
    "in layer 2 with upstream frozen, sparing the dead from decay lowers revivals": 0.6,
}
"""Sentence → the chance written for it; see `sentences`."""

LEAST = 100
"""Revivals beyond the floor, mean over the seeds, for a layer to count."""


def config(scale: str) -> shared.Config:
    """All forks of every seed at a shape, seed by seed; shapes of fewer steps go on to the parent's end."""
    made = forked.parent(scale, 0)
    left = made.train.steps - forked.tokens(made, POINT) // made.train.batch_tokens
    arms = {name: (point, fields | {"fork.steps": min(STEPS, left)}) for name, (point, fields) in ARMS.items()}
    return forked.config(scale, arms)


def run(config: shared.Config) -> xr.Dataset:
    """Dead and revived units by (arm, seed, layer), and the hazard of firing again, trained where they do not exist."""
    return forked.made("sealing", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """The dataset of the forks there are, in the order of `config.runs`; None was not run, its values are missing."""
    return forked.assemble(config, runs, ARMS, measured)


def measured(fork: xr.Dataset) -> forked.Kept:
    """What is kept of a fork, by name: dimensions, values, unit and description."""
    dead, back = ~forked.lived(fork), forked.came_back(fork)
    bins = ("layer", "silent_steps")
    return {
        "dead_at_fork": (("layer",), dead.sum(1), "units", "units that are dead at the fork"),
        "came_back": (("layer",), back.sum(1), "units", "of these, units that fired since"),
        **{
            name: (bins, fork[name].transpose(*bins).values, fork[name].attrs["units"], fork[name].attrs["long_name"])
            for name in ("silent_at_risk", "silent_fired")
        },
    }


def share(dataset: xr.Dataset) -> xr.DataArray:
    """Share (percent) of the dead that came back, (arm, seed, layer)."""
    dead = dataset["dead_at_fork"]
    return 100 * dataset["came_back"] / dead.where(dead > 0)


def removed(dataset: xr.Dataset) -> pd.DataFrame:
    """Row 16, a row a layer: what freezing upstream takes away of the revivals beyond the floor, percent; `holds`.

    Mean over the seeds and Student's interval (95 %). `holds` is None where a layer has fewer than `LEAST` revivals
    beyond the floor, or none in a seed, and where one of the `forked.SEEDS` seeds is missing.
    """
    rows = []
    for layer in LAYERS:
        free, frozen, still = (
            dataset["came_back"].sel(arm=arm, layer=layer).values
            for arm in (named(), named(frozen=layer), floor(layer))
        )
        beyond = free - still
        gone = 100 * (free - frozen) / np.where(beyond > 0, beyond, np.nan)
        n = len(gone)
        known = n == forked.SEEDS and bool(np.isfinite(gone).all()) and float(beyond.mean()) >= LEAST
        half = half_width(gone)
        mean = float(gone.mean())
        holds = bool(mean >= 90 and mean - half > 75) if known else None
        rows.append((layer, float(beyond.mean()), mean, mean - half, mean + half, holds))
    columns = ["layer", "revivals beyond the floor", "removed, %", "low", "high", "holds"]
    return pd.DataFrame(rows, columns=columns).set_index("layer")


def finding(dataset: xr.Dataset) -> Finding:
    """Row 16: whether `removed` holds in every layer that counts; what falls short, where a layer is not known."""
    table, asked = removed(dataset), dataset["came_back"]
    arms = {
        "back with nothing frozen": named(),
        "with upstream frozen": named(frozen=LAYER),
        "at the floor": floor(LAYER),
    }
    shares = {said: share(dataset).sel(arm=arm, layer=LAYER) for said, arm in arms.items()}
    few: list[str] = []
    missing: list[int] = []
    none: list[int] = []
    for layer in (each for each in LAYERS if table.loc[each, "holds"] is None):
        free, still = (asked.sel(arm=arm, layer=layer) for arm in (named(), floor(layer)))
        most = float((free - still.fillna(0)).mean(skipna=False))  # a floor that is not known may be nothing
        if most < LEAST:
            few.append(f"{'at most ' * bool(still.isnull().any())}{most:.0f} in layer {layer}".replace("-", "−"))
        else:
            waits = variants.to_come((dataset, (named(), named(frozen=layer), floor(layer))))
            (missing if waits else none).append(layer)
    _, holds = forked.in_all(table["holds"])
    said = f"revivals beyond the floor, mean of the seeds: {', '.join(few)}; a layer counts with {LEAST}"
    limits = [f"layer {layer} has no revivals beyond the floor in a seed, or a fork without an end" for layer in none]
    read = [named(), *(arm for layer in missing for arm in (named(frozen=layer), floor(layer)))]
    holds = None if missing else holds
    return Finding(
        tuple(
            Reading(
                seed, holds, {f"layer {LAYER}, {what} (%)": float(of.sel(seed=seed)) for what, of in shares.items()}
            )
            for seed in dataset["seed"].values.tolist()
        ),
        tuple(limits or [said] * (holds is None and not missing)),
        to_come=variants.to_come((dataset, read)) if missing else "",
    )


RULES = {"16": Rule("sealing", finding)}
"""The ledger's row that these runs decide."""


def rest(dataset: xr.Dataset) -> pd.Series:
    """What row 16 asks of the revivals that are left in layer 2 with upstream frozen, mean over the seeds: their parts.

    Decay: those that are gone where the dead are spared from it. Moments: of these, those that are gone where the
    optimiser begins anew, too, which is the floor.
    """
    back = dataset["came_back"].sel(layer=LAYER).mean("seed", skipna=False)
    frozen, spared, still = (
        float(back.sel(arm=arm)) for arm in (named(frozen=LAYER), named(dead=False, frozen=LAYER), floor(LAYER))
    )
    return pd.Series({"decay": frozen - spared, "moments": spared - still, "floor": still}, name="revivals")


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; an arm without an end in every seed is neither right nor wrong."""
    came_back, rows = share(dataset).sel(layer=LAYER).mean("seed", skipna=False), []
    for arm, (low, high) in EXPECTED.items():
        came = float(came_back.sel(arm=arm))
        rows.append((arm, f"{low:g} to {high:g}", round(came, 1), None if came != came else low <= came <= high))
    return pd.DataFrame(rows, columns=["arm", "written before", "came", "holds"])


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a fork of what they read is missing, or no layer counts."""
    shares = share(dataset).sel(layer=LAYER).mean("seed", skipna=False)
    arms = (named(), named(biases=True), named(dead=False), named(frozen=LAYER), named(dead=False, frozen=LAYER))
    usual, biases, spared, frozen, still = (float(shares.sel(arm=arm)) for arm in arms)
    value, holds = forked.in_all(removed(dataset)["holds"])
    there = bool(np.isfinite(dataset["came_back"]).all())  # a layer whose forks are missing might count
    came = [
        (value, holds if there else None),
        (f"{biases:.1f} and {usual:.1f} %", forked.larger(biases, usual)),
        (f"{spared:.1f} and {usual:.1f} %", forked.larger(spared, usual)),
        (f"{still:.1f} and {frozen:.1f} %", forked.larger(frozen, still)),
    ]
    return forked.said(CHANCES, came)
