"""Pruning: how many units can be removed, and what that costs."""

import numpy as np
import xarray as xr

from ..errors import UserError
from . import style
from .axes import layer_axis
from .chart import Axis, Chart, Control, Mark, Panel, State, seed_curves
from .figure import Figure, figure
from .reading import how_many, layers, percent, sources, thinned, titled, variable

DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "diamond", "cross", "open")
FREE = 1
"""Percent of loss that a removal may cost, in the figure's title."""
NAMES = {"random": "matched draw"}
"""What readers call a method whose name in datasets says less."""
MEANING = {
    "rate": "lowest firing rate first",
    "magnitude": "smallest weights first",
    "random": "drawn at random, as many from each layer as rate takes",
}
TEXTS = {"heldout": "held-out text", "c4-eval": "C4"}


def named(method: str) -> str:
    """What readers call a method."""
    return NAMES.get(method, method)


def pruning(dataset: xr.Dataset, live: xr.Dataset | None = None, evaluation: str = "heldout") -> Figure:
    """Loss after removing a share of all units, with a slider over the share that shows the units left in each layer.

    Parameters
    ----------
    dataset, live : Dataset
        `loss` (seed, chosen_by, share, evaluation) and `baseline_loss` (seed, evaluation), nats per token;
        `units_left` (seed, chosen_by, share, layer), units; coordinates `chosen_by` (the first gets the bars) and
        `share` of all units removed.
    evaluation : which text the loss is of
    """
    panels, drawn, rises = [], [], []
    for row, (source, data) in enumerate(sources(dataset, live), start=1):
        dims = ("seed", "chosen_by", "share", "evaluation")
        loss = variable(data, "pruning", "loss", *dims)
        if evaluation not in (known := loss["evaluation"].values.tolist()):
            raise UserError(f"pruning got evaluation={evaluation!r}; the dataset has {', '.join(map(str, known))}")
        loss = loss.sel(evaluation=evaluation, drop=True)
        whole = variable(data, "pruning", "baseline_loss", "seed", "evaluation").sel(evaluation=evaluation, drop=True)
        rise = 100 * (loss / whole - 1)
        rise = rise.transpose("seed", "chosen_by", "share").isel(share=thinned(rise.sizes["share"], 40))
        panels.append(
            _loss_panel(rise, titled(f"change of the loss on {TEXTS.get(evaluation, evaluation)}, %", source), row)
        )
        rises.append(rise)
        left = variable(data, "pruning", "units_left", "seed", "chosen_by", "share", "layer")
        drawn.append(
            (source, xr.Dataset({"loss": loss.sel(share=rise["share"]), "units_left": left.sel(share=rise["share"])}))
        )
    bars, control = _units_left(drawn[0][1], panels)
    first, *others = (named(str(m)) for m in drawn[0][1]["chosen_by"].values)
    drawn_apart = len(bars.marks) > 1
    beside = f"symbols: where {', '.join(others)} differ" if drawn_apart else f"{' and '.join(others)} take as many"
    on = TEXTS.get(evaluation, evaluation)
    caption = (
        f"Bars: units left in each layer where {first} takes them; {beside}. Below: change of the loss on {on}, % of "
        f"that of the whole model, {how_many(dataset.sizes['seed'], 'seed')} thin and their mean thick; the vertical "
        "line is the share that the bars show. Look at where each curve leaves zero."
    )
    chart = Chart([bars, *panels], [210] + [240] * len(panels), control=control, legend="")
    return figure(f"{__name__}.pruning", chart, caption, drawn, _finding(rises[0], on), dataset, live=live)


def _finding(rise: xr.DataArray, on: str) -> str:
    """How far each method goes within `FREE` percent of loss in every seed: (seed, chosen_by, share) → a sentence."""
    free = (rise.max("seed") > FREE).cumsum("share") == 0
    share = (100 * rise["share"]).where(free).max("share").fillna(0)
    first, *others = (
        f"{percent(float(share.sel(chosen_by=m))) if share.sel(chosen_by=m) else 'none'} by {named(str(m))}"
        for m in rise["chosen_by"].values
    )
    ways = [first.replace(" by", " of all units can go by", 1), *others]
    seeds = " in every seed" if rise.sizes["seed"] > 1 else ""
    return f"Within {FREE} % of the loss on {on}{seeds}, {', '.join(ways[:-1])} and {ways[-1]}"


def _loss_panel(rise: xr.DataArray, title: str, row: int) -> Panel:
    share, values = 100 * rise["share"].values, rise.values
    low, top = min(0.0, float(np.nanmin(values))), max(float(np.nanmax(values)), 1.0)
    axis = Axis("units removed, %", limits=(float(share.min()), float(share.max())))
    panel = Panel(title, axis, Axis(limits=(min(1.1 * low, -0.02 * top), 1.05 * top)), row=row)
    for n, method in enumerate(rise["chosen_by"].values.tolist()):
        hover = (
            f"{named(method)}: {MEANING.get(method, method)}\n{{x}} % of units removed\nmean loss {{y}} % "
            "(seeds {0} to {1} %)"
        )
        name = named(method)
        of_seeds = rise.sel(chosen_by=method).values
        colour = style.INK if n else style.ACCENT
        panel.marks += seed_curves(share, of_seeds, colour, hover, name if row == 1 else "", name, DASHES[n % 4])
    return panel


def _units_left(data: xr.Dataset, curves: list[Panel]) -> tuple[Panel, Control]:
    left = data["units_left"].mean("seed").transpose("share", "chosen_by", "layer")
    loss = data["loss"].mean("seed").transpose("share", "chosen_by").values
    numbers, share = layers(left), 100 * left["share"].values
    methods = [named(str(m)) for m in left["chosen_by"].values]
    colours = [style.layer_colour(i, len(numbers)) for i in numbers]
    start = int(np.argmin(np.abs(share - 50)))

    def title(at: int) -> str:
        losses = ", ".join(f"{m} {v:.2f}" for m, v in zip(methods, loss[at], strict=True))
        return f"units left in each layer, {share[at]:.3g} % removed\nloss: {losses}"

    marks: dict[int, Mark] = {}
    for n, method in enumerate(methods):
        hover = f"layer {{x}}\n{method}: mean {{y}} units left"
        y = left.values[start, n]
        if n and np.array_equal(left.values[:, n], left.values[:, 0]):
            continue  # the others take as many from each layer as the first
        if n == 0:
            marks[n] = Mark("bars", numbers, y, colours, hover=hover, bar_width=0.7, opacity=0.9)
        else:
            marks[n] = Mark("points", numbers, y, style.ACCENT, hover=hover, symbol=SYMBOLS[n % 4], size=9)  # type: ignore[arg-type]
    panel = Panel(title(start), layer_axis(numbers), Axis(limits=(0, 1.08 * float(left.max()))), list(marks.values()))
    for below in curves:
        below.cursor = float(share[start])
    states = [
        State(
            f"{share[at]:.3g} %",
            {mark: {"y": left.values[at, n]} for n, mark in marks.items()},
            {below: float(share[at]) for below in curves},
            {panel: title(at)},
        )
        for at in range(len(share))
    ]
    return panel, Control(
        "slider", "Units removed", states, start, "Remove more units, and see from which layers they go."
    )
