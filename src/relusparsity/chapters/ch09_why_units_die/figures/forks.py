"""Figures of chapter 09, continued: forks, what their controls take away of deaths, and who comes back in them."""

import numpy as np
import xarray as xr

from ....claims.statistics import student
from ....plots import style
from ....plots.axes import layer_axis
from ....plots.chart import Axis, Chart, Mark, Panel
from ....plots.figure import Figure, figure
from ....plots.reading import attribute, how_many, layers, variable

LEAST = 3
"""Seeds from which on there is an interval."""

LINES = {
    "nothing frozen": (style.INK, "solid"),
    "upstream frozen": (style.ACCENT, "solid"),
    "all that moves the dead frozen": ("layer-14", "dash"),
}
"""Fork → colour and dash of its line."""


def by_control(found: xr.Dataset) -> Figure:
    """The attributable fraction of each control over all layers, seed by seed, with its interval over the seeds.

    Parameters
    ----------
    found : Dataset
        What `effects.of_controls` gives: `overall` (control, seed).
    """
    overall = variable(found, "by_control", "overall", "control", "seed").astype(float)
    names, at = [str(name) for name in overall["control"].values], np.arange(overall.sizes["control"], dtype=float)
    low, high = (np.array(side) for side in zip(*(interval(row) for row in overall.values), strict=True))
    mean = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan for row in overall.values])
    axis = Axis("", ticks=(at.tolist(), names), limits=(-0.6, len(names) - 0.4))
    panel = Panel("attributable fraction of deaths, all layers", axis, _fractions(overall.values, low, high))
    known = np.isfinite(low)
    if known.any():
        spans = Mark(
            "bars", at[known], (high - low)[known], style.ACCENT, base=low[known], bar_width=0.16, opacity=0.35
        )
        spans.hover, spans.extra = "{0}\n95 % interval {1} to {2}", _told(names, known, low, high)
        panel.marks.append(spans)
    told = [[name, int(seed)] for name in names for seed in overall["seed"].values]
    points = Mark("points", np.repeat(at, overall.sizes["seed"]), overall.values.ravel(), style.INK, symbol="ring")
    points.hover, points.extra = "{0}, seed {1}\nattributable fraction {y}", told
    middle = Mark("points", at, mean, style.ACCENT, symbol="tick", size=40, width=2.2)
    middle.hover, middle.extra = "{0}, mean\nattributable fraction {y}", [[name] for name in names]
    panel.marks += [middle, points]
    seeds = how_many(overall.sizes["seed"], "seed")
    spread = "a bar its 95 % interval over the seeds (Student)" if known.any() else "too few seeds for an interval"
    caption = (
        f"Of the treated units ({100 * found.attrs['treated_share']:g} % of each layer), the share of deaths that a "
        "control takes away: 1 − deaths with it / deaths of the same units in the twin that is watched and not "
        f"changed. Rings: {seeds}; a long mark their mean; {spread}. At 0 a control changes nothing, at 1 nobody "
        "dies, below 0 more die than without."
    )
    said = [_taken(names[k], mean[k]) for k in np.argsort(-mean) if np.isfinite(mean[k])]
    finding = f"Of the deaths among the treated units {', '.join(said) or 'nothing is known'}"
    data = xr.Dataset({"attributable_fraction": overall})
    return figure(f"{__name__}.by_control", Chart([panel], [260]), caption, [("", data)], finding, found)


