"""Sentences of chapter 03 whose numbers and words the recorded data choose."""

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from ...claims.short import Said, between, measured, spread
from ...claims.table import number
from ...counting.deaths import DeathTracker
from ...plots.figure import model_of
from ...plots.reading import percent
from . import decay, lives
from .figures.details import BINS_BEFORE, QUANTITIES, aligned
from .foresight import SCORES, at, before

NAMED = ("silent on both (%)", "beyond chance (%)")
"""What row 9 of the ledger reads."""

SURE = 3
"""Standard errors from chance, of the farthest of some two dozen areas, from which on we say that a score tells."""

FAR = 30
"""Standard deviations below zero from which on we say that hardly any text could make a unit fire."""


def name(dataset: xr.Dataset) -> str:
    """Model and recipe: 'Wide, nearest'."""
    return ", ".join(model_of(dataset, "chapter 3").split(", ")[:2])


def row_9(dataset: xr.Dataset) -> dict[str, list[float]]:
    """What the ledger's row 9 reads of a dataset, percent: label → a value per seed."""
    found = measured({("neuron_death", dataset.attrs["scale"]): dataset})
    return {label: found["9", label] for label in NAMED}


def lines_that_matter() -> Said:
    """The library's own lines that tell which units are dead and which revive, as they are."""
    source = inspect.cleandoc("\n" + inspect.getsource(DeathTracker.update))
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.FunctionDef)
    lines = source.splitlines()[body.body[1].lineno - 1 : body.body[-3].end_lineno]
    return Said("```python\n" + inspect.cleandoc("\n" + "\n".join(lines)) + "\n```")


def two(value: object) -> str:
    """A number with two digits that count, as a sentence has it: '0.074', '6.1', '46', '149'."""
    of = float(value)  # type: ignore[arg-type]
    return (f"{of:.0f}" if abs(of) >= 10 else f"{of:.2g}").replace("-", "−")


def shape(dataset: xr.Dataset) -> str:
    """'Wide'."""
    return name(dataset).partition(",")[0]


def stock(dataset: xr.Dataset) -> Said:
    """How the dead units of each layer become more."""
    half = (lives.half_dead(dataset) / 1e6).dropna("layer")
    order = half.sortby(half)["layer"].values.tolist()
    every = len(order) == dataset.sizes["layer"]
    return Said(
        f"**Units die in {'every layer' if every else f'{len(order)} layers'}, and each layer has its time.** Layer "
        f"{order[0]} has half of its final dead after {two(half.min())} million tokens, layer {order[-1]} after "
        f"{two(half.max())} million."
    )


def came_back(dataset: xr.Dataset) -> xr.Dataset:
    """Percent by layer, all seeds together: units that `died` and `back`, came back, at least once; `of_dead`, the
    latter of the former."""
    died, back = (100 * (dataset[n] > 0).mean(["seed", "unit"]).astype(float) for n in ("death_count", "revival_count"))
    return xr.Dataset({"died": died, "back": back, "of_dead": 100 * back / died.where(died > 0)})


def per_100_deaths(dataset: xr.Dataset) -> np.ndarray:
    """Revivals per 100 deaths in all of training: (seed)."""
    deaths, revivals = (dataset[n].sum(["step", "layer"]).astype(float) for n in ("deaths", "revivals"))
    return np.asarray(100 * revivals / deaths)


def coming_back(dataset: xr.Dataset) -> Said:
    """That a death is no end."""
    found = came_back(dataset)
    first = found.isel(layer=0)
    which = "most" if float(found["of_dead"].min()) > 50 else "many"
    return Said(
        f"**Death(n) is a state and no end: {which} units that die come back.** In layer {int(first['layer'])} "
        f"{number(float(first['back']))} % of all units came back at least once, {number(float(first['of_dead']))} % "
        f"of those that ever died. A run counts {between(per_100_deaths(dataset))} revivals per 100 deaths."
    )


def stock_stays(dataset: xr.Dataset) -> Said:
    """Why the stock stays although units come back."""
    late = lives.last_part(dataset)
    ratio = 100 * late["revivals"].sum() / late["deaths"].sum()
    deaths, back = 100 * late["deaths"].sum() / dataset["deaths"].sum(), 100 * late["revivals"] / late["dead_before"]
    less = float(ratio) < float(per_100_deaths(dataset).mean())
    return Said(
        f"**What stays is the stock of dead units.** Revivals per 100 deaths {'fall' if less else 'even rise'}, to "
        f"{float(ratio):.0f} in the last tenth of training. But both become rare: that tenth has "
        f"{percent(float(deaths))} of all deaths, and at most {percent(float(back.max()))} of any layer's dead come "
        "back in it."
    )


