"""Figures of chapter 04: how far first and last layer lie apart, and both measures at equal firing rate."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ...claims.reading import NotTestable
from ...claims.table import number
from ...errors import UserError
from ...plots import style
from ...plots.chart import Axis, Chart, Mark, Panel
from ...plots.figure import Figure, figure
from ...plots.reading import attribute, how_many, layers, variable
from . import compared

BINS_PER_DECADE = 4
LEAST_UNITS = 10
"""Units of a layer in a bin of firing rate, below which the layer has no median there."""
QUARTERS = (25, 50, 75)


def delta(named: Mapping[str, xr.Dataset]) -> Figure:
    """Cliff's δ between last and first layer, seed by seed, with the 95 % interval of its mean, one panel per measure.

    Parameters
    ----------
    named : name of a model → Dataset
        As of the chapter's experiment, two layers or more.
    """
    found = {name: compared.deltas(dataset) for name, dataset in named.items()}
    values = [each[measure].values for each in found.values() for measure in compared.MEASURES]
    low, high = (f(0.0, *(f(some) for some in values)) for f in (min, max))
    places, panels = np.arange(len(found), dtype=float), list[Panel]()
    for row, (measure, title) in enumerate(compared.MEASURES.items()):
        panel = Panel(
            f"{title} (dotted line: the {compared.ENOUGH} that the rule asks)",
            Axis(
                "Cliff's δ; above 0 the last layer's units are the higher", limits=(low - 0.12, max(high, 0.7) + 0.05)
            ),
            Axis(limits=(len(found) - 0.4, -0.6), ticks=(places.tolist(), list(found)), names=True),
            cursor=compared.ENOUGH,
            row=row,
        )
        panel.marks.append(Mark("line", [0.0, 0.0], [-0.6, len(found) - 0.4], style.INK, width=1))
        for place, (name, deltas) in zip(places, found.items(), strict=True):
            panel.marks += _row(place, name, deltas[measure], title, first=not panels and place == 0)
        panels.append(panel)
    count = {name: how_many(each.sizes["seed"], "seed") for name, each in found.items()}
    caption = (
        "Cliff's δ between units of the last and the first layer that fire equally often. Open dots: single seeds "
        f"({', '.join(f'{name}: {seeds}' for name, seeds in count.items())}); filled: their mean; bar: its 95 % "
        "interval over seeds (Student's t). Look at which bars lie to the right of the dotted line, and which cross it."
    )
    drawn = [(name, each) for name, each in found.items()]
    chart = Chart(panels, [34 * len(found) + 14] * 2, legend="")
    return figure(f"{__name__}.delta", chart, caption, drawn, _finding(found), *named.values())


def _row(place: float, name: str, values: xr.DataArray, title: str, first: bool) -> list[Mark]:
    """One model's seeds, their mean and its interval."""
    some, marks = values.values.astype(float), list[Mark]()
    if len(some) > 1:
        ends = compared.interval(some)
        marks.append(Mark("line", list(ends), [place, place], style.ACCENT, width=3))
        told = [[name, *map(number, ends)]]
        hover = f"{{0}}\nδ of the {title} {{x}}\n95 %: {{1}} to {{2}}"
        marks.append(
            Mark(
                "points",
                [some.mean()],
                [place],
                style.ACCENT,
                "mean" if first else "",
                hover=hover,
                extra=told,
                size=10,
            )
        )
    hover = f"{name}, seed {{0}}\nδ of the {title} {{x}}"
    seeds = values["seed"].values
    marks.append(
        Mark(
            "points",
            some,
            np.full(len(some), place),
            style.INK,
            "one seed" if first else "",
            hover=hover,
            extra=seeds,
            symbol="open",
            size=7,
            width=1.3,
        )
    )
    return marks


def _finding(found: Mapping[str, xr.Dataset]) -> str:
    """In how many seeds each measure's δ reaches what the rule asks."""
    total = sum(each.sizes["seed"] for each in found.values())
    reached = [sum(int((each[name] >= compared.ENOUGH).sum()) for each in found.values()) for name in compared.MEASURES]
    rate, selectivity = compared.MEASURES.values()
    return (
        f"Last above first layer by δ ≥ {compared.ENOUGH}: {rate} in {reached[0]} of {total} seeds, {selectivity} in "
        f"{reached[1]}"
    )


