"""Tables of chapter 03: what becomes of the units, what is left of the dead, and what chance explains of silence."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ... import claims
from ...claims.table import number
from . import decay, lives, words


def fates(dataset: xr.Dataset) -> pd.DataFrame:
    """Units that died, that came back, and that are dead at the end: percent by layer, all seeds together."""
    found = words.came_back(dataset)
    deaths, revivals = (dataset[name].sum(["seed", "step"]).astype(float) for name in ("deaths", "revivals"))
    columns = {
        "died at least once, %": found["died"],
        "came back at least once, %": found["back"],
        "of those that died, %": found["of_dead"],
        "revivals per 100 deaths": 100 * revivals / deaths.where(deaths > 0),
        "dead at the end, %": 100 * dataset["dead_count"].astype(float).mean("seed") / dataset.sizes["unit"],
    }
    return pd.DataFrame({name: _tenths(values) for name, values in columns.items()}, _of(dataset)).rename_axis("layer")


def silence(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Silent and dead side by side, a row a model: percent, mean over seeds and their range."""
    rows = {}
    for dataset in datasets:
        found = words.row_9(dataset)
        of = {name: dataset[name].sum("layer").astype(float) for name in ("silent_small", "silent_both")}
        both = dataset["dead_and_silent_count"].sum("layer").astype(float)
        units = dataset.sizes["layer"] * dataset.sizes["unit"]
        rows[words.name(dataset)] = {
            "silent, % of units": _spread(100 * of["silent_small"] / units),
            "of these, on the larger sample too, %": _spread(found[words.NAMED[0]]),
            "beyond chance, %": _spread(found[words.NAMED[1]]),
            "of those on both, dead, %": _spread(100 * both / of["silent_both"]),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def remains(datasets: Sequence[xr.Dataset]) -> pd.DataFrame:
    """What is left of units that are dead at the end, a row a model: medians over followed units."""
    rows = {}
    for dataset in datasets:
        found = lives.remains(dataset)
        rows[words.name(dataset)] = {
            "decay λ": number(decay.train_config(dataset).weight_decay),
            "weights, % of the living's": words.two(found["weights"]),
            "bias, % of the mean of z": words.two(found["bias"]),
            "mean of z, standard deviations below 0": words.two(found["below"]),
            "the same of the living": words.two(found["living"]),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def by_rate(dataset: xr.Dataset) -> pd.DataFrame:
    """Percent of each quarter of a layer's followed units that dies later, by firing rate before; mean over seeds."""
    share = 100 * dataset["death_share_by_rate"].mean("seed").astype(float)
    quarters = ("rarest", "2nd", "3rd", "busiest")
    columns = {
        (str(at), name): _tenths(share.sel(measured_at=at, rate_quarter=quarter + 1))
        for at in share["measured_at"].values
        for quarter, name in enumerate(quarters)
    }
    return pd.DataFrame(columns, _of(dataset)).rename_axis("layer")


def medians(dataset: xr.Dataset) -> pd.DataFrame:
    """Medians of followed units at the end, by fate, mean over seeds; layers without dead units have a dash."""
    named = {
        "preactivation_mean": "mean of z",
        "input_bias": "bias",
        "input_alignment": "cosine of weights and mean input",
    }
    mean = dataset["fate_median"].mean("seed").astype(float)
    columns = {
        (name, str(fate).partition(" ")[0]): [_signed(v, 3) for v in mean.sel(quantity=quantity, fate=fate).values]
        for quantity, name in named.items()
        for fate in mean["fate"].values
    }
    return pd.DataFrame(columns, _of(dataset)).rename_axis("layer")


def chance(dataset: xr.Dataset) -> pd.DataFrame:
    """The counts behind row 9, units of all layers, a column a seed."""
    said = {
        "silent_small": "silent on the small sample",
        "silent_both": "silent on both samples",
        "good_turing_expected": "of these, forecast to fire in as much text again",
        "good_turing_upper": "the same, upper 95 % bound",
        "good_turing_documents": "the same, documents as draws",
        "dead_count": "dead at the end",
        "dead_and_silent_count": "dead and silent on both",
    }
    counts = dataset[list(said)].sum("layer")
    rows = {text: [f"{float(v):,.0f}" for v in counts[name].values] for name, text in said.items()}
    columns = [f"seed {seed}" for seed in dataset["seed"].values]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("units")


def forecasts(dataset: xr.Dataset) -> pd.DataFrame:
    """Chance's forecast where the answer is known, and the spread over documents: first seed, median and 95 % range."""
    first = dataset.isel(seed=0)
    named = {
        "woken_observed": "woken by the other half",
        "woken_expected": "forecast from one half",
        "silent_both_bootstrap": "silent on both, documents redrawn",
    }
    columns = {
        text: [
            f"{mid:,.0f} ({low:,.0f} to {high:,.0f})" for low, mid, high in first[n].transpose("layer", "level").values
        ]
        for n, text in named.items()
    }
    return pd.DataFrame(columns, _of(dataset)).rename_axis("layer")


def domains(dataset: xr.Dataset) -> pd.DataFrame:
    """Units of all layers silent on a sample of one kind of text that fire on another's; mean over seeds.

    On the diagonal: that fire on a second sample of the same kind.
    """
    mean = dataset["domain_silent_units"].sum("layer").mean("seed").astype(float)
    rows = {str(on): _tenths(mean.sel(silent_on=on)) for on in mean["silent_on"].values}
    columns = [f"fire on {name}" for name in mean["fires_on"].values]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("silent on")


def judged(*datasets: xr.Dataset) -> claims.Table:
    """The ledger's rows of this chapter, for every recorded model and recipe; of two recipes of a shape, both."""
    return claims.table(claims.of_recipes("neuron_death", datasets, claims.for_chapter(3)))


def _of(dataset: xr.Dataset) -> list[int]:
    return [int(layer) for layer in dataset["layer"].values]


def _tenths(values: xr.DataArray) -> list[str]:
    return [_signed(value, 1) for value in values.values]


def _signed(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{float(value):.{digits}f}".replace("-", "−")


def _spread(values: Sequence[float] | xr.DataArray) -> str:
    some = np.asarray(values, dtype=float)
    low, high = _percent(some.min()), _percent(some.max())
    return low if low == high else f"{_percent(some.mean())} ({low} to {high})"


def _percent(value: float) -> str:
    return "> 99.9" if 99.95 <= value < 100 else f"{value:.1f}"
