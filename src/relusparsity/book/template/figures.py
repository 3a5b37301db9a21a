"""Figure of chapter 00: what its runs use at a token."""

import numpy as np
import xarray as xr

from ...plots import style
from ...plots.chart import Axis, Chart, Mark, Panel
from ...plots.figure import Figure, figure
from ...plots.reading import how_many, layers, lowest, percent, sources, titled, variable


def token_use(dataset: xr.Dataset, live: xr.Dataset | None = None) -> Figure:
    """Token use of every layer after training, run by run.

    Parameters
    ----------
    dataset, live : Dataset
        `final_token_use` (recipe, seed, layer), fractions; the coordinate `recipe` (names of the runs).
    """
    panels, drawn = [], []
    for row, (source, data) in enumerate(sources(dataset, live)):
        use = variable(data, "token_use", "final_token_use", "recipe", "seed", "layer")
        names, numbers = [str(name) for name in use["recipe"].values], layers(use)
        at = np.arange(len(names), dtype=float)
        axis = Axis("run", ticks=(at.tolist(), names), limits=(-0.6, len(names) - 0.4))
        panel = Panel(titled("token use after training, % of units", source), axis, Axis(from_zero=True), row=row)
        for layer, aside in zip(numbers, np.linspace(-0.15, 0.15, len(numbers)), strict=True):  # none hides another
            colour, group = style.layer_colour(layer, len(numbers)), f"layer {layer}"
            shares = 100 * use.sel(layer=layer)
            mean = Mark("line", at + aside, shares.mean("seed").values, colour, str(layer) if row == 0 else "", group)
            hover = f"layer {layer}, {{0}}, seed {{1}}\n{{y}} %"
            told = [[name, int(seed)] for name in names for seed in use["seed"].values]
            x = np.repeat(at + aside, use.sizes["seed"])
            by_seed = Mark("points", x, shares.values.ravel(), colour, group=group, hover=hover, extra=told)
            panel.marks += [mean, by_seed]
        panels.append(panel)
        drawn.append((source, xr.Dataset({"token_use": use})))
    caption = (
        "Token use after training: the share of a layer's units that fire at one held-out token, mean over tokens. "
        f"Each point is one seed ({how_many(dataset.sizes['seed'], 'seed')} a run), lines join the means. Look for "
        "layers whose use changes from run to run."
    )
    ends = 100 * drawn[0][1]["token_use"].mean("seed").max("recipe")
    low, least, high, most = lowest(ends)
    finding = f"At a token {high} fires up to {percent(most)} of its units, {low} up to {percent(least)}"
    return figure(
        f"{__name__}.token_use", Chart(panels, [260] * len(panels)), caption, drawn, finding, dataset, live=live
    )