def specificity(dataset: xr.Dataset) -> Figure:
    """Both measures against firing rate: the first and the last layer with their quartiles, the others' medians pale.

    Parameters
    ----------
    dataset : Dataset
        (seed, layer, unit): `firing_count` with the attribute `sample_tokens`, `within_sequence_rate`,
        `within_sequence_rate_random` and `token_selectivity`, missing under 100 firings.
    """
    dims = ("seed", "layer", "unit")
    names = ("firing_count", "within_sequence_rate", "within_sequence_rate_random", "token_selectivity")
    count, observed, random, selectivity = (variable(dataset, "specificity", name, *dims) for name in names)
    sample = attribute(count, "specificity", "sample_tokens")
    measures = {
        "within_sequence_rate_over_random": (observed / random, "within-sequence rate ÷ that of random firing"),
        "token_selectivity": (selectivity, "token selectivity"),
    }
    quartiles = xr.Dataset({name: by_rate(100 * count / sample, values) for name, (values, _) in measures.items()})
    if not quartiles.sizes["firing_rate"]:
        raise UserError(
            f"specificity found no {LEAST_UNITS} units of a layer that fire equally often; measure more text"
        )
    numbers, x = layers(count), quartiles["firing_rate"].values
    ends, axis = (numbers[0], numbers[-1]), Axis("firing rate, % of tokens", log=True, limits=(x[0] / 1.5, x[-1] * 1.5))
    panels = []
    for row, (name, (_, title)) in enumerate(measures.items()):
        panel = Panel(title, axis, Axis(), row=row)
        for layer in sorted(numbers, key=lambda layer: layer in ends):  # the first and the last layer on top
            panel.marks += _layer(quartiles[name].sel(layer=layer), numbers, title, named=row == 0)
        panels.append(panel)
    caption = (
        "Medians of units by quarter decade of firing rate, all seeds together; shaded: the middle half of the units "
        f"of layers {ends[0]} and {ends[1]}. Above: the within-sequence rate over that of random firing as often (1: no "
        "bunching). Below: token selectivity (0: fires on tokens as they come, 1: on one token type only). Compare "
        "lines at one firing rate, one above the other: rare firing alone looks specific. Units with under "
        f"{compared.LEAST} firings in {style.si(sample)} tokens are left out."
    )
    chart = Chart(panels, [250, 250], legend="")
    return figure(f"{__name__}.specificity", chart, caption, [("", quartiles)], _ends(dataset, ends), dataset)


def _layer(quartiles: xr.DataArray, numbers: list[int], title: str, named: bool) -> list[Mark]:
    """One layer's median, with the middle half of its units if it is the first or the last: (firing_rate, quartile)."""
    layer, x = int(quartiles["layer"]), quartiles["firing_rate"].values
    low, median, high = quartiles.transpose("quartile", ...).values
    hover = f"layer {layer}, units firing at around {{x}} % of tokens\nmedian {title} {{y}}"
    if layer in (numbers[0], numbers[-1]):
        colour, name = style.layer_colour(numbers.index(layer), len(numbers)), f"layer {layer}"
        band = Mark("band", x, high, colour, low=low, group=name, opacity=0.16)
        return [band, Mark("line", x, median, colour, name if named else "", name, hover, width=3.5)]
    between = numbers[1:-1]
    name = f"layers {between[0]} to {between[-1]}" if len(between) > 1 else f"layer {layer}"
    legend = name if named and layer == between[0] else ""
    return [Mark("line", x, median, style.INK, legend, f"layer {layer}", hover, width=1.3, opacity=0.45)]


def by_rate(rate: xr.DataArray, values: xr.DataArray) -> xr.DataArray:
    """Quartiles of units by layer and bin of firing rate, over all seeds: (layer, firing_rate, quartile).

    Parameters
    ----------
    rate, values : (seed, layer, unit)
        Units without a value are left out. `firing_rate` is a bin's centre, in the unit of `rate`, on a log scale; a
        layer with fewer than `LEAST_UNITS` units in a bin has no quartiles there, and a bin of no layer is left out.
    """
    whole = np.isfinite(values.values) & (rate.values > 0)
    place = np.full(whole.shape, np.nan)
    place[whole] = np.floor(np.log10(rate.values[whole]) * BINS_PER_DECADE)
    bins, found = np.unique(place[whole]), list[list[np.ndarray]]()
    for at in range(values.sizes["layer"]):
        of_bin = [values.values[:, at][place[:, at] == b] for b in bins]
        found.append([np.percentile(v, QUARTERS) if len(v) >= LEAST_UNITS else np.full(3, np.nan) for v in of_bin])
    quartiles = xr.DataArray(
        np.reshape(found, (values.sizes["layer"], len(bins), len(QUARTERS))),
        {"layer": values["layer"], "firing_rate": 10 ** ((bins + 0.5) / BINS_PER_DECADE), "quartile": list(QUARTERS)},
        ("layer", "firing_rate", "quartile"),
    )
    return quartiles.dropna("firing_rate", how="all")


def _ends(dataset: xr.Dataset, ends: tuple[int, int]) -> str:
    """How the last layer's units compare with the first's, by δ, as a figure's title."""
    first, last = (f"layer {layer}" for layer in ends)
    try:
        found = compared.deltas(dataset)
    except NotTestable:
        return f"Too few units of {first} and {last} fire equally often to be compared"
    rate, selectivity = (float(found[name].mean()) for name in compared.MEASURES)
    return (
        f"At equal firing rate, units of {last} bunch {_word(rate)} in sequences than those of {first} "
        f"(δ {number(rate)}) and keep {_word(selectivity)} to few token types (δ {number(selectivity)})"
    )


def _word(delta: float) -> str:
    return "more" if delta > 0 else "less"
