"""What chapter 7 found."""

import xarray as xr

from ... import store
from ...claims.short import Short
from ...experiments import other_half
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
    of = {arm: words.rounded(treatments.values(some, arm)) for arm in some[0].values}
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
            f"With that mean taken out of its input, layer 1 ends at {of['U_1, treated (%)']} % instead of "
            f"{of['U_1, twin (%)']} %; with a vector added to its input, layer 5 ends at {of['U_5, treated (%)']} "
            f"% instead "
            f"of {of['U_5, twin (%)']} % ({words.seeds(len(some))}).",
            f"Their placebos end at {of['U_1, placebo (%)']} % and at {of['U_5, placebo (%)']} %."
            f"{_alike(treated)} {treatments.verdict(treated)}",
        ),
    )


def _alike(treated: xr.Dataset) -> str:
    """In which layers a placebo does as much as its treatment, where there are some."""
    where = sorted({layer for layer, *_ in treatments.alike(treated)})
    if not where:
        return ""
    named = " and ".join(map(str, where))
    return (
        f" In layer{'s' if len(where) > 1 else ''} {named} a placebo does nine tenths or more of what its treatment "
        "does: by the chapter's own test a common direction is not the cause there."
    )
