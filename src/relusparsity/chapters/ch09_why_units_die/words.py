"""Sentences of chapter 09 on what was forked on this machine; the dataset chooses the words."""

import numpy as np
import xarray as xr

from ...claims.short import Said
from ...plots.reading import how_many
from . import effects


def cannot_say(dataset: xr.Dataset, point: str) -> Said:
    """What forks of one small run leave open, with the numbers that make it so.

    Parameters
    ----------
    dataset : Dataset
        Of the chapter's experiment.
    """
    found = effects.of_controls(dataset, point)
    deaths = found["died"].isel(fork=0).sum("seed", skipna=False)
    none = [str(layer) for layer, died in zip(deaths["layer"].values, deaths.values, strict=True) if died == 0]
    control = str(found["control"].values[0])
    low, high = by_counting(float(deaths.sum()), float(found["died"].sel(fork=control).sum()))
    said = [f"{_layers(none)} no treated unit dies, so nothing is known there."] if none else []
    of = found.sel(control=control).mean("seed")
    if not bool(found["counts"].sel(control=control).all()):
        said.append(
            f"By the rule of row 10b {control} would not count here: the loss ends {_signed(of['loss'])} % from the "
            f"twin's, and the way that its treated units go is {_signed(of['path'])} % from theirs in the twin "
            "(at most 1 and 5 %)."
        )
    said += [
        f"In all layers {deaths.sum().item():.0f} treated units die in the twin: counting alone leaves what {control} "
        f"takes away uncertain, from {100 * low:.0f} to {100 * high:.0f} %".replace("-", "−")
        + f" (95 %), and {how_many(found.sizes['seed'], 'seed')} cannot say what another seed would do.",
        "A fork of this length sees units die, not whether they stay dead.",
    ]
    return Said("**What these forks cannot say.** " + " ".join(said))


def _signed(share: xr.DataArray) -> str:
    return f"{100 * float(share):+.1f}".replace("-", "−")


def _layers(numbers: list[str]) -> str:
    if len(numbers) == 1:
        return f"In layer {numbers[0]}"
    return f"In layers {', '.join(numbers[:-1])} and {numbers[-1]}"


def by_counting(without: float, with_it: float) -> tuple[float, float]:
    """A fraction taken away, 1 − with_it / without, give or take what chance alone does to two independent counts.

    95 %, by the delta method for the logarithm of the ratio of two Poisson counts: Var ≈ 1/a + 1/b. Ours is generous,
    for a control and its twin begin from one state.

    Examples
    --------
    >>> tuple(round(end, 2) for end in by_counting(100, 50))
    (0.3, 0.64)
    """
    if not without or not with_it:
        return np.nan, np.nan
    ratio, half = with_it / without, 1.96 * np.sqrt(1 / without + 1 / with_it)
    return float(1 - ratio * np.exp(half)), float(1 - ratio * np.exp(-half))
