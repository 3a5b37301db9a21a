"""What chapter 6 found."""

import numpy as np
import xarray as xr

from ... import store
from ...claims.short import Short, most, spread
from ...claims.table import number
from ...plots.recipes import FULL
from ...source import BATCH_USE


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    halves = (store.recorded(name, "mid")["final_batch_use"] for name in ("factorial", "other_half"))
    use = np.concatenate([half.mean(["set", "seed"]).transpose("recipe", "layer").values for half in halves])
    emptied = use[use.min(1) < FULL]
    lowest = np.bincount(emptied.argmin(1)).tolist()
    first = store.recorded("layer_patterns", "wide", "first")
    nearest, mid = (store.recorded("layer_patterns", name) for name in ("wide", "mid"))
    capacity = store.recorded("capacity", "mid")["used_units"].mean("seed").astype(float)
    times = capacity["d_ff"].values[-1] // capacity["d_ff"].values[0]
    grown = (capacity.isel(d_ff=-1) / capacity.isel(d_ff=0)).values
    of_mid = (mid["final_batch_use"].mean("set").transpose("seed", "layer")).argmin("layer").values.tolist()
    return Short(
        f"The recipe decides which layer empties: of {len(use)} recipes for Mid (6 × 8,192 units), {len(emptied)} end "
        f"with a layer under {100 * FULL:g} %, and the emptiest is "
        + ", ".join(f"layer {layer} in {count}" for layer, count in enumerate(lowest) if count)
        + ".",
        (
            f"In Wide (6 × 32,768) neither recipe with fresh seeds has the paper's {BATCH_USE[0]} and {BATCH_USE[5]} % "
            f"in one model: {_ends(first)}; {_ends(nearest)}.",
            f"{times} times as many units are not used {times} times as much: layer 0 then uses {number(grown[0])} "
            f"times as many, layer 1 {number(grown[1])} times (recipe *first*, {capacity.sizes['d_ff']} widths).",
            f"Seeds of one recipe need not agree: in Mid by *{mid.attrs['recipe']}*, the emptiest is {most(of_mid)}.",
        ),
    )


def _ends(dataset: xr.Dataset) -> str:
    use = 100 * dataset["final_batch_use"].mean("set").astype(float)
    first, last = (spread(use.sel(layer=layer).values.tolist(), " %") for layer in (0, 5))
    return f"*{dataset.attrs['recipe']}* ends at {first} and {last}"
