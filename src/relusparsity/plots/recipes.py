"""Recipes: what each recipe, and each ingredient, does to the layers."""

from textwrap import wrap

import numpy as np
import xarray as xr

from . import style
from .chart import Axis, Chart, Control, Mark, Panel, State
from .figure import Figure, figure
from .reading import batch_window, how_many, layers, tokens, variable

# a factor's words in a panel's title; others are shown by name and level
SHORT = {"embedding_std": "emb ", "weight_decay": "wd ", "lr": "lr ", "init": ""}
FULL = 0.99  # if all layers of a recipe keep more than this, its lowest layer means nothing


def recipes(dataset: xr.Dataset, name: str = "") -> Figure:
    """Batch use of each layer over training, one panel per recipe with its final loss; a choice puts them in order.

    Parameters
    ----------
    dataset : Dataset
        `batch_use` (recipe, seed, step, layer) and `final_batch_use` (recipe, seed, set, layer), fractions;
        `final_loss` (recipe, seed), nats per token; `tokens` (step); the coordinate `recipe` (short names). The titles
        show the other coordinates of `recipe`: a factorial's factors, or `changed`, a few words on what the recipe does
        differently.
    name
        Of the sweep, for links and files, where a chapter shows several of one shape.
    """
    use = variable(dataset, "recipes", "batch_use", "recipe", "seed", "step", "layer")
    final = variable(dataset, "recipes", "final_batch_use", "recipe", "seed", "set", "layer").mean("set")
    loss = variable(dataset, "recipes", "final_loss", "recipe", "seed")
    n, seeds = use.sizes["recipe"], use.sizes["seed"]
    seen = tokens(dataset, "recipes")
    keep = _spread(seen, max(8, min(16, 128 // n)))
    use, seen, panels = use.isel(step=keep), seen[keep], []
    x = Axis("tokens seen", log=True, tokens=True, limits=(float(seen[0]) * 0.9, float(seen[-1]) * 1.15))
    titles = _titles(dataset, loss.mean("seed", skipna=False).values)
    colours = {i: style.layer_colour(i, use.sizes["layer"]) for i in layers(use)}
    for k, title in enumerate(titles):
        panel = Panel(title, x, Axis(limits=(0, 104)), row=k // 2, col=k % 2)
        for i, colour in colours.items():
            mean = 100 * use.isel(recipe=k).sel(layer=i).values.mean(axis=0)
            group, hover = f"layer {i}", f"layer {i}: {{y}} %"
            panel.marks.append(Mark("line", seen, mean, colour, str(i) if k == 0 else "", group, hover))
        if seeds > 1:
            ends = 100 * use.isel(recipe=k, step=-1).transpose("layer", "seed").values
            each = [colour for colour in colours.values() for _ in range(seeds)]
            panel.marks.append(Mark("points", np.full(ends.size, seen[-1]), ends.ravel(), each, size=4))
        panels.append(panel)
    caption = (
        "One panel per recipe. Lines: batch use, % of a layer's units "
        f"that fire in {batch_window(dataset)} held-out tokens, from {style.si(seen[0])} tokens on (log axis)"
        + (f", mean of {how_many(seeds, 'seed')}; points: seeds at the end" if seeds > 1 else ", one seed")
        + ". Loss: nats per token of held-out text, at the end. "
        + ("emb: scale of the initial embeddings; wd: weight decay. " if "embedding_std" in dataset.coords else "")
        + f"{len(keep)} of {dataset.sizes['step']} measured steps are drawn."
    )
    # one column per layer: the names of recipes are long
    columns = {f"batch_use_layer_{i}": use.sel(layer=i, drop=True) for i in layers(use)}
    hint = f"By lowest layer, recipes that keep every layer above {100 * FULL:g} % come last."
    control = Control("choice", "Sort by", _orders(panels, final, loss), 0, hint)
    chart = Chart(panels, [125] * ((n + 1) // 2), 2, control, share_y=True)
    drawn = [("", xr.Dataset(columns | {"final_loss": loss}))]
    return figure(f"{__name__}.recipes", chart, caption, drawn, _finding(final), dataset, name=name)


def _finding(final: xr.DataArray) -> str:
    """Which layer is the lowest, in how many recipes: (recipe, seed, layer) → a sentence."""
    mean = final.mean("seed", skipna=False).dropna("recipe", how="all")
    empties = mean.where(mean.min("layer") < FULL, drop=True)
    at, count = np.unique(empties.idxmin("layer").values, return_counts=True)
    order = sorted(zip(count.tolist(), at.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    of = how_many(mean.sizes["recipe"], "recipe")
    found = [f"layer {int(layer)} ends the lowest in {n}" for n, layer in order[:1]]
    found += [f"layer {int(layer)} in {n}" for n, layer in order[1:]]
    full = mean.sizes["recipe"] - empties.sizes["recipe"]
    found += [f"none empties in {full}"] if full else []
    return (
        f"Of {of}: {', '.join(found)}"
        if mean.sizes["recipe"] > 1
        else f"In this recipe {found[0].removesuffix(' in 1')}"
    )


def _spread(seen: np.ndarray, most: int) -> np.ndarray:
    """At most `most` steps from 1 % of the tokens on, spread as evenly over a log axis as they were measured."""
    wanted = np.geomspace(seen[-1] / 100, seen[-1], most)
    later = np.flatnonzero(seen > 0)
    return np.unique(later[np.abs(np.log(seen[later]) - np.log(wanted[:, None])).argmin(axis=1)])


def _titles(dataset: xr.Dataset, loss: np.ndarray) -> list[str]:
    """One title per recipe, all with the same number of lines, so that panels can change places."""
    others = [name for name, c in dataset.coords.items() if c.dims == ("recipe",) and name != "recipe"]
    rows = []
    for k, final in enumerate(loss):
        cost = f"loss\u00a0{final:.2f}" if np.isfinite(final) else "diverged"
        here = dataset.isel(recipe=k)
        if "changed" in others:
            rows.append([*wrap(f"{here['recipe'].item()}, {cost}", 24), *wrap(str(here["changed"].item()), 24)])
        elif others:
            said = [_said(str(name), str(here[name].item())) for name in others]
            rows.append([", ".join(said[:3]), ", ".join([*said[3:], cost])])
        else:
            rows.append([*wrap(str(here["recipe"].item()), 24), cost])
    most = max(map(len, rows))
    return ["\n".join([""] * (most - len(row)) + row) for row in rows]


def _said(factor: str, level: str) -> str:
    """A factor's level in a word or two."""
    if level in ("True", "False"):
        return factor if level == "True" else f"un{factor}" if factor == "tied" else f"not {factor}"
    try:
        value = float(level)
    except ValueError:
        return SHORT.get(factor, f"{factor} ") + level
    short = f"{value:g}" if value >= 0.01 or value == 0 else f"{value:.0e}".replace("e-0", "e-")
    return SHORT.get(factor, f"{factor} ") + short


def _orders(panels: list[Panel], final: xr.DataArray, loss: xr.DataArray) -> list[State]:
    """One state per button: the place of each panel. Missing numbers come last."""
    mean = final.transpose("recipe", "seed", "layer").mean("seed").values
    least, index = mean.min(axis=1), final.fillna(np.inf).argmin("layer").mean("seed").values
    index = np.where(least < FULL, index, np.inf)
    design = np.arange(len(panels))
    keys = {
        "design": (design,),
        "lowest layer": (least, index),
        "loss": (loss.mean("seed").values,),
        "layer 0": (mean[:, 0],),
    }
    places = {words: np.lexsort((design, *key)).tolist() for words, key in keys.items()}
    return [
        State(words, {}, places={panels[k]: divmod(at, 2) for at, k in enumerate(order)})
        for words, order in places.items()
    ]


def effects(dataset: xr.Dataset) -> Figure:
    """Main effects and pairs of a factorial with their intervals, one panel per endpoint.

    Parameters
    ----------
    dataset : Dataset
        `effect`, `low`, `high` (its 95 % interval) and `p_holm` (endpoint, term), the coordinates `endpoint`, `term`
        (names) and `unit` (endpoint). Of terms chosen among more, the attribute `corrected_over` says how many.
    """
    read = {
        name: variable(dataset, "effects", name, "endpoint", "term") for name in ("effect", "low", "high", "p_holm")
    }
    unit = variable(dataset, "effects", "unit", "endpoint")
    names = [str(term) for term in dataset["term"].values]
    y, panels = np.arange(len(names), dtype=float), list[Panel]()
    for row, endpoint in enumerate(dataset["endpoint"].values):
        effect, low, high, p = (array.sel(endpoint=endpoint).values for array in read.values())
        spare = 0.05 * float(high.max() - low.min())
        panel = Panel(
            str(endpoint),
            Axis(
                f"high minus low level, {unit.sel(endpoint=endpoint).item()}",
                limits=(min(0.0, float(low.min())) - spare, max(0.0, float(high.max())) + spare),
            ),
            Axis(limits=(len(names) - 0.4, -0.6), ticks=(y.tolist(), names), names=True),
            cursor=0.0,
            row=row,
        )
        for stands, colour, symbol, size in ((True, style.ACCENT, "circle", 10), (False, style.INK, "open", 8)):
            here = (p < 0.05) == stands
            if not here.any():
                continue
            gap = np.full(here.sum(), np.nan)
            ends = np.stack([low[here], high[here], gap], axis=1).ravel()
            panel.marks.append(Mark("line", ends, np.repeat(y[here], 3), colour, width=3 if stands else 1.2))
            told = [[names[k], f"{low[k]:.2f}", f"{high[k]:.2f}", _p(p[k])] for k in np.flatnonzero(here)]
            panel.marks.append(
                Mark("points", effect[here], y[here], colour, symbol=symbol, size=size, width=1.5, extra=told)  # type: ignore[arg-type]
            )
            panel.marks[-1].hover = "{0}: {x}\n95 %: {1} to {2}\np (Holm) {3}"
            panel.marks[-1].legend = LEGEND[stands] if not _said_before(panels, LEGEND[stands]) else ""
        panels.append(panel)
    over, pairs = dataset.attrs.get("corrected_over", len(names)), any(" × " in name for name in names)
    caption = (
        f"Effect of each ingredient (its high level minus its low one){' and of each pair' if pairs else ''}, with "
        f"95 % "
        f"intervals. Filled points on thick lines: p < 0.05 after Holm's correction over the {over} effects on one "
        "endpoint; open points on thin lines: not told from zero."
    )
    chart = Chart(panels, [22 * len(names)] * len(panels), legend="")
    each = (_strongest(xr.Dataset(read).sel(endpoint=endpoint)) for endpoint in dataset["endpoint"].values)
    finding = f"The {'; the '.join(each)}"
    return figure(f"{__name__}.effects", chart, caption, [("", xr.Dataset(read))], finding, dataset)


def _strongest(read: xr.Dataset) -> str:
    stands = read.where(read["p_holm"] < 0.05, drop=True)
    if not stands.sizes["term"]:
        return f"{read['endpoint'].item()} moves with nothing"
    strongest = stands["term"].values[int(np.abs(stands["effect"].values).argmax())]
    return f"{read['endpoint'].item()} moves most with {strongest}"


LEGEND = {True: "p < 0.05 (Holm)", False: "not told from zero"}


def _said_before(panels: list[Panel], words: str) -> bool:
    return any(mark.legend == words for panel in panels for mark in panel.marks)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.2g}"
