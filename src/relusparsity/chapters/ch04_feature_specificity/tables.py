"""Tables of chapter 04: δ by seed, the units that are compared, chosen units and what they fire on, the verdicts."""

import inspect
from collections.abc import Mapping, Sequence

import pandas as pd
import xarray as xr

from ... import claims
from ...claims.short import Said
from ...claims.statistics import matched_delta
from ...claims.table import number
from . import compared, words

RULES = {
    "most selective": "highest token selectivity",
    "median selectivity": "median token selectivity",
    "most clustered": "highest within-sequence rate ÷ random",
}
"""The rules by which units are chosen, as datasets name them, and as readers do."""


def deltas(named: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """δ of both measures: a row a model, with its seeds, the mean and the mean's 95 % interval."""
    rows = {}
    for name, dataset in named.items():
        found = compared.deltas(dataset)
        for measure, title in compared.MEASURES.items():
            values = found[measure].values
            rows[name, title] = {
                "δ, seed by seed": ", ".join(map(number, values)),
                "mean": number(float(values.mean())),
                "95 % interval": words.between(values),
                f"seeds at {compared.ENOUGH} or more": f"{words.passing(values)} of {len(values)}",
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["model", "measure"])


def units(named: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """How many units are compared, mean over seeds: a row a model."""
    rows = {}
    for name, dataset in named.items():
        enough = compared.enough(dataset).mean("seed")
        first, last = (f"layer {int(enough['layer'][at])}" for at in (0, -1))
        rows[name] = {
            "units per layer": f"{dataset.sizes['unit']:,}",
            f"{first}: {compared.LEAST} firings or more": f"{float(enough[0]):,.0f}",
            f"{last}: {compared.LEAST} firings or more": f"{float(enough[-1]):,.0f}",
            "of both, in a stratum that is compared": f"{float(compared.matched(dataset).mean()):,.0f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def chosen(dataset: xr.Dataset, layers: Sequence[int] | None = None) -> pd.DataFrame:
    """What the chosen units of the first seed fire on: a row a rule and layer, all layers or some.

    Columns: the unit, its commonest token types with their shares of its firings, its strongest activation in context.
    """
    table = dataset[["example_rule", "example_layer", "example_unit", "example_types"]].to_dataframe()
    table["example_types"] = [_without_zeros(types) for types in table["example_types"]]
    table["strongest"] = dataset["example_text"].isel(rank=0).values
    if layers is not None:
        table = table[table["example_layer"].isin(layers)]
    table["example_rule"] = pd.Categorical(table["example_rule"].map(RULES), list(RULES.values()), ordered=True)
    table.columns = ["rule", "layer", "unit", "fires most on", "strongest in context"]
    table = table.sort_values(["rule", "layer"]).astype({"rule": str})
    table["layer"] = [f"layer\N{NO-BREAK SPACE}{layer}" for layer in table["layer"]]
    return table.set_index(["rule", "layer"])


def _without_zeros(types: str) -> str:
    """Token types and their shares without those that round to 0 %: 'a 94% | b 0%' → 'a 94%'."""
    return " | ".join(each for each in types.split(" | ") if not each.endswith(" 0%"))


def contexts(dataset: xr.Dataset, rule: str) -> pd.DataFrame:
    """The strongest activations of the units that a rule of `RULES` chose, in context: a row a layer and rank."""
    names = ["example_layer", "rank", "example_activation", "example_text"]
    table = dataset[["example_rule", *names]].to_dataframe().reset_index().round({"example_activation": 2})
    table = table[table["example_rule"] == rule][names]
    table.columns = ["layer", "rank", "activation", "context"]
    return table.set_index(["layer", "rank"])


def medians(dataset: xr.Dataset) -> pd.DataFrame:
    """Both measures layer by layer, median over units and mean over seeds; it does not hold the firing rate equal."""
    random = dataset["within_sequence_rate_random"]
    told = {
        "within-sequence rate, %": 100 * dataset["within_sequence_rate"].median("unit"),
        "÷ that of random firing": (dataset["within_sequence_rate"] / random).median("unit"),
        "token selectivity": dataset["token_selectivity"].median("unit"),
        "share of the commonest type, %": 100 * dataset["top_type_share"],
    }
    shown = {name: [number(float(value)) for value in values.mean("seed")] for name, values in told.items()}
    return pd.DataFrame(shown, index=dataset["layer"].values).rename_axis("layer")


def judged(named: Mapping[str, xr.Dataset]) -> claims.Table:
    """The chapter's row of the ledger in several models, two of which may be of one shape."""
    outcomes = [
        outcome
        for dataset in named.values()
        for outcome in claims.evaluate(
            {("feature_specificity", dataset.attrs["scale"]): dataset}, rows=claims.for_chapter(4)
        )
        if outcome.readings
    ]
    return claims.table(outcomes)


def read_here(here: xr.Dataset) -> claims.Table:
    """The chapter's row of the ledger, as the run of this machine reads it."""
    own = {("feature_specificity", here.attrs["scale"]): here}
    return claims.table([each for each in claims.evaluate({}, own, rows=claims.for_chapter(4)) if each.here])


def lines_that_matter() -> Said:
    """The library's own lines that compare two layers at equal firing count, as they are but for the docstring."""
    source = inspect.getsource(matched_delta)
    before, _, after = source.split('"""')
    return Said(f"```python\n{before.rstrip()}{after.rstrip()}\n```")
