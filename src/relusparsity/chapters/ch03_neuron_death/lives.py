"""What units go through, from the recorded counts: deaths undone, weights that shrink while a unit is silent."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from ...config import TrainConfig
from ...store import results
from ...train.step import learning_rate

INTERVALS = 10
"""Parts of equal length into which training is cut for counts of deaths and revivals."""

OF_DECAY = ("tokens", "batch_tokens", "warmup", "lr", "schedule", "weight_decay", "resume_every")
"""Fields of a run's training that say how its weights decay, and that go with the size of its steps."""

LEAST_DEATHS = 20
"""Deaths, of all seeds, under which an interval has no ratio."""


def intervals(seen: np.ndarray, most: int) -> np.ndarray:
    """Indices of measured steps at least 1/most of the training apart, with the first and the last."""
    keep, least = [0], (seen[-1] - seen[0]) / most * 0.999
    for i in range(1, len(seen)):
        if seen[i] - seen[keep[-1]] >= least or i == len(seen) - 1:
            keep.append(i)
    return np.array(keep)


def undone(dataset: xr.Dataset, most: int = INTERVALS) -> xr.Dataset:
    """How often death is undone, interval by interval; seeds are summed before anything is divided.

    Parameters
    ----------
    dataset : Dataset
        `deaths`, `revivals` (seed, step, layer), units since the last measured step; `dead_units` (seed, step, layer),
        missing where none can be known to be dead yet; `tokens` (step).
    most
        Intervals at most.

    Returns
    -------
    Dataset
        By (interval, layer): `deaths` and `revivals`, units; `per_100_deaths`, revivals per 100 deaths, missing with
        fewer than `LEAST_DEATHS`; `per_100_dead`, revivals per 100 dead units and million tokens, missing where none is
        dead or none comes back. The coordinate `tokens` is each interval's middle.
    """
    seen = dataset["tokens"].values.astype(float)
    edges = intervals(seen, most)
    of = {n: dataset[n].sum("seed").transpose("step", "layer").values.astype(float) for n in ("deaths", "revivals")}
    counts = {name: np.add.reduceat(values[1:], edges[:-1], axis=0) for name, values in of.items()}
    dead = dataset["dead_units"].fillna(0).sum("seed").transpose("step", "layer").values.astype(float)
    lived = (dead[1:] + dead[:-1]) / 2 * np.diff(seen)[:, None] / 1e6  # dead units times million tokens, step by step
    exposed = np.add.reduceat(lived, edges[:-1], axis=0)
    back = np.where(counts["revivals"] > 0, counts["revivals"], np.nan)
    ratios = {
        "per_100_deaths": 100
        * counts["revivals"]
        / np.where(counts["deaths"] >= LEAST_DEATHS, counts["deaths"], np.nan),
        "per_100_dead": 100 * back / np.where(exposed > 0, exposed, np.nan),
    }
    middle = (seen[edges[1:]] + seen[edges[:-1]]) / 2
    return xr.Dataset(
        {name: (("interval", "layer"), values) for name, values in (counts | ratios).items()},
        {"layer": dataset["layer"].values, "tokens": ("interval", middle)},
    )


def stock(dataset: xr.Dataset) -> xr.DataArray:
    """Dead units, percent of the layer, mean over seeds: (step, layer), with the coordinate `tokens`."""
    share = 100 * dataset["dead_units"].astype(float).mean("seed") / dataset.sizes["unit"]
    return share.transpose("step", "layer")


def last_part(dataset: xr.Dataset, share: float = 0.1) -> xr.Dataset:
    """What happens after a share of the training is left: (layer), all seeds together.

    Returns
    -------
    Dataset
        `dead_before`, `dead_after`: units dead where it begins and at the end; `deaths`, `revivals`: in it;
        `of_deaths`: these deaths, percent of all in training.
    """
    seen = dataset["tokens"].values.astype(float)
    first = int(np.abs(seen - (1 - share) * seen[-1]).argmin())
    dead, later = dataset["dead_units"].sum("seed"), dataset.isel(step=slice(first + 1, None))
    found = {name: later[name].sum(["seed", "step"]).astype(float) for name in ("deaths", "revivals")}
    all_deaths = dataset["deaths"].sum(["seed", "step"]).astype(float)
    return xr.Dataset(
        found
        | {"dead_before": dead.isel(step=first, drop=True), "dead_after": dead.isel(step=-1, drop=True)}
        | {"of_deaths": 100 * found["deaths"] / all_deaths}
    ).drop_vars(["step", "tokens"], errors="ignore")


