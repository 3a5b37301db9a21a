"""Sentences of chapter 12 on recorded runs; the dataset chooses the words."""

import numpy as np
import xarray as xr

from ...claims.short import Said
from ...experiments import (
    first_gradient,
    first_gradient_by_layer,
    lazy,
    lazy_pictures,
    preactivation_drift,
    written,
)
from ...plots.reading import how_many
from ...store import results
from . import read

RANDOM_ARMS = list(lazy_pictures.NO_DATA)
LATER = 10
"""The step at which `over_runs` reads again which way the gradient points."""


def of_pictures(dataset: xr.Dataset) -> Said:
    """Where the entries end: over all layers, by layer, and in a set of pictures."""
    if waits := written.waits(dataset, lazy.AS_IS):
        return Said(waits)
    run, table = lazy.models(dataset)[lazy.AS_IS], lazy_pictures.ends(dataset).loc[lazy.AS_IS]
    by_layer = 100 * dataset["final_token_use"].sel(recipe=lazy.AS_IS).astype(float).mean("seed").dropna("layer")
    batch = 100 * dataset["final_batch_use"].sel(recipe=lazy.AS_IS).astype(float).mean(("seed", "set", "layer"))
    return Said(
        f"**Of {how_many(run.model.n_layers, 'layer')} of {run.model.width} units, {table['end'].mean():.0f} % of the "
        f"entries are positive at the end** ({table['end'].min():.1f} to {table['end'].max():.1f} over "
        f"{how_many(len(table), 'seed')}), at {table['accuracy'].mean():.1f} % accuracy. Layer "
        f"{int(by_layer.idxmin())} has {float(by_layer.min()):.0f} %, layer {int(by_layer.idxmax())} "
        f"{float(by_layer.max()):.0f} %. And few units are idle: {float(batch):.1f} % of them fire at least once in a "
        f"set of {run.measure.set_tokens // run.model.seq_len} pictures. A patch uses few units, a set of pictures "
        "nearly all."
    )


def recipe(dataset: xr.Dataset) -> Said:
    """How the model is built and trained, as far as a reader needs it to do the same."""
    run, facts = lazy.models(dataset)[lazy.AS_IS], results.provenance(dataset)
    of, pictures = run.train, run.train.tokens / run.model.seq_len
    passes = pictures / facts["corpus"]["train_pictures"]
    side = run.model.patch_size  # type: ignore[attr-defined]
    return Said(
        f"A stream of {run.model.d_model} with {run.model.n_heads} heads; {run.model.seq_len} patches of {side} × "
        f"{side} pixels; AdamW at a rate of {of.lr:g} (cosine) with a decay of {of.weight_decay:g}; {of.steps:,} "
        f"steps of {of.batch_tokens // run.model.seq_len} pictures, {passes:.0f} passes. All of it is our choice, and "
        "smaller than Li et al.'s, who train on ImageNet. In the last layer the class token alone tells the class, "
        "so no gradient comes from what the patches do there, though its weights still train; the table has the "
        "share without it, too."
    )


def on_the_way(dataset: xr.Dataset) -> Said:
    """How far the share falls before it rises again, and what else rises by then."""
    if waits := written.waits(dataset, lazy.AS_IS):
        return Said(waits)
    of = 100 * dataset["token_use"].sel(recipe=lazy.AS_IS).astype(float).mean("seed").dropna("layer", how="all")
    mean, last = of.mean("layer"), of.isel(layer=-1)
    rest = of.isel(layer=slice(-1)).mean("layer")
    at = int(mean.argmin("step"))
    loss = dataset["heldout_loss"].sel(recipe=lazy.AS_IS).mean("seed").astype(float)
    return Said(
        f"**The way there is not straight.** The mean falls to {float(mean.min()):.1f} % at "
        f"{float(mean['tokens'][at]) / 1e6:.0f} million tokens, and is back at {float(mean[-1]):.1f} % by the end. "
        f"Half of that is the last layer ({float(last[at]):.0f} to {float(last[-1]):.0f} %); without it the rise is "
        f"from {float(rest[at]):.1f} to {float(rest[-1]):.1f} %. The held-out loss turns, too: from "
        f"{float(loss.min()):.3f} to {float(loss[-1]):.3f} at the end, while the training loss falls on. We saw this "
        "after the runs, and did not ask why."
    )


