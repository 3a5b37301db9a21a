"""Sentences of chapter 01 whose words and numbers the recorded data choose."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ...claims.short import Said
from ...shapes import title
from ...store import results

SPARSE = 10
"""Percent of a layer's units at a token that the ledger's row 5 allows a sparse layer."""


def share(percent: float) -> str:
    """A percentage to the digits that matter: tenths, and hundredths below one.

    Examples
    --------
    >>> [f"{share(value)} %" for value in (0.0566, 1.96, 34.1, 99.3)]
    ['0.06 %', '2.0 %', '34 %', '99.3 %']
    """
    return f"{percent:.{2 if percent < 1 else 1 if percent < 10 or 99 <= percent < 99.95 else 0}f}"


def shares(percents: ArrayLike) -> str:
    """The smallest and the largest of several: '0.06 to 2.0'."""
    return _range([share(float(np.min(percents))), share(float(np.max(percents)))])


def losses(values: Sequence[float]) -> str:
    """Mean and range over seeds, in hundredths: '3.79 (3.78 to 3.80)'."""
    return f"{float(np.mean(values)):.2f} ({span(values)})"


def span(values: Sequence[float]) -> str:
    """The smallest and the largest loss, in hundredths: '3.78 to 3.80'."""
    return _range([f"{min(values):.2f}", f"{max(values):.2f}"])


def _range(ends: Sequence[str]) -> str:
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def before(dataset: xr.Dataset) -> np.ndarray:
    """Token use of each layer before the first step, in percent, mean over seeds: (layer)."""
    return 100 * dataset["token_use"].isel(step=0).astype(float).mean("seed").values


def after(dataset: xr.Dataset) -> np.ndarray:
    """Token use of each layer of the trained model on the final held-out sets, in percent, mean over seeds: (layer)."""
    return 100 * dataset["final_token_use"].astype(float).mean("seed").values


def ended(dataset: xr.Dataset) -> list[float]:
    """Loss of each seed on the final held-out sets, nats per token."""
    return [float(value) for value in dataset["final_loss"].values]


def guessing(dataset: xr.Dataset) -> float:
    """Loss of giving every type of the vocabulary the same probability, nats per token."""
    return float(np.log(results.provenance(dataset)["config"]["model"]["vocab_size"]))


def sparse(*datasets: xr.Dataset) -> Said:
    """What training does to token use, the widest model first."""
    wide, *others = datasets
    units, least = wide.attrs["d_ff"], int(after(wide).argmin())
    most = [
        f"layer {after(data).argmax()} of {title(data.attrs['scale'])} uses {share(float(after(data).max()))} %"
        for data in others
    ]
    few = [title(data.attrs["scale"]) for data in datasets if after(data).max() <= SPARSE]
    return Said(
        f"**Training makes every layer of {' and '.join(few)} sparse at a token.** With random weights "
        f"{shares(before(wide))} % of a layer's units fire at a token of Wide. After training {shares(after(wide))} % "
        f"do: in layer {least}, {firing(wide)[least]:.0f} of {units:,} units. Of the smaller models the fullest layers "
        f"keep more: {' and '.join(most)}."
    )


def firing(dataset: xr.Dataset) -> np.ndarray:
    """How many units of each layer fire at a token, after training: (layer)."""
    return after(dataset) * dataset.attrs["d_ff"] / 100


def unused(dataset: xr.Dataset) -> Said:
    """How few units of untrained layers are silent over a batch."""
    use = 100 * dataset["batch_use"].isel(step=0).astype(float).mean("seed").values
    name = title(dataset.attrs["scale"])
    return Said(
        "Before the first step weights are symmetric about zero and biases are zero, so a pre-activation is as likely "
        f"positive as negative: hence the half. Over a batch, untrained layers of {name} use {shares(use)} % of their "
        "units. What lies below these values was made by training."
    )


def learned(*datasets: xr.Dataset) -> Said:
    """How far the final loss lies below that of guessing, and how far the seeds of a model differ."""
    below = {title(data.attrs["scale"]): guessing(data) - float(np.mean(ended(data))) for data in datasets}
    (first, far), *others = below.items()
    rest = "".join(f", {name}'s {value:.1f}" for name, value in others)
    spread = max(np.ptp(ended(dataset)) for dataset in datasets)
    return Said(
        "**The models learn.** Guessing costs the logarithm of the vocabulary's size. The final loss of "
        f"{first} lies {far:.1f} nats per token below that{rest}. The seeds of a model end within {spread:.2f} of each "
        "other."
    )


def memory(*datasets: xr.Dataset) -> Said:
    """Whether the final loss parts from the loss on the last training text, and how often that text was read."""
    gaps, times = [], {}
    for dataset in datasets:
        trained = dataset["train_loss"].isel(step=-1).astype(float).values
        gaps.append(float(np.mean(np.array(ended(dataset)) - trained)))
        times[title(dataset.attrs["scale"])] = passes(dataset)
    first, *rest = times
    parts = [f"{first} reads its text {times[first]}", *(f"{name} {times[name]}" for name in rest)]
    apart = " and ".join(f"{gap:.2f}".replace("-", "−") + f" in {name}" for name, gap in zip(times, gaps, strict=True))
    what = (
        "so memory plays hardly any part in what is said of held-out text"
        if max(gaps) < 0.05
        else "so a part of what is said of held-out text may be an effect of memory"
    )
    return Said(
        f"{', '.join(parts)}. The final loss minus the loss on the last training text, in nats per token, is {apart}, "
        f"{what}."
    )


def passes(dataset: xr.Dataset) -> str:
    """How often a run reads its training text, in words: '2.6 times', 'less than once'."""
    times = read(dataset)
    return "less than once" if times < 1 else f"{times:.1f} times"


def read(dataset: xr.Dataset) -> float:
    """How many times a run goes through its training text."""
    facts = results.provenance(dataset)
    return float(facts["config"]["train"]["tokens"] / facts["corpus"]["train_tokens"])


def gelu(dataset: xr.Dataset) -> Said:
    """GELU beside ReLU, of the chapter's own dataset: loss and what training does to its activations above zero."""
    loss = dataset["final_loss"].astype(float)
    relu = [float(value) for value in loss.sel(activation="relu").dropna("seed").values]
    one = loss.sel(activation="gelu").dropna("seed")
    seeds, value = one["seed"].values.tolist(), float(one.mean())
    same = float(loss.sel(activation="relu", seed=seeds).mean())
    place = (
        f"worse than {_all(len(relu))} of ReLU"
        if value > max(relu)
        else f"better than {_all(len(relu))} of ReLU"
        if value < min(relu)
        else "among those of ReLU"
    )
    one_or_more = "The one seed of GELU ends" if len(seeds) == 1 else f"The {len(seeds)} seeds of GELU end"
    return Said(
        f"**{one_or_more} {place}.** GELU was trained for comparison, everything else equal, and no "
        f"verdict depends on it. It ends at {value:.2f} nats per token, ReLU at {span(relu)}, with the same seed at "
        f"{same:.2f}. {'One seed does' if len(seeds) == 1 else 'So few seeds do'} not bound the difference."
    )


