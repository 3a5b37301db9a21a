"""Sentences of chapter 09 on the dead that come back, on this machine's forks and on the recorded ones of Mid."""

from typing import Any

import numpy as np
import xarray as xr

from ...claims.short import Said
from ...experiments import sealing, written
from ...plots.reading import how_many
from ...shapes import title
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
        f"**In {title(dataset.attrs['scale'])}, of layer {layer}'s {float(dead.sel(fork=effects.FREE)):.0f} dead "
        f"units {usual:.0f} come back, and {frozen:.0f} with all before the layer frozen**: "
        f"{100 * (1 - frozen / usual):.0f} % fewer ({100 * low:.0f} to {100 * high:.0f} % by counting alone). That "
        f"fork's loss ends {100 * (loss[1] / loss[0] - 1):.1f} % higher. What is left does not come from changes "
        f"before the layer: moments, decay, or text that had not come before. In layer {layer - 1}, which itself "
        f"stands still there, new text alone wakes {float(below['came_back']):.0f} of "
        f"{float(below['dead_at_fork']):.0f}."
    )


LONGEST = 2048
"""Steps without a firing from which on the longest silence of a recorded fork is counted."""


def over_seeds(dataset: xr.Dataset) -> Said:
    """How many of layer 2's dead come back in the recorded forks, how many of them by new text alone, and the row."""
    layer = sealing.LAYER
    if waits := written.waits(dataset, sealing.named(), sealing.named(frozen=layer), sealing.floor(layer)):
        return Said(waits)
    of = shares(dataset, layer)
    free, frozen, still = (of[name] for name in (effects.FREE, effects.FROZEN, effects.STILL))
    text = sealing.STEPS * _config(dataset)["train"]["batch_tokens"] / dataset.attrs["dead_after"]
    more, under, whole = int((still > free).sum()), int((frozen < still).sum()), len(free)
    fired = effects.of_revivals(dataset, layer, sealing.named())["fired"].sel(silent_steps=slice(LONGEST, None))
    loose, stuck = (fired.sum("silent_steps").sel(fork=fork).values for fork in (effects.FREE, effects.STILL))
    oftener = int((loose > stuck).sum())
    loss = dataset["final_loss"].sel(arm=[sealing.named(), sealing.named(frozen=layer)]).mean("seed").values
    return Said(
        f"**In Mid, new text alone wakes most of those that come back.** {sealing.STEPS:,} steps bring {text:.0f} "
        f"times as much text as the silence that calls a unit dead. Of layer {layer}'s dead units {_span(free)} fire "
        f"again in them ({whole} seeds). At the floor {_span(still)} do, in {more} seeds more than with nothing "
        f"frozen: most of these units were rare, not dead. {_elsewhere(dataset)}\n\n"
        f"With upstream frozen and decay left on it is {_span(frozen)}, in {under} of {whole} seeds less than at the "
        f"floor: the floor is no lower bound, for decay silences rare units too. The loss then ends "
        f"{100 * (loss[1] / loss[0] - 1):.1f} % higher. Zeroing the moments adds nothing: after "
        f"{int(dataset.attrs['dead_after']):,} silent tokens none are left.\n\n"
        f"Where the silence is longest, change does wake units (seen after the runs): after {LONGEST:,} steps and more "
        f"there are {loose.sum():.0f} firings with nothing frozen and {stuck.sum():.0f} at "
        f"the floor, in about as many unit-steps, and more in {oftener} of {whole} seeds."
    )


def _elsewhere(dataset: xr.Dataset) -> str:
    """The other layers' revivals at the floor, in those with nothing frozen; of seeds that have both forks."""
    told = []
    for layer in (each for each in sealing.LAYERS if each != sealing.LAYER):
        back = effects.of_revivals(dataset, layer, sealing.named())["came_back"]
        free, still = (back.sel(fork=fork).values for fork in (effects.FREE, effects.STILL))
        both = np.isfinite(free) & np.isfinite(still)
        if free[both].sum() >= sealing.LEAST:  # layer 0 has next to no dead
            seeds = how_many(int(both.sum()), "seed")
            told.append(f"{still[both].sum() / free[both].sum():.2f} in layer {layer} ({seeds})")
    return f"The ratio of floor to nothing frozen is {' and '.join(told)}." if told else ""


def row_16(dataset: xr.Dataset) -> Said:
    """What row 16 asks of these forks, and why it says nothing."""
    limits = sealing.finding(dataset).limits
    if not limits:
        return Said("Row 16 stands in the claims below.")
    lacking = [
        str(layer)
        for layer in sealing.LAYERS
        if bool(dataset["came_back"].sel(arm=sealing.floor(layer), layer=layer).isnull().any())
    ]
    bounds = f" Of the floor of layers {' and '.join(lacking)} one seed has not run." if lacking else ""
    return Said(
        "**Row 16 is *not testable here*.** It asks what freezing takes away of the revivals *beyond the floor*, "
        f"those that new text alone does not bring: {'; '.join(limits)}.{bounds}"
    )


def _config(dataset: xr.Dataset) -> dict[str, Any]:
    config: dict[str, Any] = results.provenance(dataset)["configs"][sealing.named()]
    return config


def _span(percent: np.ndarray) -> str:
    """Mean of the seeds, with the least and the largest: '9.0 % (5.6 to 15.0)'."""
    return f"{percent.mean():.1f} % ({percent.min():.1f} to {percent.max():.1f})"


def shares(dataset: xr.Dataset, layer: int) -> dict[str, np.ndarray]:
    """Of a layer's dead units the share (percent) that comes back, seed by seed, in the three forks of row 16."""
    found = effects.of_revivals(dataset, layer, sealing.named())
    share = 100 * found["came_back"] / found["dead"].where(found["dead"] > 0)
    return {str(fork): share.sel(fork=fork).values for fork in share["fork"].values}
