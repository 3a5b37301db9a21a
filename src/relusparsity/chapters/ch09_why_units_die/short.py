"""What chapter 9 found, and what it still has to find."""

from ... import store
from ...claims.short import Short
from . import effects, experiment, words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    laptop = store.recorded(experiment.NAME, "laptop")
    found = effects.of_controls(laptop, experiment.POINT).sel(control="exchange")
    died = found["died"].sum(["layer", "seed"])
    without, with_it = int(died.isel(fork=0)), int(died.sel(fork="exchange"))
    parts = words.by_cause(laptop)
    most = int((parts.sel(cause="data") < parts.drop_sel(cause="data").min("cause")).sum())
    low, high = words.by_counting(without, with_it)
    back = effects.of_revivals(laptop, experiment.LAYER, experiment.TWIN)
    free, frozen = (
        100 * float((back["came_back"].sum("seed") / back["dead"].sum("seed")).sel(fork=fork))
        for fork in (effects.FREE, effects.FROZEN)
    )
    return Short(
        f"In our smallest model (Laptop, one seed) {without} treated units die when left alone, and {with_it} when "
        "each gets the updates of another that fires about as often. Whether a unit's own drift kills, or exchange "
        "keeps the silent moving, this cannot tell; the test that decides, in Mid, has not run.",
        (
            f"In {most} of {parts.sizes['unit']} units followed to their death, the updates that the data make "
            "lowered the mean pre-activation, by more than weight decay or the change of their input did.",
            f"Exchange takes away {100 * (1 - with_it / without):.0f} % of the deaths ({100 * low:.0f} to "
            f"{100 * high:.0f} % by counting alone). It also makes the path of the treated units longer than row 10b "
            "of the ledger allows, so that this is no verdict.",
            f"Of layer {experiment.LAYER}'s dead units {free:.0f} % fire again within {experiment.STEPS} steps, "
            f"{frozen:.0f} % when everything before the layer stands still.",
        ),
    )