def turns_over(dataset: xr.Dataset) -> Said:
    """How fast the stock's members change where that is fastest."""
    late = lives.last_part(dataset)
    back = 100 * late["revivals"] / late["dead_before"]
    (a, x), (b, y) = sorted((int(layer), float(back.sel(layer=layer))) for layer in back.sortby(back)["layer"][-2:])
    return Said(
        f"In {shape(dataset)} the same holds, but more slowly: its last tenth still has {two(x)} and {two(y)} "
        f"revivals per 100 dead units in layers {a} and {b}. There the stock hardly changes, but its members do."
    )


def rates(dataset: xr.Dataset) -> Said:
    """What a unit's early firing rate says of its death."""
    share = 100 * dataset["death_share_by_rate"].mean("seed").astype(float)
    apart = share.max("rate_quarter") - share.min("rate_quarter")
    before, after = (apart.sel(measured_at=at) for at in ("before training", "after the warm-up"))
    layer = int(after["layer"][int(after.argmax("layer"))])
    quarter = share.sel(measured_at="after the warm-up", layer=layer)
    which = {1: "rarest", 4: "busiest"}.get(int(quarter.idxmax("rate_quarter")), "middle")
    others = quarter.where(quarter < quarter.max(), drop=True).values
    return Said(
        "**How often a unit fires before training says little about its death.** We follow "
        f"{dataset.sizes['history_unit']} units per layer one by one. Between quarters of them, by that rate, the "
        f"share that dies differs by at most {two(before.max())} points. After the warm-up the rate says more, in "
        f"some layers: of layer {layer}'s {which} quarter {two(quarter.max())} % die later, of its others "
        f"{between(np.round(others))} %."
    )


def foresight(found: xr.Dataset, *others: xr.Dataset, share: float = 0.04, later: float = 0.25) -> Said:
    """How well what marks a unit sorts those that will be dead, before training and at two shares of it.

    Parameters
    ----------
    found
        `foresight.areas` of the model that is told of.
    others
        The same of models whose numbers before training stand beside.
    """
    first, second = (at(found, when) for when in (share, later))
    (low, high, off), beside = before(found), [(name(each), *before(each)) for each in others]
    tells = "none of {n} scores tells" if off < SURE else "some of {n} scores tell"
    best = second["area"].mean("seed").mean("layer").idxmax("score").item()
    of_best = second["area"].sel(score=best).mean("seed").dropna("layer")
    spans = [
        f"{100 * float(each.min()):.0f} to {100 * float(each.max()):.0f} %"
        for each in (first["area"].mean("seed"), of_best)
    ]
    passed = [100 * float(each["history_tokens"]) / float(found["history_tokens"][-1]) for each in (first, second)]
    kept = second["left"].mean("seed").sel(layer=of_best["layer"])
    few = "; the others have too few of one fate"
    elsewhere = "; ".join(f"in {model}, {one:.0f} to {two:.0f} % ({far:.1f})" for model, one, two, far in beside)
    return Said(
        f"**Before training, {tells.format(n=len(SCORES))} which units of {name(found)}, will die.** Take two of the "
        f"{int(found['left'].max())} units that we follow in a layer, one dead at the end and one not: by chance a "
        f"score is higher for the first in 50 % of such pairs. Before training it is so in {low:.0f} to {high:.0f} % "
        f"(all layers and scores; at most {off:.1f} standard errors off)"
        f"{f'; {elsewhere}' * bool(elsewhere)}. After {passed[0]:.0f} % of the tokens it is {spans[0]}, and after "
        f"{passed[1]:.0f} % *{best}* tell best: {spans[1]}, in {of_best.sizes['layer']} of {found.sizes['layer']} "
        f"layers, in which {float(kept.min()):.0f} to {float(kept.max()):.0f} units have not begun their silence"
        f"{few * (of_best.sizes['layer'] < found.sizes['layer'])}. We chose the scores after the runs, so this "
        "explores and tests nothing."
    )


def before_death(dataset: xr.Dataset) -> Said:
    """Where the pre-activations of dying units lie just before their last firing."""
    last = {of: aligned(dataset, of)[0][:, :, BINS_BEFORE - 1] for of in QUANTITIES}
    known = np.isfinite(last["preactivation_mean"]).all(axis=0)
    lower, narrower = (
        int((last[of][0] < last[of][1])[known].sum()) for of in ("preactivation_mean", "preactivation_std")
    )
    below = int((last["preactivation_p99"][0] < 0)[known].sum())
    return Said(
        "**Before its last firing a unit's pre-activation sinks and narrows.** Its mean sinks in units that die and in "
        f"units that live, but further in the dying in {lower} of {known.sum()} layers. Its spread is narrower in the "
        f"dying in {narrower}, and in {below} their 99th percentile is already below zero."
    )


def silence(dataset: xr.Dataset) -> Said:
    """How many silent units stay silent, and how many were rare."""
    found, rare = row_9(dataset), lives.woken(dataset).mean("seed")
    small, large = (f"{dataset.attrs[f'{size}_sample_tokens']:,}" for size in ("small", "large"))
    return Said(
        f"**In {shape(dataset)} most silent units stay silent on a hundred times as much text.** Of the units that "
        f"fire at none of {small} held-out tokens, {spread(found[NAMED[0]], ' %')} fire at none of {large} others. "
        f"The rest were rare. Layer {int(rare.idxmax('layer'))} has the largest share of them: {two(rare.max())} % of "
        "its silent units fire."
    )