def of_size(dataset: xr.Dataset) -> Said:
    """How the share and the count go with width, and the share with depth."""
    if waits := written.waits(dataset, *lazy_pictures.TIMES.values(), *lazy_pictures.DEPTHS.values()):
        return Said(waits)
    of, numbers = lazy_pictures.ends(dataset)["end"].unstack("seed").mean(axis=1), lazy.numbers(dataset)
    wide, deep = list(lazy_pictures.TIMES.values()), list(lazy_pictures.DEPTHS.values())
    times = numbers.loc[wide[-1], "units"] / numbers.loc[wide[0], "units"]
    count = of[wide[-1]] * numbers.loc[wide[-1], "units"] / (of[wide[0]] * numbers.loc[wide[0], "units"])
    trend = lazy_pictures.trend(dataset)
    ways = "at equal tokens and at equal loss" if trend["holds"].eq(True).all() else "in some of the comparisons only"
    tau = trend["τ of the share"].xs("equal tokens", level="compared at")
    layers = numbers.loc[deep, "layers"].tolist()
    shares = ", ".join(f"{of[arm]:.0f} % with {n}" for arm, n in zip(deep, layers, strict=True))
    deepest = 100 * dataset["final_token_use"].sel(recipe=deep[-1]).astype(float).mean("seed")
    chance = next(each for said, each in lazy_pictures.CHANCES.items() if said.startswith("row 22"))
    return Said(
        f"**Wider is sparser, and busier.** With {times:.0f} times the units the share falls from {of[wide[0]]:.0f} to "
        f"{of[wide[-1]]:.0f} %, while {count:.1f} times as many units are positive at a patch (rank correlation of "
        f"share and width {', '.join(f'{each:.1f}'.replace('-', '−') for each in tau)} in {how_many(len(tau), 'seed')})"
        f". Deeper is sparser, too: {shares} layers. It is the middle that empties: with {layers[-1]} layers layer 0 "
        f"still has {float(deepest[0]):.0f} %, the emptiest {float(deepest.min()):.0f} %. Both trends hold {ways}. We "
        f"had given that {100 * chance:.0f} %."
    )


def of_data(dataset: xr.Dataset) -> Said:
    """Where the share ends with nothing to learn, by row 23, beside where the pictures end."""
    if waits := written.waits(dataset, lazy.AS_IS, *RANDOM_ARMS):
        return Said(waits)
    table, halves = lazy_pictures.ends(dataset), lazy_pictures.halved(dataset)
    ratio = 100 * table["end"] / table["start"]
    low, high = (f(ratio.loc[RANDOM_ARMS]) for f in (min, max))
    own = ratio.loc[lazy.AS_IS]
    loss = dataset["train_loss"].sel(recipe=RANDOM_ARMS).astype(float)
    classes = lazy.models(dataset)[lazy.AS_IS].corpus.classes
    return Said(
        f"**Random data end at {low:.1f} to {high:.1f} % of their start, the pictures at {own.min():.1f} to "
        f"{own.max():.1f} %.** Most of the fall needs nothing to learn. The rule asks for less than half in every run, "
        f"and {int(halves.eq(True).sum())} of {len(halves)} have that. None of these runs learned its labels: their "
        f"training loss never goes below {float(loss.min()):.3f}, where guessing evenly gives {np.log(classes):.3f}."
    )


def of_noise(dataset: xr.Dataset) -> Said:
    """How many units are silent with fresh random data, and what the others do, by layer; the other arms beside."""
    if waits := written.waits(dataset, lazy.AS_IS, *RANDOM_ARMS):
        return Said(waits)
    of = read.living(dataset).mean("seed")
    fresh = of.sel(recipe=RANDOM_ARMS[-1]).dropna("layer")
    drawn = [read.living(dataset).sel(recipe=arm) for arm in RANDOM_ARMS[:2]]
    idle = [float(each["silent"].mean()) for each in drawn]
    rest = [float(each["all"].mean()) for each in drawn]
    many = fresh["silent"] > 50
    silent, fires = (fresh[name].values[many.values] for name in ("silent", "positive"))
    as_is = of.sel(recipe=lazy.AS_IS)
    return Said(
        "**But it is not one sparsity.** Where pixels and labels are fresh at each step, "
        f"{float(fresh['silent'].mean()):.0f} % of the units are silent at the end, and the others fire at "
        f"{float(fresh['all']):.0f} % of the patches, more than before training. It goes by layer: in "
        f"{_layers(fresh['layer'].values[many.values])} {silent.min():.0f} to {silent.max():.0f} % are silent and the "
        f"rest fire at {fires.min():.0f} to {fires.max():.0f} %, while layer 0 has {float(fresh['silent'][0]):.0f} % "
        f"silent and fires at {float(fresh['positive'][0]):.0f} %. On random data that stay, the same begins and "
        f"turns late: at the end {min(idle):.0f} to {max(idle):.0f} % are silent, and the others fire at "
        f"{min(rest):.0f} to {max(rest):.0f} %. On the pictures {float(as_is['silent'].mean()):.1f} % are silent."
    )


