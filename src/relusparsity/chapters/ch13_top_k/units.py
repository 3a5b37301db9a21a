"""Sentences of chapter 13 on units that are never chosen, on other k, and on text."""

import numpy as np
import pandas as pd
import xarray as xr

from ...claims.short import Said, listed
from ...experiments import top_k_text
from ...experiments.top_k_tuning import ARMS, DENSE, TOP_K
from ...plots.reading import how_many
from ...shapes import title
from . import phrases, read, tables


def never_chosen(dataset: xr.Dataset) -> Said:
    """How many units each arm never chooses, in which layers, and what noise in the labels does to that."""
    of = read.used(dataset)
    silent = of["silent"].mean("layer", skipna=False)
    every = [f"{arm} {phrases.spread(silent.sel(arm=arm, noise=0.0).values)}" for arm in ARMS]
    top = of["silent"].sel(arm=TOP_K, noise=0.0).mean("seed")
    more = silent.sel(arm=TOP_K, noise=0.0) - silent.sel(arm=DENSE, noise=0.0)
    there = read.known(more.values)
    where = " They are equally many in every layer." if there.size and np.ptp(top.values) == 0 else ""
    if there.size and np.ptp(top.values) > 0:
        where = (
            f" Layer {int(top.idxmax())} leaves most ({float(top.max()):.0f} %), layer {int(top.idxmin())} fewest "
            f"({float(top.min()):.0f} %)."
        )
    noisy = [
        f"{phrases.spread(silent.sel(arm=TOP_K, noise=noise).values)} with {phrases.labels(noise)}"
        for noise in of["noise"].values[1:].tolist()
    ]
    return Said(
        f"**Units that are never chosen, {phrases.labels(0.0)}: {listed(every)}.** They are more in Top-k than in "
        f"dense in {int((there > 0).sum())} of {there.size} pairs.{where} In Top-k they are "
        f"{', '.join(noisy)}. A unit that no picture chooses gets no gradient, so that nothing but decay moves it."
    )


def pattern(dataset: xr.Dataset) -> Said:
    """Whether the layers of Top-k differ in use as those of dense do, and whether k cuts at all at the end."""
    of = read.used(dataset).sel(noise=0.0)
    use = of["use"].sel(arm=[DENSE, TOP_K]).mean("seed")
    if not np.isfinite(use).all():
        return Said("**Whether the layer pattern survives is to come.**")
    spans = {arm: (float(use.sel(arm=arm).min()), float(use.sel(arm=arm).max())) for arm in (DENSE, TOP_K)}
    told = [f"{low:.1f} to {high:.1f} % of a layer's units in {arm}" for arm, (low, high) in spans.items()]
    most, ranks = of.attrs["most"], read.known(of["alike"].values)
    full = int((use.sel(arm=TOP_K) > (1 - read.ALIKE) * most).sum())
    if full == use.sizes["layer"]:
        claim, order = "Top-k levels the layers", "No order is left to compare."
    elif ranks.size:
        order = f"The layers' order in Top-k is that of dense by a rank correlation of {phrases.spread(ranks, 2, '')}."
        claim, order = "The layers still differ", order.replace("-", "−")
    else:
        claim, order = "The layers of one of the two are alike", "There is no order to compare."
    cut = (
        "In the others, at some patches, fewer units than k are above 0, and there Top-k is plain ReLU."
        if full < use.sizes["layer"]
        else "There k cuts, to the end of training."
    )
    return Said(
        f"**{claim}**: at a patch fire {' and '.join(told)}. {order} Top-k keeps {most:.1f} % at most, and in {full} "
        f"of {how_many(use.sizes['layer'], 'layer')} nearly all of it is used at the end. {cut}"
    )


def sizes(others: xr.Dataset, dataset: xr.Dataset) -> Said:
    """How accuracy goes with k, and that the other k were not tuned."""
    table = tables.sizes(others, dataset)
    told = []
    for share in table.index.unique(0):
        of = table.loc[share, "accuracy, %"]
        told.append(f"with {share} of the labels replaced {listed([f'{value} ({arm})' for arm, value in of.items()])}")
    return Said(
        f"**Other k**, percent right: {'; '.join(told)}. Mean of {how_many(others.sizes['seed'], 'seed')}. They are "
        "trained by what was chosen for d_ff/12, so this says what k does at those settings, not what each k could "
        "reach."
    )


def text(dataset: xr.Dataset) -> Said:
    """What Top-k costs in the decoder on text, and which layer is the emptiest."""
    of = top_k_text.ends(dataset)
    costs, emptiest = of["costs"].unstack("seed"), of["emptiest"].unstack("seed")
    told = [
        f"{arm} {phrases.spread(costs.loc[arm].to_numpy(), 2).replace('-', '−')}, emptiest {_layers(emptiest.loc[arm])}"
        for arm in map(str, costs.index)
        if arm != top_k_text.DENSE
    ]
    return Said(
        f"**In the decoder of Part I ({title(dataset.attrs['scale'])}) the loss ends above that of dense by**: "
        f"{'; '.join(told)}. In dense the emptiest is {_layers(emptiest.loc[top_k_text.DENSE])}."
    )


def _layers(emptiest: pd.Series) -> str:
    known = sorted(set(emptiest.dropna().astype(int)))
    return f"layer {' or '.join(map(str, known))}" if known else "layer to come"
