"""Figures of chapter 04: how far first and last layer lie apart, and both measures at equal firing rate."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ...claims.reading import NotTestable
from ...claims.statistics import student
from ...claims.table import number
from ...errors import UserError
from ...plots import style
from ...plots.chart import Axis, Chart, Mark, Panel
from ...plots.figure import Figure, figure
from ...plots.reading import attribute, layers, variable
from . import compared

BINS_PER_DECADE = 4
LEAST_UNITS = 10
"""Units of a layer in a bin of firing rate, below which the layer has no median there."""
QUARTERS = (25, 50, 75)
BY_RANDOM = "within_sequence_rate_over_random"
TITLES = compared.MEASURES | {BY_RANDOM: "within-sequence rate ÷ random, unit by unit"}
"""Variable → title of its panel."""


def delta(named: Mapping[str, xr.Dataset]) -> Figure:
    """Cliff's δ between last and first layer, seed by seed, with the 95 % interval of its mean, one panel per measure.

    Parameters
    ----------
    named : name of a model → Dataset
        As of the chapter's experiment, two layers or more. A model of which too few units can be compared is left out.

    Raises
    ------
    UserError
        If none is left.
    """
    found, left_out = dict[str, xr.Dataset](), list[str]()
    for name, dataset in named.items():
        try:
            found[name] = compared.deltas(dataset).assign({BY_RANDOM: compared.by_random(dataset)})
        except NotTestable:
            left_out.append(name)
    if not found:
        raise UserError(
            "delta found too few units of the first and last layer that fire equally often; measure more text"
        )
    values = [each[measure].values for each in found.values() for measure in TITLES]
    drawn_at = np.concatenate([*values, *(student(some) for some in values if len(some) > 1)])
    limits = min(-0.05, float(drawn_at.min()) - 0.05), max(0.75, float(drawn_at.max()) + 0.05)
    panels = []
    for row, (measure, title) in enumerate(TITLES.items()):
        panel = Panel(
            title,
            Axis("Cliff's δ (above 0: last layer higher)", limits=limits),
            Axis(limits=(len(found) - 0.4, -0.6), ticks=(list(map(float, range(len(found)))), list(found)), names=True),
            [Mark("line", [0.0, 0.0], [-0.6, len(found) - 0.4], style.INK, width=1)],
            cursor=compared.ENOUGH,
            row=row,
        )
        panel.marks += _rows({name: each[measure] for name, each in found.items()})
        panels.append(panel)
    caption = (
        "Open dots: single seeds; filled: their mean; bar: its 95 % interval over seeds (Student's t). Dotted: the "
        f"{compared.ENOUGH} that the rule asks of the upper two. The lowest divides each unit's rate by that of random "
        "firing first; we looked at it later, and no rule reads it. Look at which bars cross the dotted line."
    )
    if left_out:
        caption += f" Of {' and '.join(left_out)} too few units fire equally often."
    drawn = [(name, each) for name, each in found.items()]
    chart = Chart(panels, [30 * len(found) + 14] * len(panels), legend="")
    return figure(f"{__name__}.delta", chart, caption, drawn, _finding(found), *(named[name] for name in found))


def _rows(models: Mapping[str, xr.DataArray]) -> list[Mark]:
    """Seeds of each model, one model below the other, with their mean and its interval."""
    marks, means, told = list[Mark](), list[float](), list[list[str]]()
    for place, (name, of) in enumerate(models.items()):
        some = of.values.astype(float)
        means.append(float(some.mean()))
        ends = student(some) if len(some) > 1 else None
        told.append([name, f"95 %: {number(ends[0])} to {number(ends[1])}" if ends else "one seed"])
        told[-1].append(", ".join(map(number, some)))
        if ends:
            marks.append(Mark("line", list(ends), [place, place], style.ACCENT, width=3))
        at = np.full(len(some), float(place))
        marks.append(Mark("points", some, at, style.INK, symbol="open", size=7, width=1.3))
    hover = "{0}: mean δ {x}\n{1}\neach: {2}"
    places = list(map(float, range(len(means))))
    return [*marks, Mark("points", means, places, style.ACCENT, hover=hover, extra=told, size=10)]


def _finding(found: Mapping[str, xr.Dataset]) -> str:
    """In which seeds each measure's δ reaches what the rule asks."""
    said, total = [], sum(each.sizes["seed"] for each in found.values())
    for name, measure in zip(compared.MEASURES, compared.WITH_ARTICLE, strict=True):
        held = {model: each[name].values >= compared.ENOUGH for model, each in found.items()}
        whole = [model for model, seeds in held.items() if seeds.all()]
        count = sum(int(seeds.sum()) for seeds in held.values())
        if whole and count == sum(held[model].size for model in whole):
            said.append(f"for {measure} in every seed of {' and '.join(whole)}")
        else:
            said.append(f"for {measure} in {count or 'none'} of {total} seeds")
    return f"δ reaches {compared.ENOUGH} {', '.join(said)}"


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
        BY_RANDOM: (observed / random, "within-sequence rate ÷ random"),
        "token_selectivity": (selectivity, "token selectivity"),
    }
    quartiles = xr.Dataset({name: by_rate(100 * count / sample, values) for name, (values, _) in measures.items()})
    numbers = layers(count)
    ends = numbers[0], numbers[-1]
    both = quartiles[BY_RANDOM].sel(layer=list(ends)).notnull().all(("layer", "quartile"))
    if not quartiles.sizes["firing_rate"]:
        raise UserError(
            f"specificity found no {LEAST_UNITS} units of a layer that fire equally often; measure more text"
        )
    if both.any():  # elsewhere there is nothing to compare
        quartiles = quartiles.isel(firing_rate=longest(both.values))
    x = quartiles["firing_rate"].values
    axis = Axis("firing rate, % of tokens", log=True, limits=(x[0] * 0.9, x[-1] * 1.1), ticks=_ticks(x[0], x[-1]))
    panels = []
    for row, (name, (_, title)) in enumerate(measures.items()):
        panel = Panel(title, axis, Axis(), row=row)
        for layer in sorted(numbers, key=lambda layer: layer in ends):  # the first and the last layer on top
            panel.marks += _layer(quartiles[name].sel(layer=layer), ends, title)
        panels.append(panel)
    caption = (
        "Medians of units by quarter decade of firing rate, all seeds together; shaded: the middle half of the units "
        f"of layers {ends[0]} and {ends[1]}; grey: the layers between. Above, 1 is no bunching; below, 0 is firing on "
        "tokens as they come. Compare lines at one firing rate: rare firing alone looks specific. Units with under "
        f"{compared.LEAST} firings in {style.si(sample)} tokens are left out."
    )
    chart = Chart(panels, [250, 250], legend="")
    return figure(f"{__name__}.specificity", chart, caption, [("", quartiles)], _ends(dataset, ends), dataset)


