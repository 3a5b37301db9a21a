"""Figure of chapter 08: how full first and last layer end, a point a run."""

from collections.abc import Iterable, Mapping

import pandas as pd
import xarray as xr

from ...plots import style
from ...plots.chart import Axis, Chart, Mark, Panel
from ...plots.figure import Figure, figure
from ...source import BATCH_USE

FIRST, LAST = min(BATCH_USE), max(BATCH_USE)
NEAR = 5.0
"""Points on either side of a stated number within which the search wants to end."""
LABELS = {
    "fan-in, decay 2": "fan-in 2",
    "fan-in, decay 1.5": "1.5",
    "fan-in, decay 1": "1",
    "rotary, decay 3.5": "rotary 3.5",
    "rotary, decay 2": "2",
    "rotary, decay 1": "1",
    "modern": "modern 0.1",
    "modern, decay 1.75": "1.75",
    "modern, rate ÷ 2, decay 3.5": "modern, rate ÷ 2",
    "rate ÷ 4, decay 7": "rate ÷ 4",
    "rate ÷ 2, decay 3.5, stream 1,536": "stream 1,536",
    "normal matrices, stream 512": "stream 512",
    "nearest, seed 2": "nearest",
    "first, seed 2": "first",
}
"""Words beside some points; a number is a weight decay."""


def _by_loss(loss: float, all_of_them: pd.Series) -> str:
    """The ramp's colour: the strongest for the lowest loss."""
    low, high = all_of_them.min(), all_of_them.max()
    return f"layer-{round(style.STEPS * (loss - low) / (high - low))}"


def frontier(table: pd.DataFrame, datasets: Mapping[str, xr.Dataset], families: Iterable[tuple[str, ...]]) -> Figure:
    """Batch use of layer 5 against that of layer 0 at the end of every run, and what the source states.

    Parameters
    ----------
    table
        What `runs.ends` gives: a row a run.
    datasets
        The runs, for the figure's title and provenance.
    families
        Names of runs that a line joins, in its order.
    """
    panel = Panel(
        f"batch use of layer {LAST} at the end, %",
        Axis(f"batch use of layer {FIRST} at the end, %", limits=(0.0, 104.0)),
        Axis(limits=(44.0, 104.0)),
    )
    stated = (BATCH_USE[FIRST], BATCH_USE[LAST])
    near = [stated[0] - NEAR, stated[0] + NEAR]
    low, high = stated[1] - NEAR, min(stated[1] + NEAR, 100.0)
    hover = f"sought: within {NEAR:g} points of both numbers"
    panel.marks.append(Mark("band", near, [high] * 2, style.INK, low=[low] * 2, opacity=0.15, hover=hover))
    for family in families:
        own = table.loc[list(family)]
        panel.marks.append(Mark("line", own[FIRST].to_numpy(), own[LAST].to_numpy(), style.INK, width=1, opacity=0.6))
    hover = "{0}\nlayer 0: {x} %, layer 5: {y} %\nloss {1}, distance {2} points, layer {3} the lowest"
    told = [
        [name, f"{at['loss']:.2f}", f"{at['distance']:.1f}", f"{at['lowest']:.0f}"] for name, at in table.iterrows()
    ]
    words = [LABELS.get(str(name), "") for name in table.index]
    x, y, colours = (
        table[FIRST].to_numpy(),
        table[LAST].to_numpy(),
        [_by_loss(loss, table["loss"]) for loss in table["loss"]],
    )
    panel.marks.append(Mark("points", x, y, colours, hover=hover, extra=told, size=9, words=words))
    own = (table["lowest"] == FIRST).to_numpy()
    said = "layer 0 ends as the lowest"
    panel.marks.append(Mark("points", x[own], y[own], style.INK, said, said, size=14, symbol="open", width=1.2))
    hover = "Wild and Anderson, at convergence: {x} and {y} %"
    named = [f"W&A {stated[0]} %, {stated[1]} %"]
    panel.marks.append(Mark("points", [stated[0]], [stated[1]], style.INK, hover=hover, symbol="diamond", size=11))
    # the words stand above the box, which they would cut
    panel.marks.append(Mark("points", [stated[0]], [high], "ground", size=0.01, words=named))
    nearest = table["distance"].idxmin()
    finding = (
        f"None of {len(table)} runs has both numbers: the closest ends at {table.loc[nearest, FIRST]:.1f} and "
        f"{table.loc[nearest, LAST]:.1f} %"
    )
    caption = (
        "Every recorded run of 32,768 units per layer, whatever its recipe, a point each; the further its colour is "
        f"from the page, the lower its loss ({table['loss'].min():.2f} to {table['loss'].max():.2f} nats per token). "
        f"The shaded box is what is sought, {NEAR:g} points on either side of what Wild and Anderson (W&A) report. "
        "Circled points: layer 0 ends as the lowest of the six. Lines join runs that differ in weight decay alone; the "
        "numbers along them are its values. Follow a line down: more decay empties layer 0, and layer 5 with it."
    )
    drawn = xr.Dataset(
        {
            name: ("run", table[column].to_numpy(float))
            for name, column in {
                "layer_0_batch_use_percent": FIRST,
                "layer_5_batch_use_percent": LAST,
                "loss": "loss",
                "distance_points": "distance",
            }.items()
        },
        {"run": list(table.index)},
    )
    of = [datasets[name].assign_attrs(scale="wide", recipe="") for name in table.index]
    of = [each.isel(seed=0).drop_vars("recipe", errors="ignore") for each in of]
    chart = Chart([panel], [430], legend="")
    return figure(f"{__name__}.frontier", chart, caption, [("", drawn)], finding, *of)
