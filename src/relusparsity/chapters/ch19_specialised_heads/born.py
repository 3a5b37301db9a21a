"""What chapter 19 says of the birth of induction heads; the dataset chooses the words."""

import numpy as np
import xarray as xr

from ...claims.short import Said
from ...plots.reading import how_many
from ...store import results
from .birth import BATCH, RATE, SHORTEST, Arm, model
from .experiment import BORN, CHANCES, ONE, SHUFFLED, TWO, best, born, fall
from .read import ranked

LEADS = "two layers: the previous token gets 0.25 from a head of layer 0 before a head of layer 1 matches by 0.25"
"""One of the sentences written before the runs."""
APART = 0.25
"""Nats per token between two layers and one from which on they are said to differ."""


def recipe(dataset: xr.Dataset) -> Said:
    """What is trained on what, as far as a reader needs it to do the same."""
    of, steps = model(Arm()), results.provenance(dataset)["config"]["steps"]
    return Said(
        f"A decoder of two layers with {of.n_heads} heads each, a stream of {of.d_model} and {of.d_ff} ReLU units a "
        f"layer, reads sequences of {of.seq_len} tokens, in which {SHORTEST} to {of.seq_len // 2 - 1} different ones, "
        f"drawn anew for each sequence, come again and again. It trains for {steps} steps of {BATCH} sequences (AdamW "
        f"at {RATE:g}, embeddings of scale 1). Its controls have one layer, or read each time in another order. "
        "All of it is our choice: on the text of this book's own runs no such head came within a minute."
    )


def late(dataset: xr.Dataset) -> Said:
    """When the heads come, and what the loss does by then."""
    two, one = (dataset.sel(arm=arm) for arm in (TWO, ONE))
    steps, at = fall(two), born(two, "prefix_matching", 1)
    fell = np.isfinite(steps) & np.isfinite(at)
    head = "Induction heads come late, and at once."
    if not bool(fell.all()):
        head = f"Induction heads come in {int(fell.sum())} of {how_many(fell.size, 'seed')}."
    text = f"**{head}** "
    if bool(fell.any()):
        text += (
            f"Up to step {_alike(two, one)} two layers do little better than one (at most {APART:g} nats). Then the "
            f"loss where the next token "
            f"can be known falls from above 3 nats per token to below 1 within {between(steps.where(fell, drop=True))} "
            f"steps, while a head of layer 1 comes to an induction score of {BORN:g} (at step "
            f"{between(at.where(fell, drop=True))}, seed by seed). {_together(two)}"
        )
    ends = [float(of["known_loss"].isel(step=-1).mean()) for of in (two, one)]
    return Said(f"{text}At the end that loss is {ends[0]:.2f} nats with two layers and {ends[1]:.2f} with one.")


def _together(two: xr.Dataset) -> str:
    """Whether the head that tells comes before the head that finds."""
    first, second = born(two, "previous", 0), born(two, "prefix_matching", 1)
    same, steps = int((first == second).sum()), two["step"].values
    return (
        f"The head that it needs is in a lower layer and not earlier in time: read every {int(steps[1] - steps[0])} "
        f"steps, both pass {BORN:g} together in {same} of {how_many(first.size, 'seed')}; we had given "
        f"{100 * CHANCES[LEADS]:.0f} % that the "
        "lower one leads in all. "
    )


def _alike(two: xr.Dataset, one: xr.Dataset) -> int:
    """The last step before the mean losses first lie more than `APART` apart."""
    apart = (one["known_loss"] - two["known_loss"]).mean("seed").values > APART
    steps = two["step"].values.tolist()
    return steps[max(0, int(apart.argmax()) - 1)] if apart.any() else steps[-1]


def controls(dataset: xr.Dataset) -> Said:
    """What one layer, and text that comes again in another order, have of it."""
    highest = {arm: float(best(dataset).sel(arm=arm).max()) for arm in (ONE, SHUFFLED)}
    scores = (
        f"the highest induction score of any head, at any step, is {highest[ONE]:.2f} with one layer and "
        f"{highest[SHUFFLED]:.2f} where every reading has an order of its own"
    )
    if max(highest.values()) >= BORN:
        return Said(f"**The controls have it, too**: {scores}.")
    last = dataset.isel(step=-1).mean("seed")
    gain = " and ".join(f"{-float(last['in_context'].sel(arm=arm)):.2f}" for arm in (ONE, SHUFFLED))
    copying = float(dataset["copying"].sel(arm=ONE, layer=0).isel(step=-1).min())
    return Said(
        f"**One layer cannot, and repetition alone does not ask for it**: {scores}. Both still use what they have "
        f"read: late tokens cost {gain} nats less than early ones, for a token that was there comes again. And the "
        f"heads of one layer copy (copying scores from {copying:.2f}): a head may raise what it reads and not know "
        "where to look."
    )


def circuit(dataset: xr.Dataset) -> Said:
    """What each head is worth at the end, taken away alone."""
    of = ranked(dataset)
    teller, others = of.sel(layer=0).isel(rank=0), of.sel(layer=0).isel(rank=slice(1, None))
    costs = of["worth"].sel(layer=1).max("rank")
    head = "The two layers make one circuit."
    if float(teller["matching"].max()) >= 50:
        head = "Heads of each layer share the work."
    share = float(costs.mean())
    several = "the others find the same place, and stand in for it" if share < 50 else "it does most"
    kept = f"{float(others['matching'].min()):.0f}"
    return Said(
        f"**{head}** Without the head of layer 0 that looks one token back most, the highest induction score of layer "
        f"1 is {between(teller['matching'])} % of what it was, seed by seed, and {between(teller['worth'])} % of the "
        f"gain is lost; without any other single head of layer 0 the score keeps {kept} % or more. Of layer 1, the "
        f"head that costs most takes {between(costs)} % of the gain with it: {several}."
    )


def between(values: xr.DataArray) -> str:
    """The smallest and the largest value, without decimals."""
    first, last = (f"{float(each):.0f}".replace("-", "−") for each in (values.min(), values.max()))
    return first if first == last else f"{first} to {last}"
