"""What chapter 05 reads off its datasets: costs, where the units come from, and how far they go beyond the silent."""

import numpy as np
import xarray as xr

from ...plots.figure import model_of

NAMES = {"rate": "rate", "magnitude": "magnitude", "random": "matched draw"}
"""Method, as datasets have it, → what readers call it."""


def name(dataset: xr.Dataset) -> str:
    """Model and recipe: 'Wide, nearest'."""
    return ", ".join(model_of(dataset, "chapter 5").split(", ")[:2])


def text(dataset: xr.Dataset) -> str:
    """The text whose loss the chapter shows of a dataset: C4 where it was read, which no model was trained on."""
    return "c4-eval" if "c4-eval" in dataset["evaluation"].values else "heldout"


def cost(dataset: xr.Dataset, evaluation: str | None = None) -> xr.DataArray:
    """Change of the loss, percent of the whole model's: (seed, chosen_by, share)."""
    chosen = dataset.sel(evaluation=evaluation or text(dataset))
    rise = 100 * (chosen["loss"].astype(float) / chosen["baseline_loss"].astype(float) - 1)
    return rise.transpose("seed", "chosen_by", "share")


def silent_cost(dataset: xr.Dataset, evaluation: str | None = None) -> xr.DataArray:
    """Change of the loss where the silent units go, percent: (seed)."""
    chosen = dataset.sel(evaluation=evaluation or text(dataset))
    return 100 * (chosen["silent_loss"].astype(float) / chosen["baseline_loss"].astype(float) - 1)


def units(dataset: xr.Dataset) -> int:
    """Hidden units of all layers."""
    return int(dataset.attrs["d_ff"]) * dataset.sizes["layer"]


def silent(dataset: xr.Dataset) -> xr.DataArray:
    """Units that fired at no token of the sample, as a share of the layer: (seed, layer)."""
    return dataset["silent_removed"].astype(float) / dataset.attrs["d_ff"]


def at(dataset: xr.Dataset, share: float) -> int:
    """Place of the measured share nearest to one; in float32 a share is not quite what was asked for."""
    return int(np.abs(dataset["share"].values - share).argmin())


def taken(dataset: xr.Dataset, share: float) -> xr.DataArray:
    """What rate, and so the matched draw, takes of each layer where `share` of all units goes: shares (seed, layer)."""
    left = dataset["units_left"].sel(chosen_by="rate").isel(share=at(dataset, share)).astype(float)
    return 1 - left / dataset.attrs["d_ff"]


def by_chance(dataset: xr.Dataset, share: float) -> xr.DataArray:
    """What rate would take of each layer were its ties broken at random, in the mean over such draws: (seed, layer).

    Missing where more goes than is silent: then units that fire go too, and their counts are not in the dataset.
    """
    tied = dataset["silent_removed"].astype(float)
    of_silent = share * units(dataset) / tied.sum("layer")
    return (of_silent * silent(dataset)).where(of_silent <= 1)


def hit(dataset: xr.Dataset, share: float) -> xr.DataArray:
    """Share of the units that fire which a matched draw takes, in the mean over draws: (seed)."""
    fire = 1 - silent(dataset)
    return (fire * taken(dataset, share)).sum("layer") / fire.sum("layer")


def beyond(dataset: xr.Dataset) -> xr.DataArray:
    """How much goes beyond the silent units at each measured share, as a share of those that fire: (seed, share).

    Missing where less goes than is silent.
    """
    off = silent(dataset).mean("layer")
    past = (dataset["share"].astype(float) - off) / (1 - off)
    return past.where(past >= 0).transpose("seed", "share")


def asked(dataset: xr.Dataset) -> xr.DataArray:
    """The share of all units that row 12b of the ledger reads: the silent, and half of the rest. (seed)."""
    off = silent(dataset).mean("layer")
    return off + (1 - off) / 2


def below(dataset: xr.Dataset) -> xr.DataArray:
    """Cost in percent at the largest measured share that is not above the one of row 12b: (seed, chosen_by).

    Coordinates of the seeds: `share`, and `beyond`, which is that share as `beyond` gives it.
    """
    shares = dataset["share"].values.astype(float)
    places = [int(np.flatnonzero(shares <= float(each) + 1e-6)[-1]) for each in asked(dataset)]
    each = {"share": xr.DataArray(places, dims="seed"), "seed": xr.DataArray(range(len(places)), dims="seed")}
    return cost(dataset).isel(each).assign_coords(beyond=beyond(dataset).isel(each))