def by_layer(found: xr.Dataset, name: str = "") -> Figure:
    """Deaths of the treated units with each control and in its twin, layer by layer, and what share it takes away.

    Parameters
    ----------
    found : Dataset
        What `effects.of_controls` gives: `fraction` (control, seed, layer); `died` (fork, seed, layer).
    name
        Last part of the figure's name, where a page shows two of one model.
    """
    fraction = variable(found, "by_layer", "fraction", "control", "seed", "layer").astype(float)
    died = variable(found, "by_layer", "died", "fork", "seed", "layer").astype(float).sum("seed", skipna=False)
    numbers, controls = layers(fraction), [str(name) for name in fraction["control"].values]
    forks = [str(name) for name in died["fork"].values]
    colours = [style.INK, style.ACCENT, *(f"layer-{20 * k // max(1, len(controls) - 1)}" for k in range(len(controls)))]
    deaths = Panel("deaths among the treated units", layer_axis(numbers), Axis(from_zero=True))
    width = 0.8 / len(forks)
    for k, fork in enumerate(forks):
        x = np.array(numbers) + width * (k - (len(forks) - 1) / 2)
        hover = f"layer {{0}}, {fork}\n{{y}} deaths among the treated"
        bars = Mark("bars", x, died.sel(fork=fork).values, colours[k], fork, fork, hover, [[i] for i in numbers])
        bars.bar_width = 0.92 * width
        deaths.marks.append(bars)
    axis = _fractions(fraction.values)
    panel = Panel("attributable fraction", layer_axis(numbers), axis, row=1)
    total = died.sel(fork=forks[0])
    for k, control in enumerate(controls):
        mean = fraction.sel(control=control).mean("seed")
        hover = f"layer {{0}}, {control}\nattributable fraction {{y}}, of {{1}} deaths"
        told = [[i, int(n) if np.isfinite(n) else "unknown"] for i, n in zip(numbers, total.values, strict=True)]
        x = np.array(numbers) + 0.8 / len(controls) * (k - (len(controls) - 1) / 2)
        bars = Mark("bars", x, mean.values, colours[k + 1], group=control, hover=hover, extra=told)
        bars.bar_width = 0.7 / len(controls)
        panel.marks.append(bars)
    none = [str(i) for i, n in zip(numbers, total.values, strict=True) if n == 0]
    seeds = how_many(fraction.sizes["seed"], "seed")
    caption = (
        f"Above: treated units ({100 * found.attrs['treated_share']:g} % of each layer) that lived at the fork and are "
        f"dead at its end, {seeds}. Below: the share of the twin's deaths that the control takes away; below 0 more "
        "die with it. "
        + (f"In layer{'s' * (len(none) > 1)} {', '.join(none)} none dies: nothing is known there. " if none else "")
        + "A bar rests on the deaths above it: where they are few, it says little."
    )
    overall = variable(found, "by_layer", "overall", "control", "seed").astype(float).mean("seed")
    said = ", ".join(_taken(control, float(overall.sel(control=control))) for control in controls)
    finding = f"Of {float(total.sum()):,.0f} deaths among the treated units {said}"
    data = xr.Dataset({"attributable_fraction": fraction, "deaths": variable(found, "by_layer", "died", *_DIED)})
    chart = Chart([deaths, panel], [190, 190], legend="")
    return figure(f"{__name__}.by_layer", chart, caption, [("", data)], finding, found, name=name)


_DIED = ("fork", "seed", "layer")


