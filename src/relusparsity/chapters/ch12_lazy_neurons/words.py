"""Sentences of chapter 12 on recorded runs; the dataset chooses the words."""

import numpy as np
import xarray as xr

from ...claims.short import Said
from ...experiments import first_gradient, first_gradient_by_layer, lazy, lazy_pictures, preactivation_drift
from ...plots.reading import how_many
from ...scales import spans

RANDOM_ARMS = list(lazy_pictures.NO_DATA)


def of_pictures(dataset: xr.Dataset) -> Said:
    """What the model is, and where its entries end: over all layers, by layer, per picture and per set."""
    run, table = lazy.models(dataset)[lazy.AS_IS], lazy_pictures.ends(dataset).loc[lazy.AS_IS]
    by_layer = 100 * dataset["final_token_use"].sel(recipe=lazy.AS_IS).astype(float).mean("seed").dropna("layer")
    batch = 100 * dataset["final_batch_use"].sel(recipe=lazy.AS_IS).astype(float).mean(("seed", "set", "layer"))
    least = lazy.share(dataset).sel(recipe=lazy.AS_IS).mean("seed")
    lowest, last = float(least.min()), float(least.isel(step=-1))
    return Said(
        f"**Of {how_many(run.model.n_layers, 'layer')} of {run.model.width} units, {table['end'].mean():.0f} % of the "
        f"entries are positive at the end** ({table['end'].min():.1f} to {table['end'].max():.1f} over "
        f"{how_many(len(table), 'seed')}), at {table['accuracy'].mean():.1f} % accuracy. Layer "
        f"{int(by_layer.idxmin())} has {float(by_layer.min()):.0f} %, layer {int(by_layer.idxmax())} "
        f"{float(by_layer.max()):.0f} %. The way is not straight: on the held-out pictures the mean falls to "
        f"{lowest:.0f} %, and rises to {last:.0f} % by the end. And few units are idle: {float(batch):.1f} % of them "
        "fire at least once in a set of pictures. A patch uses few units, a set of pictures nearly all."
    )


def of_size(dataset: xr.Dataset) -> Said:
    """How the share and the count go with width, and the share with depth."""
    of, numbers = lazy_pictures.ends(dataset)["end"].unstack("seed").mean(axis=1), lazy.numbers(dataset)
    wide, deep = list(lazy_pictures.TIMES.values()), list(lazy_pictures.DEPTHS.values())
    times = numbers.loc[wide[-1], "units"] / numbers.loc[wide[0], "units"]
    count = of[wide[-1]] * numbers.loc[wide[-1], "units"] / (of[wide[0]] * numbers.loc[wide[0], "units"])
    holds = lazy_pictures.trend(dataset)["holds"]
    ways = "at equal tokens and at equal loss" if holds.eq(True).all() else "in some of the comparisons only"
    layers = numbers.loc[deep, "layers"].tolist()
    shares = ", ".join(f"{of[arm]:.0f} % with {n}" for arm, n in zip(deep, layers, strict=True))
    return Said(
        f"**Wider is sparser, and busier.** With {times:.0f} times the units the share falls from {of[wide[0]]:.0f} to "
        f"{of[wide[-1]]:.0f} %, while {count:.1f} times as many units are positive at a patch. Deeper is sparser, too: "
        f"{shares} layers. Both hold {ways}, in {int(holds.eq(True).sum())} of {len(holds)} comparisons."
    )


def of_data(dataset: xr.Dataset) -> Said:
    """Where the share ends with nothing to learn, by row 23, and among the units that fire."""
    table, halves = lazy_pictures.ends(dataset), lazy_pictures.halved(dataset)
    ratio = 100 * table["end"] / table["start"]
    low, high = ratio.loc[RANDOM_ARMS].min(), ratio.loc[RANDOM_ARMS].max()
    fresh = table.loc[RANDOM_ARMS[-1]]
    as_is = table.loc[lazy.AS_IS]
    silent = dataset["silent_units"].sel(recipe=RANDOM_ARMS[-1]).isel(step=-1).mean(("seed", "layer"))
    idle = 100 * float(silent) / lazy.numbers(dataset).loc[lazy.AS_IS, "units"]
    return Said(
        f"**With nothing to learn the share falls, too, to {low:.0f} to {high:.0f} % of its start**; the rule asks for "
        f"less than half, and {int(halves.eq(True).sum())} of {len(halves)} runs have that. But not all of it is the "
        f"same sparsity. Where pixels and labels are fresh at each step, {idle:.0f} % of the units fall silent, and "
        f"the rest fires at {fresh['living'].mean():.0f} % of the patches, more than before training. With the "
        f"pictures as they are, hardly any unit is silent: {as_is['end'].mean():.1f} % of the entries are positive, "
        f"{as_is['living'].mean():.1f} % among units that fire."
    )


