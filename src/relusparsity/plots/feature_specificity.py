"""Specificity of units: how specific their firing is, to sequences and to token types."""

import numpy as np
import xarray as xr

from ..errors import UserError
from . import style
from .chart import Axis, Chart, Mark, Panel
from .figure import Figure, figure
from .reading import attribute, layers, lowest, variable

DOTS = 150  # units per layer in the scatter
BINS_PER_DECADE = 4
LEAST_UNITS = 10


def specificity(dataset: xr.Dataset) -> Figure:
    """Two measures of specificity against firing rate, one point per unit, with each layer's median.

    Parameters
    ----------
    dataset : Dataset
        (seed, layer, unit): `firing_count` with the attribute `sample_tokens`, `within_sequence_rate`,
        `within_sequence_rate_random` and `token_selectivity`, missing under 100 firings.
    """
    dims = ("seed", "layer", "unit")
    count = variable(dataset, "specificity", "firing_count", *dims)
    sample = attribute(count, "specificity", "sample_tokens")
    observed = variable(dataset, "specificity", "within_sequence_rate", *dims)
    random = variable(dataset, "specificity", "within_sequence_rate_random", *dims)
    selectivity = variable(dataset, "specificity", "token_selectivity", *dims)
    rate = 100 * count.values / sample
    ratio = observed.values / random.values
    wide = np.isfinite(ratio).any() and np.nanmax(ratio) > 4 * np.nanmin(ratio)  # else a log axis has no ticks to show
    measures = {
        "within_sequence_rate_over_random": (ratio, "within-sequence rate ÷ random", bool(wide)),
        "token_selectivity": (selectivity.values, "token selectivity", False),
    }
    numbers, first_seed = layers(count), int(count["seed"].values[0])
    chosen = [_spread(rate[0, k], *(m[0][0, k] for m in measures.values())) for k in range(len(numbers))]
    if not any(map(len, chosen)):
        raise UserError(
            f"specificity found no unit of seed {first_seed} with enough firings in {sample} tokens to have a "
            "specificity; measure on more text"
        )
    ends = [rate[0, k, c] for k, c in enumerate(chosen)]
    left, right = (f(float(f(e)) for e in ends if len(e)) for f in (min, max))
    panels, columns = [], {}
    for row, (name, (values, title, log)) in enumerate(measures.items()):
        axis = Axis("firing rate, % of tokens", log=True, limits=(left * 0.8, right * 1.25))
        panel = Panel(title, axis, Axis(log=log), row=row)
        for k, i in enumerate(numbers):
            colour, group, units_drawn = style.layer_colour(i, len(numbers)), f"layer {i}", chosen[k]
            hover = f"layer {i}, unit {{0}} (seed {first_seed})\nfires at {{x}} % of tokens\n{title} {{y}}"
            x, y = rate[0, k, units_drawn], values[0, k, units_drawn]
            dots = Mark(
                "points",
                _short(x),
                _short(y),
                colour,
                group=group,
                hover=hover,
                extra=units_drawn,
                size=4,
                opacity=0.45,
            )
            panel.marks.append(dots)
        for k, i in enumerate(numbers):
            x, y = _medians(rate[:, k].ravel(), values[:, k].ravel())
            hover = f"layer {i}, all units firing at around {{x}} % of tokens\nmedian {title} {{y}}"
            legend = str(i) if row == 0 else ""
            panel.marks.append(
                Mark("line", x, y, style.layer_colour(i, len(numbers)), legend, f"layer {i}", hover, width=3)
            )
        panels.append(panel)
        columns[name] = values
    caption = (
        f"Each point is a unit: at most {DOTS} per layer of seed {first_seed}, every n-th in order of firing "
        "rate; lines are medians of all units of all seeds, by quarter decade of firing rate. Above: how much "
        "of a sequence a unit fires in, given that it fires there, relative to random firing as often (1: no "
        "clustering). Below: token selectivity, 0 for firing on tokens as they come, 1 for one token type "
        "only. Compare layers at equal firing rate: rare firing alone looks specific. Units with under 100 "
        f"firings in {style.si(sample)} tokens are left out."
    )
    of_layer, unit = np.repeat(np.arange(len(numbers)), [len(c) for c in chosen]), np.concatenate(chosen)
    table = {"layer": np.array(numbers)[of_layer], "unit": unit, "firing_rate": rate[0, of_layer, unit] / 100}
    table |= {n: v[0, of_layer, unit] for n, v in columns.items()}
    drawn = xr.Dataset({n: ("point", v) for n, v in table.items()})
    median = xr.DataArray([np.nanmedian(r) if np.isfinite(r).any() else np.nan for r in np.moveaxis(ratio, 1, 0)])
    _, least, high, most = lowest(median.rename(dim_0="layer").assign_coords(layer=numbers))
    finding = (
        f"Firing bunches in sequences most in {high}, {most:.2g} times as much as chance, elsewhere {least:.2g} or more"
    )
    return figure(f"{__name__}.specificity", Chart(panels, [280, 280]), caption, [("", drawn)], finding, dataset)


def _short(values: np.ndarray) -> list[float]:
    """Round to three significant digits: they are enough for a point, and the file with the data has four."""
    return [float(f"{v:.3g}") for v in values]


def _spread(rate: np.ndarray, *values: np.ndarray) -> np.ndarray:
    """The units to draw: spread evenly, in order of firing rate, over those that have all values."""
    whole = np.flatnonzero(np.all(np.isfinite(values), axis=0))
    in_order = whole[np.argsort(rate[whole], kind="stable")]
    if len(in_order) <= DOTS:
        return in_order
    return in_order[np.linspace(0, len(in_order) - 1, DOTS).round().astype(int)]


def _medians(rate: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median value by bin of log firing rate: centres and medians, NaN under `LEAST_UNITS` units."""
    whole = np.isfinite(values) & (rate > 0)
    place = np.floor(np.log10(rate[whole]) * BINS_PER_DECADE).astype(int)
    bins = np.arange(place.min(), place.max() + 1) if place.size else np.zeros(0, int)
    of_bin = [values[whole][place == b] for b in bins]
    medians = [float(np.median(v)) if len(v) >= LEAST_UNITS else np.nan for v in of_bin]
    return 10 ** ((bins + 0.5) / BINS_PER_DECADE), np.array(medians)
