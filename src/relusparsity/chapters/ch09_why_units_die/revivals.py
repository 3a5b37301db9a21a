"""Sentences of chapter 09 on the dead that come back, on this machine's forks and on the recorded ones of Mid."""

import numpy as np
import xarray as xr

from ...claims.short import Said
from ...experiments import sealing
from ...store import results
from . import effects, words


def sealed(dataset: xr.Dataset, layer: int, free: str) -> Said:
    """How many of a layer's dead come back with its upstream free and frozen."""
    found = effects.of_revivals(dataset, layer, free)
    dead, back = (found[name].sum("seed").astype(float) for name in ("dead", "came_back"))
    usual, frozen = (float(back.sel(fork=fork)) for fork in (effects.FREE, effects.FROZEN))
    low, high = words.by_counting(usual, frozen)
    loss = dataset["final_loss"].sel(arm=[free, sealing.named(frozen=layer)]).mean("seed").values
    below = dataset.sel(arm=sealing.named(frozen=layer), layer=layer - 1).sum("seed")
    return Said(
        f"**In Laptop, of layer {layer}'s {float(dead.sel(fork=effects.FREE)):.0f} dead units {usual:.0f} come back, "
        f"and {frozen:.0f} with all before the layer frozen**: {100 * (1 - frozen / usual):.0f} % fewer "
        f"({100 * low:.0f} to {100 * high:.0f} % by counting alone). That fork's loss ends "
        f"{100 * (loss[1] / loss[0] - 1):.1f} % higher. What is left is not the input's doing: moments, decay, or "
        f"text that had not come before. In layer {layer - 1}, which itself stands still there, new text alone wakes "
        f"{float(below['came_back']):.0f} of {float(below['dead_at_fork']):.0f}."
    )


def over_seeds(dataset: xr.Dataset) -> Said:
    """How many of layer 2's dead come back in the recorded forks, how many of them by new text alone, and the row."""
    layer, of = sealing.LAYER, shares(dataset, sealing.LAYER)
    free, frozen, still = (of[name] for name in (effects.FREE, effects.FROZEN, effects.STILL))
    config = results.provenance(dataset)["configs"][sealing.named()]
    text = sealing.STEPS * config["train"]["batch_tokens"] / dataset.attrs["dead_after"]
    more, whole = int((still > free).sum()), len(free)
    loss = dataset["final_loss"].sel(arm=[sealing.named(), sealing.named(frozen=layer)]).mean("seed").values
    (reason,) = sealing.finding(dataset).limits or ("",)
    row = f"Row 16 is *not testable here* ({reason})." if reason else "Row 16 stands in the claims below."
    return Said(
        f"**In Mid, mostly new text wakes them.** {sealing.STEPS:,} steps bring {text:.0f} times as much text as the "
        f"silence that calls a unit dead. Of layer {layer}'s dead {free.mean():.1f} % fire again in them (mean of "
        f"{whole} seeds; {free.min():.1f} to {free.max():.1f} %). Where all that moves them stands still, "
        f"{still.mean():.1f} % do, in {more} of {whole} seeds more than where nothing is frozen: these units are not "
        f"revived, they are rare. With upstream frozen alone, so that decay goes on, it is {frozen.mean():.1f} %; the "
        f"loss then ends {100 * (loss[1] / loss[0] - 1):.1f} % higher.\n\n{row}"
    )


def shares(dataset: xr.Dataset, layer: int) -> dict[str, np.ndarray]:
    """Of a layer's dead units the share (percent) that comes back, seed by seed, in the three forks of row 16."""
    arms = {
        effects.FREE: sealing.named(),
        effects.FROZEN: sealing.named(frozen=layer),
        effects.STILL: sealing.floor(layer),
    }
    share = sealing.share(dataset).sel(layer=layer)
    return {name: share.sel(arm=arm).values for name, arm in arms.items()}
