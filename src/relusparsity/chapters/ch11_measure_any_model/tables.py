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


WHAT = {
    "trained": "Laptop of the first seed, after training",
    "untrained": "the same network before its first step",
    "OPT": "an OPT of transformers, freshly made",
    "Llama": "a Llama of transformers, freshly made",
    "Llama, CETT 0.2": "the same Llama, read by a threshold",
}
"""Name of a measurement → the model in words."""


def about(dataset: xr.Dataset) -> pd.DataFrame:
    """What was measured, a row a measurement."""
    rows = {}
    for name, facts in results.provenance(dataset)["models"].items():
        rows[name] = {
            "what it is": WHAT[name],
            "a unit fires where": facts["rule"]["name"].rpartition(": ")[2],
            "loss, nats per token": f"{float(dataset['final_loss'].sel(model=name).item()):.2f}",
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
    return table.loc[dataset["model"].values.tolist()]


def by_layer(dataset: xr.Dataset, name: str, models: list[str]) -> pd.DataFrame:
    """A share (model, seed, layer) in percent: a row a model, a column a layer."""
    table = (100 * dataset[name].isel(seed=0).sel(model=models).astype(float)).to_pandas().round(1)
    return table.rename(columns=lambda layer: f"layer {layer}").rename_axis(columns=None)


def evidence(dataset: xr.Dataset, models: list[str]) -> pd.DataFrame:
    """Silent units over all layers and how sure their silence is, a row a model.

    *would wake*: those that should fire in as much text again; *silent if drawn again*: how many would be silent if as
    many of these sequences were drawn with repetition.
    """
    chosen = dataset.isel(seed=0).sel(model=models)
    silent, units = chosen["silent_units"].sum("layer"), dataset.attrs["d_ff"] * dataset.sizes["layer"]
    rows = {
        "silent": silent,
        "% of all units": (100 * silent / units).round(1),
        "would wake": chosen["good_turing_expected"].sum("layer"),
        "silent if drawn again": chosen["silent_if_resampled"].sum("layer").astype(float).round(0).astype(int),
    }
    return pd.DataFrame({name: values.to_series() for name, values in rows.items()})


def units(dataset: xr.Dataset) -> pd.DataFrame:
    """What chosen units fire on, a row a unit: token types by share, and the strongest token in context.

    All that were chosen of the trained model, and the most selective of the untrained.
    """
    names = {
        "example_layer": "layer",
        "example_rule": "chosen as",
        "example_unit": "unit",
        "example_types": "token types",
    }
    parts = []
    for model in ("trained", "untrained"):
        part = one(dataset, model)
        table = part[list(names)].to_dataframe()[list(names)].rename(columns=names)
        table["strongest, in context"] = part["example_text"].isel(rank=0).values
        table.insert(0, "model", model)
        parts.append(table if model == "trained" else table[table["chosen as"] == "most selective"])
    return pd.concat(parts).set_index(["model", "layer", "chosen as"])


def rises(dataset: xr.Dataset) -> xr.DataArray:
    """Change of the loss in percent when a share of all units is removed: (model, chosen_by, share)."""
    loss = dataset.isel(seed=0, evaluation=0)
    rise = 100 * (loss["loss"].astype(float) / loss["baseline_loss"].astype(float) - 1)
    return rise.transpose("model", "chosen_by", "share")


def costs(dataset: xr.Dataset, models: list[str]) -> pd.DataFrame:
    """Change of the loss in percent when a share of all units is removed, a row a share, by model and method."""
    rise = rises(dataset).sel(model=models)
    table = {
        f"{model}, {method}": [_signed(float(value)) for value in rise.sel(model=model, chosen_by=method).values]
        for model in models
        for method in rise["chosen_by"].values.tolist()
    }
    shares = pd.Index([f"{100 * share:.3g} %" for share in rise["share"].values], name="units removed")
    return pd.DataFrame(table, index=shares)


def _signed(value: float) -> str:
    shown = f"{value:+.2f}".replace("-", "−")
    return "0.00" if shown in ("+0.00", "−0.00") else shown


def rules(dataset: xr.Dataset) -> pd.DataFrame:
    """One smooth model under two rules, in percent of units at a token, and the tail error that the second reached."""
    use = by_layer(dataset, "final_token_use", ["Llama", "Llama, CETT 0.2"]).T
    facts = results.provenance(dataset)["models"]["Llama, CETT 0.2"]["rule"]["facts"]
    error = [round(facts[f"cett_{layer}"], 3) for layer in dataset["layer"].values]
    names = {"Llama": "not exactly zero, %", "Llama, CETT 0.2": "CETT 0.2, %"}
    return use.rename(columns=names).assign(**{"its tail error": error}).rename_axis(columns=None)
