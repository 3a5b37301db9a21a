"""Figures of chapter 07: what γ names, the layer that was spared beside the one that was emptied, two waves."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ... import plots
from ...plots import on_this_machine, style
from ...plots.axes import PERCENT, RANGE, tokens_axis
from ...plots.chart import Axis, Chart, Mark, Panel, seed_curves
from ...plots.figure import Figure, figure
from ...plots.reading import batch_window, how_many, layers, percent, tokens, variable

SPARED, EMPTIED = (1, "centre"), (5, "add 2")
"""Layer and treatment of the two arms that the ledger's row 15 reads."""

LOOK = {"untreated": (style.INK, "solid"), "treated": (style.ACCENT, "solid"), "placebo": ("layer-14", "dash")}
"""Colour and dash of a line, by what was done."""

FROM = 900_000
"""Training tokens from which curves are drawn: before, all layers dip for a moment."""


TERMS = {
    "embedding": "embedding scale",
    "tied": "tied output matrix",
    "decay": "weight decay",
    "init": "Xavier matrices",
    "lr": "learning rate",
}
"""What readers call the factors."""


def ingredients(found: xr.Dataset) -> Figure:
    """The main effects of a factorial, corrected for all effects that were looked for.

    Parameters
    ----------
    found : Dataset
        What `recipe_effects.effects` gives.
    """
    main = found.sel(term=list(TERMS)).assign_coords(term=list(TERMS.values()))
    return plots.effects(main.assign_attrs(corrected_over=found.sizes["term"]))


def spared_and_emptied(dataset: xr.Dataset) -> Figure:
    """Batch use over training of the two layers that row 15 reads: untreated, treated, and with the placebo.

    Parameters
    ----------
    dataset : Dataset
        Of `dissociation`: `batch_use` (recipe, seed, step, layer), fractions; `tokens` (step).
    """
    use = variable(dataset, "spared_and_emptied", "batch_use", "recipe", "seed", "step", "layer")
    words = {"centre": "input centred", "add 2": "vector added"}
    panels, drawn = [], dict[str, xr.DataArray]()
    for col, (layer, treatment) in enumerate((SPARED, EMPTIED)):
        arms = {"untreated": "untreated", "treated": f"{treatment}, layer {layer}"}
        arms["placebo"] = f"{treatment}, placebo, layer {layer}"
        chosen = {word: use.sel(recipe=arm, layer=layer, drop=True) for word, arm in arms.items()}
        panels.append(_panel(f"layer {layer}: {words[treatment]}\nbatch use, %", chosen, dataset, col))
        drawn |= {f"layer_{layer}_{word}": values for word, values in chosen.items()}
    ends = {name: 100 * float(values.isel(step=-1).mean("seed")) for name, values in drawn.items()}
    said = [
        f"({percent(ends[f'layer_{layer}_untreated'])} to {percent(ends[f'layer_{layer}_treated'])}, placebo "
        f"{percent(ends[f'layer_{layer}_placebo'])})"
        for layer, _ in (SPARED, EMPTIED)
    ]
    finding = f"Layer {SPARED[0]} is spared {said[0]}, layer {EMPTIED[0]} emptied {said[1]}"
    caption = (
        f"Share of the layer's units that fire in {batch_window(dataset)} held-out tokens. Thin lines: "
        f"{how_many(dataset.sizes['seed'], 'seed')}; thick: their mean. Left, the running mean of the layer's input is "
        "subtracted, all through training; right, one vector, twice as long as the input's standard deviation, is "
        "added at every token. The placebo adds the same at half of the tokens and subtracts it at the others, by a "
        "sign drawn for each, so that what it adds has no common direction. Compare each treated line with its "
        "placebo, too: the rule asks that the placebo does less than a quarter of it."
    )
    chart = Chart(panels, [300], 2, legend="", share_y=True)
    of = dataset.assign_attrs(recipe="first").drop_vars("recipe")
    return figure(f"{__name__}.spared_and_emptied", chart, caption, [("", xr.Dataset(drawn))], finding, of)


