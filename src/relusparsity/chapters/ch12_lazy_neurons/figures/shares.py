"""Figures of chapter 12: the share of positive entries after ReLU, over training, by width, and without data."""

import xarray as xr

from ....experiments import lazy, lazy_pictures
from ....plots import style
from ....plots.axes import layer_axis, over_tokens, tokens_axis
from ....plots.chart import Axis, Chart, Control, Mark, Panel, State, seed_curves
from ....plots.figure import Figure, figure
from ....plots.reading import how_many, layers, percent, tokens, variable

SHARE = "positive entries, %"
LOOK = {lazy.AS_IS: (style.INK, "solid")} | {
    arm: (colour, dash)
    for arm, colour, dash in zip(
        lazy_pictures.NO_DATA, ("layer-2", style.ACCENT, "layer-15"), ("dash", "dot", "dashdot"), strict=True
    )
}
"""Arm → colour and dash of its line."""


def over_training(dataset: xr.Dataset, arm: str = lazy.AS_IS) -> Figure:
    """The share of positive entries at a held-out token, by layer, over training.

    Parameters
    ----------
    dataset : Dataset
        `token_use` (recipe, seed, step, layer), fractions; `tokens` (step).
    """
    use = variable(dataset, "over_training", "token_use", "recipe", "seed", "step", "layer").sel(recipe=arm)
    use, seen = use.dropna("layer", how="all").astype(float), tokens(dataset, "over_training")
    panel = Panel(SHARE, tokens_axis(seen), Axis(limits=(0.0, 60.0)))
    panel.marks = over_tokens(use, seen, "share", legend=True)
    first, last = (100 * use.isel(step=at).mean("seed") for at in (0, -1))
    low, high = last.idxmin("layer"), last.idxmax("layer")
    finding = (
        f"From {percent(float(first.mean()))} of the entries to {percent(float(last.mean()))}: layer {int(low)} ends "
        f"with the fewest positive ones, {percent(float(last.min()))}, layer {int(high)} with the most, "
        f"{percent(float(last.max()))}"
    )
    caption = (
        "An entry is what one unit gives at one patch of a held-out picture; half are positive before the first step, "
        "which a log axis has no place for. A thick line is the mean over the seeds, a thin one a seed. Tokens are "
        "patches, 64 a picture."
    )
    drawn = [("", xr.Dataset({"token_use": use}))]
    return figure(f"{__name__}.over_training", Chart([panel], [300]), caption, drawn, finding, _one(dataset, arm))


def widths(dataset: xr.Dataset) -> Figure:
    """Positive entries of models from narrow to wide: by layer under a slider, their share, and their count.

    Parameters
    ----------
    dataset : Dataset
        `final_token_use` (recipe, seed, layer), fractions.
    """
    arms = list(lazy_pictures.TIMES.values())
    of = variable(dataset, "widths", "final_token_use", "recipe", "seed", "layer").sel(recipe=arms).astype(float)
    of = 100 * of.dropna("layer", how="all")
    units = lazy.numbers(dataset).loc[arms, "units"].to_numpy(dtype=float)
    numbers, start = layers(of), arms.index(lazy.AS_IS)
    mean, by_seed = of.mean("seed"), of.mean("layer").transpose("seed", "recipe").values
    titles = [f"{SHARE}, by layer, with {style.si(each)} units a layer" for each in units]
    colours = [style.layer_colour(at, len(numbers)) for at in range(len(numbers))]
    hover = "layer {x}\nmean {y} % of the entries are positive"
    bars = Mark("bars", numbers, mean.sel(recipe=arms[start]).values, colours, hover=hover, bar_width=0.72)
    by_layer = Panel(titles[start], layer_axis(numbers), Axis(limits=(0.0, 60.0)), [bars])
    ticks = (units.tolist(), [f"{each:,.0f}" for each in units])
    axis = Axis("units a layer", log=True, ticks=ticks, limits=(units[0] * 0.8, units[-1] * 1.25))
    share = Panel(f"{SHARE}, mean of the layers", axis, Axis(limits=(0.0, 40.0)), row=1)
    count = Panel("positive units of a layer at a token", axis, Axis(from_zero=True), row=2)
    said = "{x} units a layer\nmean {y} % positive (seeds {0} to {1} %)"
    share.marks = seed_curves(units, by_seed, style.INK, said)
    said = "{x} units a layer\nmean {y} of them positive (seeds {0} to {1})"
    count.marks = seed_curves(units, by_seed * units / 100, style.ACCENT, said)
    share.cursor = count.cursor = units[start]
    states = [
        State(
            f"{units[at]:,.0f}",
            {bars: {"y": mean.sel(recipe=arm).values}},
            {share: units[at], count: units[at]},
            {by_layer: titles[at]},
        )
        for at, arm in enumerate(arms)
    ]
    hint = "Make the layers wider: the share falls, the count rises."
    control = Control("slider", "Units a layer", states, start, hint)
    ends = by_seed.mean(0)
    counts = ends * units / 100
    finding = (
        f"From {units[0]:,.0f} units a layer to {units[-1]:,.0f} the share of positive entries goes from "
        f"{percent(ends[0])} to {percent(ends[-1])}, their count from {counts[0]:.0f} to {counts[-1]:.0f}"
    )
    caption = (
        "At the end of training, on the test's pictures. Bars are means of the seeds. Below: the mean over all layers "
        "as a share of the units, and as a number of them; a thick line is the mean over the seeds, a thin one a seed."
    )
    chart = Chart([by_layer, share, count], [210, 190, 190], control=control)
    drawn = [("", xr.Dataset({"final_token_use_percent": of}))]
    return figure(f"{__name__}.widths", chart, caption, drawn, finding, dataset)


