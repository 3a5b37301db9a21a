"""Sentences of chapter 07 whose words the recorded data choose, so that they stay true when runs are added."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import xarray as xr

from ...claims.reading import Reading
from ...claims.short import between
from ...claims.table import number
from ...experiments import arms, dissociation, embedding_scale, recipe_effects
from ...plots.recipes import FULL
from ...store import results
from . import trajectories

COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Said:
    """A paragraph, as Markdown."""

    text: str

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def lowest(cells: xr.Dataset) -> Counter[Any]:
    """(tied, std of the embeddings, layer) → number of recipes that end with this layer the lowest, None: with none."""
    use = cells["final_batch_use"].astype(float).mean(("seed", "set")).transpose("recipe", "layer").values
    layers = [int(row.argmin()) if row.min() < FULL else None for row in use]
    factors = zip(cells["tied"].values.tolist(), cells["embedding_std"].values.tolist(), layers, strict=True)
    return Counter((tied == "True", float(std), layer) for tied, std, layer in factors)


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
    return Said(
        f"Which layer is the emptiest, by the standard deviation of the embeddings? {' '.join(said)} At the higher "
        f"learning rate {emptied[fast].sum()} of {fast.sum()} recipes empty, at the lower {emptied[~fast].sum()}. No "
        f"run takes layer 0 under {number(float(use.min()))} %."
    )


def named(found: xr.Dataset) -> Said:
    """What γ names, and when: of `trajectories.named`."""
    runs, always = found.attrs["runs"], found.attrs["always"]
    at = {name: _first(found, name, always) for name in ("largest", "so_far")}
    two, end = int(found["two"].sel(step=_near(found, at["so_far"]))), int(found["largest"].isel(step=-1))
    best = found.isel(step=int(found["largest"].argmax("step")))
    return Said(
        f"**From {_millions(at['largest'])} million tokens on, the layer of the largest γ is the one that ends "
        f"emptiest in more runs than any single guess could get right ({always} of {runs}).** Batch use itself gets "
        f"there at {_millions(at['so_far'])} million. By then the layer that will end emptiest has one of the two "
        f"largest γ in {two} of {runs} runs. The largest γ is right most often at "
        f"{_millions(float(best['tokens']))} million, in {int(best['largest'])} runs, and at the end in {end}; from "
        f"{_millions(_overtaken(found))} million on batch use is right at least as often. So γ is the better guide "
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


def _millions(tokens: float) -> str:
    return number(tokens / 1e6)


def read(dataset: xr.Dataset) -> list[Reading]:
    """Row 15's readings of the seeds that have run."""
    return [reading for reading in dissociation.judge(dataset).readings if reading.holds is not None]


def values(readings: Sequence[Reading], label: str) -> list[float]:
    """One value of row 15's readings, seed by seed."""
    return [float(reading.values[label]) for reading in readings]


def moved(readings: Sequence[Reading], layer: int) -> list[float]:
    """By what share (percent) of its treatment's move the placebo moves a layer, seed by seed."""
    twin, treated, placebo = (values(readings, f"U_{layer}, {arm} (%)") for arm in ("twin", "treated", "placebo"))
    return [100 * abs(p - a) / abs(b - a) for a, b, p in zip(twin, treated, placebo, strict=True)]


def listed(some: Sequence[float]) -> str:
    """'37 and 10'."""
    *others, last = [number(round(value, 0 if value >= 10 else 1)) for value in some]
    return f"{', '.join(others)} and {last}" if others else last


def dissociated(dataset: xr.Dataset) -> Said:
    """What happened to the two layers that row 15 reads."""
    some = read(dataset)
    of = {
        (layer, arm): listed(values(some, f"U_{layer}, {arm} (%)"))
        for layer in (1, 5)
        for arm in ("twin", "treated", "placebo")
    }
    return Said(
        "**Each treatment moves its layer far.** Layer 1 ends with "
        f"{of[1, 'twin']} % of its units in use untreated, with {of[1, 'treated']} % centred; layer 5 with "
        f"{of[5, 'twin']} % untreated, with {of[5, 'treated']} % with the vector ({seeds(len(some))})."
    )


def seeds(count: int) -> str:
    """Such as 'two seeds'."""
    return f"{COUNTED[count]} seed{'s' if count != 1 else ''}"


def placebos(dataset: xr.Dataset) -> Said:
    """What the placebos did, and what row 15 says so far."""
    some = read(dataset)
    shares = {layer: moved(some, layer) for layer in (1, 5)}
    both = [*shares[1], *shares[5]]
    small = sum(share < 25 for share in both)
    word = "**But the placebos move too.** " if small < len(both) else "**The placebos hardly move.** "
    how = (
        "every one of them by more than the quarter that the rule allows"
        if not small
        else "every one of them by less than the quarter that the rule allows"
        if small == len(both)
        else f"{small} of {len(both)} by less than the quarter that the rule allows"
    )
    return Said(
        f"{word}They end layer 1 at {listed(values(some, 'U_1, placebo (%)'))} % and layer 5 at "
        f"{listed(values(some, 'U_5, placebo (%)'))} %: "
        f"{between(np.round(shares[1]))} % and {between(np.round(shares[5]))} % of what the "
        f"treatments do, {how}. {verdict(dataset)}"
    )