def _all(count: int) -> str:
    return {1: "the one", 2: "both", 3: "all three"}.get(count, f"all {count}")


def two_losses(*datasets: xr.Dataset) -> Said:
    """How the two held-out losses differ: that of the curves, and the final one."""
    gaps = [float(np.mean(ended(data)) - data["heldout_loss"].isel(step=-1).astype(float).mean()) for data in datasets]
    few, many = datasets[0].attrs["sample_tokens"], datasets[0].attrs["final_sample_tokens"]
    way = "higher" if min(gaps) > 0 else "lower" if max(gaps) < 0 else "apart"
    by = span([abs(gap) for gap in gaps])
    return Said(
        "There are two held-out losses. The *final loss* is measured once, after the last step, in float32, on "
        f"{many:,} tokens of Wide's text; prose and tables use it. The curves of figures, and *before* in the table, "
        f"are read in the precision of training on the first {few:,} of them. At the end of training the final loss is "
        f"{by} nats per token {way}."
    )


def answer_units(dataset: xr.Dataset) -> Said:
    """The answer to the first exercise."""
    count = firing(dataset)
    most, least = int(count.argmax()), int(count.argmin())
    return Said(
        f"It is layer {most}, with {count[most]:,.0f} of {dataset.attrs['d_ff']:,} units. Layer {least} has "
        f"{count[least]:,.0f}. All layers together have {count.sum():,.0f} of {count.size * dataset.attrs['d_ff']:,}."
    )


def answer_losses(one: xr.Dataset, other: xr.Dataset) -> Said:
    """The answer to the second exercise."""
    names = [title(dataset.attrs["scale"]) for dataset in (one, other)]
    guess = [guessing(dataset) for dataset in (one, other)]
    bits = [float(dataset["final_bits_per_byte"].astype(float).mean()) for dataset in (one, other)]
    better = names[int(np.argmin(bits))]
    return Said(
        f"No. {names[0]} chooses among {np.exp(guess[0]):,.0f} types, where guessing costs {guess[0]:.1f} nats, "
        f"{names[1]} among {np.exp(guess[1]):,.0f}, where it costs {guess[1]:.1f}; and their tokens are of different "
        f"length. In bits per byte of text {better} is the better: {bits[0]:.2f} and {bits[1]:.2f}. Even these compare "
        "two texts as much as two models."
    )