def of_two_layers(dataset: xr.Dataset) -> Said:
    """Whether the gradient at step 0 is that of the first order, turns with own labels, and how small it is."""
    table = first_gradient.table(dataset)
    of, own = table.loc[first_gradient.RANDOM], table.loc[first_gradient.OWN]
    low, high = (100 * of[end] / of["theorem"] for end in ("low", "high"))
    return Said(
        f"**Before the first step the mean gradient is {of['of the theorem']:.0f} % of what (12.1) says** (95 % "
        f"interval {low:.0f} to {high:.0f} %, {how_many(dataset.sizes['seed'], 'seed')}). It is small: "
        f"{of['of one gradient']:.1f} % of the standard deviation of the gradient over entries and samples. With the "
        f"network's own guess as labels the sign {'turns' if own['high'] < 0 < of['low'] else 'is not sure to turn'}."
    )


def of_layers(dataset: xr.Dataset) -> Said:
    """In how many layers of decoders and vision Transformers the sign is known, by what stands before the output."""
    table = first_gradient_by_layer.table(dataset).xs("real", level="labels")["sign"].dropna()
    as_is, held = (
        table.xs(norm, level="norm") for norm in (first_gradient_by_layer.AS_IS, first_gradient_by_layer.HELD)
    )
    percent = first_gradient_by_layer.against_theorem(dataset)["percent"]
    return Said(
        f"**In whole Transformers the sign is open.** Of {len(as_is)} cases (layers of small models, the vision "
        f"Transformer's patches and class token apart), {int((as_is > 0).sum())} have a 95 % interval above 0 and "
        f"{int((as_is < 0).sum())} below; {how_many(dataset.sizes['seed'], 'seed')} leave the others open. The "
        "final norm has a part in it: with its division by the standard deviation taken for a constant, "
        f"{int((held > 0).sum())} are pushed down. Without the norm the last layer's gradient is "
        f"{percent.min():.0f} to {percent.max():.0f} % of what (12.1) says."
    )


def over_runs(dataset: xr.Dataset) -> Said:
    """How many arms end denser, whichever way the first gradient points, and those that do not."""
    change = preactivation_drift.change(dataset).mean("seed")
    rises = {by: int((change.sel(optimizer=by) > 0).sum()) for by in preactivation_drift.OPTIMIZERS}
    both = [arm for arm in map(str, change["arm"].values) if bool((change.sel(arm=arm) < 0).all())]
    later = dataset["gradient"].sel(arm=first_gradient.RANDOM, step=LATER).astype(float).mean("seed")
    turned = "is below 0 by both" if bool((later < 0).all()) else "is not below 0 by both"
    named = "; ".join(f"*{arm}* ({_points(change.sel(arm=arm))})" for arm in both) or "none"
    frozen = change.sel(arm=preactivation_drift.FROZEN)
    said = " and in ".join(f"{count} of {change.sizes['arm']} arms by {by}" for by, count in rises.items())
    return Said(
        "**The first step's sign does not tell where a run ends.** Whichever way it points, the share rises in "
        f"{said}. By both "
        f"it falls in {len(both)}: {named}, where labels stay independent of V at every step. Labels that stay are "
        f"learned by V, and the gradient turns: after {LATER} steps that of *{first_gradient.RANDOM}* {turned}. With V "
        f"frozen the share goes by {_points(frozen)}, and we do not know why the two differ."
    )


def _points(change: xr.DataArray) -> str:
    said = (f"{float(change.sel(optimizer=by)):+.1f} points by {by}" for by in preactivation_drift.OPTIMIZERS)
    return " and ".join(said).replace("-", "−")


def _layers(numbers: np.ndarray) -> str:
    return (
        f"layers {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}" if len(numbers) > 1 else f"layer {numbers[0]}"
    )
