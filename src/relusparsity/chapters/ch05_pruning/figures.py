"""Figures of chapter 05: from which layers the units are taken, and what removal costs beyond the silent ones."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ...claims.table import number
from ...plots import style
from ...plots.axes import PERCENT, layer_axis
from ...plots.chart import Axis, Chart, Mark, Panel, seed_curves
from ...plots.figure import Figure, figure
from ...plots.pruning import DASHES, TEXTS
from ...plots.reading import layers, percent, variable
from . import spared

MOST = 1.0
"""Percent of the loss that rows 12 and 12b of the ledger let the lowest-rate units cost."""


def taken(models: Mapping[str, xr.Dataset], share: float = 0.5) -> Figure:
    """The share of each layer that is silent, and that which goes with `share` of all units: a panel a model.

    Parameters
    ----------
    models : name of a model → Dataset
        As of the chapter's experiment.
    """
    panels, drawn = [], []
    for row, (name, dataset) in enumerate(models.items()):
        goes, off = (100 * each.mean("seed") for each in (spared.taken(dataset, share), spared.silent(dataset)))
        numbers = layers(goes)
        colours = [style.layer_colour(i, len(numbers)) for i in numbers]
        hover = f"{name}, layer {{x}}\n{{y}} % of its units are silent"
        bars = Mark("bars", numbers, off.values, colours, hover=hover, bar_width=0.7, opacity=0.9)
        hover = f"{name}, layer {{x}}\n{{y}} % of its units are taken"
        ticks = Mark("points", numbers, goes.values, style.INK, "", "taken", hover, symbol="tick", size=46, width=3)
        title = f"{name}: silent (bars), taken (lines), %"
        panels.append(Panel(title, layer_axis(numbers), Axis(limits=PERCENT), [bars, ticks], row=row))
        drawn.append((name, xr.Dataset({"silent_percent": off, "taken_percent": goes})))
    sample = next(iter(models.values())).attrs["silent_sample_tokens"]
    caption = (
        f"Percent of each layer, mean over seeds. Bars: units silent on {style.si(sample)} tokens. Lines: what rate, "
        f"and so the matched draw, takes of each layer when {percent(100 * share)} of all units go. Look at the lines "
        "on the floor: more units are silent than go, and those of the first layers go first."
    )
    chart = Chart(panels, [120] * len(panels), legend="")
    return figure(f"{__name__}.taken", chart, caption, drawn, _cut(*drawn[0], share), *models.values())


def _cut(name: str, drawn: xr.Dataset, share: float) -> str:
    """What a ranking leaves of each layer, as a figure's title."""
    goes, off = drawn["taken_percent"], drawn["silent_percent"]
    most = f"{percent(float(goes.max()))} of layer {int(goes.idxmax('layer'))}"
    spares = [str(int(each)) for each in goes["layer"][(goes < 0.05) & (off >= 1)]]
    none = f" and none of layer{'s' if spares[1:] else ''} {_listed(spares)}" if spares else ""
    how = "Ties are cut layer by layer: " if spares else ""
    return f"{how}{percent(100 * share)} of all units by rate are {most}{none} in {name}"


def beyond(models: Mapping[str, xr.Dataset]) -> Figure:
    """Cost of removal beyond the silent units, by method, a line a seed: a panel a model, one text for all.

    Parameters
    ----------
    models : name of a model → Dataset
        As of the chapter's experiment; all with the same text (`spared.text`).
    """
    axis = Axis("units removed beyond the silent, % of the units that fire", limits=(0.0, 94.0))
    (on,) = {spared.text(dataset) for dataset in models.values()}
    panels, drawn, early = [], [], {}
    for row, (name, dataset) in enumerate(models.items()):
        title = f"{name}: change of the loss on {TEXTS[on]}, %"
        panel = Panel(title, axis, Axis(log=True, limits=(0.1, 100.0)), cursor=50.0, row=row)
        panel.marks.append(Mark("line", [0.0, 94.0], [MOST, MOST], style.INK, width=1, dash="dot"))
        x, rise = 100 * spared.beyond(dataset), spared.cost(dataset)
        for place, method in enumerate(rise["chosen_by"].values.tolist()):
            panel.marks.append(_seeds(x, rise.sel(chosen_by=method), name, spared.NAMES[method], place, not row))
        panels.append(panel)
        low = rise.sel(chosen_by="rate").where((x > 0) & (x <= 50)).max("share")
        early[name] = float(low.max())
        drawn.append((name, xr.Dataset({"cost_percent": rise, "beyond_percent": x})))
    over = [name for name, most in early.items() if most > MOST]
    caption = (
        "Zero on the x axis is the model without its silent units. Lines: one per seed. Dotted across: 1 % of the "
        "loss. The vertical line is where row 12b of the ledger reads: half of the units that fire. Log axis; what "
        "costs under 0.1 % is left out."
    )
    which = "every model" if len(over) == len(models) else _listed(over)
    finding = f"Before half of the units that fire are gone, the loss has risen by more than {MOST:g} % in {which}"
    chart = Chart(panels, [190] * len(panels), legend="")
    return figure(f"{__name__}.beyond", chart, caption, drawn, finding, *models.values())


