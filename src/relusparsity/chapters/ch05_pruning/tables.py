"""Tables of chapter 05: what removal costs, of silent units and beyond them, and how much can be afforded."""

import inspect
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ... import claims
from ...claims.short import Said
from ...claims.table import number
from ...interventions import units
from . import draws, forecasts, rows, spared


def lines_that_matter() -> Said:
    """The library's own lines that rank units, ties and all, and that take them out of a layer."""
    shown = ((units.choose_lowest, "order = "), (units.cut, "mlp.fc_in.weight = "))
    parts = []
    for function, begin in shown:
        lines = inspect.getsource(function).splitlines()
        start = next(at for at, line in enumerate(lines) if line.lstrip().startswith(begin))
        parts.append(inspect.cleandoc("\n" + "\n".join(lines[start:])))
    return Said("```python\n" + "\n\n".join(parts) + "\n```")


def costs(dataset: xr.Dataset, evaluation: str | None = None) -> pd.DataFrame:
    """Change of loss in percent by share removed and method: mean over seeds."""
    rise = spared.cost(dataset, evaluation).mean("seed")
    table = rise.transpose("share", "chosen_by").to_pandas().round(2) + 0.0  # no −0
    table.index = pd.Index([f"{100 * share:.3g} %" for share in rise["share"].values], name="units removed")
    return _named(table)


def quality(dataset: xr.Dataset, share: float, evaluation: str | None = None) -> pd.DataFrame:
    """Loss, bits per byte and accuracy of the whole model and without `share`, one row per method: mean over seeds."""
    names = {"loss": "loss, nats per token", "bits_per_byte": "bits per byte", "accuracy": "right first guesses, %"}
    chosen = dataset.sel(evaluation=evaluation or spared.text(dataset)).mean("seed")
    pruned = chosen[list(names)].isel(share=spared.at(dataset, share)).astype(float).to_dataframe()[list(names)]
    whole = pd.DataFrame({name: [float(chosen[f"baseline_{name}"])] for name in names}, index=["whole model"])
    table = pd.concat([whole, pruned.rename(index=spared.NAMES)])
    return table.assign(accuracy=100 * table["accuracy"]).round(3).rename(columns=names).rename_axis("units chosen by")


def affordable(dataset: xr.Dataset, percent: float, evaluation: str | None = None) -> pd.DataFrame:
    """Largest measured share, in percent, whose removal and that of every smaller share cost at most `percent` loss.

    The table has one row per seed and one column per method.
    """
    chosen = dataset.sel(evaluation=evaluation or spared.text(dataset))
    within = chosen["loss"] <= chosen["baseline_loss"] * (1 + percent / 100)
    reached = (dataset["share"] * 100).where(within.cumprod("share") > 0).max("share")
    return _named(reached.transpose("seed", "chosen_by").to_pandas().round(1))


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=spared.NAMES).rename_axis(columns="units chosen by")


def silent(models: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """What removing the silent units does: a row a model, mean over seeds and their range."""
    found = {}
    for name, dataset in models.items():
        off = 100 * spared.silent(dataset).mean("layer")
        found[name] = {
            "silent, % of units": _spread(off, 1),
            "largest change of the loss, %": _least(spared.silent_cost(dataset)),
            "of a logit, masked": number(float(dataset["masked_difference"].max())),
            "of a logit, removed": f"{float(dataset['removed_difference'].max()):.1g}",
        }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("model")


def half(models: Mapping[str, xr.Dataset], share: float = 0.5) -> pd.DataFrame:
    """Cost in percent of the loss of removing `share` of all units, by method: a row a model, mean and range."""
    found = {}
    for name, dataset in models.items():
        rise = spared.cost(dataset).isel(share=spared.at(dataset, share))
        found[name] = {spared.NAMES[str(by)]: _spread(rise.sel(chosen_by=by), 2) for by in rise["chosen_by"].values}
        if forecasts.recorded(dataset) and share == 0.5:
            found[name] |= {choice: _spread(forecasts.cost(dataset, choice, "half"), 2) for choice in draws.DRAWN}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("model").rename_axis(columns="units chosen by")


def beyond(models: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """How near the recorded shares come to what row 12b reads, and what removal costs there: a row a model."""
    found = {}
    for name, dataset in models.items():
        rise = spared.below(dataset)
        found[name] = {
            "row 12b reads at, % of units": _spread(100 * spared.asked(dataset), 1),
            "measured at, %": _spread(100 * rise["share"], 0),
        } | {f"cost by {spared.NAMES[by]}, %": _spread(rise.sel(chosen_by=by), 1) for by in ("rate", "random")}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("model")


def judged(*datasets: xr.Dataset) -> claims.Table:
    """The ledger's rows of this chapter, for every recorded model and recipe; of two recipes of a shape, both."""
    return claims.table(claims.of_recipes("pruning", datasets, claims.for_chapter(5)))


def read_here(dataset: xr.Dataset) -> claims.Table:
    """Rows 12 and 12b, read from the run of this machine without a verdict."""
    here = {("pruning", str(dataset.attrs["scale"])): dataset}
    added = tuple(row for row in claims.ADDED if row.number in rows.RULES)
    outcomes = claims.evaluate({}, here, rows=claims.for_chapter(5))
    outcomes += claims.evaluate({}, here, rows=added, rules=rows.RULES)
    return claims.table([outcome for outcome in outcomes if outcome.here])


def _least(values: xr.DataArray) -> str:
    most = float(np.abs(values).max())
    return "< 0.001" if most < 0.001 else number(most)


def _spread(values: xr.DataArray | np.ndarray, digits: int) -> str:
    some = np.asarray(values, dtype=float)
    mean, low, high = (_rounded(each, digits) for each in (some.mean(), some.min(), some.max()))
    return mean if low == high else f"{mean} ({low} to {high})"


def _rounded(value: float, digits: int) -> str:
    if digits > 1 and abs(value) < 10**-digits / 2:
        return f"< {10**-digits:g}"
    return f"{value:.{digits}f}".replace("-", "−")