def hazard(found: xr.Dataset) -> Figure:
    """How likely a unit of a layer is to fire again, by how long it has been silent, with its upstream frozen or not.

    Parameters
    ----------
    found : Dataset
        What `effects.of_revivals` gives: `at_risk`, `fired` (fork, seed, silent_steps), `dead`, `came_back` (fork,
        seed); the attributes `layer` and `dead_steps`.
    """
    dims = ("fork", "seed", "silent_steps")
    fired, at_risk = (variable(found, "hazard", name, *dims).astype(float).sum("seed") for name in ("fired", "at_risk"))
    rate = 100 * fired / at_risk.where(at_risk > 0)
    layer, after = attribute(found, "hazard", "layer"), attribute(found, "hazard", "dead_steps")
    least = fired["silent_steps"].values.astype(int)
    at, names = np.arange(len(least), dtype=float), _bins(least)
    axis = Axis("steps since its last firing, at least", ticks=_some(at, least))
    axis.limits = (-0.5, len(least) - 0.5)
    panel = Panel(f"layer {layer}: firings per 100 unit-steps", axis, Axis(log=True))
    panel.cursor = float(np.searchsorted(least, after)) - 0.5
    for fork in (str(name) for name in fired["fork"].values):
        colour, dash = LINES[fork]
        of = rate.sel(fork=fork).values
        hover = f"{fork}\nsilent for {{0}} steps: {{1}} firings in {{2}} unit-steps, {{y}} %"
        told = [
            [name, int(n), int(m)]
            for name, n, m in zip(names, fired.sel(fork=fork).values, at_risk.sel(fork=fork).values, strict=True)
        ]
        seen = np.where(of > 0, of, np.nan)  # a log axis has no place for 0
        panel.marks.append(Mark("line", at, seen, colour, fork, fork, hover, told, dash=dash))  # type: ignore[arg-type]
        panel.marks.append(Mark("points", at, seen, colour, group=fork, size=5))
    kept = {fork: _per_100(fired, at_risk, fork, least >= after) for fork in map(str, fired["fork"].values)}
    finding = f"Of 100 unit-steps of layer {layer}'s dead there are firings in " + ", ".join(
        f"{rate} with {fork}" for fork, rate in kept.items()
    )
    caption = (
        "How often a unit fires in a step, by how many steps it has been silent, all units of the layer together; both "
        f"axes are logarithmic. Right of the dotted line they are dead (no firing in {after:,} steps), and a firing "
        "is a revival; where nothing fired, there is no point. One unit may fire many times. Frozen: what layer "
        f"{layer}'s input is computed with stands still. {how_many(found.sizes['seed'], 'seed').capitalize()}."
    )
    data = xr.Dataset({"firings": fired, "unit_steps": at_risk})
    return figure(f"{__name__}.hazard", Chart([panel], [280], legend=""), caption, [("", data)], finding, found)


def _per_100(fired: xr.DataArray, at_risk: xr.DataArray, fork: str, dead: np.ndarray) -> str:
    """Firings per 100 unit-steps of a fork's units that had been silent for as long as the dead are."""
    firings, steps = (float(each.sel(fork=fork).values[dead].sum()) for each in (fired, at_risk))
    return f"{100 * firings / steps:.2g}" if steps else "none"


def _some(at: np.ndarray, least: np.ndarray) -> tuple[list[float], list[str]]:
    """Where ticks stand and what they say: of many bins every other one, so that they do not touch on a phone."""
    every = slice(None, None, 2 if len(least) > 10 else 1)
    return at[every].tolist(), [str(n) for n in least[every]]


def _bins(least: np.ndarray) -> list[str]:
    """'0', '1', '2–3' … '512+' of the least steps of each bin; the last has no end."""
    ends = [*(after - 1 for after in least[1:].tolist()), None]
    return [
        str(low) if low == end else f"{low}+" if end is None else f"{low}–{end}"
        for low, end in zip(least.tolist(), ends, strict=True)
    ]


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean of seeds that are known; missing for fewer than `LEAST`."""
    known = values[np.isfinite(values)]
    return student(known) if len(known) >= LEAST else (np.nan, np.nan)


def _told(names: list[str], known: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[list[str]]:
    return [[name, _plain(a), _plain(b)] for name, yes, a, b in zip(names, known, low, high, strict=True) if yes]


def _fractions(*values: np.ndarray) -> Axis:
    """An axis that holds these, 0 and 1."""
    known = np.concatenate([np.ravel(each)[np.isfinite(np.ravel(each))] for each in values])
    low, high = min(0.0, *known.tolist(), 0.0), max(1.0, *known.tolist(), 1.0)
    room = 0.06 * (high - low)
    return Axis(limits=(low - room, high + room))


def _taken(control: str, fraction: float) -> str:
    if 0.995 <= fraction < 1:
        return f"{control} takes away nearly all"
    return (
        f"{control} takes away {100 * fraction:.0f} %" if fraction >= 0 else f"{control} adds {-100 * fraction:.0f} %"
    )


def _plain(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
