"""Chapter 07: what the runs that tell width and parametrisation apart say so far."""

import xarray as xr

from ...claims.short import Said
from ...experiments import arms, width_or_rate
from . import words

BASE, SLOW, SMALL = (
    width_or_rate.named(8192, *of) for of in (("Xavier", "same"), ("Xavier", "÷ width"), ("0.02", "same"))
)
"""*first* itself, with slower output matrices, and with another scale of the MLPs' matrices."""

SEEDS = 3
"""Of each arm, in the end."""


def begun(dataset: xr.Dataset) -> Said:
    """How many of the runs there are, and what the slower output matrices and the smaller initial weights do.

    Means over the seeds in which all three of `BASE`, `SLOW` and `SMALL` ran.
    """
    ends = arms.ends(dataset)
    ran = ends["loss"].notna()
    seeds = set.intersection(*(set(ran.loc[arm].index[ran.loc[arm]]) for arm in (BASE, SLOW, SMALL)))
    mean = {arm: ends.loc[arm].loc[sorted(seeds)].mean() for arm in (BASE, SLOW, SMALL)}
    lost = width_or_rate.lost(dataset).sel(layer=5, seed=sorted(seeds)).mean("seed")
    moves = {layer: mean[SLOW][f"U_{layer}"] - mean[BASE][f"U_{layer}"] for layer in dataset["layer"].values}
    most = sorted(moves, key=lambda layer: -abs(moves[layer]))[:2]
    said = " and ".join(
        f"layer {layer} at {mean[SLOW][f'U_{layer}']:.0f} instead of {mean[BASE][f'U_{layer}']:.0f} %"
        for layer in sorted(most)
    )
    early = [f"{float(lost.sel(recipe=arm)):.1f}" for arm in (BASE, SLOW, SMALL)]
    return Said(
        f"Of the {len(width_or_rate.ARMS) * SEEDS} runs that test this guess, {int(ran.sum())} have ended. In Mid "
        f"({words.seeds(len(seeds))}, 8,192 units), output matrices that learn at a quarter of the rate end {said}, "
        f"at a loss of {mean[SLOW]['loss']:.2f} instead of {mean[BASE]['loss']:.2f}. By "
        f"{width_or_rate.WAVE / 1e6:g} million tokens layer 5 has lost {early[0]} % of its units, with the slower "
        f"matrices {early[1]} %, with weights of standard deviation 0.02 instead of Xavier's {early[2]} %."
    )