def drawn(dataset: xr.Dataset) -> Figure:
    """Cost by share removed where ties are broken at random, and of a uniform draw, beside the recorded choices.

    Parameters
    ----------
    dataset : Dataset
        As of the chapter's experiment; those of before 2026-11-29 lack what is drawn here.
    """
    loss = variable(dataset, "drawn", "drawn_loss", "seed", "drawn", "drawn_share", "evaluation")
    on = spared.text(dataset)
    base = dataset["baseline_loss"].sel(evaluation=on)
    rise = (100 * (loss.sel(evaluation=on) / base - 1)).transpose("seed", "drawn", "drawn_share").astype(float)
    before = spared.cost(dataset).sel(share=dataset["share"] <= float(rise["drawn_share"].max()) + 1e-6)
    axis = Axis("units removed, %", limits=(0.0, 100 * float(rise["drawn_share"].max())))
    panel = Panel(f"change of the loss on {TEXTS[on]}, %", axis, Axis())
    x = np.concatenate([[0.0], 100 * rise["drawn_share"].values])
    for place, choice in enumerate(rise["drawn"].values.tolist()):
        values = rise.sel(drawn=choice).values
        values = np.hstack([np.zeros((len(values), 1)), values])
        hover = f"{choice}\n{{x}} % of units removed\nmean loss {{y}} % (seeds {{0}} to {{1}} %)"
        panel.marks += seed_curves(x, values, style.ACCENT, hover, choice, choice, DASHES[place])
    for place, method in ((0, "rate"), (2, "random")):
        mean, name = before.sel(chosen_by=method).mean("seed").values, f"{spared.NAMES[method]}, ties by layer"
        hover = f"{name}\n{{x}} % of units removed\nmean loss {{y}} %"
        across = 100 * before["share"].values
        panel.marks.append(Mark("line", across, mean, style.INK, name, name, hover, dash=DASHES[place]))  # type: ignore[arg-type]
    last = {str(choice): float(rise.sel(drawn=choice).mean("seed")[-1]) for choice in rise["drawn"].values}
    said = ", ".join(f"{name} {number(cost)} %" for name, cost in last.items())
    finding = f"Without {100 * float(rise['drawn_share'][-1]):.0f} % of all units the loss is higher by: {said}"
    caption = (
        f"Change of the loss on {TEXTS[on]}, % of that of the whole model; seeds thin, their mean thick. Solid, dashed "
        "and dotted in colour: the lowest rates with ties broken at random, as many of each layer at random, and a "
        "uniform draw. In ink: the choices that cut ties layer by layer."
    )
    table = xr.Dataset({"cost_percent": rise})
    return figure(f"{__name__}.drawn", Chart([panel], [260], legend=""), caption, [("", table)], finding, dataset)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "none"


def _seeds(x: xr.DataArray, rise: xr.DataArray, name: str, method: str, place: int, legend: bool) -> Mark:
    """The seeds of a method as one broken line over each seed's own x: (seed, share)."""
    shown = rise.where((x >= 0) & (rise >= 0.1)).transpose("seed", "share").values
    xs, ys = x.transpose("seed", "share").values, shown
    gap = np.full((len(xs), 1), np.nan)
    across, up = (np.hstack([each, gap]).ravel()[:-1] for each in (np.where(np.isfinite(ys), xs, np.nan), ys))
    hover = f"{name}, {method}\n{{x}} % of the units that fire\nloss {{y}} % higher"
    label = method if legend else ""
    colour = style.INK if place else style.ACCENT
    return Mark("line", across, up, colour, label, method, hover, width=1.3, dash=DASHES[place % 4])  # type: ignore[arg-type]
