"""Sentences of chapter 07 on layers whose input was treated; the recorded data choose the words."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pandas as pd
import xarray as xr

from ...claims.reading import Reading
from ...claims.short import Said, between, listed
from ...claims.table import number
from ...experiments import dissociation
from . import trajectories
from .words import COUNTED, millions, rounded, seeds

READ = ((1, "centre", "centred"), (5, "add 2", "with the vector"))
"""Layer, treatment and its word, of what row 15 reads."""

FAR = 10
"""Points of batch use by which a layer must move for a sentence to say so."""


def read(dataset: xr.Dataset) -> list[Reading]:
    """Row 15's readings of the seeds that have run."""
    return [reading for reading in dissociation.judge(dataset).readings if reading.holds is not None]


def values(readings: Sequence[Reading], label: str) -> list[float]:
    """One value of row 15's readings, seed by seed."""
    return [float(reading.values[label]) for reading in readings]


def moved(readings: Sequence[Reading], layer: int) -> list[float]:
    """By what share (percent) of its treatment's move the placebo moves a layer, seed by seed."""
    twin, treated, placebo = (
        values(readings, dissociation.label(layer, arm)) for arm in ("twin", "treated", "placebo")
    )
    return [100 * abs(p - a) / abs(b - a) for a, b, p in zip(twin, treated, placebo, strict=True)]


def dissociated(dataset: xr.Dataset) -> Said:
    """What happened to the two layers that row 15 reads."""
    some = read(dataset)
    of = {
        (layer, arm): rounded(values(some, dissociation.label(layer, arm)))
        for layer in (1, 5)
        for arm in ("twin", "treated", "placebo")
    }
    return Said(
        "**Each treatment moves its layer far.** Layer 1 ends with "
        f"{of[1, 'twin']} % of its units in use untreated, with {of[1, 'treated']} % centred; layer 5 with "
        f"{of[5, 'twin']} % untreated, with {of[5, 'treated']} % with the vector ({seeds(len(some))}).{_dip(dataset)}"
    )


def _dip(dataset: xr.Dataset) -> str:
    """That the centred layer emptied on the way and came back, where it did: mean of the seeds."""
    layer, treatment, word = READ[0]
    use = 100 * dataset["batch_use"].astype(float).sel(recipe=f"{treatment}, layer {layer}", layer=layer).mean("seed")
    tokens = dataset["tokens"].values
    after = use.values[tokens >= trajectories.LATER]  # before, every layer dips
    if after[-1] - after.min() < FAR:
        return ""
    at = tokens[tokens >= trajectories.LATER][after.argmin()]
    return (
        f" On the way the {word} layer falls to {number(round(float(after.min())))} %, at {millions(float(at))} "
        "million tokens, and comes back."
    )


def checked(dataset: xr.Dataset) -> Said:
    """Whether the treatments did to γ what they should, and what their placebos did to it."""
    gamma = dataset["gamma"].astype(float).isel(step=-1)
    said, against = [], []
    for layer, treatment, word in READ:
        arms = [dissociation.TWIN, f"{treatment}, layer {layer}", f"{treatment}, placebo, layer {layer}"]
        ran = gamma.sel(layer=layer, recipe=arms).dropna("seed").mean("seed").values
        twin, treated, placebo = (f"{value:.2f}" for value in ran)
        said.append(f"γ of layer {layer} is {twin} untreated, {treated} {word} and {placebo} with the placebo")
        (before, _, end), _ = paired(dataset, layer, treatment, f"{treatment}, placebo")
        if ran[2] < ran[0] and before - end >= FAR:
            against.append(str(layer))
    emptier = (
        f" So the placebo lowers γ of layer{'s' if len(against) > 1 else ''} {' and '.join(against)}, and empties "
        f"{'them' if len(against) > 1 else 'it'}: γ need not be large for a layer to empty."
        if against
        else ""
    )
    return Said(f"**Did the treatments do what they should?** At the end {'; '.join(said)}.{emptier}")


def placebos(dataset: xr.Dataset) -> Said:
    """What the placebos did, and what row 15 says."""
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
        f"{word}They end layer 1 at {rounded(values(some, dissociation.label(1, 'placebo')))} % and layer 5 at "
        f"{rounded(values(some, dissociation.label(5, 'placebo')))} %: "
        f"{between(np.round(shares[1]))} % and {between(np.round(shares[5]))} % of what the "
        f"treatments do, {how}. {verdict(dataset)}"
    )


def judged(dataset: xr.Dataset) -> Said:
    """What row 15's treatments and placebos did, in three paragraphs."""
    return Said("\n\n".join(said(dataset).text for said in (dissociated, placebos, checked)))


