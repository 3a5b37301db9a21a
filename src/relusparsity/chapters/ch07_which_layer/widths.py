"""Chapter 07: what the runs that tell width and parametrisation apart say so far."""

import xarray as xr

from ...claims.short import Said
from ...experiments import arms, width_or_rate
from . import words

BASE, SLOW, LARGER = (
    width_or_rate.named(8192, *of) for of in (("Xavier", "same"), ("Xavier", "÷ width"), ("0.02", "same"))
)
"""*first* itself, with slower output matrices, and with larger initial matrices in the MLPs."""

SEEDS = 3
"""Of each arm, in the end."""


def begun(dataset: xr.Dataset) -> Said:
    """How many of the runs there are, and what the slower output matrices and the larger initial weights do.

    Means over the seeds in which all three of `BASE`, `SLOW` and `LARGER` ran.
    """
    ends = arms.ends(dataset)
    ran = ends["loss"].notna()
    seeds = set.intersection(*(set(ran.loc[arm].index[ran.loc[arm]]) for arm in (BASE, SLOW, LARGER)))
    mean = {arm: ends.loc[arm].loc[sorted(seeds)].mean() for arm in (BASE, SLOW, LARGER)}
    lost = width_or_rate.lost(dataset).sel(layer=5, seed=sorted(seeds)).mean("seed")
    layers = [f"U_{layer}" for layer in dataset["layer"].values]
    slow, base = (words.rounded([float(mean[arm][layer]) for layer in layers]) for arm in (SLOW, BASE))
    early = [f"{float(lost.sel(recipe=arm)):.1f}" for arm in (BASE, SLOW, LARGER)]
    end = 100 - mean[BASE]["U_5"]
    refills = (
        " So in Mid the layer is still filling again after the first dip, and these runs show no early wave."
        if float(lost.sel(recipe=BASE)) > end
        else ""
    )
    return Said(
        f"Of the {len(width_or_rate.ARMS) * SEEDS} runs that test this guess, {int(ran.sum())} have ended. In Mid "
        f"({words.seeds(len(seeds))}, 8,192 units), with the second matrix of each MLP at a quarter of the rate, "
        f"layers 0 to {len(layers) - 1} end at {slow} % instead of {base} %, at a loss of {mean[SLOW]['loss']:.2f} "
        f"instead of {mean[BASE]['loss']:.2f}. At {width_or_rate.WAVE / 1e6:g} million tokens, where we read the "
        f"early wave, {early[0]} % of layer 5's units are out of use by *first* itself (at the end {end:.1f} %), "
        f"{early[1]} % with the slower matrices, {early[2]} % where the MLPs' matrices start at standard "
        f"deviation 0.02, more than Xavier's.{refills}"
    )
