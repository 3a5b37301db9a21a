"""Chapter 07: layer 1 treated under Adafactor, which evens steps out, and under SGD, which does not."""

import math

import pandas as pd
import xarray as xr

from ...claims.short import Said
from ...claims.table import number
from ...experiments import arms, sign_like_steps
from . import treatments, words

WORDS = {"untreated": "untreated", "centre": "centred", "add 2": "with the vector"}
"""Treatment → how a sentence calls the layer."""


def layer_1(dataset: xr.Dataset) -> dict[str, dict[str, list[float]]]:
    """Optimizer → treatment → batch use (percent) of layer 1 at the end, seed by seed."""
    ends = arms.ends(dataset)
    return {
        optimizer: {treatment: ends.loc[f"{optimizer}, {treatment}", "U_1"].dropna().tolist() for treatment in WORDS}
        for optimizer in sign_like_steps.OPTIMIZERS
    }


def found(dataset: xr.Dataset, treated: xr.Dataset) -> Said:
    """What the common direction does under each optimizer, in three paragraphs.

    Parameters
    ----------
    treated
        The same layer under AdamW, with its placebo: `dissociation`.
    """
    return Said("\n\n".join((_sgd(dataset, treated), _adafactor(dataset), _judged(dataset))))


def _sgd(dataset: xr.Dataset, treated: xr.Dataset) -> str:
    added, ends = layer_1(dataset)["SGD"]["add 2"], arms.ends(dataset)
    of_layers = [f"U_{layer}" for layer in dataset["layer"].values]
    least = math.floor(10 * float(ends.loc["SGD, untreated", of_layers].min(axis=None))) / 10
    plain = dataset.sel(recipe="SGD, untreated")
    gamma = float(plain["gamma"].isel(step=-1).max())
    use = 100 * plain["batch_use"].astype(float).mean("seed")
    early = use.where(use == use.min(), drop=True)
    dip = (
        f", after a dip: layer {int(early['layer'][0])} is at {float(early.min()):.0f} % at "
        f"{float(early['tokens'][0]) / 1e6:.1f} million tokens (mean of the seeds)"
        if least - float(early.min()) >= 10
        else ""
    )
    needed = (
        "**A vector empties layer 1 under SGD, too.**"
        if max(added) < 50
        else "**Under SGD, a vector does not empty layer 1.**"
    )
    (_, vector, placebo), _ = treatments.paired(treated, 1, "add 2", "add 2, placebo")
    no_placebo = (
        " Whether its direction does that, these runs cannot say: no placebo ran here, and under AdamW the placebo "
        f"ends layer 1 at {number(round(placebo, 1))} %, the vector at {number(round(vector, 1))} %."
        if max(added) < 50
        else " No placebo ran here."
    )
    return (
        f"{needed} It ends at {words.rounded(added)} %.{no_placebo} An untreated model under SGD ends with "
        f"{number(least)} % or more of every layer in use (γ at the end: {gamma:.2f} at most){dip}."
    )


def _adafactor(dataset: xr.Dataset) -> str:
    under = layer_1(dataset)["Adafactor"]
    emptier = sum(a < b for a, b in zip(under["centre"], under["untreated"], strict=True))
    said = ", ".join(f"{words.rounded(under[treatment])} % {word}" for treatment, word in WORDS.items())
    return (
        f"Under Adafactor layer 1 ends at {said}: centring leaves it emptier in {words.COUNTED[emptier]} of "
        f"{words.seeds(len(under['centre']))}.{_not_centred(dataset)}"
    )


def _not_centred(dataset: xr.Dataset) -> str:
    """Where centring left most of the common direction in the input: under which optimizer, and how much of it."""
    gamma = dataset["gamma"].astype(float).isel(step=-1).sel(layer=1).mean("seed")
    said = []
    for optimizer in sign_like_steps.OPTIMIZERS:
        before, after = (float(gamma.sel(recipe=f"{optimizer}, {treatment}")) for treatment in ("untreated", "centre"))
        if after > before / 2:
            said.append(
                f" But the treatment failed: centred, γ of the layer is still {after:.2f} at the end, untreated "
                f"{before:.2f}. We suppose that the running mean lags one that moves fast under {optimizer}."
            )
    return "".join(said)


def _judged(dataset: xr.Dataset) -> str:
    """What was written before the runs, what came of it, and how they were trained."""
    table, ends, use = sign_like_steps.judge(dataset), arms.ends(dataset), layer_1(dataset)
    came = {row.optimizer: (row.chance, row.holds) for row in table.itertuples()}
    said = " and ".join(
        f"{'is open' if holds is None else 'holds' if holds else 'fails'} under {optimizer} "
        f"(chance given: {100 * chance:.0f} %)"
        for optimizer, (chance, holds) in came.items()
    )
    empty = [optimizer for optimizer, of in use.items() if came[optimizer][1] and min(of["untreated"]) >= 90]
    but = f", where its first half says nothing, since untreated layers are full under {empty[0]}" if empty else ""
    losses = [
        f"{' to '.join(f'{value:.2f}' for value in (part.min(), part.max()))} under {optimizer}"
        for optimizer in use
        for part in [ends.loc[[f"{optimizer}, {treatment}" for treatment in WORDS], "loss"]]
    ]
    rates = [
        f"{fields['train.lr']:g} ({optimizer}, decay {fields['train.weight_decay']:g})"
        for optimizer, fields in sign_like_steps.OPTIMIZERS.items()
    ]
    return (
        "We had written that the common direction decides what layer 1 keeps: at least 90 % where it is centred and "
        f"less than half with the vector, in every seed. That {said}{but}. Rates at the peak are "
        f"{' and '.join(rates)}; SGD's is a guess. Losses end at {' and '.join(losses)}."
    )


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """Layer 1 under Adafactor and SGD: batch use at the end by seed, and γ."""
    ends, rows = arms.ends(dataset), {}
    gamma = dataset["gamma"].astype(float).isel(step=-1).sel(layer=1)
    for optimizer in sign_like_steps.OPTIMIZERS:
        for treatment, word in WORDS.items():
            of = ends.loc[f"{optimizer}, {treatment}"]
            rows[f"{optimizer}, {word}"] = {
                "layer 1 by seed, %": ", ".join(number(round(value, 1)) for value in of["U_1"]),
                "γ of layer 1": f"{float(gamma.sel(recipe=f'{optimizer}, {treatment}').mean('seed')):.2f}",
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("optimizer and input of layer 1")