def written(dataset: xr.Dataset) -> Said:
    """How many of the intervals written before the runs hold, and which way the others of added vectors fail."""
    table = dissociation.predicted(dataset)
    added = table["arm"].str.startswith("add")
    held = [f"{int(part['holds'].sum())} of {len(part)}" for part in (table[~added], table[added])]
    failed = table[added & (table["holds"] == False)]  # noqa: E712, None is neither
    further = sum(row["came"] < float(row["written before"].split("–")[0]) for _, row in failed.iterrows())
    return Said(
        f"Of the intervals that we wrote before the runs, {held[0]} hold for centred and untreated layers and "
        f"{held[1]} for added vectors; of the {len(failed)} that fail, {further} expected the layer to end fuller."
    )


def verdict(dataset: xr.Dataset) -> str:
    """The ledger's word for row 15, and what the centred layer does of what the row asks."""
    some = read(dataset)
    held, word = sum(bool(reading.holds) for reading in some), dissociation.verdict(dissociation.judge(dataset))
    short = [number(value) for value in values(some, dissociation.label(1, "treated")) if value < 90]
    low = f"; in {seeds(len(short))} the centred layer 1, too, ends under the 90 % asked for" if short else ""
    of = f"{COUNTED[held]} of {seeds(len(some))}" if held else "no seed"
    return f"Row 15 is {word}: it holds in {of}{low}."


def paired(dataset: xr.Dataset, layer: int, *treatments: str) -> tuple[list[float], int]:
    """A layer's use (percent) at the end, untreated and by treatments of it: means over the seeds in which all ran."""
    use = 100 * dataset["final_batch_use"].astype(float).mean("set").sel(layer=layer)
    arms = [dissociation.TWIN, *(f"{treatment}, layer {layer}" for treatment in treatments)]
    all_ran = use.sel(recipe=arms).dropna("seed")
    return all_ran.mean("seed").values.tolist(), all_ran.sizes["seed"]


def further(dataset: xr.Dataset) -> Said:
    """What follows from the other arms, in three paragraphs."""
    return Said("\n\n".join(said(dataset).text for said in (whole, others, written)))


def whole(dataset: xr.Dataset) -> Said:
    """What the placebos say of the chapter's own test: whether layers fill and empty by what all tokens share."""
    gamma = dataset["gamma"].astype(float).isel(step=-1).mean("seed")
    (twin, _, filled), _ = paired(dataset, 0, "centre", "centre, placebo")
    shared = [float(gamma.sel(recipe=arm, layer=0)) for arm in (dissociation.TWIN, "centre, placebo, layer 0")]
    emptied, less = [], []
    for layer in dissociation.LAYERS:
        (before, _, after), _ = paired(dataset, layer, "add 2", "add 2, placebo")
        left, whole = (
            float(gamma.sel(recipe=arm, layer=layer)) for arm in (f"add 2, placebo, layer {layer}", dissociation.TWIN)
        )
        if before - after >= FAR and left < whole:
            emptied.append((layer, after))
            less.append(f"{left:.2f} of {whole:.2f}")
    if not (filled - twin >= FAR and shared[1] > shared[0] / 2 and emptied):
        return Said("The placebos do not tell direction and size apart.")
    which = listed([str(layer) for layer, _ in emptied])
    return Said(
        f"**By the test at the top the claim fails.** Under centring's placebo layer 0 fills to {filled:.0f} % with "
        f"its common direction nearly whole (γ {shared[1]:.2f}, untreated {shared[0]:.2f}). Under the vector's, layers "
        f"{which} empty to {rounded([use for _, use in emptied])} % with less of it than untreated ({listed(less)})."
    )


def beside(dataset: xr.Dataset) -> pd.DataFrame:
    """Treatments beside their placebos: batch use of the treated layer at the end, percent, and the placebo's share."""
    rows = {}
    for treatment, layer in product(("centre", "add 2"), dissociation.LAYERS):
        (twin, treated, placebo), count = paired(dataset, layer, treatment, f"{treatment}, placebo")
        rows[f"{treatment}, layer {layer}"] = {
            "untreated": f"{twin:.1f}",
            "treated": f"{treated:.1f}",
            "placebo": f"{placebo:.1f}",
            "placebo's share of the move": f"{100 * (placebo - twin) / (treated - twin):.0f} %",
            "seeds": count,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("treatment")


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
    first = [of(treatment, 0) for treatment in ("add 0.5", "add 1")]
    before = float(end.sel(recipe=dissociation.TWIN, layer=0))
    fuller = (
        f" Not so in layer 0: a half and one leave it a little fuller ({rounded(first)} %, untreated {before:.0f} %)."
        if min(first) > before
        else ""
    )
    return Said(
        "A vector along the mean does what one across it does, at two standard deviations and within "
        f"{number(round(apart, 1))} points "
        f"({seeds(min(runs))}). With vectors of a half, one and two standard deviations layer 5 ends at "
        f"{rounded(weaker)} %: {'the longer, the emptier' if rises else 'not always the longer, the emptier'}.{fuller}"
    )
