"""Chapter 07: layer 1 treated under optimizers whose steps are sign-like, and under SGD, whose steps are not."""

import pandas as pd
import xarray as xr

from ...claims.short import Said
from ...claims.table import number
from ...experiments import arms, sign_like_steps
from . import words

WORDS = {"untreated": "untreated", "centre": "centred", "add 2": "with the vector"}
"""Treatment → how a sentence calls the layer."""


def layer_1(dataset: xr.Dataset) -> dict[str, dict[str, list[float]]]:
    """Optimizer → treatment → batch use (percent) of layer 1 at the end, seed by seed."""
    ends = arms.ends(dataset)
    return {
        optimizer: {treatment: ends.loc[f"{optimizer}, {treatment}", "U_1"].dropna().tolist() for treatment in WORDS}
        for optimizer in sign_like_steps.OPTIMIZERS
    }


def found(dataset: xr.Dataset) -> Said:
    """What the common direction does under each optimizer, in two paragraphs."""
    use, ends = layer_1(dataset), arms.ends(dataset)
    of_layers = [f"U_{layer}" for layer in dataset["layer"].values]
    least = float(ends.loc["SGD, untreated", of_layers].min(axis=None))
    gamma = float(dataset["gamma"].isel(step=-1).sel(recipe="SGD, untreated").max())
    needed = (
        "**A vector empties a layer without sign-like steps, too.**"
        if max(use["SGD"]["add 2"]) < 50
        else "**Without sign-like steps, a vector does not empty a layer.**"
    )
    under = use["Adafactor"]
    said = ", ".join(f"{words.rounded(under[treatment])} % {word}" for treatment, word in WORDS.items())
    return Said(
        f"{needed} Under SGD, whose step is the gradient, every layer of an untreated model keeps "
        f"{number(round(least, 1))} % or more (γ is {gamma:.2f} at most), and with the vector layer 1 ends at "
        f"{words.rounded(use['SGD']['add 2'])} %. Under Adafactor layer 1 ends at {said}.{_not_centred(dataset)}\n\n"
        f"{_judged(dataset)}"
    )


def _not_centred(dataset: xr.Dataset) -> str:
    """Where centring left most of the common direction in the input: under which optimizer, and how much of it."""
    gamma = dataset["gamma"].astype(float).isel(step=-1).sel(layer=1).mean("seed")
    said = []
    for optimizer in sign_like_steps.OPTIMIZERS:
        before, after = (float(gamma.sel(recipe=f"{optimizer}, {treatment}")) for treatment in ("untreated", "centre"))
        if after > before / 2:
            said.append(
                f" But there the treatment failed: centred, γ of the layer still is {after:.2f} at the end, untreated "
                f"{before:.2f}. We suppose that the running mean lags one that moves fast under {optimizer}."
            )
    return "".join(said)


def _judged(dataset: xr.Dataset) -> str:
    """What was written before the runs, and what came of it."""
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
    return (
        "We had written that the common direction decides what layer 1 keeps: at least 90 % where it is centred and "
        f"less than half with the vector, in every seed. That {said}{but}. No placebo ran here, the learning rates are "
        f"guesses, and losses end at {' and '.join(losses)}."
    )


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """Layer 1 under Adafactor and SGD: batch use at the end by seed, γ, and the emptiest of the other layers."""
    ends, rows = arms.ends(dataset), {}
    gamma = dataset["gamma"].astype(float).isel(step=-1).sel(layer=1)
    others = [f"U_{layer}" for layer in dataset["layer"].values if layer != 1]
    for optimizer in sign_like_steps.OPTIMIZERS:
        for treatment, word in WORDS.items():
            of = ends.loc[f"{optimizer}, {treatment}"]
            rows[f"{optimizer}, {word}"] = {
                "layer 1 by seed, %": ", ".join(number(round(value, 1)) for value in of["U_1"]),
                "γ of layer 1": f"{float(gamma.sel(recipe=f'{optimizer}, {treatment}').mean('seed')):.2f}",
                "least of the other layers, %": number(round(float(of[others].mean().min()), 1)),
                "loss": f"{of['loss'].mean():.2f}",
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("optimizer and input of layer 1")
