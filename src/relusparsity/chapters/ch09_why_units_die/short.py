"""What chapter 9 found, and what it still has to find."""

from ... import store
from ...claims.short import Short
from ...experiments import attribution, outliers, sealing
from ...plots.reading import how_many
from . import effects, revivals, words
from .figures.forks import interval


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    mid = store.recorded("attribution", "mid")
    exchange = attribution.named(words.POINT, "exchange")
    low, high = interval(attribution.overall(mid).sel(arm=exchange).values)
    of = attribution.attributable(mid).sel(arm=exchange).mean("seed")
    said = ", ".join(words.changed(float(of.sel(layer=at)), at) for at in words.with_enough(mid, words.POINT))
    path = attribution.counts(mid, exchange)["path, relative"]
    less, more = attribution.equivalent(mid, words.POINT)
    tenfold = outliers.ratio(store.recorded("outliers", "mid"), outliers.TENFOLD).mean()
    back = {name: of.mean() for name, of in revivals.shares(store.recorded("sealing", "mid"), sealing.LAYER).items()}
    return Short(
        f"In Mid ({how_many(mid.sizes['seed'], 'seed')}), giving a tenth of the units the updates of others that fire "
        f"about as often takes away {100 * low:.0f} to {100 * high:.0f} % of their deaths (95 %): {said}.",
        (
            "No verdict on *death is not random*: the exchanged updates add up to a path (the sum of their lengths) "
            f"{100 * path.min():.0f} to {100 * path.max():.0f} % longer than without, and row 10b of the ledger allows "
            f"{100 * attribution.PATH:.0f} %.",
            f"Shortening the longest hundredth of the updates leaves {less:.2f} to {more:.2f} times as many deaths "
            "(90 %). No verdict on *death is not the work of outliers* either: gradients ten times as large, now and "
            f"then, leave {tenfold:.2f} times as many, so outliers have not been seen to kill (row 11b).",
            f"In Mid, of layer {sealing.LAYER}'s dead units {back[effects.FREE]:.1f} % fire again within "
            f"{sealing.STEPS:,} steps, and {back[effects.STILL]:.1f} % where neither they nor their input can change: "
            "most of these had only been rare. Too few are left to test why the dead stay dead (row 16).",
        ),
    )
