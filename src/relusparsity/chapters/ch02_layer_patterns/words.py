"""Sentences of chapter 02 whose numbers the recorded data give."""

import inspect

import numpy as np
import xarray as xr

from ...claims.short import Said, between, most
from ...claims.table import number
from ...counting import metrics
from ...experiments import endings
from ...source import BATCH_USE

FIRST, LAST = min(BATCH_USE), max(BATCH_USE)
NEAR = 5
"""Points within which a number is *near* the source's, as rows 1 and 2 of the ledger have it."""


def _ends(dataset: xr.Dataset) -> xr.DataArray:
    return endings.use(dataset).transpose("seed", "layer")


def _near(use: xr.DataArray, layer: int) -> str:
    """'two of three seeds', of those within `NEAR` points of the source."""
    held = int((abs(use.sel(layer=layer) - BATCH_USE[layer]) <= NEAR).sum())
    return f"{held} of {use.sizes['seed']} seeds"


def pattern(wide: xr.Dataset) -> Said:
    """Where the pattern of Wide is the source's, and where it is another."""
    use = _ends(wide)
    apart = (use.max("layer") - use.min("layer")).values
    lowest, fullest = (getattr(use, name)("layer").values.tolist() for name in ("argmin", "argmax"))
    return Said(
        f"**Layers come apart by {number(round(float(apart.min())))} points and more, and the emptiest is not the "
        f"first.** Layer {FIRST} ends within {NEAR} points of W&A's {BATCH_USE[FIRST]} % in {_near(use, FIRST)}, but "
        f"the emptiest is {most(lowest)}. Layer {LAST} is the fullest in "
        f"{'every seed' if set(fullest) == {LAST} else most(fullest)} and keeps "
        f"{between(use.sel(layer=LAST).round(1))} % of its units where W&A's keeps {BATCH_USE[LAST]} %."
    )


def seeds_apart(wide: xr.Dataset) -> Said:
    """How far the seeds lie apart, layer by layer."""
    use = _ends(wide)
    apart = (use.max("seed") - use.min("seed")).round(0).astype(int).values.tolist()
    return Said(
        f"Seeds differ by {', '.join(map(str, apart[:-1]))} and {apart[-1]} points in layers 0 to {len(apart) - 1}. "
        "Nearly all of the fall comes in the first half of the training. The dip of the first million tokens is "
        f"another thing: every layer but the first loses batch use for a moment, the last one {_dip(wide)} points of "
        "it, and recovers most of it."
    )


def _dip(dataset: xr.Dataset) -> int:
    """Points of the last layer's batch use that are gone at the worst moment of the first two million tokens."""
    early = dataset["tokens"].values <= 2_000_000
    use = 100 * dataset["batch_use"].astype(float).mean("seed").sel(layer=LAST)
    return round(100 - float(use.values[early].min()))


def of_mid(mid: xr.Dataset) -> Said:
    """What Mid keeps."""
    use = _ends(mid)
    return Said(
        f"**In Mid the last layer survives, and the first has only begun to empty.** Layer {LAST} ends within "
        f"{number(float(abs(use.sel(layer=LAST) - BATCH_USE[LAST]).max().round(1)))} points of W&A's number in every "
        f"seed; layer {FIRST} keeps {between(use.sel(layer=FIRST).round(1))} %. Mid has a quarter of Wide's units on "
        "a residual stream half as wide, twice the learning rate, half the weight decay and 49 million tokens. "
        "Trained five times as long, its layer 0 falls much further ([chapter 6](06_limits_and_capacity.html))."
    )


def at_a_token(wide: xr.Dataset) -> Said:
    """What one token uses, beside a batch."""
    token, batch = (100 * wide[f"final_{name}"].astype(float) for name in ("token_use", "batch_use"))
    token, batch = token.mean("seed"), batch.mean(("seed", "set"))
    return Said(
        f"**A token uses {between(np.round(token.values, 2))} % of a layer's units, a batch "
        f"{between(batch.round(0).values)} %.** Batch use hides how a unit is used: one that fires at every token and "
        "one that fires once in 8,192 count the same. Where token use falls while batch use stays, units become "
        "*rarer*; where batch use falls too, they go *quiet*."
    )


def flat(wide: xr.Dataset) -> Said:
    """How many more units a million tokens wake than a batch does."""
    windows = wide["final_window_use"].astype(float).mean("seed")
    more = 100 * (windows.isel(window=-1) - windows.sel(window=8192))
    gap = 100 * (wide["final_rarefied_use"] - wide["final_window_use"]).astype(float).mean("seed")
    sequence, batch = (between(gap.sel(window=window).round(1).values) for window in (512, 8192))
    return Said(
        f"**More text hardly helps in Wide.** {int(windows['window'][-1]):,} tokens wake at most "
        f"{number(float(more.max().round(2)))} points more of a layer than 8,192 do. Firings come in bunches: at as "
        f"many tokens drawn at random, a sequence would wake {sequence} points more of a layer, a batch {batch}."
    )


def first_token(wide: xr.Dataset, settled: int) -> Said:
    """By what factor the first token of a sequence uses more units."""
    use = wide["position_use"].astype(float).mean("seed").transpose("layer", "position")
    times = (use.isel(position=0) / use.isel(position=slice(settled, None)).mean("position")).values
    return Said(
        f"**The first token of a sequence, which has no context, uses {between(times.round(1))} times as many units** "
        "as later ones do."
    )


def of_laptop(laptop: xr.Dataset) -> Said:
    """What Laptop keeps."""
    use = _ends(laptop)
    return Said(
        f"**Laptop shows another profile**: the emptiest is {most(use.argmin('layer').values.tolist())}, layer "
        f"{FIRST} keeps {between(use.sel(layer=FIRST).round(1))} % and layer {LAST} "
        f"{between(use.sel(layer=LAST).round(1))} %. Size, text and recipe differ together, so this does not say "
        "which of them matters."
    )


def lines_that_matter() -> Said:
    """The library's own lines that say what firing is."""
    return Said(f"```python\n{inspect.getsource(metrics.fires).rstrip()}\n```")