def of_two_layers(dataset: xr.Dataset) -> Said:
    """Whether the gradient at step 0 is the theorem's, turns with own labels, and how small it is."""
    table = first_gradient.table(dataset)
    of, own = table.loc[first_gradient.RANDOM], table.loc[first_gradient.OWN]
    return Said(
        f"**Before the first step the mean gradient is {of['of the theorem']:.0f} % of the theorem's** "
        f"({how_many(dataset.sizes['seed'], 'seed')}), and {of['of one gradient']:.1f} % of one gradient's spread. "
        f"With the network's own guess as labels the sign "
        f"{'turns' if own['high'] < 0 < of['low'] else 'is not sure to turn'}."
    )


def of_layers(dataset: xr.Dataset) -> Said:
    """In how many layers of decoders and vision Transformers the sign is known, with the final norm and without."""
    table = first_gradient_by_layer.table(dataset).xs("real", level="labels")["sign"].dropna()
    percent = first_gradient_by_layer.against_theorem(dataset)["percent"]
    as_is = table.xs(first_gradient_by_layer.AS_IS, level="norm")
    return Said(
        f"**In whole Transformers the sign is open**: of {len(as_is)} layers of decoders and vision Transformers, "
        f"{int((as_is > 0).sum())} are surely pushed down by the first step, {int((as_is < 0).sum())} up, and in "
        f"{int((as_is == 0).sum())} the 95 % interval of {how_many(dataset.sizes['seed'], 'seed')} has 0 inside. "
        "Without the final norm, the last layer's gradient is "
        f"{percent.min():.0f} to {percent.max():.0f} % of the theorem's: the norm takes the theorem's push away."
    )


def over_runs(dataset: xr.Dataset) -> Said:
    """Whether sparsity goes where the first gradient pushes, in arms that keep the theorem, break it, or read "
    "digits."""
    change = preactivation_drift.change(dataset).mean("seed")
    way = dataset["gradient"].isel(step=0).mean(("seed", "optimizer")).astype(float)
    digits = [name for name, (_, arm) in preactivation_drift.ARMS.items() if arm.digits]
    lowered, raised = (
        [arm for arm in map(str, change["arm"].values) if arm not in digits and (float(way.sel(arm=arm)) > 0) == down]
        for down in (True, False)
    )
    falls = [arm for arm in lowered if bool((change.sel(arm=arm) < 0).all())]
    rises = [arm for arm in raised if bool((change.sel(arm=arm) > 0).all())]
    least, most = (float(f(change.sel(arm=digits))) for f in (np.min, np.max))
    named = "; ".join(f"*{arm}*" for arm in falls) or "none"
    return Said(
        f"**Where the sign is turned, the share rises; where the theorem holds, it seldom falls.** In {len(rises)} of "
        f"{len(raised)} arms whose first gradient raises activations more entries are positive after the run, with "
        f"either optimizer. Of the {len(lowered)} that it lowers, {len(falls)} ends with fewer ({named}): there labels "
        "stay independent of $V$ at every step. In the others $V$ learns its labels within a few steps, and the "
        f"theorem is over. On digits the share rises by {least:.0f} to {most:.0f} points, whatever the labels."
    )


def to_come() -> Said:
    """What the encoder-decoder will be, and what is asked of it."""
    run = spans("spans")
    return Said(
        f"**An encoder-decoder, as T5 is, has not run yet**: {run.model.n_layers} layers of {run.model.width:,} units, "
        f"{run.train.tokens / 1e6:.0f} million tokens of English with spans cut out, three seeds, beside T5's own "
        "optimiser and targets from which nothing can be learned. The source reports 3.0 % for T5-Base; row 20 asks "
        "for 10 % at most."
    )
