"""What chapter 6 found."""

import numpy as np
import xarray as xr

from ... import store
from ...claims.short import Short, between, most
from ...claims.table import number
from ...experiments import endings
from . import words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    mid, every = store.recorded("layer_patterns", "mid"), store.recorded("longer", "mid")
    long, others = every.sel(recipe=words.LONG), every.drop_sel(recipe=words.LONG)
    used = store.recorded("capacity", "mid")["used_units"].mean("seed").astype(float).transpose("d_ff", "layer")
    widths = used["d_ff"].values
    grown, share = (used.isel(d_ff=-1) / used.isel(d_ff=0)).values, (100 * used / used["d_ff"]).isel(d_ff=-1).values
    of_mid = endings.use(mid).transpose("seed", "layer").argmin("layer").values.tolist()
    left = endings.use(others).sel(layer=0).mean("seed").values.tolist()
    emptiest = endings.use(long).mean("seed")
    return Short(
        f"One run of Mid (6 × 8,192 units) ends near W&A's {words.SOURCE} %, at {_mean(long, 0)} and {_mean(long, 5)} "
        f"%, with layer {int(emptiest.argmin('layer'))} its emptiest; and {widths[-1]:,} units per layer are not too "
        "many to be used.",
        (
            f"That run has five times the usual tokens; the recipe, *first*, ends layer 0 at {_mean(mid, 0)} % after "
            f"{_millions(mid)} million ({between(np.round(endings.use(mid).sel(layer=0), 1))} over {mid.sizes['seed']} "
            f"seeds). Three other recipes trained as long leave layer 0 at {words.tenths(left)} %.",
            f"{widths[-1] // widths[0]} times as many units per layer give {between(grown)} times as many used ones; "
            f"layer 5 then uses {number(float(share[-1]))} % of its own, layer 0 {number(float(share[0]))} % "
            f"(*first*, {len(widths)} widths).",
            f"Seeds of one recipe need not agree: in Mid by *{mid.attrs['recipe']}*, the emptiest is {most(of_mid)}. "
            "Which recipe empties which layer is chapter 7's question.",
        ),
    )


def _mean(dataset: xr.Dataset, layer: int) -> str:
    return number(float(endings.use(dataset).sel(layer=layer).mean()))


def _millions(dataset: xr.Dataset) -> str:
    return number(round(float(dataset["tokens"].values[-1]) / 1e6))