def verdict(dataset: xr.Dataset) -> str:
    """What the ledger's row 15 says of the seeds that have run, in a sentence."""
    finding, some = dissociation.judge(dataset), read(dataset)
    held = sum(bool(reading.holds) for reading in some)
    word = dissociation.verdict(finding)
    if word != "not yet tested":
        return f"Row 15 is {word}: it holds in {held} of {len(some)} seeds."
    each = "fails in " + ("both" if len(some) == 2 else seeds(len(some))) if not held else f"holds in {seeds(held)}"
    short = [number(value) for value in values(some, "U_1, treated (%)") if value < 90]
    low = f" In {seeds(len(short))} of these the centred layer 1, too, ends under the 90 % asked for." if short else ""
    return f"Row 15 {each} of the seeds run so far; its verdict waits for three.{low}"


def paired(dataset: xr.Dataset, layer: int, *treatments: str) -> tuple[list[float], int]:
    """A layer's use (percent) at the end, untreated and by treatments of it: means over the seeds in which all ran."""
    use = 100 * dataset["final_batch_use"].astype(float).mean("set").sel(layer=layer)
    arms = [dissociation.TWIN, *(f"{treatment}, layer {layer}" for treatment in treatments)]
    all_ran = use.sel(recipe=arms).dropna("seed")
    return all_ran.mean("seed").values.tolist(), all_ran.sizes["seed"]


def whole(dataset: xr.Dataset) -> Said:
    """Where a placebo does as much as its treatment, and what follows by the test that the chapter sets at its top."""
    alike = []
    for treatment, word in (("centre", "centring"), ("add 2", "the vector")):
        for layer in dissociation.LAYERS:
            (twin, treated, placebo), count = paired(dataset, layer, treatment, f"{treatment}, placebo")
            if abs(treated - twin) >= 10 and abs(placebo - twin) >= 0.9 * abs(treated - twin):
                ends = [number(round(value, 1)) for value in (placebo, treated, twin)]
                of = f"{word} itself: {ends[1]} %; untreated: {ends[2]} %; {seeds(count)}"
                alike.append(f"layer {layer} at {ends[0]} % ({of})")
    if not alike:
        return Said("In no layer does a placebo do as much as its treatment.")
    return Said(
        f"Elsewhere a placebo does as much as its treatment, or nearly: it ends {', '.join(alike)}. **By the test set "
        "at the top, then, a common direction is not shown to be the cause.**"
    )


def others(dataset: xr.Dataset) -> Said:
    """What the arms do that row 15 does not read."""
    use = 100 * dataset["final_batch_use"].astype(float).mean("set")
    end = use.mean("seed")

    def of(treatment: str, layer: int) -> float:
        return float(end.sel(recipe=f"{treatment}, layer {layer}", layer=layer))

    apart = max(abs(of("add 2 along", layer) - of("add 2", layer)) for layer in dissociation.LAYERS)
    weaker = [of(treatment, 5) for treatment in ("add 0.5", "add 1", "add 2")]
    rises = all(a > b for a, b in pairwise(weaker))
    runs = [int(use.sel(recipe=arm).notnull().all("layer").sum()) for arm in dissociation.ARMS if "along" in arm]
    both = {layer: paired(dataset, layer, "add 0.5")[0] for layer in (0, 1)}
    fuller = [str(layer) for layer, (twin, treated) in both.items() if treated > twin]
    but = f"; but the shortest leaves layer {' and '.join(fuller)} fuller than untreated" if fuller else ""
    return Said(
        f"A vector along the mean does what one across it does, within {number(round(apart, 1))} points "
        f"({seeds(min(runs))}). With vectors of a half, one and two standard deviations layer 5 ends at "
        f"{listed(weaker)} %: {'the longer, the emptier' if rises else 'not always the longer, the emptier'}{but}."
    )


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
    others = " and ".join(f"{called[factor]} by {abs(means[factor]):.2f}" for factor in rest)
    ends = arms.ends(dataset).groupby("arm").mean()
    beside = ends["U_1"] - ends["U_2"]
    pairs = [
        [beside[embedding_scale.named(*of, at)] for at in embedding_scale.SCALES]
        for of in product(*embedding_scale.LEVELS[:2])
    ]
    emptier = sum(large < small for large, small in pairs)
    return Said(
        f"**{COUNTED[failed].capitalize()} of the {COUNTED[known]} contrasts written before the runs "
        f"{'fails' if failed == 1 else 'fail'}.** {called[first].capitalize()} moves γ of layer 0 most, by "
        f"{abs(means[first]):.2f}; {others}, means over pairs of arms. In {emptier} of {len(pairs)} pairs larger "
        f"positions leave layer 1 emptier beside layer 2. {_at_one_speed(dataset)}"
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
        ": at one speed, the standard deviation alone does not choose the layer." if same else "."
    )


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
    largest = int(gamma.argmax("layer"))
    return Said(
        f"**{_order(half, dataset.attrs['recipe'])}** When the learning rate is at its peak, at "
        f"{_millions(train['warmup'])} million tokens, layer {last} has lost {number(round(float(at[-1])))} % of "
        f"what it ends without, and layer 0 has lost {number(round(float(at[0])))} %. γ of layer {last} "
        + ("is the largest then." if largest == last else f"is not the largest then, but that of layer {largest}.")
    )
