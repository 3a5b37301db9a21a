"""Sentences of chapter 06 whose numbers the recorded data give."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ...claims.short import Said, between, listed
from ...claims.table import number
from ...experiments import endings
from ...source import BATCH_USE

SOURCE = " and ".join(map(str, BATCH_USE.values()))
"""The two numbers that the source states, in percent."""

LONG = "lr × 2"
"""What the sweep of longer runs calls *first*."""


def _end(dataset: xr.Dataset, layer: int) -> xr.DataArray:
    """Batch use at the end in percent, mean over the sets."""
    return endings.use(dataset).sel(layer=layer)


def _millions(tokens: float) -> str:
    return number(round(float(tokens) / 1e6))


def longer(long: xr.Dataset, mid: xr.Dataset) -> Said:
    """What five times the tokens do to *first* in Mid, and to the other recipes."""
    of = long.sel(recipe=LONG)
    first, last = (float(_end(of, layer).mean()) for layer in (0, 5))
    lowest = int(endings.use(of).mean("seed").argmin("layer"))
    others = [float(_end(long, 0).sel(recipe=name).mean()) for name in long["recipe"].values if name != LONG]
    return Said(
        f"**One run of Mid, trained five times as long, ends near W&A's {SOURCE} %, and other recipes do not.** "
        f"With *first*, layer 0 ends at {number(float(_end(mid, 0).mean()))} % after "
        f"{_millions(mid['tokens'].values[-1])} million tokens ({between(np.round(_end(mid, 0), 1))} over "
        f"{mid.sizes['seed']} seeds) and at {number(first)} % after {_millions(long['tokens'].values[-1])} million "
        f"(one seed), layer 5 at {number(last)} %; layer {lowest} is its lowest. Three other recipes leave layer 0 at "
        f"{tenths(others)} %."
    )


def tenths(values: Sequence[float]) -> str:
    """'53.9, 94.8 and 100'."""
    return listed([number(round(value, 1)) for value in sorted(values)])


def same_tokens(long: xr.Dataset, mid: xr.Dataset) -> Said:
    """Where the long run stands when it has read as much as the short ones do in all."""
    tokens = mid["tokens"].values[-1]
    use = long["batch_use"].sel(recipe=LONG).astype(float).mean("seed")
    at = 100 * float(use.isel(step=int(np.abs(long["tokens"].values - tokens).argmin())).sel(layer=0))
    return Said(
        f"Most of the difference is there early: when the long run has read {_millions(tokens)} million tokens, as "
        f"many as the short ones in all, its layer 0 stands at {number(at)} %, and the short ones end at "
        f"{between(np.round(_end(mid, 0), 1))} %. By then their rate had fallen, and that of the long run hardly: how "
        "long the rate stays high seems to matter more than the number of tokens (one seed)."
    )


def grown(dataset: xr.Dataset) -> Said:
    """Whether any layer's number of used units saturates, and what becomes of their share."""
    used = dataset["used_units"].astype(float).mean("seed").transpose("d_ff", "layer")
    widths = used["d_ff"].values
    times = (used.isel(d_ff=-1) / used.isel(d_ff=0)).values
    share = 100 * used / used["d_ff"]
    wide = share.isel(d_ff=-1).values
    steps = np.diff(used.values, axis=0)
    grows = [int(layer) for layer in np.flatnonzero((steps > 0).all(axis=0))]
    rest = [layer for layer in range(used.sizes["layer"]) if layer not in grows]
    said = f" Of layers {listed([str(layer) for layer in rest])} one seed per width cannot say." if rest else ""
    return Said(
        f"**Layers {listed([str(layer) for layer in grows])} go on using more units at every doubling, up to "
        f"{widths[-1]:,}.**{said} {widths[-1] // widths[0]} times as many units per layer give {between(times)} times "
        "as many used ones (Mid's stream, *first*). But the share of layer 5 that is in use falls from "
        f"{number(float(share.isel(d_ff=0)[-1]))} to {number(float(wide[-1]))} %, below that of layer 0, "
        f"{number(float(wide[0]))} %."
    )


def paid(dataset: xr.Dataset) -> Said:
    """From which width on more units buy nothing in the loss that seeds do not."""
    loss = dataset["heldout_loss"].astype(float)
    shared = dataset.attrs["shared_d_ff"]
    low, high = float(loss.sel(d_ff=shared).min()), float(loss.sel(d_ff=shared).max())
    mean = {int(width): float(loss.sel(d_ff=width).mean()) for width in loss["d_ff"].values}
    enough = next(width for width, value in mean.items() if value <= high)
    other = {width: value for width, value in mean.items() if width >= enough and width != shared}
    within = [f"{width:,}" for width, value in other.items() if low <= value <= high]
    above = [f"{width:,}" for width, value in other.items() if value > high]
    below = [f"{width:,}" for width, value in other.items() if value < low]
    said = f"models of {' and '.join(within)} end inside what the seeds at {shared:,} span ({low:.3f} to {high:.3f})"
    said += f", {' and '.join(above)} above it" if above else ""
    said += f", {' and '.join(below)} below it" if below else ""
    return Said(
        f"**More than {enough:,} units buy nothing that can be seen in the loss**: {said}."
        if not below
        else f"**More units still buy something in the loss**: {said}."
    )


def stream(dataset: xr.Dataset) -> Said:
    """What a stream half as wide again does in Wide."""
    use = endings.use(dataset).mean("seed")
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
    one, two = (endings.use(of).sel(seed=seed) for of in (mid, again))
    return Said(
        f"The run of 8,192 units on 512 repeats seed {seed} of *first* in Mid, and ends within "
        f"{number(float(abs(one - two).max()))} points of it in every layer: so much do two runs of one seed differ "
        "on a GPU."
    )


def again(repeated: xr.Dataset) -> Said:
    """Whether reading a text again empties layer 0 further."""
    use = _end(repeated, 0).mean("seed")
    once, often = (float(use.sel(recipe=name)) for name in ("each text once", "a quarter, four times"))
    claim = "Text read again empties layer 0" if often < once else "Reading a text again is not what empties the layers"
    return Said(
        f"**{claim}.** The longer runs read their text nearly three times. The control, same seed, reads as many "
        f"tokens once over the whole text, and four times over a quarter of it: layer 0 ends at {number(once)} and at "
        f"{number(often)} %."
    )
