"""Sentences of chapter 07 whose words the recorded data choose, so that they stay true when runs are added.

Those on treated layers are in `treatments`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ...claims.short import Said, listed
from ...claims.table import number
from ...experiments import arms, embedding_scale, recipe_effects
from ...plots.recipes import FULL
from ...store import results
from . import trajectories

COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def counted(cells: xr.Dataset) -> Said:
    """How the size of the largest effects on layer 0 hangs on what is counted."""
    table = recipe_effects.coarser_logit(cells)
    one, every = (
        abs(table.loc[["embedding", "lr"], f"effect, {which} set{'s' * (which == 'all')}"]) for which in ("one", "all")
    )
    return Said(
        "**Signs** of the effects told from zero stand whatever is counted, sizes do not: counted over one held-out "
        "batch in place of all, the "
        f"embeddings' effect on layer 0 is {one['embedding']:.1f} logits, not {every['embedding']:.1f}, and the "
        f"rate's {one['lr']:.1f}, not {every['lr']:.1f}."
    )


def lowest(cells: xr.Dataset) -> Counter[Any]:
    """(tied, std of the embeddings, layer) → number of recipes that end with this layer the lowest, None: with none."""
    use = cells["final_batch_use"].astype(float).mean(("seed", "set")).transpose("recipe", "layer").values
    layers = [int(row.argmin()) if row.min() < FULL else None for row in use]
    factors = zip(cells["tied"].values.tolist(), cells["embedding_std"].values.tolist(), layers, strict=True)
    return Counter((tied == "True", float(std), layer) for tied, std, layer in factors)


def agreed(cells: xr.Dataset) -> tuple[int, int]:
    """Of the recipes that empty some layer, in how many all seeds name the same emptiest; and how many there are."""
    use = cells["final_batch_use"].astype(float).mean("set").transpose("recipe", "seed", "layer").values
    which = use[recipe_effects.emptied(cells)].argmin(2)
    return int((which == which[:, :1]).all(1).sum()), len(which)


def recipes(cells: xr.Dataset) -> Said:
    """Where recipes empty, by the scale of the embeddings and whether they are tied."""
    counts = lowest(cells)
    said = []
    for std in (0.02, 1.0):
        parts = []
        for tied in (False, True):
            own = {layer: n for (t, s, layer), n in counts.items() if (t, s) == (tied, std)}
            named = [f"layer {layer} in {own[layer]}" for layer in sorted(x for x in own if x is not None)]
            named += [f"none empties in {own[None]}"] if None in own else []
            parts.append(f"{', '.join(named)} ({'tied' if tied else 'untied'})")
        said.append(f"At {std:g}: {'; '.join(parts)}.")
    use = 100 * cells["final_batch_use"].astype(float).mean("set").isel(layer=0)
    emptied, rate = recipe_effects.emptied(cells), cells["lr"].values.astype(float)
    fast = rate == rate.max()
    same, of = agreed(cells)
    return Said(
        f"Which layer is the emptiest, by the standard deviation of the embeddings? {' '.join(said)} At the higher "
        f"learning rate {emptied[fast].sum()} of {fast.sum()} recipes empty, at the lower {emptied[~fast].sum()}. The "
        f"two seeds name the same layer in {same} of the {of} recipes that empty. No run takes layer 0 under "
        f"{number(float(use.min()))} %."
    )


def named(found: xr.Dataset) -> Said:
    """What γ names, and when: of `trajectories.named`."""
    runs, always = found.attrs["runs"], found.attrs["always"]
    at = {name: _first(found, name, always) for name in ("largest", "so_far")}
    two, end = int(found["two"].sel(step=_near(found, at["so_far"]))), int(found["largest"].isel(step=-1))
    best = found.isel(step=int(found["largest"].argmax("step")))
    return Said(
        f"**From {millions(at['largest'])} million tokens on, the layer of the largest γ is the one that ends "
        f"emptiest in more runs than any single guess could get right ({always} of {runs}).** Batch use itself gets "
        f"there at {millions(at['so_far'])} million. By then the layer that will end emptiest has one of the two "
        f"largest γ in {two} of {runs} runs. The largest γ is right most often at "
        f"{millions(float(best['tokens']))} million, in {int(best['largest'])} runs, and at the end in {end}; from "
        f"{millions(_overtaken(found))} million on batch use is right at least as often. So γ is the better guide "
        "early, and early only."
    )


def _overtaken(found: xr.Dataset) -> float:
    """The tokens of the first step from which batch use names at least as many as the largest γ, and stays so."""
    better = np.flatnonzero(found["largest"].values > found["so_far"].values)
    return float(found["tokens"].values[better[-1] + 1])


def _first(found: xr.Dataset, name: str, always: int) -> float:
    """The tokens of the first step from which something is right more often than one guess, and stays so."""
    worse = np.flatnonzero(found[name].values <= always)
    return float(found["tokens"].values[worse[-1] + 1])


def _near(found: xr.Dataset, tokens: float) -> Any:
    return found["step"].values[int(np.abs(found["tokens"].values - tokens).argmin())]


def millions(tokens: float) -> str:
    return number(tokens / 1e6)


def rounded(some: Sequence[float]) -> str:
    """'37 and 10': whole, and tenths below ten."""
    return listed([number(round(value, 0 if value >= 10 else 1)) for value in some])


def seeds(count: int) -> str:
    """Such as 'two seeds'."""
    return f"{COUNTED[count]} seed{'s' if count != 1 else ''}"


def scale(dataset: xr.Dataset) -> Said:
    """What moved γ_0 most, and how many of the written contrasts held."""
    table = embedding_scale.contrasts(dataset)
    failed, known = int((table["holds"] == False).sum()), int(table["holds"].notna().sum())  # noqa: E712, None is neither
    means = {
        factor: float(np.nanmean([float(pair["γ_0"]) for pair in pairs]))
        for factor, pairs in embedding_scale.moves(dataset).items()
    }
    called = {"std": "the standard deviation", "speed": "the speed", "positions": "the positions' scale"}
    first, *rest = sorted(means, key=lambda factor: -abs(means[factor]))
    levels = {"std": embedding_scale.STDS, "speed": embedding_scale.SPEEDS, "positions": embedding_scale.SCALES}[first]
    rises = (means[first] > 0) == (levels[0] > levels[1])  # a move is that from the second level to the first
    way = f"a larger one makes it {'larger' if rises else 'smaller'}"
    others = " and ".join(f"{called[factor]} by {abs(means[factor]):.2f}" for factor in rest)
    return Said(
        f"**{COUNTED[failed].capitalize()} of the {COUNTED[known]} contrasts written before the runs "
        f"{'fails' if failed == 1 else 'fail'}.** {called[first].capitalize()} moves γ of layer 0 most, by "
        f"{abs(means[first]):.2f} ({way}); {others}, means over pairs of arms. {_at_one_speed(dataset)}"
    )


def _at_one_speed(dataset: xr.Dataset) -> str:
    """Which layers end emptiest at either standard deviation, where the embeddings are trained at the larger speed."""
    speed, ends = max(embedding_scale.SPEEDS), arms.ends(dataset)
    which = {}
    for std in sorted(embedding_scale.STDS):
        own = [
            ends.loc[[embedding_scale.named(std, speed, positions)], "lowest"] for positions in embedding_scale.SCALES
        ]
        which[std] = " or ".join(f"{layer:.0f}" for layer in sorted({v for each in own for v in each.dropna()}))
    said = " and ".join(f"layer {layers} at standard deviation {std:g}" for std, layers in which.items())
    same = len(set(which.values())) == 1
    return f"Where a step moves the embeddings by {100 * speed:g} %, the emptiest is {said}" + (
        f": at one speed, the standard deviation alone does not choose the layer. {_by_positions(ends, speed)}"
        if same
        else "."
    )


def _by_positions(ends: pd.DataFrame, speed: float) -> str:
    """Which layer ends emptiest most often with the smaller and the larger positions, at a speed of the embeddings."""
    said = []
    for positions in sorted(embedding_scale.SCALES):
        named = [embedding_scale.named(std, speed, positions) for std in embedding_scale.STDS]
        layers = Counter(ends.loc[named, "lowest"].dropna().astype(int))
        layer, runs = layers.most_common(1)[0]
        said.append(f"layer {layer} in {runs} of {layers.total()} runs")
    return f"With the smaller positions it is {said[0]}, with the larger {said[1]} (seen after the runs)."


def _order(half: xr.DataArray, recipe: str) -> str:
    first = [int(layer) for layer in half["layer"].values[(half == half.min()).values]]
    one = "layer" if len(first) == 1 else "layers"
    said = f"{one} {' and '.join(map(str, first))} {'empties' if len(first) == 1 else 'empty'} first"
    return f"In Wide by *{recipe}*, {said}, layer {int(half.idxmax('layer'))} last."


def wave(dataset: xr.Dataset) -> Said:
    """The two waves, in one sentence of numbers."""
    half, lost = trajectories.half_lost(dataset), trajectories.lost(dataset)
    train = results.provenance(dataset)["config"]["train"]
    step = int(np.abs(lost["tokens"].values - train["warmup"]).argmin())
    at = lost.isel(step=step)
    last = int(half["layer"][-1])
    gamma = (
        dataset["gamma"]
        .astype(float)
        .mean("seed")
        .isel(step=int(np.abs(dataset["tokens"].values - train["warmup"]).argmin()))
    )
    largest = np.flatnonzero(gamma.round(2) == gamma.max().round(2)).tolist()
    those = f"layer{'s' * (len(largest) > 1)} {listed([str(layer) for layer in largest])}"
    return Said(
        f"**{_order(half, dataset.attrs['recipe'])}** When the learning rate is at its peak, at "
        f"{millions(train['warmup'])} million tokens, layer {last} has lost {number(round(float(at[-1])))} % of "
        f"what it ends without, and layer 0 has lost {number(round(float(at[0])))} %. γ of layer {last} "
        + ("is the largest then." if last in largest else f"is not the largest then, but that of {those}.")
    )
