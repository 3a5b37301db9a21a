"""Tables of chapter 04: chosen units, the token types and the contexts that they fire on."""

import pandas as pd
import xarray as xr


def units(dataset: xr.Dataset) -> pd.DataFrame:
    """The chosen units with the token types that each fires on most: one row per layer and rule."""
    table = dataset[["example_layer", "example_rule", "example_unit", "example_types"]].to_dataframe()
    return table.set_index(["example_layer", "example_rule"])


def contexts(dataset: xr.Dataset, rule: str) -> pd.DataFrame:
    """The strongest activations of the units that a rule chose, in context: one row per layer and rank."""
    names = ["example_layer", "rank", "example_activation", "example_text"]
    table = dataset[["example_rule", *names]].to_dataframe().reset_index().round({"example_activation": 2})
    return table[table["example_rule"] == rule][names].set_index(["example_layer", "rank"])