def half_dead(dataset: xr.Dataset) -> xr.DataArray:
    """Tokens from which on at least half as many units are dead as at the end: (layer), missing where none is."""
    share = stock(dataset)
    seen, values = dataset["tokens"].values.astype(float), np.nan_to_num(share.values)
    at = [seen[np.flatnonzero(of < of[-1] / 2)[-1] + 1] if of[-1] else np.nan for of in values.T]
    return xr.DataArray(at, dims="layer", coords={"layer": share["layer"].values})


def train_config(dataset: xr.Dataset) -> TrainConfig:
    """The part of a recorded run's configuration that the learning rate and the decay are made of."""
    made = results.provenance(dataset)["config"]["train"]
    return TrainConfig(**{name: made[name] for name in OF_DECAY})


def decay_alone(train: TrainConfig, since: np.ndarray) -> np.ndarray:
    """The share of its weights that decay alone leaves at the end, from some moments (tokens) on."""
    starts = np.arange(0, train.tokens, train.batch_tokens)
    kept = np.log1p([-learning_rate(train, int(tokens)) * train.weight_decay for tokens in starts])
    left = np.append(np.cumsum(kept[::-1])[::-1], 0.0)
    return np.exp(left[np.round(np.asarray(since) / train.batch_tokens).astype(int)])


@dataclass(frozen=True)
class Shrunk:
    """Followed units that died once and never came back: the norm of their input weights at the end, as a share of
    that at the first look after their last firing, (unit): as recorded, and as decay alone makes it."""

    recorded: np.ndarray
    alone: np.ndarray


def shrunk(dataset: xr.Dataset) -> Shrunk:
    """What became of the weights of the units that died once and never came back, unit by unit.

    Parameters
    ----------
    dataset : Dataset
        `input_weight_norm` (seed, history_step, layer, history_unit); `death_onset`, `revival_count` (seed, layer,
        unit); `history_tokens` (history_step).
    """
    seen = dataset["history_tokens"].values.astype(float)
    norm = dataset["input_weight_norm"].transpose("seed", "layer", "history_unit", "history_step").values.astype(float)
    followed = dataset.isel(unit=dataset["history_unit"].values.astype(int))
    onset = followed["death_onset"].transpose("seed", "layer", "unit").values.astype(float)
    back = followed["revival_count"].transpose("seed", "layer", "unit").values
    once = np.isfinite(onset) & (back == 0)
    first = np.searchsorted(seen, onset[once])
    early = first < len(seen) - 1  # else there is no time left in which to shrink
    first, norms = first[early], norm[once][early]
    recorded = norms[:, -1] / norms[np.arange(len(norms)), first]
    return Shrunk(recorded, decay_alone(train_config(dataset), seen[first]))


def remains(dataset: xr.Dataset) -> dict[str, float]:
    """What is left of dead units at the end, medians.

    Returns
    -------
    Numbers by name: `weights`, the norm of their input weights in percent of the living's; `bias`, in percent of their
    mean pre-activation; `below`, by how many standard deviations that mean lies below zero, and `living`, the same of
    units that are not dead.
    """
    followed = dataset.isel(unit=dataset["history_unit"].values.astype(int))
    counts = [followed[name].transpose("seed", "layer", "unit").values for name in ("death_count", "revival_count")]
    dead = counts[0] > counts[1]
    last = dataset.isel(history_step=-1)
    mean, spread, norm = (
        last[name].transpose("seed", "layer", "history_unit").values.astype(float)
        for name in ("preactivation_mean", "preactivation_std", "input_weight_norm")
    )
    fate = dataset["fate_median"].sel(fate="dead at the end")
    bias = 100 * fate.sel(quantity="input_bias") / fate.sel(quantity="preactivation_mean")
    below = -mean / spread
    return {
        "weights": 100 * float(np.median(norm[dead]) / np.median(norm[~dead])),
        "bias": float(bias.median()),
        "below": float(np.median(below[dead])),
        "living": float(np.median(below[~dead])),
    }


def woken(dataset: xr.Dataset) -> xr.DataArray:
    """Of the units silent on the small sample, the share (percent) that fires in the larger one: (seed, layer).

    Missing where no unit of a layer is silent.
    """
    small, both = (dataset[name].astype(float) for name in ("silent_small", "silent_both"))
    return (100 * (small - both) / small.where(small > 0)).transpose("seed", "layer")
