"""Sentences of chapter 09 on outliers: forks with larger gradients, or without the largest."""

import numpy as np
import xarray as xr
from scipy.stats import norm

from ...claims.short import Said
from ...experiments import forked, outliers, written
from ...plots.reading import how_many

NORMAL = float(np.exp(-(norm.ppf(0.99) ** 2) / 2))
"""Share of the falls that lies in the largest hundredth of steps which are normal around zero: φ(z₀.₉₉) / φ(0)."""


def said(dataset: xr.Dataset) -> Said:
    """What rare large gradients do to deaths in the seeds that have run, and how a dying unit falls.

    Parameters
    ----------
    dataset : Dataset
        Of `outliers`; seeds may be missing.
    """
    if waits := written.waits(dataset, *outliers.ARMS):
        return Said(waits)
    clipless, tenfold, largest, drawn = (
        _known(outliers.ratio(dataset, arm))
        for arm in (outliers.UNCLIPPED, outliers.TENFOLD, outliers.LARGEST, outliers.DRAWN)
    )
    dying, living = (_known(outliers.median(dataset, outliers.UNTREATED, dead)) for dead in (True, False))
    loss = dataset["final_loss"].astype(float)
    worse = _known(100 * (loss.sel(arm=outliers.TENFOLD) / loss.sel(arm=outliers.UNCLIPPED) - 1).values)
    seeds = len(tenfold)
    way = "more" if tenfold.min() > 1 else "fewer" if tenfold.max() < 1 else "now more, now fewer"
    missing = forked.SEEDS - seeds
    waits = f" Row 11b asks for {forked.SEEDS} seeds, so it stays open." if missing else ""
    kills = outliers.raised(dataset)[1]
    if kills is False:
        waits = (
            f" Row 11b first asks that such gradients raise deaths to {outliers.RAISED:g} times or more, so that they "
            "show that outliers can kill. They do not, and the row is **not testable** here: that capped updates leave "
            "as many deaths then says little."
        )
    return Said(
        f"**With ten times as large gradients in 1 % of the batches {way} units die**: {_range(tenfold)} times as many "
        f"in {'all' if not missing else 'the'} {how_many(seeds, 'seed')}{' that have run' * bool(missing)}, and the "
        f"loss ends {_range(worse, 1)} % higher, so that they train another model, too. Without "
        f"clipping alone it is {_range(clipless)}; without the hundredth of the batches with the largest gradients "
        f"{_range(largest)}, and without as many drawn ones {_range(drawn)}. Of the falls of the median dying unit "
        f"{_range(dying, 0)} % lie in the largest hundredth of its steps, of a living one {_range(living, 0)} %; with "
        f"falls of one size it would be 1, with normal steps around zero {100 * NORMAL:.1f}.{waits}"
    )


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _range(values: np.ndarray, digits: int = 2) -> str:
    low, high = (f"{end:.{digits}f}" for end in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"