def _ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Places on a log axis with their names: powers of ten, or with what lies between where these are few."""
    powers = [10.0**power for power in range(-6, 4)]
    steps = (1,) if high / low > 100 else (1, 2, 3, 5)
    places = [step * power for power in powers for step in steps if 0.9 * low <= step * power <= 1.1 * high]
    return places, [f"{place:g}" for place in places]


def longest(some: np.ndarray) -> slice:
    """The longest stretch of true values, the first of several.

    Examples
    --------
    >>> longest(np.array([True, False, True, True]))
    slice(2, 4, None)
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], some, [False]]).astype(int))).reshape(-1, 2)
    start, stop = edges[np.argmax(edges[:, 1] - edges[:, 0])].tolist()
    return slice(start, stop)


def _layer(quartiles: xr.DataArray, ends: tuple[int, int], title: str) -> list[Mark]:
    """One layer's median, with the middle half of its units if it is the first or the last: (firing_rate, quartile)."""
    layer, x = int(quartiles["layer"]), quartiles["firing_rate"].values
    low, median, high = quartiles.transpose("quartile", ...).values
    name = f"layer {layer}"
    hover = f"{name}, units firing at around {{x}} % of tokens\nmedian {title} {{y}}"
    if layer not in ends:
        return [Mark("line", x, median, style.INK, "", name, hover, width=1.3, opacity=0.45)]
    colour = style.layer_colour(int(layer == ends[1]), 2)
    band = Mark("band", x, high, colour, low=low, group=name, opacity=0.16)
    return [band, Mark("line", x, median, colour, name, name, hover, width=3.5)]


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
