"""Sentences of chapter 05 whose numbers and words the recorded data choose."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ...claims.short import Said, between, listed, spread
from ...claims.table import number
from . import spared
from .figures import MOST

HALF = 0.5


def of(dataset: xr.Dataset, method: str, share: float = HALF) -> np.ndarray:
    """Cost in percent of removing `share` of all units by a method: (seed)."""
    return spared.cost(dataset).sel(chosen_by=method).isel(share=spared.at(dataset, share)).values


def least(values: np.ndarray | xr.DataArray) -> str:
    """The largest change of the loss, either way, as a sentence has it: '0.0004 %', 'under 0.001 %'."""
    most = float(np.abs(values).max())
    return "under 0.001 %" if most < 0.001 else f"{number(most)} %"


def tenths(values: np.ndarray | xr.DataArray) -> str:
    """A range to a tenth."""
    return between(np.round(np.asarray(values, dtype=float), 1))


def percent(value: float) -> str:
    """A whole number of percent: '98 %'."""
    return f"{value:.0f} %"


def split(dataset: xr.Dataset) -> Said:
    """How much text chooses the units, and how much judges them."""
    return Said(
        f"Firing is counted on {dataset.attrs['silent_sample_tokens']:,} held-out tokens. The loss is read on other "
        "text, so that no unit is judged on the text that chose it: on **C4** for Wide and Mid, which were not trained "
        f"on it, on held-out text for Laptop. The matched draw is the mean of {dataset.attrs['random_draws']} draws."
    )


def silent(models: Mapping[str, xr.Dataset]) -> Said:
    """What removing the silent units costs, on text that did not choose them."""
    most = least(np.concatenate([spared.silent_cost(dataset).values for dataset in models.values()]))
    share = {name: float(100 * spared.silent(dataset).mean()) for name, dataset in models.items()}
    exact = all(float(abs(dataset["masked_difference"]).max()) == 0 for dataset in models.values())
    bits = "leave every logit the same to the bit" if exact else "move some logits"
    said = listed([f"{percent(value)} in {name}" for name, value in share.items()])
    return Said(
        f"**Removing the silent units costs next to nothing**: it changes the loss on C4 by {most} in any seed. They "
        f"are {said}, and were silent on another text: on this one some may fire. Units silent on the very text that "
        f"is read {bits} when *masked*, with weights of zero in the same shapes; *removed*, they leave smaller "
        "matrices, whose sums a GPU (TF32, ten bits) rounds otherwise."
    )


def half(models: Mapping[str, xr.Dataset]) -> Said:
    """That the cheap half of Wide is a half of silent units."""
    low = min(float(100 * spared.silent(dataset).mean("layer").min()) for dataset in models.values())
    costs = least(np.concatenate([of(dataset, "rate") for dataset in models.values()]))
    if low < 100 * HALF:
        return Said(f"**Half of Wide's units cost {costs} of the loss.** Not all of them are silent.")
    return Said(
        "**Half of Wide's units can go at no cost that can be measured, for all of them are silent.** In every seed of "
        f"both recipes at least {percent(low)} of the units fire at no token of the sample. So up to the silent share "
        "a *ranking* by firing rate has nothing to rank."
    )


def weights(wide: Mapping[str, xr.Dataset], mid: xr.Dataset) -> Said:
    """How far the weights alone find the silent units."""
    found = listed([f"{number(float(of(dataset, 'magnitude').mean()))} %" for dataset in wide.values()])
    by, drawn = float(of(mid, "magnitude").mean()), float(of(mid, "random").mean())
    how = "more than" if by > drawn else "less than"
    return Said(
        "**Within the counts that rate sets, the smallest weights serve nearly as well in Wide; in Mid they are no "
        "guide.** By magnitude the half "
        f"costs {found} of the loss in Wide. In Mid it costs {how} the matched draw, {number(by)} against "
        f"{number(drawn)} %. Wide's silent units have lost their weights to weight decay, Mid's keep a part of theirs "
        "([chapter 3](03_neuron_death.html))."
    )


def ties(dataset: xr.Dataset, first: float = 0.1) -> Said:
    """In which order units go that never fire."""
    goes = 100 * spared.taken(dataset, first)
    alone = bool((goes.isel(layer=slice(1, None)) < 0.01).all())
    where = "all taken from layer 0" if alone else f"{between(np.round(goes.isel(layer=0)))} % of layer 0"
    return Said(
        "**Ties are cut layer by layer.** All units that never fire have the same rate, zero. The sort keeps the "
        "order in "
        f"which it finds them, from layer 0 on: the first tenth of all units of {spared.name(dataset)} is {where}. So "
        f"up "
        "to the silent share a cut shows this order, and not what a layer can spare."
    )


def matched(models: Mapping[str, xr.Dataset]) -> Said:
    """What the ties make of the matched draw, and so of what it costs."""
    said, last = [], []
    for name, dataset in models.items():
        goes = 100 * spared.taken(dataset, HALF).mean("seed")
        last.append(float(goes.isel(layer=-1)))
        most = goes[goes >= MOSTLY]
        shares = between(np.round(most.values))
        said.append(f"{shares} % of layers {listed([str(int(layer)) for layer in most['layer']])} in {name}")
    return Said(
        f"**The matched draw inherits this order, and is no random half of the model.** It takes {' and '.join(said)}"
        f"{', and none of the last layer' if max(last) < 0.05 else ''}. So its cost is probably that of a few layers "
        "nearly emptied. Broken at random, ties would spread the cut, and the matched draw would cost something else: "
        "how much is not recorded; *The same on your machine* tries it."
    )


MOSTLY = 80
"""Percent of a layer from which on a cut takes most of it."""


def beyond(models: Mapping[str, xr.Dataset]) -> Said:
    """What is judged beyond the silent share, where ties of silent units play no part."""
    below = {name: spared.below(dataset) for name, dataset in models.items()}
    cheaper = all((each.sel(chosen_by="rate") < each.sel(chosen_by="random")).all() for each in below.values())
    how = "is cheaper than the matched draw in every seed" if cheaper else "is not always cheaper than the matched draw"
    dearer = np.concatenate([_dearer(dataset) for dataset in models.values()])
    those = listed(list(dict.fromkeys(name.partition(",")[0] for name in models)))
    return Said(
        f"**Beyond the silent units the ranking is tested, and in {those} it {how}; but it is not free.** There "
        f"what goes is a unit that fires. On held-out text, nearer to the text of training, rate costs "
        f"{tenths(dearer)} times as much as on C4."
    )


def _dearer(dataset: xr.Dataset) -> np.ndarray:
    """Cost by rate on held-out text in that on C4, mean over seeds, where that is a percent or more: (share)."""
    held, c4 = (spared.cost(dataset, on).sel(chosen_by="rate").mean("seed") for on in ("heldout", "c4-eval"))
    return (held / c4).values[c4.values >= 1]


def asked(models: Mapping[str, xr.Dataset]) -> Said:
    """What the recorded shares say of row 12b, and what they cannot."""
    over, parts, rises = [], [], []
    for name, dataset in models.items():
        low = spared.below(dataset).sel(chosen_by="rate")
        over.append(bool((low > MOST).all()))
        parts.append(f"{tenths(low)} % in {name}")
        rises.append(bool((spared.cost(dataset).sel(chosen_by="rate").diff("share") > -0.01).all()))
    if not (all(over) and all(rises)):
        return Said(f"Row 12b asks for at most {MOST:g} %. Just before its point the cost is {listed(parts)}.")
    return Said(
        '<a href="../ledger.html#row-12b">Row 12b</a> asks for at most '
        f"{MOST:g} % of loss where half of the units that fire are gone too. At the largest measured share before "
        f"that, "
        f"rate already costs {listed(parts)}, and no seed's curve falls after that. So **on these seeds the first "
        f"half of "
        "row 12b would fail**. This is no verdict, for the row wants fresh seeds; and of its second half, a uniform "
        "draw "
        "that costs five times as much, these data say nothing."
    )


def laptop(dataset: xr.Dataset) -> Said:
    """What Laptop shows otherwise."""
    off = 100 * spared.silent(dataset).mean("layer")
    by = {method: float(of(dataset, method).mean()) for method in spared.NAMES}
    well = "at least as well as" if by["magnitude"] <= by["rate"] else "worse than"
    cheapest = spared.cost(dataset).mean("seed").idxmin("chosen_by")
    drawn = [percent(100 * float(share)) for share in dataset["share"][(cheapest == "random").values]]
    from_there = f" When {listed(drawn)} go, the matched draw is the cheapest of the three." if drawn else ""
    return Said(
        f"**In Laptop rates are spread out, and each step costs a little.** {tenths(off)} % of its units are silent. "
        f"Removing half of all units costs {number(by['rate'])} % of the loss on held-out text by rate and "
        f"{number(by['random'])} % by the matched draw; there the weights do {well} the rate.{from_there} Size, text "
        "and recipe all differ from Wide's."
    )


def tenth(dataset: xr.Dataset, share: float = 0.1) -> Said:
    """Answer: from where a tenth of all units comes, with ties cut by layer and at random."""
    goes, chance = (
        100 * each.mean("seed") for each in (spared.taken(dataset, share), spared.by_chance(dataset, share))
    )
    cut = [f"layer {int(at)}" for at in goes["layer"].values if float(goes.sel(layer=at)) >= 0.05]
    return Said(
        f"By layer: {listed(cut)} alone, {percent(float(goes.max()))} of its units. At random each layer would give in "
        f"proportion to its silent units: {listed([f'{float(each):.0f}' for each in chance.values])} % of layers 0 to "
        f"{int(chance['layer'][-1])}, in the mean over such draws. The loss would not change either way."
    )


def firing_hit(dataset: xr.Dataset) -> Said:
    """Answer: how many of the units that fire each kind of random half takes."""
    hit = 100 * spared.hit(dataset, HALF)
    left = 100 - 100 * spared.taken(dataset, HALF).mean("seed")
    return Said(
        f"The uniform draw, {percent(100 * HALF)} against {tenths(hit)} %: most of what the matched draw takes is "
        f"silent. "
        f"It still costs {spread(of(dataset, 'random').tolist(), ' %')} of the loss, perhaps because it leaves only "
        f"{number(float(left.min()))} % of layer {int(left.idxmin('layer'))}, chosen by chance. Which of the two costs "
        "more cannot be told from these data."
    )
