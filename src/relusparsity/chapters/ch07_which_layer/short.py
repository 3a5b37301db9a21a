"""What chapter 7 found."""

import numpy as np

from ... import store
from ...claims.short import Short, between
from ...experiments import dissociation, other_half
from ...plots.recipes import FULL
from . import trajectories, treatments, words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    cells = other_half.both(*(store.recorded(name, "mid") for name in ("factorial", "other_half")))
    counts: dict[int, int] = {}
    for (_, _, layer), n in words.lowest(cells).items():
        if layer is not None:
            counts[layer] = counts.get(layer, 0) + n
    named = trajectories.named(cells)
    early = named.sel(step=named["step"][int(abs(named["tokens"].values - cells["tokens"].values[-1] / 4).argmin())])
    treated = store.recorded("dissociation", "mid")
    some = treatments.read(treated)
    moved = {layer: treatments.moved(some, layer) for layer in (1, 5)}
    of = {
        (layer, arm): words.rounded(treatments.values(some, dissociation.label(layer, arm)))
        for layer in (1, 5)
        for arm in ("twin", "treated")
    }
    return Short(
        f"The recipe decides which layer empties: of {cells.sizes['recipe']} recipes for Mid (6 × 8,192 units), "
        f"{sum(counts.values())} end with a layer under {100 * FULL:g} %, and the emptiest is "
        + ", ".join(f"layer {layer} in {counts[layer]}" for layer in sorted(counts))
        + ".",
        (
            "γ is how large the mean of a layer's input is beside its spread. After a quarter of the training the "
            "layer of "
            f"the largest γ is the one that ends emptiest in {int(early['largest'])} of {named.attrs['runs']} "
            f"runs, and one of the two largest is in {int(early['two'])}; the emptiest layer by then is in "
            f"{int(early['so_far'])} (seen after the fact).",
            f"With that mean taken out of its input, layer 1 ends at {of[1, 'treated']} % instead of "
            f"{of[1, 'twin']} %; with a vector added to its input, layer 5 ends at {of[5, 'treated']} "
            f"% instead "
            f"of {of[5, 'twin']} % ({words.seeds(len(some))}).",
            f"Placebos, which add the same with a random sign at each token, do {between(np.round(moved[1]))} % of "
            f"what centring does to layer 1 and {between(np.round(moved[5]))} % of what the vector does to layer 5; "
            f"row 15, a claim of ours, allows a quarter. {treatments.verdict(treated)}",
        ),
    )