def twin_and_treated(dataset: xr.Dataset, layer: int) -> Figure:
    """Batch use of one layer over training on this machine, untreated and treated.

    Parameters
    ----------
    dataset : Dataset
        Of the chapter's experiment: `batch_use` (recipe, seed, step, layer), fractions; `tokens` (step); the recipes
        are `untreated` and the treated arm.
    """
    use = variable(dataset, "twin_and_treated", "batch_use", "recipe", "seed", "step", "layer").sel(layer=layer)
    twin, arm = (str(name) for name in dataset["recipe"].values)
    chosen = {"untreated": use.sel(recipe=twin, drop=True), "treated": use.sel(recipe=arm, drop=True)}
    panel = _panel(f"layer {layer}, {arm.rpartition(', layer ')[0]}: batch use, %", chosen, dataset, 0)
    ends = [percent(100 * float(values.isel(step=-1).mean("seed"))) for values in chosen.values()]
    finding = f"Layer {layer} ends at {ends[0]} untreated, at {ends[1]} with its input treated ({arm})"
    caption = (
        f"Share of the layer's units that fire in {batch_window(dataset)} held-out tokens, in two runs that differ in "
        "nothing else."
    )
    of = on_this_machine(dataset.drop_vars("recipe"))
    drawn = xr.Dataset({name: values for name, values in chosen.items()})
    chart = Chart([panel], [240], legend="")
    return figure(f"{__name__}.twin_and_treated", chart, caption, [("", drawn)], finding, of)


def _panel(title: str, chosen: Mapping[str, xr.DataArray], dataset: xr.Dataset, col: int) -> Panel:
    """Curves of one layer, by what was done to it: word → (seed, step), fractions."""
    seen = tokens(dataset, "treated")
    keep = np.flatnonzero((seen >= FROM) if seen[-1] > 10 * FROM else (seen > 0))
    seen = seen[keep]
    panel = Panel(title, tokens_axis(seen), Axis(limits=PERCENT), col=col)
    for word, values in chosen.items():
        colour, dash = LOOK[word]
        hover = f"{word}, {{x}} tokens\nmean batch use {{y}} % {RANGE}"
        curves = 100 * values.isel(step=keep).transpose("seed", "step").values.astype(float)
        panel.marks += seed_curves(seen, curves, colour, hover, word if col == 0 else "", word, dash)
    return panel


