"""Sentences of chapter 11 whose words and numbers the recorded data choose."""

import numpy as np
import xarray as xr

from ...claims.short import Said, between
from ...measure.found import by_chance
from ...plots.reading import how_many, percent
from ...store import results
from . import tables

RANDOM = ("untrained", "OPT")
"""ReLU models that learned nothing."""
SMOOTH = "Llama, CETT 0.2"
TAIL_ERROR = 0.2
"""Of the rule of `SMOOTH`."""


def at_token(dataset: xr.Dataset, *models: str) -> np.ndarray:
    """Token use in percent: (model, layer)."""
    return 100 * dataset["final_token_use"].isel(seed=0).sel(model=list(models)).astype(float).values


def silent(dataset: xr.Dataset, *models: str) -> np.ndarray:
    """Silent units: (model, layer)."""
    return np.asarray(dataset["silent_units"].isel(seed=0).sel(model=list(models)).values)


def read(dataset: xr.Dataset) -> str:
    """Tokens that were counted on: '65,536'."""
    return f"{int(dataset.attrs['final_sample_tokens']):,}"


def checkpoints(dataset: xr.Dataset) -> Said:
    """What published checkpoints read, the two with ReLU units beside the same weights shuffled."""
    models = dataset["model"].values
    use = {
        name: 100 * dataset["final_token_use"].values[models == name].astype(float) for name in dict.fromkeys(models)
    }
    pairs = {name: f"{name}, shuffled" for name in use if f"{name}, shuffled" in use}
    fewer = all((use[name] < use[shuffled]).all() for name, shuffled in pairs.items())
    said = " and ".join(f"{between(use[name])} % in {name} (shuffled: {between(use[pairs[name]])} %)" for name in pairs)
    trained = np.isin(models, [name for name in use if name not in pairs.values()])
    silent, units = (int(dataset[name].values[trained].sum()) for name in ("silent_units", "units"))
    chance = by_chance(TAIL_ERROR, factors=2)
    above = use["SmolLM2"] > chance
    claim = "fewer fire than with the same weights shuffled, in every layer" if fewer else "not always fewer fire"
    more = int(above.sum())
    return Said(
        f"**With trained ReLU units {claim}; hardly a unit is silent.** The share of a layer's units that fire at a "
        f"token is {said}. {_never(silent, units)} SmolLM2 has smooth units. By CETT {TAIL_ERROR:g} (explained below) "
        f"{between(use['SmolLM2'])} % of a layer's units fire; numbers without structure would read {chance:.1f} %, "
        f"and {more} of its {len(above)} layers {'reads' if more == 1 else 'read'} more. These are two encoders and "
        "one decoder, one text and one shuffle each, and SmolLM2 is a copy of four bits a weight."
    )


def _never(silent: int, units: int) -> str:
    """How many of all trained units fire nowhere."""
    if not silent:
        return f"Each of all {units:,} trained units fires somewhere in the text."
    return f"Of all {units:,} trained units {silent:,} {'fires' if silent == 1 else 'fire'} nowhere in the text."


def zero_point(dataset: xr.Dataset) -> Said:
    """What a network that learned nothing reads, and the same network trained."""
    counts = silent(dataset, *RANDOM)
    units = dataset.sizes["layer"] * dataset.attrs["d_ff"]
    return Said(
        f"**Untrained, about half of a layer's units fire at a token; trained, far fewer.** The two ReLU models with "
        f"random weights read {between(at_token(dataset, *RANDOM))} %, layer by layer. The trained network, which "
        f"began as one of them, reads {between(at_token(dataset, 'trained'))} %. Of a random model's {units:,} units "
        f"at most {how_many(int(counts.sum(1).max()), 'unit')} fired nowhere in the text."
    )


def learned(dataset: xr.Dataset) -> Said:
    """Which of the models have learned something, by their losses, and how long a measurement takes."""
    loss = dataset["final_loss"].isel(seed=0).astype(float)
    fresh = loss.drop_sel(model="trained").values
    facts = results.provenance(dataset)
    seconds, device = facts["wall_seconds"], facts["environment"]["device"]
    return Said(
        f"All read the same {read(dataset)} tokens. The loss tells who has learned: giving each of the "
        f"{dataset.attrs['vocab_size']:,} token types the same probability costs "
        f"{np.log(dataset.attrs['vocab_size']):.2f} nats per token, and the untrained models do no better "
        f"({fresh.min():.2f} to {fresh.max():.2f}). A measurement took {min(seconds):.0f} to {max(seconds):.0f} "
        f"seconds on {device}."
    )


def both_ends(dataset: xr.Dataset) -> Said:
    """How to read use at a token and in all the text together, with two layers of the trained network as examples."""
    rare, idle = rare_and_silent(dataset)
    use, never = at_token(dataset, "trained")[0], silent(dataset, "trained")[0]
    ever = 100 - 100 * never / dataset.attrs["d_ff"]
    return Said(
        "**Read the first row and the last together.** The first says how much of a layer works at a token, the last "
        "how much of it this text ever needs. A layer that is low in the first and nearly full in the last has *rare* "
        f"units: layer {rare} goes from {percent(use[rare])} to {percent(ever[rare])}. One that is low in both has "
        f"*silent* units: layer {idle} stays at {percent(ever[idle])}."
    )


def rare_and_silent(dataset: xr.Dataset) -> tuple[int, int]:
    """Two layers of the trained network: of those that use under a quarter at a token, the fullest over all the text,
    and the emptiest."""
    use, never = at_token(dataset, "trained")[0], silent(dataset, "trained")[0].astype(float)
    sparse = np.flatnonzero(use < 25)
    return int(sparse[never[sparse].argmin()]), int(sparse[never[sparse].argmax()])