def two_words(dataset: xr.Dataset) -> Said:
    """How nearly silent and dead are the same units."""
    both, dead = (dataset[n].sum("layer").astype(float) for n in ("silent_both", "dead_and_silent_count"))
    return Said(
        f"Are they dead? Of {shape(dataset)}'s units silent on both samples, {between(100 * (dead / both).values)} % "
        f"were dead({dataset.attrs['dead_after']:,}) when training ended. The two words name nearly the same units "
        "here, and still say different things of them."
    )


def beyond_chance(dataset: xr.Dataset) -> Said:
    """What is left of row 9's share once chance has its due."""
    return Said(
        f"For {shape(dataset)} this is {spread(row_9(dataset)[NAMED[1]], ' %')}; row 9 of the ledger asks for 80."
    )


def arithmetic(dataset: xr.Dataset) -> Said:
    """Whether the dead of a model could still fire in more text."""
    of, train = lives.remains(dataset), decay.train_config(dataset)
    if of["below"] > FAR:
        return Said(
            f"**In {shape(dataset)} the test could hardly fail.** By *{dataset.attrs['recipe']}*, with λ = "
            f"{train.weight_decay:g}, the dead end with {two(of['weights'])} % of the living's weights. What is left "
            f"of z is the bias, and its mean lies {two(of['below'])} standard deviations below zero. Hardly any text "
            "could move it back. A million tokens, C4 or another domain ask the same question again, and the answer "
            "is arithmetic."
        )
    return Said(
        f"**In {shape(dataset)} the test could have failed.** The dead keep {two(of['weights'])} % of the living's "
        f"weights, and the mean of z lies {two(of['below'])} standard deviations below zero, the living's "
        f"{two(of['living'])}. Some of them might have fired in more text."
    )


def shrinks(datasets: Sequence[xr.Dataset]) -> Said:
    """How exactly decay alone explains what becomes of a dead unit's weights."""
    off = np.concatenate([of.recorded / of.alone for of in map(decay.shrunk, datasets)])
    low, high = np.quantile(off, [0.01, 0.99])
    return Said(
        f"Of {len(off):,} followed units of {' and '.join(map(shape, datasets))} that died once and never came back, "
        f"98 in 100 end with the norm that this product gives, within {two(100 * max(high - 1, 1 - low))} %."
    )


def domains(dataset: xr.Dataset) -> Said:
    """Whether units silent on one kind of text fire on another, beyond what a second sample of the same kind wakes."""
    units = dataset["domain_silent_units"].sum("layer").mean("seed").astype(float).values
    own, other = np.diag(units), units[~np.eye(len(units), dtype=bool)]
    most = 100 * float(other.max()) / float(dataset["silent_both"].sum("layer").mean("seed"))
    sample = dataset["domain_silent_units"].attrs["sample_tokens"]
    return Said(
        f"**{shape(dataset)}'s silent units do not wait for their kind of text.** Of the units silent on {sample:,} "
        f"tokens of one kind, {between(np.round(other))} fire on as much of another, at most {two(most)} % of them. A "
        f"second sample of the same kind wakes {between(np.round(own))}."
    )


def laptop(dataset: xr.Dataset) -> Said:
    """What Laptop shows otherwise."""
    rare = [100 - value for value in row_9(dataset)[NAMED[0]]]
    late = lives.last_part(dataset)
    ratio = 100 * float(late["revivals"].sum() / late["deaths"].sum())
    return Said(
        f"**In Laptop many silent units are only rare.** {spread(rare, ' %')} of them fire in the larger sample. Its "
        f"run ends while units still die: its learning rate never falls, and its last tenth has {two(ratio)} revivals "
        "per 100 deaths."
    )


def kept(dataset: xr.Dataset, times: float = 1.0) -> float:
    """The share of its weights (percent) that a unit keeps which dies as the warm-up ends, at some times the decay."""
    train = decay.train_config(dataset)
    train = replace(train, weight_decay=times * train.weight_decay)
    return 100 * float(decay.decay_alone(train, np.array([train.warmup]))[0])


def missed(once_in: float, tokens: int) -> float:
    """The chance (percent) that a unit which fires at one token in `once_in`, at random, fires at none of `tokens`."""
    return 100 * (1 - 1 / once_in) ** tokens


def exercises(dataset: xr.Dataset, rare: float = 2e6) -> Mapping[str, str]:
    """Numbers of the answers: of the shape's recipe, and of a unit that fires at one token in `rare`."""
    return {
        "kept": two(kept(dataset)),
        "kept at twice the decay": two(kept(dataset, 2)),
        "missed": two(missed(rare, dataset.attrs["dead_after"])),
    }
