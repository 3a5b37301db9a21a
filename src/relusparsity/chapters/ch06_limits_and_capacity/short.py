"""What chapter 6 found."""

import numpy as np
import xarray as xr

from ... import store
from ...claims.short import Short, between, most
from ...claims.table import number


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    mid, long = store.recorded("layer_patterns", "mid"), store.recorded("longer", "mid").sel(recipe="lr × 2")
    used = store.recorded("capacity", "mid")["used_units"].mean("seed").astype(float).transpose("d_ff", "layer")
    widths = used["d_ff"].values
    grown, share = (used.isel(d_ff=-1) / used.isel(d_ff=0)).values, (100 * used / used["d_ff"]).isel(d_ff=-1).values
    of_mid = mid["final_batch_use"].mean("set").transpose("seed", "layer").argmin("layer").values.tolist()
    seeds = mid["final_batch_use"].astype(float).mean("set").sel(layer=0)
    return Short(
        f"Longer training takes one recipe of Mid (6 × 8,192 units) near W&A's 13.3 and 95.6 %, and {widths[-1]:,} "
        "units per layer are still not too many to be used.",
        (
            f"*First* ends layer 0 of Mid at {_mean(mid, 0)} % after {_millions(mid)} million tokens "
            f"({between(np.round(100 * seeds, 1))} over {mid.sizes['seed']} seeds), at {_mean(long, 0)} % after "
            f"{_millions(long)}, with layer 5 at {_mean(long, 5)} % (one seed). Two of three other recipes keep 95 % "
            "of it and more.",
            f"{widths[-1] // widths[0]} times as many units per layer give {between(grown)} times as many used ones; "
            f"layer 5 then uses {number(float(share[-1]))} % of its own, layer 0 {number(float(share[0]))} % "
            f"(*first*, {len(widths)} widths).",
            f"Seeds of one recipe need not agree: in Mid by *{mid.attrs['recipe']}*, the emptiest is {most(of_mid)}. "
            "Which recipe empties which layer is chapter 7's question.",
        ),
    )


def _mean(dataset: xr.Dataset, layer: int) -> str:
    return number(100 * float(dataset["final_batch_use"].astype(float).sel(layer=layer).mean()))


def _millions(dataset: xr.Dataset) -> str:
    return number(round(float(dataset["tokens"].values[-1]) / 1e6))
