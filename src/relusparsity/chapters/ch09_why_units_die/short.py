"""What chapter 9 found, and what it still has to find."""

from ... import store
from ...claims.short import Short
from ...experiments import attribution
from ...plots.reading import how_many
from . import effects, experiment, words
from .figures.forks import interval


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    mid, laptop = store.recorded("attribution", "mid"), store.recorded(experiment.NAME, "laptop")
    exchange = attribution.named(words.POINT, "exchange")
    low, high = interval(attribution.overall(mid).sel(arm=exchange).values)
    of = attribution.attributable(mid).sel(arm=exchange).mean("seed")
    said = ", ".join(words.changed(float(of.sel(layer=at)), at) for at in words.with_enough(mid, words.POINT))
    path = attribution.counts(mid, exchange)["path, relative"]
    less, more = attribution.equivalent(mid, words.POINT)
    back = effects.of_revivals(laptop, experiment.LAYER, experiment.TWIN)
    free, frozen = (
        100 * float((back["came_back"].sum("seed") / back["dead"].sum("seed")).sel(fork=fork))
        for fork in (effects.FREE, effects.FROZEN)
    )
    return Short(
        f"In Mid ({how_many(mid.sizes['seed'], 'seed')}), giving a tenth of the units the updates of others that fire "
        f"about as often takes away {100 * low:.0f} to {100 * high:.0f} % of their deaths (95 %): {said}.",
        (
            "No verdict on *death is not random*: the exchanged updates add up to a path (the sum of their lengths) "
            f"{100 * path.min():.0f} to {100 * path.max():.0f} % longer than without, and row 10b of the ledger allows "
            f"{100 * attribution.PATH:.0f} %.",
            f"Shortening the longest hundredth of the updates leaves {less:.2f} to {more:.2f} times as many deaths "
            "(90 %). That is one of three parts of *death is not the work of outliers*; the others have not run.",
            f"In Laptop (one seed) {free:.0f} % of layer {experiment.LAYER}'s dead units fire again within "
            f"{experiment.STEPS} steps, {frozen:.0f} % when everything before the layer stands still.",
        ),
    )
