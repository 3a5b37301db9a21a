"""The numbers of the three figures that every candidate draws, from data/: no library for drawing is imported here."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr

DATA = Path(__file__).resolve().parents[2] / "data"
SOURCE = {0: 13.3, 5: 95.6}  # % of units, W&A at convergence
FACTORS = {  # the coordinate of a recipe, its words, the words of its two levels
    "embedding_std": ("embedding scale", {"0.02": "0.02", "1.0": "1.0"}),
    "tied": ("embeddings", {"False": "untied", "True": "tied"}),
    "weight_decay": ("weight decay", {"0.1": "0.1", "1.0": "1.0"}),
    "init": ("initial matrices", {"normal": "normal", "xavier": "Xavier"}),
    "lr": ("learning rate", {"0.0003": "3e-4", "0.001": "1e-3"}),
}


@dataclass
class Bars:
    """Six bars in each of many states, with what the seeds gave and the text that says the state."""

    title: str
    values: np.ndarray  # (state, layer), % of units, mean over seeds
    seeds: np.ndarray  # (state, seed, layer)
    labels: list[str]
    first: int  # the state that is shown first
    tokens: np.ndarray | None = None  # of a slider over training: tokens seen, by state
    factors: tuple[
        tuple[str, tuple[str, ...]], ...
    ] = ()  # of switches: words and levels; states in their product's order


@dataclass
class Units:
    """One layer's units, a point each."""

    title: str
    rate: np.ndarray  # (unit), % of tokens; silent ones at half a firing
    sequences: np.ndarray  # (unit), % of sequences


def _open(name: str) -> xr.Dataset:
    return xr.open_dataset(DATA / f"{name}.nc", engine="h5netcdf")


def batch_use(name: str, words: str) -> Bars:
    """Batch use over training: the state is the measured step."""
    data = _open(name)
    use = 100 * data["batch_use"].transpose("step", "seed", "layer").values
    tokens = data["tokens"].values.astype(float)
    labels = [f"{t / 1e6:.3g}M tokens" for t in tokens]
    title = f"Layer 1 is emptier than layer 0. {words}, {use.shape[1]} seeds"
    return Bars(title, use.mean(axis=1), use, labels, len(tokens) - 1, tokens)


def units(layer: int = 5) -> Units:
    """All units of one layer of Wide: how often they fire, and in how many sequences."""
    data = _open("layer_patterns-wide-nearest").isel(seed=0, layer=layer)
    fired, sequences = data["final_firing_count"].values, data["final_sequences_fired"].values
    n = int(data.attrs["final_sample_tokens"])
    length = data.sizes["position"]
    title = f"Units that fire alike often differ in how many sequences they fire in. Wide, layer {layer}, one seed"
    return Units(title, 100 * np.maximum(fired, 0.5) / n, 100 * np.maximum(sequences, 0.5) / (n / length))


def factorial() -> Bars:
    """The recorded recipes of both half fractions, by the levels of five factors."""
    both = [_open(name) for name in ("factorial-mid", "other_half-mid")]
    cells = {}
    for data in both:
        for k in range(data.sizes["recipe"]):
            one = data.isel(recipe=k)
            levels = tuple(str(one[name].item()) for name in FACTORS)
            use = 100 * one["final_batch_use"].mean("set").transpose("seed", "layer").values
            cells[levels] = (use, float(one["final_loss"].mean("seed")))
    order = list(product(*(levels for _, levels in FACTORS.values())))
    use = np.stack([cells[levels][0] for levels in order])
    labels = [f"loss {cells[levels][1]:.2f} nats per token" for levels in order]
    factors = tuple((words, tuple(levels.values())) for words, levels in FACTORS.values())
    return Bars(
        "Which layer empties depends on the recipe. Mid, 2 seeds", use.mean(axis=1), use, labels, 0, None, factors
    )


def all_figures() -> dict[str, Bars | Units]:
    """A page's figures by name; `chapter` in measure.py has all five, the most that a chapter may have."""
    return {
        "batch_use": batch_use("layer_patterns-wide-nearest", "Wide, nearest"),
        "units": units(),
        "factorial": factorial(),
        "batch_use_first": batch_use("layer_patterns-wide-first", "Wide, first"),
        "batch_use_mid": batch_use("layer_patterns-mid-first", "Mid, first"),
    }
