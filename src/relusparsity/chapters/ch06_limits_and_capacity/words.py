"""Sentences of chapter 06 whose numbers the recorded data give."""

import numpy as np
import xarray as xr

from ...claims.short import Said, between
from ...claims.table import number

LONG = "lr × 2"
"""What the sweep of longer runs calls *first*."""


def _end(dataset: xr.Dataset, layer: int) -> xr.DataArray:
    """Batch use at the end in percent, mean over the sets."""
    return 100 * dataset["final_batch_use"].astype(float).mean("set").sel(layer=layer)


def _millions(tokens: float) -> str:
    return number(round(float(tokens) / 1e6))


def longer(long: xr.Dataset, mid: xr.Dataset) -> Said:
    """What five times the tokens do to *first* in Mid, and to the other recipes."""
    of = long.sel(recipe=LONG)
    first, last = (float(_end(of, layer).mean()) for layer in (0, 5))
    lowest = int(of["final_batch_use"].astype(float).mean(("set", "seed")).argmin("layer"))
    others = [float(_end(long, 0).sel(recipe=name).mean()) for name in long["recipe"].values if name != LONG]
    return Said(
        "**Longer training empties layer 0 of one recipe, and not of every recipe.** With *first*, layer 0 of Mid "
        f"ends at {number(float(_end(mid, 0).mean()))} % after {_millions(mid['tokens'].values[-1])} million tokens "
        f"({between(np.round(_end(mid, 0), 1))} over {mid.sizes['seed']} seeds) and at {number(first)} % after "
        f"{_millions(long['tokens'].values[-1])} million, with layer 5 at {number(last)} %: near W&A's 13.3 and 95.6 "
        f"% in one model, though layer {lowest} is its lowest. Three other recipes leave layer 0 at {between(others)} "
        "%."
    )


def same_tokens(long: xr.Dataset, mid: xr.Dataset) -> Said:
    """Where the long run stands when it has read as much as the short ones do in all."""
    tokens = mid["tokens"].values[-1]
    use = long["batch_use"].sel(recipe=LONG).astype(float).mean("seed")
    at = 100 * float(use.isel(step=int(np.abs(long["tokens"].values - tokens).argmin())).sel(layer=0))
    return Said(
        f"When the long run of *first* has read {_millions(tokens)} million tokens, as many as the short ones in all, "
        f"its layer 0 stands at {number(at)} %, and the short ones end at {between(np.round(_end(mid, 0), 1))} %: "
        "their rate had fallen by then, and that of the long run hardly."
    )


def grown(dataset: xr.Dataset) -> Said:
    """Whether any layer's number of used units saturates, and what becomes of their share."""
    used = dataset["used_units"].astype(float).mean("seed").transpose("d_ff", "layer")
    widths = used["d_ff"].values
    times = (used.isel(d_ff=-1) / used.isel(d_ff=0)).values
    share = 100 * used / used["d_ff"]
    wide = share.isel(d_ff=-1).values
    return Said(
        f"**No layer's number of used units saturates up to {widths[-1]:,}.** {widths[-1] // widths[0]} times as many "
        f"units per layer give {between(times)} times as many used ones (Mid's stream, *first*). But the share of "
        f"layer 5 that is in use falls from {number(float(share.isel(d_ff=0)[-1]))} to {number(float(wide[-1]))} %, "
        f"below that of layer 0, {number(float(wide[0]))} %."
    )


def paid(dataset: xr.Dataset) -> Said:
    """From which width on more units buy nothing in the loss that seeds do not."""
    loss = dataset["heldout_loss"].astype(float)
    shared = loss.sel(d_ff=dataset.attrs["shared_d_ff"])
    low, high = float(shared.min()), float(shared.max())
    mean = loss.mean("seed")
    enough = int(next(w for w in loss["d_ff"].values if float(mean.sel(d_ff=w)) <= high))
    return Said(
        f"**From {enough:,} units on, more buy nothing that can be seen in the loss**: there it lies within what five "
        f"seeds of {dataset.attrs['shared_d_ff']:,} units span ({low:.3f} to {high:.3f} nats per token), and no wider "
        "model ends below them."
    )


def stream(dataset: xr.Dataset) -> Said:
    """What a stream half as wide again does in Wide."""
    use = 100 * dataset["final_batch_use"].astype(float).mean(("set", "seed"))
    narrow, wide = (use.isel(recipe=at) for at in (0, 1))
    loss = dataset["final_loss"].astype(float).mean("seed").values
    return Said(
        f"In Wide, with 1,536 numbers in place of 1,024, layer 5 ends at {number(float(wide[-1]))} % instead of "
        f"{number(float(narrow[-1]))} %, layer 0 at {number(float(wide[0]))} % instead of {number(float(narrow[0]))} "
        f"%, and the loss falls from {loss[0]:.2f} to {loss[1]:.2f}: a wider stream does not bring layer 5 back. In "
        "Mid it is the early layers that keep more units on a wider stream."
    )


def repeated(streams: xr.Dataset, mid: xr.Dataset) -> Said:
    """How far a second run of one recipe and seed ends from the first."""
    again = streams.sel(recipe="stream 512, 8,192 units")
    seed = int(again["seed"].item())
    one, two = (100 * of["final_batch_use"].astype(float).mean("set").sel(seed=seed) for of in (mid, again))
    return Said(
        f"The run of 8,192 units on 512 repeats seed {seed} of *first* in Mid, and ends within "
        f"{number(float(abs(one - two).max()))} points of it in every layer: so much do two runs of one seed differ "
        "on a GPU."
    )
