"""Figures of a report on measured models: one model, or several side by side, each under its own name."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ..errors import UserError
from . import style
from .axes import PERCENT, layer_axis
from .chart import Axis, Chart, Mark, Panel
from .figure import Figure, figure
from .reading import attribute, layers, lowest, percent, thinned, units, variable

Models = Mapping[str, xr.Dataset]
LEGEND = 6  # layers that a legend names, however many there are
BATCH = 8_192  # tokens of batch use's window
TOGETHER = 4  # points: lines that end no further apart have one name, for there is no room for more


def layer_use(models: Models) -> Figure:
    """Share of each layer's units that fire at a token, in a sequence, in 8,192 tokens (if more were read) and at all.

    Parameters
    ----------
    models
        Datasets of `measure.measure` by name: `final_token_use`, `final_sequence_use`, `silent_units` (seed, layer),
        `final_window_use` (seed, layer, window); attributes `final_sample_tokens`, `seq_len`, `d_ff`.
    """
    panels, drawn = [], []
    batch = all(_read(data) > BATCH for data in _given(models, "layer_use").values())
    for col, (name, data) in enumerate(models.items()):
        use = _uses(data, batch)
        numbers = layers(data["silent_units"])
        colours = [style.layer_colour(i, len(numbers)) for i in numbers]
        for row, (what, values) in enumerate(use.items()):
            title = f"{what}, % of units"
            if len(models) > 1:  # side by side, only one such title has room
                title = (f"{name}\n" if row == 0 else "") + (title if col == 0 else " ")
            hover = f"layer {{x}}\n{what}: {{y}} % of units"
            bars = Mark("bars", numbers, 100 * values, colours, hover=hover, bar_width=0.72, opacity=0.9)
            panels.append(Panel(title, _layers_axis(numbers), Axis(limits=PERCENT), [bars], row=row, col=col))
        table = {what.replace(" ", "_").replace(",", ""): ("layer", values) for what, values in use.items()}
        drawn.append((name, xr.Dataset(table, {"layer": numbers})))
    caption = (
        "Units that fire, layer by layer (0 is the first to run), over more and more text: mean share at one token, at "
        f"least once in a sequence, {f'at least once in {BATCH:,} tokens, ' if batch else ''}at least once in the "
        "whole sample. What is missing to 100 % in the last row was silent. Look for layers that differ in the last "
        "rows more than in the first."
    )
    said = {}
    for name, shares in drawn:
        least, share, *_ = lowest(100 * shares[list(shares)[-1]])
        some = f"{least} uses the least of its units, {percent(share)}"
        said[name] = f"In all the text {'every layer uses all of its units' if share == 100 else some}"
    chart = Chart(panels, [110] * (4 if batch else 3), len(models), share_y=True)
    finding = _each(said)
    return figure(f"{__name__}.layer_use", chart, caption, drawn, finding, *_called(models))


def _read(data: xr.Dataset) -> int:
    return attribute(data, "layer_use", "final_sample_tokens")


def _uses(data: xr.Dataset, batch: bool) -> dict[str, np.ndarray]:
    one = {n: variable(data, "layer_use", n, "seed", "layer")[0] for n in ("final_token_use", "final_sequence_use")}
    window = variable(data, "layer_use", "final_window_use", "seed", "layer", "window")[0]
    silent = variable(data, "layer_use", "silent_units", "seed", "layer")[0].values
    return {
        "at a token": one["final_token_use"].values,
        f"in a sequence of {attribute(data, 'layer_use', 'seq_len')}": one["final_sequence_use"].values,
        **({f"in {BATCH:,} tokens": window.sel(window=BATCH).values} if batch else {}),
        f"in all {style.si(_read(data))} tokens": 1 - silent / units(data, "layer_use"),
    }


def windows(models: Models) -> Figure:
    """Share of units that fire within n tokens, running text against tokens drawn at random.

    Parameters
    ----------
    models
        Datasets by name: `final_window_use` and `final_rarefied_use` (seed, layer, window).
    """
    panels, drawn, legends = [], [], set[str]()
    for row, (name, data) in enumerate(_given(models, "windows").items()):
        window, random = (
            variable(data, "windows", n, "seed", "layer", "window")[0]
            for n in ("final_window_use", "final_rarefied_use")
        )
        x = window["window"].values.astype(float)
        axis = Axis("n, tokens", log=True, tokens=True, limits=(0.8, float(x.max()) * 1.25))
        panel = Panel(_titled("units that fire within n tokens, %", name, models), axis, Axis(limits=PERCENT), row=row)
        numbers = layers(window)
        ends = 100 * window.isel(window=-1).values
        one = len(numbers) > 1 and ends.max() - ends.min() < TOGETHER
        together = f"{numbers[0]} to {numbers[-1]}" if one else ""
        for i, at in enumerate(numbers):
            colour, group = style.layer_colour(at, len(numbers)), f"layer {together or at}"
            hover = f"layer {at}, {{x}} tokens drawn at random\n{{y}} %"
            dots = 100 * random.values[i]
            panel.marks.append(Mark("line", x, dots, colour, group=group, hover=hover, dash="dot", width=1.2))
            hover = f"layer {at}, {{x}} tokens of running text\n{{y}} %"
            legend = together or (str(at) if at in _named(numbers) else "")
            legend = "" if legend in legends else legend
            legends.add(legend)
            panel.marks.append(Mark("line", x, 100 * window.values[i], colour, legend, group, hover))
        panels.append(panel)
        drawn.append((name, xr.Dataset({"final_window_use": window, "final_rarefied_use": random})))
    caption = (
        "Solid: share of a layer's units that fire at least once in n tokens of running text (window use). Dotted: in "
        "n tokens drawn at random from the same sample (rarefied use). The gap is how much a unit's firings cluster; a "
        "curve that still rises has units that need more text to be seen."
    )
    gaps = {name: 100 * (d["final_rarefied_use"] - d["final_window_use"]).max("window") for name, d in drawn}
    widest = {name: lowest(gap)[2:] for name, gap in gaps.items()}
    said = "Text wakes fewer units than random tokens, up to {1} of a layer, in {0}"
    finding = _each({name: said.format(layer, percent(gap)) for name, (layer, gap) in widest.items()})
    return figure(
        f"{__name__}.windows",
        Chart(panels, [290 if len(panels) == 1 else 230] * len(panels)),
        caption,
        drawn,
        finding,
        *_called(models),
    )


def firing_rates(models: Models) -> Figure:
    """Percentiles of the units' firing rates, layer by layer.

    Parameters
    ----------
    models
        Datasets by name: `firing_rate_percentiles` (seed, layer, percentile); attribute `final_sample_tokens`.
    """
    levels = (5, 25, 50, 75, 95)
    panels, drawn = [], []
    for row, (name, data) in enumerate(_given(models, "firing_rates").items()):
        rates = variable(data, "firing_rates", "firing_rate_percentiles", "seed", "layer", "percentile")[0]
        tokens = attribute(data, "firing_rates", "final_sample_tokens")
        rate = 100 * rates.sel(percentile=list(levels)).transpose("percentile", "layer").values.astype(float)
        floor = 100 / tokens / 2  # no rate but 0 is below one token of the sample
        shown = np.maximum(rate, floor)
        numbers = layers(rates)
        panel = Panel(
            _titled("firing rate, % of tokens (log)", name, models),
            _layers_axis(numbers),
            Axis(log=True, limits=(floor * 0.7, 150)),
            row=row,
        )
        for low, high, width, opacity in ((0, 4, 0.5, 0.3), (1, 3, 0.5, 0.65)):
            panel.marks.append(_span(numbers, shown[low], shown[high], width, opacity))
        hover = "layer {x}\nmedian unit fires at {2} % of tokens\n25–75th percentile {1}–{3} %\n5–95th {0}–{4} %"
        size = min(22.0, 330 / len(numbers))
        look = {"hover": hover, "extra": rate.T, "symbol": "tick", "size": size, "width": 2.2}
        panel.marks.append(Mark("points", numbers, shown[2], style.INK, **look))  # type: ignore[arg-type]
        panels.append(panel)
        drawn.append(
            (
                name,
                xr.Dataset(
                    {"firing_rate": (("percentile", "layer"), rate / 100)},
                    {"percentile": list(levels), "layer": numbers},
                ),
            )
        )
    caption = (
        "How often a layer's units fire: the median unit (line), the middle half (dark) and 90 % of the units "
        "(light), silent ones included; what lies at the lower edge never fired in the sample. A long light part "
        "means that a few units do most of the firing."
    )
    medians = {name: lowest(100 * d["firing_rate"].sel(percentile=50)) for name, d in drawn}
    said = "The median unit fires least in {}, at {} of tokens"
    finding = _each({name: said.format(least, percent(rate)) for name, (least, rate, *_) in medians.items()})
    chart = Chart(panels, [230 if len(panels) == 1 else 180] * len(panels))
    return figure(f"{__name__}.firing_rates", chart, caption, drawn, finding, *_called(models))


def _span(numbers: list[int], low: np.ndarray, high: np.ndarray, width: float, opacity: float) -> Mark:
    colours = [style.layer_colour(i, len(numbers)) for i in numbers]
    return Mark("bars", numbers, high - low, colours, base=low, opacity=opacity, bar_width=width)


def silent(models: Models) -> Figure:
    """Silent units of each layer, and how many of them may fire, by chance, in as much text again.

    Parameters
    ----------
    models
        Datasets by name: `silent_units`, `good_turing_upper` (seed, layer); attributes `final_sample_tokens`, `d_ff`.
    """
    panels, drawn = [], []
    silence = {
        name: 100 * variable(data, "silent", "silent_units", "seed", "layer")[0] / units(data, "silent")
        for name, data in _given(models, "silent").items()
    }
    limits = (0.0, max(1.0, *(1.08 * float(share.max()) for share in silence.values())))
    for row, (name, data) in enumerate(models.items()):
        share = 100 / units(data, "silent")
        count, upper = (
            variable(data, "silent", n, "seed", "layer")[0].values * share
            for n in ("silent_units", "good_turing_upper")
        )
        perhaps = np.minimum(count, upper)
        numbers = layers(data["silent_units"])
        colours = [style.layer_colour(i, len(numbers)) for i in numbers]
        tokens = style.si(attribute(data, "silent", "final_sample_tokens"))
        title = _titled(f"silent in {tokens} tokens, % of units", name, models)
        panel = Panel(title, _layers_axis(numbers), Axis(limits=limits), row=row)
        for text, start, height, opacity in (
            ("silent, beyond chance", np.zeros(len(count)), count - perhaps, 0.95),
            ("silent, but chance may let it fire in as much text again", count - perhaps, perhaps, 0.35),
        ):
            hover = f"layer {{x}}\n{text}\n{{y}} % of units"
            panel.marks.append(
                Mark("bars", numbers, height, colours, hover=hover, base=start, opacity=opacity, bar_width=0.72)
            )
        panels.append(panel)
        drawn.append((name, data[["silent_units", "good_turing_upper"]]))
    caption = (
        "Units that fired at no token of the sample. Pale: as many as chance may let fire in as much text again (upper "
        "95 % bound from the units that fired in exactly one sequence, Good–Turing). Silent in this text is not dead: "
        "another kind of text may wake more."
    )
    said = {}
    for name, of_layers in silence.items():
        _, _, most, highest = lowest(of_layers)
        said[name] = f"Silent units are most in {most}, {percent(highest)}" if highest else "No unit is silent"
    finding = _each(said)
    return figure(f"{__name__}.silent", Chart(panels, [190] * len(panels)), caption, drawn, finding, *_called(models))


def changes(before: xr.Dataset, after: xr.Dataset) -> Figure:
    """Units that fell silent, and units that fire again, between two checkpoints read on the same text.

    Parameters
    ----------
    before, after
        `final_firing_count` (seed, layer, unit) of equal shape; attribute `name`.
    """
    counts = [variable(d, "changes", "final_firing_count", "seed", "layer", "unit")[0] for d in (before, after)]
    if counts[0].shape != counts[1].shape:
        raise UserError(
            f"changes got {counts[0].shape} and {counts[1].shape} (layer, unit); give checkpoints of one model"
        )
    first, second = (c.values == 0 for c in counts)
    fell, woke = (~first & second).sum(axis=1), (first & ~second).sum(axis=1)
    numbers = layers(counts[0])
    colours = [style.layer_colour(i, len(numbers)) for i in numbers]
    panel = Panel("units fallen silent (up), firing again (down)", _layers_axis(numbers), Axis())
    for values, text, opacity in ((fell, "fell silent", 0.95), (-woke, "fire again", 0.4)):
        extra = np.abs(values)[:, None]
        hover = f"layer {{x}}\n{text}: {{0}} units"
        panel.marks.append(
            Mark("bars", numbers, values, colours, hover=hover, extra=extra, opacity=opacity, bar_width=0.72)
        )
    caption = (
        f"Units that fired in the sample with {before.attrs['name']} and are silent with {after.attrs['name']} (up), "
        "and the other way round (down). Both read the same text with frozen weights."
    )
    drawn = xr.Dataset({"fell_silent": ("layer", fell), "fire_again": ("layer", woke)}, {"layer": numbers})
    finding = f"{fell.sum():,} units fell silent, {woke.sum():,} fire again"
    return figure(f"{__name__}.changes", Chart([panel], [230]), caption, [("", drawn)], finding, before, after)


def _each(said: Mapping[str, str]) -> str:
    """What is said of each model; a model is named where there are several."""
    if len(said) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{name}: {text[0].lower()}{text[1:]}" for name, text in said.items())


def _called(models: Models) -> list[xr.Dataset]:
    """The datasets by the names that they are given here."""
    without = ({k: v for k, v in data.attrs.items() if k not in ("scale", "recipe")} for data in models.values())
    return [d.drop_attrs(deep=False).assign_attrs(a, name=n) for (n, d), a in zip(models.items(), without, strict=True)]


def _given(models: Models, function: str) -> Models:
    if not models:
        raise UserError(f"{function} got no dataset; give at least one by its name")
    return models


def _titled(text: str, name: str, models: Models) -> str:
    return f"{text}\n{name}" if len(models) > 1 else text


def _layers_axis(numbers: list[int]) -> Axis:
    axis = layer_axis(numbers)
    if len(numbers) > 13:
        shown = numbers[:: -(-len(numbers) // 9)]
        axis.ticks = ([float(i) for i in shown], [str(i) for i in shown])
    return axis


def _named(numbers: list[int]) -> set[int]:
    return {numbers[i] for i in thinned(len(numbers), LEGEND)}