def no_data(dataset: xr.Dataset) -> Figure:
    """The share of positive entries where there is something to learn and where there is nothing; a choice of whom.

    Parameters
    ----------
    dataset : Dataset
        `token_use`, `silent_units` (recipe, seed, step, layer); `tokens` (step).
    """
    dims, arms = ("recipe", "seed", "step", "layer"), list(LOOK)
    use, silent = (
        variable(dataset, "no_data", name, *dims).sel(recipe=arms).astype(float)
        for name in ("token_use", "silent_units")
    )
    units = float(lazy.numbers(dataset).loc[lazy.AS_IS, "units"])
    alive = 1 - silent / units
    ways = {
        "all units": 100 * use.mean("layer"),
        "units that fire at all": 100 * (use / alive.where(alive > 0)).mean("layer"),
    }
    seen = tokens(dataset, "no_data")
    later = seen > 0
    titles = {way: f"{SHARE}, among {way}" for way in ways}
    first = next(iter(ways))
    panel = Panel(titles[first], tokens_axis(seen), Axis(limits=(0.0, 90.0)))
    states = [State(way, {}, titles={panel: titles[way]}) for way in ways]
    for arm, (colour, dash) in LOOK.items():
        drawn = {way: of.sel(recipe=arm).transpose("seed", "step").values[:, later] for way, of in ways.items()}
        hover = f"{arm}, {{x}} tokens\nmean {{y}} % positive (seeds {{0}} to {{1}} %)"
        marks = {way: seed_curves(seen[later], rows, colour, hover, arm, arm, dash) for way, rows in drawn.items()}
        panel.marks += marks[first]
        for state, way in zip(states, ways, strict=True):
            for mark, other in zip(marks[first], marks[way], strict=True):
                state.marks[mark] = {"y": other.y} | ({} if other.extra is None else {"extra": other.extra})
    last = {way: of.isel(step=-1).mean("seed").to_series() for way, of in ways.items()}
    fresh = list(lazy_pictures.NO_DATA)[-1]
    finding = (
        f"With {fresh} {percent(last['all units'][fresh])} of the entries are positive at the end, but "
        f"{percent(last['units that fire at all'][fresh])} among the units that fire at all; with the pictures as they "
        f"are, {percent(last['all units'][lazy.AS_IS])} and {percent(last['units that fire at all'][lazy.AS_IS])}"
    )
    caption = (
        "Mean over the layers, at a held-out patch. A unit that fires at all fires at least once on the held-out "
        f"pictures of the measurement. {how_many(use.sizes['seed'], 'seed').capitalize()}: a thick line is their mean."
    )
    control = Control("choice", "Count among", states, 0, "Leave the silent units out, and look at the random data.")
    data = xr.Dataset({way.replace(" ", "_") + "_percent": of for way, of in ways.items()})
    chart = Chart([panel], [320], control=control, legend="")
    return figure(f"{__name__}.no_data", chart, caption, [("", data)], finding, dataset)


def _one(dataset: xr.Dataset, arm: str) -> xr.Dataset:
    return dataset.sel(recipe=[arm])
