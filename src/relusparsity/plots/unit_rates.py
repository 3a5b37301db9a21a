"""From each layer to its units: their firing rates."""

from itertools import pairwise

import numpy as np
import xarray as xr

from . import style
from .chart import Axis, Chart, Mark, Panel
from .figure import Figure, figure
from .reading import attribute, how_many, layer_names, layers, lowest, of_layers, own_tokens, percent, variable


def layer_to_units(dataset: xr.Dataset) -> Figure:
    """The distribution of the units' firing rates in each layer; silent units are counted apart.

    Parameters
    ----------
    dataset : Dataset
        `final_firing_count` (seed, layer, unit); the dataset's attribute `final_sample_tokens`. Where layers differ in
        tokens of a sequence, `layer_positions` (layer) says so: rates are by a layer's own.
    """
    count = variable(dataset, "layer_to_units", "final_firing_count", "seed", "layer", "unit")
    sample = attribute(dataset, "layer_to_units", "final_sample_tokens")
    own, names = own_tokens(dataset, sample), layer_names(count)
    edges = np.arange(np.floor(np.log10(100 / own.max()) * 4) / 4, 2.01, 0.25)  # log10 of percent, four bins a decade
    numbers, n_seeds = layers(count), count.sizes["seed"]
    shares = np.array(
        [[_rate_shares(c, own[k], edges) for c in count.sel(layer=i).values] for k, i in enumerate(numbers)]
    )
    panels = [
        _rates(shares[k], edges, i, name, len(numbers), k // 2, k % 2)
        for k, (i, name) in enumerate(zip(numbers, names, strict=True))
    ]
    read = " to ".join(style.si(tokens) for tokens in sorted({own.min(), own.max()}))
    chart = Chart(panels, [120] * ((len(panels) + 1) // 2), 2)
    caption = (
        f"How often single units fire: share of a layer's units (%) by firing rate over {read} "
        f"held-out tokens, in bins of a quarter decade; bars: mean of {how_many(n_seeds, 'seed')} (points). "
        "Units that fired at none of these tokens have no rate to draw and are counted above the panel. Each panel has "
        "its own scale."
    )
    table = xr.DataArray(
        shares / 100,
        dims=("layer", "seed", "firing_rate"),
        coords={**of_layers(count), "seed": count["seed"].values, "firing_rate": ["silent", *_spans(edges)]},
    )
    silent = 100 * table.sel(firing_rate="silent").mean("seed")
    low, least, high, most = lowest(silent)
    finding = f"Silent units are most in {high}, {percent(most)}, and fewest in {low}, {percent(least)}"
    drawn = [("", xr.Dataset({"share_of_units": table}))]
    return figure(f"{__name__}.layer_to_units", chart, caption, drawn, finding, dataset)


def _rates(
    shares: np.ndarray, edges: np.ndarray, layer: int, name: str, n_layers: int, row: int = 0, col: int = 0
) -> Panel:
    """One layer's histogram: (seed, 1 + bin) → panel."""
    x, colour = (edges[:-1] + edges[1:]) / 2, style.layer_colour(layer, n_layers)
    tens = [float(t) for t in range(int(np.ceil(edges[0])), 3)]
    axis = Axis("firing rate, % of tokens", ticks=(tens, [f"{10**t:g}" for t in tens]), limits=(edges[0] - 0.05, 2.05))
    hover = f"{name}, units firing at {{0}}\nmean {{y}} % of the layer's units"
    bars = Mark("bars", x, shares[:, 1:].mean(axis=0), colour, hover=hover, extra=_spans(edges), bar_width=0.23)  # type: ignore[arg-type]
    dots = Mark("points", np.tile(x, len(shares)), shares[:, 1:].ravel(), style.INK, size=4, symbol="ring")
    silent = shares[:, 0]
    spread = f" ({silent.min():.3g}–{silent.max():.3g})" if len(silent) > 1 else ""
    return Panel(f"{name}: {silent.mean():.3g} %{spread} silent", axis, Axis(), [bars, dots], row=row, col=col)


def _spans(edges: np.ndarray) -> list[str]:
    return [f"{10**a:.2g}–{10**b:.2g} % of tokens" for a, b in pairwise(edges)]


def _rate_shares(count: np.ndarray, sample: int, edges: np.ndarray) -> np.ndarray:
    """Percent of units that are silent, then in each bin of log10 firing rate in percent: (unit) → (1 + bin)."""
    fired = count[count > 0]
    rate = np.log10(100 * fired / sample)
    binned = np.histogram(np.clip(rate, edges[0], edges[-1]), edges)[0]
    return 100 * np.r_[len(count) - len(fired), binned] / len(count)
