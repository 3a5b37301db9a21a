"""Tables of chapter 11: what was measured, layer by layer, unit by unit, and what chance would read."""

import json

import numpy as np
import pandas as pd
import xarray as xr

from ...errors import UserError
from ...store import results


def one(dataset: xr.Dataset, model: str) -> xr.Dataset:
    """The measurement of one model out of `run`'s dataset, as the figures and the report take it.

    Raises
    ------
    UserError
        If there is no such model.
    """
    known = dataset["model"].values.tolist()
    if model not in known:
        raise UserError(f"no model {model!r} was measured; there are {', '.join(map(repr, known))}.")
    part = dataset.sel(model=model, drop=True).drop_vars("rule").set_coords("layer_name")
    if "example_model" in part:
        part = part.isel(example=np.flatnonzero(part["example_model"] == model)).drop_vars("example_model")
    facts = results.provenance(dataset)["models"][model]
    part.attrs = {name: value for name, value in dataset.attrs.items() if name not in ("scale", "recipe", "vocab_size")}
    part.attrs |= {"name": model, "rule": facts["rule"]["name"], "provenance": json.dumps(facts, sort_keys=True)}
    return part


def about(dataset: xr.Dataset) -> pd.DataFrame:
    """What was measured, a column a model; the loss of even guessing stands beside the model's own."""
    columns = {}
    for name, facts in results.provenance(dataset)["models"].items():
        columns[name] = {
            "class": facts["model"]["class"],
            "layers × units": f"{len(facts['layers'])} × {dataset.attrs['d_ff']:,}",
            "hidden layer 0": facts["layers"][0],
            "a unit fires where": facts["rule"]["name"],
            "tokens counted": f"{facts['text']['tokens']:,}",
            "loss, nats per token": f"{float(dataset['final_loss'].sel(model=name).item()):.3f}",
            "loss of even guessing": f"{np.log(dataset.attrs['vocab_size']):.3f}",
        }
    return pd.DataFrame(columns)[dataset["model"].values.tolist()]


def by_layer(dataset: xr.Dataset, name: str, models: list[str]) -> pd.DataFrame:
    """A share (model, seed, layer) in percent: a row a model."""
    return (100 * dataset[name].isel(seed=0).sel(model=models).astype(float)).to_pandas().round(1)


def evidence(dataset: xr.Dataset, models: list[str]) -> pd.DataFrame:
    """Silent units over all layers and how sure their silence is, a row a model."""
    chosen = dataset.isel(seed=0).sel(model=models)
    silent, units = chosen["silent_units"].sum("layer"), dataset.attrs["d_ff"] * dataset.sizes["layer"]
    rows = {
        "silent units": silent,
        "% of all": (100 * silent / units).round(1),
        "expected to fire in as much text again": chosen["good_turing_expected"].sum("layer"),
        "silent if resampled": chosen["silent_if_resampled"].sum("layer").astype(float).round(0).astype(int),
        "each fires in at most, % of sequences": (100 * chosen["silent_sequence_bound"].max("layer").astype(float)),
    }
    return pd.DataFrame({name: values.to_series() for name, values in rows.items()}).round(3)


def units(dataset: xr.Dataset, model: str) -> pd.DataFrame:
    """What chosen units of a model fire on, a row a unit: token types by share, and the strongest token in context."""
    part = one(dataset, model)
    names = {
        "example_layer": "layer",
        "example_rule": "chosen as",
        "example_unit": "unit",
        "example_types": "token types",
    }
    table = part[list(names)].to_dataframe()[list(names)].rename(columns=names)
    table["strongest, in context"] = part["example_text"].isel(rank=0).values
    return table.set_index(["layer", "chosen as"])


def costs(dataset: xr.Dataset, models: list[str]) -> pd.DataFrame:
    """Change of the loss in percent when a share of all units is removed, a row a share, by model and method."""
    chosen = dataset.isel(seed=0, evaluation=0).sel(model=models)
    rise = 100 * (chosen["loss"] / chosen["baseline_loss"] - 1)
    table = rise.transpose("share", "model", "chosen_by").stack(of=["model", "chosen_by"]).to_pandas().astype(float)
    table.index = pd.Index([f"{100 * share:.3g} %" for share in rise["share"].values], name="units removed")
    return table.rename_axis(columns=["model", "method"]).round(2) + 0.0  # no −0


def rules(dataset: xr.Dataset) -> pd.DataFrame:
    """One smooth model under two rules, in percent of units at a token, and the tail error that the second reached."""
    use = by_layer(dataset, "final_token_use", ["Llama", "Llama, CETT 0.2"]).T
    facts = results.provenance(dataset)["models"]["Llama, CETT 0.2"]["rule"]["facts"]
    return use.assign(**{"its tail error": [round(facts[f"cett_{layer}"], 4) for layer in use.index]})


def by_chance(tail_error: float, factors: int, numbers: int = 1_000_000) -> float:
    """Percent of random numbers above the threshold of a CETT rule: what a layer without any structure would read.

    Parameters
    ----------
    tail_error
        The rule's CETT: what lies below the threshold has this share of the norm of all.
    factors
        1: normally distributed activations; 2: products of two, as a gated MLP multiplies them.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    energy = np.sort(np.prod(rng.standard_normal((factors, numbers)), axis=0) ** 2)
    below = np.searchsorted(np.cumsum(energy), tail_error**2 * energy.sum())
    return round(100 * (1 - float(below) / numbers), 1)
