"""What chapter 6 found."""

import xarray as xr

from ... import store
from ...claims.short import Short, most, spread
from ...claims.table import number
from ...source import BATCH_USE


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    first = store.recorded("layer_patterns", "wide", "first")
    nearest, mid = (store.recorded("layer_patterns", name) for name in ("wide", "mid"))
    capacity = store.recorded("capacity", "mid")["used_units"].mean("seed").astype(float)
    times = capacity["d_ff"].values[-1] // capacity["d_ff"].values[0]
    grown = (capacity.isel(d_ff=-1) / capacity.isel(d_ff=0)).values
    longer = store.recorded("longer", "mid").sel(recipe="lr × 2")
    of_mid = (mid["final_batch_use"].mean("set").transpose("seed", "layer")).argmin("layer").values.tolist()
    return Short(
        f"In Wide (6 × 32,768 units) neither recipe with fresh seeds has the paper's {BATCH_USE[0]} and "
        f"{BATCH_USE[5]} % "
        f"in one model: {_ends(first)}; {_ends(nearest)}.",
        (
            f"Longer training takes one recipe near them in Mid (6 × 8,192): *first* ends its layer 0 at "
            f"{_mean(mid, 0)} % "
            f"after {_millions(mid)} million tokens, at {_mean(longer, 0)} % after {_millions(longer)}, with layer "
            f"5 at "
            f"{_mean(longer, 5)} % (one seed).",
            f"{times} times as many units are not used {times} times as much: layer 0 then uses {number(grown[0])} "
            f"times as many, layer 1 {number(grown[1])} times (recipe *first*, {capacity.sizes['d_ff']} widths).",
            f"Seeds of one recipe need not agree: in Mid by *{mid.attrs['recipe']}*, the emptiest is "
            f"{most(of_mid)}. Which "
            "recipe empties which layer is chapter 7's question.",
        ),
    )


def _mean(dataset: xr.Dataset, layer: int) -> str:
    return number(100 * float(dataset["final_batch_use"].astype(float).sel(layer=layer).mean()))


def _millions(dataset: xr.Dataset) -> str:
    return number(float(dataset["tokens"].values[-1]) / 1e6)


def _ends(dataset: xr.Dataset) -> str:
    use = 100 * dataset["final_batch_use"].mean("set").astype(float)
    first, last = (spread(use.sel(layer=layer).values.tolist(), " %") for layer in (0, 5))
    return f"*{dataset.attrs['recipe']}* ends at {first} and {last}"