def gamma(dataset: xr.Dataset, found: xr.Dataset, of: xr.Dataset) -> Figure:
    """γ of each layer over training in one recipe, and in how many runs of many recipes it names the emptiest layer.

    Parameters
    ----------
    dataset : Dataset
        `gamma` (seed, step, layer), `tokens` (step), of one recipe.
    found : Dataset
        `largest`, `two`, `so_far` (step), with the coordinate `tokens` and the attributes `runs` and `always`: what
        `trajectories.named` gives.
    of : Dataset
        The recipes that were counted, for the figure's title.
    """
    values, seen = variable(dataset, "gamma", "gamma", "seed", "step", "layer"), tokens(dataset, "gamma")
    keep = np.flatnonzero(seen >= FROM)
    above = Panel("γ of each layer's MLP input", tokens_axis(seen[keep]), Axis(from_zero=True))
    for i in layers(values):
        hover = f"layer {i}, {{x}} tokens\nmean γ {{y}} (seeds {{0}}–{{1}})"
        curves = values.sel(layer=i).isel(step=keep).values.astype(float)
        colour = style.layer_colour(i, values.sizes["layer"])
        above.marks += seed_curves(seen[keep], curves, colour, hover, f"layer {i}", f"layer {i}")
    runs, always = found.attrs["runs"], found.attrs["always"]
    at = found["tokens"].values.astype(float)
    later = np.flatnonzero(at >= FROM)
    axis = Axis(limits=(0.0, 1.04 * runs))
    below = Panel(f"runs, of {runs}, whose emptiest layer at the end is", tokens_axis(at[later]), axis, row=1)
    lines = {
        "two": ("one of the two largest γ", "layer-14", "solid"),
        "largest": ("the largest γ", style.ACCENT, "solid"),
        "so_far": ("the emptiest so far", style.INK, "dash"),
    }
    for name, (words, colour, dash) in lines.items():
        hover = f"{words}, at {{x}} tokens\n{{y}} of {runs} runs"
        below.marks.append(
            Mark("line", at[later], found[name].values[later], colour, words, words, hover, dash=dash)  # type: ignore[arg-type]
        )
    hover = f"always the same layer\n{always} of {runs} runs"
    level = np.full(len(later), float(always))
    below.marks.append(Mark("line", at[later], level, style.INK, "one guess", "one guess", hover, width=1, dash="dot"))
    early = found.isel(step=later).where(found["largest"] > always, drop=True)["tokens"]
    best = int(found["largest"].isel(step=later).max())
    since = f"From {style.si(float(early[0]))} tokens on γ" if early.size else "γ"
    finding = (
        f"{since} names the layer that will be emptiest better than one guess does, in up to {best} of {runs} runs"
    )
    caption = (
        "Above: γ, the length of the mean of a layer's MLP input over the length of its standard deviation, in "
        f"{how_many(values.sizes['seed'], 'seed')} (thin) of one recipe and their mean (thick). Below, all recipes "
        "that end with a layer under 99 %: in how many runs the layer that ends emptiest has the largest γ by then, "
        "one of the two largest, or the lowest batch use so far. The dotted line is the best that the same guess for "
        "every run can do. Look at where the solid lines rise before the dashed one."
    )
    drawn = [("one recipe", xr.Dataset({"gamma": values.isel(step=keep)})), ("all recipes", found.isel(step=later))]
    chart = Chart([above, below], [230, 230], legend="")
    return figure(f"{__name__}.gamma", chart, caption, drawn, finding, dataset, of)


def waves(dataset: xr.Dataset, lost: xr.DataArray, half: xr.DataArray) -> Figure:
    """When each layer loses what it loses: the share of its loss that has come, over training.

    Parameters
    ----------
    dataset : Dataset
        The runs, for the title and the window.
    lost : DataArray
        (step, layer), percent, with the coordinate `tokens`; `half` (layer) is when it is 50: see `trajectories`.
    """
    seen = lost["tokens"].values.astype(float)
    limits = (min(0.0, float(lost.min())), 1.06 * max(100.0, float(lost.max())))
    panel = Panel("share of the layer's own loss that has come, %", tokens_axis(seen), Axis(limits=limits))
    for i in layers(lost):
        hover = f"layer {i}, {{x}} tokens\n{{y}} % of its loss has come"
        colour, values = style.layer_colour(i, lost.sizes["layer"]), lost.sel(layer=i).values
        panel.marks.append(Mark("line", seen, values, colour, str(i), f"layer {i}", hover))
    first = int(half["layer"].where(half == half.min()).max())  # of several, the last
    last = int(half.idxmax("layer"))
    when = [style.si(float(half.sel(layer=layer))) for layer in (first, last)]
    finding = f"Half of layer {first}'s loss has come by {when[0]} tokens, half of layer {last}'s only by {when[1]}"
    caption = (
        f"Of the units that a layer no longer uses at the end (in {batch_window(dataset)} held-out tokens), the share "
        f"that it has stopped using by then; mean of {how_many(dataset.sizes['seed'], 'seed')}, from "
        f"{style.si(float(seen[0]))} tokens on. All lines end at 100 %. Look at which lines cross 50 % first."
    )
    drawn = [("", xr.Dataset({"share_of_loss": lost}))]
    return figure(f"{__name__}.waves", Chart([panel], [260]), caption, drawn, finding, dataset)
