"""Tables of published checkpoints: what was measured, how many units fire, on what, and what they are worth."""

import pandas as pd
import xarray as xr

from ...store import results
from .public import SMOLLM2


def about(dataset: xr.Dataset) -> pd.DataFrame:
    """What was measured, a row a checkpoint."""
    rows = {}
    for name, facts in results.provenance(dataset)["models"].items():
        (units,) = set(_of(dataset, name)["units"].values.tolist())
        rows[name] = {
            "layers × units": f"{len(facts['layers'])} × {units:,}",
            "a unit fires where": facts["rule"]["name"],
            "tokens": f"{facts['text']['tokens']:,}",
            "package": facts["model"]["package"],
            "licence": facts["model"]["licence"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("checkpoint")


def by_layer(dataset: xr.Dataset, name: str, models: list[str], window: int | None = None) -> pd.DataFrame:
    """A share (row) or (row, window) in percent: a row a checkpoint, a column a layer, empty where it has none."""
    share = dataset[name] if window is None else dataset[name].sel(window=window)
    found = pd.DataFrame({"of": dataset["model"].values, "layer": dataset["layer"].values, "share": 100 * share.values})
    return found.pivot(index="of", columns="layer", values="share").loc[models].round(1).rename_axis(index=None)


def use(dataset: xr.Dataset) -> pd.DataFrame:
    """How many units fire, in percent, least and most of a checkpoint's layers; silent ones over all of them."""
    rows = {}
    for name in results.provenance(dataset)["models"]:
        part = _of(dataset, name)
        over = part["final_window_use"].sel(window=8192)
        rows[name] = {
            "at a token": _range(part["final_token_use"]),
            "in a sequence": _range(part["final_sequence_use"]),
            "in 8,192 tokens": _range(over),
            "silent units": int(part["silent_units"].sum()),
            "of": int(part["units"].sum()),
            "each fires in at most, % of sequences": round(100 * float(part["silent_sequence_bound"].max()), 2),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("checkpoint")


def costs(dataset: xr.Dataset) -> pd.DataFrame:
    """Change of SmolLM2's loss in percent when a share of all its units is removed: a row a share, by which go."""
    rise = 100 * (dataset["loss"].isel(evaluation=0) / dataset["baseline_loss"].isel(evaluation=0) - 1)
    shares = [f"{100 * share:.3g} %" for share in dataset["share"].values]
    table = pd.DataFrame({which: rise.sel(chosen_by=which).values for which in ("rate", "random")}, index=shares)
    table.columns = pd.Index(["those that fire least", "as many of each layer, at random"])
    return table.astype(float).round(1).rename_axis("units removed")


def units(dataset: xr.Dataset, model: str = SMOLLM2, layers: list[int] | None = None) -> pd.DataFrame:
    """What chosen units of a checkpoint fire on, a row a unit: token types by share, the strongest token in context."""
    names = {"example_layer": "layer", "example_rule": "chosen as", "example_unit": "unit"}
    names |= {"example_types": "token types"}
    table = pd.DataFrame({title: dataset[name].values for name, title in names.items()})
    table["strongest, in context"] = dataset["example_text"].isel(rank=0).values
    table = table[dataset["example_model"].values == model]
    chosen = table if layers is None else table[table["layer"].isin(layers)]
    return chosen.set_index(["layer", "chosen as"])


def _of(dataset: xr.Dataset, model: str) -> xr.Dataset:
    return dataset.isel(row=dataset["model"].values == model)


def _range(share: xr.DataArray) -> str:
    least, most = (100 * float(value) for value in (share.min(), share.max()))
    return f"{least:.1f}–{most:.1f}" if f"{least:.1f}" != f"{most:.1f}" else f"{least:.1f}"