def still_rising(dataset: xr.Dataset) -> Said:
    """What the last doubling of the text adds to the curves, and how soon random weights are at the top."""
    window = 100 * dataset["final_window_use"].isel(seed=0).astype(float)
    last = (window.isel(window=-1) - window.isel(window=-2)).sel(model="trained")
    sequence = 100 * dataset["final_sequence_use"].isel(seed=0).astype(float).sel(model=list(RANDOM))
    return Said(
        "**A curve that still rises says that more text would wake more units.** Then *silent* is a statement about "
        f"the length of the text. Here the last doubling adds {float(last.max()):.1f} points to a trained layer at "
        f"most. With random weights {between(np.round(sequence, 1))} % of a layer has fired within one sequence of "
        f"{dataset.attrs['seq_len']} tokens."
    )


def unequal(dataset: xr.Dataset) -> Said:
    """How unequal random weights make the units of a layer."""
    rates = dataset["firing_rate_percentiles"].isel(seed=0).sel(model="untrained", percentile=[5, 95]).astype(float)
    spread = (rates.sel(percentile=95) - rates.sel(percentile=5)).values
    even, uneven = int(spread.argmin()), int(spread.argmax())
    ends = {layer: [percent(100 * float(r)) for r in rates.sel(layer=layer).values] for layer in (even, uneven)}
    return Said(
        "**A long bar is a layer whose units share its work unequally; random weights make such bars too.** Nine in "
        f"ten units of the untrained layer {even} fire at {ends[even][0]} to {ends[even][1]} of tokens; of layer "
        f"{uneven}, at {ends[uneven][0]} to {ends[uneven][1]}. So a spread alone is no sign of training. A bar that "
        "touches the lower edge is: it has units that never fired."
    )


def evidence(dataset: xr.Dataset) -> Said:
    """How many units are silent, and what as much text again should wake."""
    table = tables.evidence(dataset, ["trained"]).loc["trained"]
    bound = 100 * float(dataset["silent_sequence_bound"].sel(model="trained").max())
    units = dataset.sizes["layer"] * dataset.attrs["d_ff"]
    return Said(
        f"**A silence is worth as much as the text that it was measured on.** {table['silent']:,.0f} of the trained "
        f"network's {units:,} units fired at none of {read(dataset)} tokens. As much text again should wake "
        f"{table['would wake']:.0f} of them, by the number of units that fired in exactly one sequence (Good–Turing). "
        f"A unit that fires in under {bound:.2f} % of sequences is missed with a chance of 5 % or more. Sequences are "
        "the draws, not tokens, for a thousand tokens of one document are not a thousand witnesses."
    )


def chance(dataset: xr.Dataset) -> Said:
    """What a threshold rule reads where nothing was learned."""
    gated, single = (by_chance(TAIL_ERROR, factors) for factors in (2, 1))
    return Said(
        f"**Each rule has its own zero point.** Under CETT {TAIL_ERROR} the untrained Llama reads "
        f"{between(np.round(at_token(dataset, SMOOTH), 1))} %, which looks like sparsity. Numbers without any "
        f"structure read about that: products of two normal ones, as a gated MLP multiplies them, {gated} %; single "
        f"ones, as without a gate, {single} %. A trained model that reads its zero point has shown nothing; only what "
        "lies below it is sparsity that training made."
    )


def removal(dataset: xr.Dataset) -> Said:
    """What removal costs where nothing was learned, and where something was."""
    rise = tables.rises(dataset)
    most = float(abs(rise.sel(model=list(RANDOM))).max())
    share = float(rise["share"].max())
    trained = rise.sel(model="trained", share=rise["share"].max())
    by_rate, random = (float(trained.sel(chosen_by=method)) for method in ("rate", "random"))
    return Said(
        f"**Where nothing was learned, nothing can be lost.** Removing up to {100 * share:.0f} % of the units of a "
        f"random model changes its loss by {most:.2f} % at most, whichever units go. In the trained network that share "
        f"costs {by_rate:.1f} % if those that fire least go (*rate*), and {random:.1f} % if as many of each layer go "
        "at *random*. So look at the loss before you praise a cheap removal, and at *random* before you praise *rate*. "
        "Change of the loss in percent, on text that the units were not chosen on:"
    )


def answer_friend(dataset: xr.Dataset) -> Said:
    """Answer to the first exercise: a number that is the zero point."""
    low, high = at_token(dataset, SMOOTH).min(), at_token(dataset, SMOOTH).max()
    return Said(
        f"Nothing yet. By this rule a Llama with random weights reads {low:.1f} to {high:.1f} %, and products of "
        f"normal numbers {by_chance(TAIL_ERROR, 2)} %. And the half of random ReLU units is the zero point of "
        "another rule: the two numbers cannot be compared."
    )


def answer_wakes(dataset: xr.Dataset) -> Said:
    """Answer to the second exercise: which layer most silent units would leave in as much text again."""
    part = tables.one(dataset, "trained").isel(seed=0)
    never, woken = (part[name].astype(float).values for name in ("silent_units", "good_turing_expected"))
    share = np.divide(woken, never, out=np.zeros_like(woken), where=never > 0)
    layer = int(share.argmax())
    return Said(
        f"Layer {layer}: of its {never[layer]:.0f} silent units {woken[layer]:.0f} should fire in as much text again. "
        f"That is {100 * share[layer]:.0f} %; of all layers together it is {100 * woken.sum() / never.sum():.1f} %. "
        "Nearly all of its units fire somewhere in this text, so the few that do not are the likeliest to be rare."
    )
