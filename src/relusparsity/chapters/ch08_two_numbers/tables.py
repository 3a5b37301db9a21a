"""Tables of chapter 08: what levers exchange, written predictions and what came, runs to come."""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from ...experiments import endings, search
from . import runs

SAID = {"fan_in": "fan-in", "xavier": "Xavier"}
"""Values of fields as readers know them."""


def levers(datasets: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """What moving a lever does to both ends and to the loss: a row a pair of runs."""
    ends, rows = runs.ends(dict(datasets)), []
    for before, after in runs.PAIRS:
        changed = runs.changed(datasets[before], datasets[after])
        moved = {what: ends.loc[after, what] - ends.loc[before, what] for what in (0, 5, "loss")}
        rows.append(
            {
                "from": before,
                "change": ", ".join(_change(*each) for each in changed.items()),
                "layer 0, points": _signed(moved[0], 1),
                "layer 5, points": _signed(moved[5], 1),
                "loss": _signed(moved["loss"], 2),
            }
        )
    return pd.DataFrame(rows).set_index("from")


def _change(field: str, values: tuple[object, object]) -> str:
    old, new = (_said(field, value) for value in values)
    return f"{runs.WORDS[field]} {old} → {new}"


def _said(field: str, value: object) -> str:
    if field == "tokens":
        return f"{float(value) / 1e6:.0f}M"  # type: ignore[arg-type]
    if field == "lr":
        return f"{value:.1e}".replace("e-0", "e-").replace(".0e", "e")
    return (
        f"{value:,}"
        if isinstance(value, int)
        else SAID.get(str(value), f"{value:g}" if isinstance(value, float) else str(value))
    )


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def all_runs(datasets: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """How every run ends, the nearest to the source first: batch use in percent, distance in points, loss."""
    table = runs.ends(dict(datasets)).sort_values("distance")
    shown = {f"layer {layer}": [f"{value:.1f}" for value in table[layer]] for layer in range(6)}
    shown |= {
        "distance": [f"{value:.1f}" for value in table["distance"]],
        "loss": [f"{value:.2f}" for value in table["loss"]],
    }
    return pd.DataFrame(shown, index=table.index).rename_axis("run")


def earlier(datasets: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Predictions in words of three earlier sweeps, each with a threshold, and whether it held.

    The sentences are those of `sweep_table`, written before the runs.
    """
    ends, rows = runs.ends(dict(datasets)), []
    search_seed = ends.loc["nearest, seed 0"]
    one_sum = ("rate ÷ 4, decay 7", "rotary, decay 3.5", "modern, decay 1.75", "modern, rate ÷ 2, decay 3.5")
    for name in one_sum:
        rows.append((name, "layer 0 under 30 %", ends.loc[name, 0], ends.loc[name, 0] < 30))
    name = "rate ÷ 4, decay 7"
    rows.append(
        (
            name,
            f"layer 5 above the {search_seed[5]:.1f} % of nearest, seed 0",
            ends.loc[name, 5],
            ends.loc[name, 5] > search_seed[5],
        )
    )
    fast, slow = one_sum[2:]
    for name in (fast, slow):
        rows.append((name, "layer 5 above 85 %", ends.loc[name, 5], ends.loc[name, 5] > 85))
    rows.append(
        (slow, "layer 5 further up than at the full rate", ends.loc[slow, 5], ends.loc[slow, 5] > ends.loc[fast, 5])
    )
    rows.append(
        (
            "rotary, decay 3.5",
            "layer 0 the lowest",
            float(ends.loc["rotary, decay 3.5", "lowest"]),
            ends.loc["rotary, decay 3.5", "lowest"] == 0,
        )
    )
    far = ends.loc["rotary, decay 3.5", "distance"]
    for name, least in (("rotary, decay 2", 60), ("rotary, decay 1", 75)):
        of = ends.loc[name]
        rows.append((name, "layer 0 the lowest", float(of["lowest"]), of["lowest"] == 0))
        rows.append((name, "layer 0 under 30 %", of[0], of[0] < 30))
        rows.append((name, f"layer 5 above {least} %", of[5], of[5] > least))
        rows.append((name, f"nearer than {far:.1f} points", of["distance"], of["distance"] < far))
    return pd.DataFrame(rows, columns=["run", "written before", "came", "holds"])


def written(datasets: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """`earlier` as readers see it."""
    table = earlier(datasets)
    came = [
        f"layer {value:.0f}" if "lowest" in said else f"{value:.1f}"
        for said, value in zip(table["written before"], table["came"], strict=True)
    ]
    held = ["held" if holds else "failed" for holds in table["holds"]]
    return table.assign(came=came, holds=held).set_index("run")


def first_rows(lead: xr.Dataset) -> pd.DataFrame:
    """Every interval written of the first three rows of the search, and what came."""
    named = {str(name): lead.sel(recipe=name) for name in lead["recipe"].values}  # as rows of the search
    table = endings.searched(named)
    came = [
        f"{value:.0f}" if what == "lowest layer" else f"{value:.2f}"
        for what, value in zip(table["number"], table["came"], strict=True)
    ]
    held = ["held" if holds else "failed" for holds in table["holds"]]
    table = table.assign(came=came, holds=held, row=[f"fan-in, {name}" for name in table["row"]])
    number = table["number"].replace({"U_0": "layer 0, %", "U_5": "layer 5, %"})
    return table.assign(number=number).drop(columns="date").set_index("row")


def to_come() -> pd.DataFrame:
    """Rows of the search that have not run, with what is said of them."""
    rows = {}
    for row in (*search.ROWS, *search.MORE):
        if not row.date:
            u0, u5, loss = search.NOW.get(row.name, (row.u0, row.u5, row.loss))
            said = row.said.replace("the same with", "the first row with").replace("d_model^-0.5", "1/√d_model")
            rows[said] = {"layer 0, %": _between(u0), "layer 5, %": _between(u5), "loss": _between(loss)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("fan-in and rotary, rate 3e-4, but for")


def recipes(datasets: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """What the runs' names stand for, from their settings: a row a run, without the second seed of a recipe."""
    rows: dict[str, dict[str, str]] = {}
    for name, dataset in datasets.items():
        run = endings.setting(dataset)
        model, train = run.model, run.train
        told = {
            "positions": model.positions,
            "matrices": SAID.get(model.init, model.init),
            "norm": f"{'RMSNorm' if model.norm == 'rmsnorm' else 'LayerNorm'}{'' if model.bias else ', no biases'}",
            "rate": _said("lr", train.lr),
            "decay": f"{train.weight_decay:g}",
            "tokens": _said("tokens", train.tokens),
            "stream": f"{model.d_model:,}",
        }
        if told not in rows.values():
            rows[name.partition(", seed")[0]] = told
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def _between(interval: search.Interval) -> str:
    return "{:g} to {:g}".format(*interval)


def by_seed(recipes: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """How each seed of the frozen recipes ends: batch use in percent, distance in points, loss."""
    table = endings.by_seed(recipes).reset_index()
    table.insert(0, "run", [f"{name}, seed {seed}" for name, seed in zip(table["recipe"], table["seed"], strict=True)])
    return table.drop(columns=["recipe", "seed"]).rename(columns=endings.of_layer).set_index("run")
