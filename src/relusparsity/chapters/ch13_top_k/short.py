"""What chapter 13 found, and what it still has to find."""

import xarray as xr

from ... import store
from ...claims.short import Short
from ...experiments import top_k
from ...experiments.top_k_tuning import DENSE, DROPOUT, TOP_K, named
from . import phrases, read, words


def in_short(dataset: xr.Dataset | None = None) -> Short:
    """The chapter in a sentence and three lines; of the recorded runs, unless others are given."""
    dataset = store.recorded("top_k", "fashion") if dataset is None else dataset
    of, units = read.quality(dataset), read.used(dataset).sel(noise=0.0)
    noisy = of["noise"].values[1]

    def gain(noise: float, over: str) -> str:
        at = of.sel(noise=noise, over=over)
        return phrases.compared(at["gain"].values, float(at["low"]), float(at["high"]))

    silent = {arm: units["silent"].sel(arm=arm).mean("layer", skipna=False).values for arm in (DENSE, TOP_K)}
    ends = {column: top_k.interval(top_k.excess(dataset, column)) for column in ("error", "scaled error")}
    plain, scaled = (
        phrases.compared(top_k.excess(dataset, column).to_numpy(), *interval) for column, interval in ends.items()
    )
    error = top_k.ends(dataset)["error"]
    ece = [phrases.spread(error.loc[named(arm, 0.0)].to_numpy(), 2) for arm in (DENSE, TOP_K)]
    changed = read.robustness(dataset).sel(noise=0.0, over=DENSE)
    gaussian, pgd = (
        phrases.compared(at[f"{name}_gain"].values, float(at[f"{name}_low"]), float(at[f"{name}_high"]))
        for name, at in (
            ("noisy", changed.sel(corruption="gaussian").isel(strength=-1)),
            ("attacked", changed.sel(attack="PGD", epsilon=4)),
        )
    )
    return Short(
        f"To keep a twelfth of the units at each patch, and no more, changes the accuracy of a vision Transformer by "
        f"{gain(0.0, DENSE)} with true labels, and by {gain(noisy, DENSE)} with {phrases.labels(noisy)}.",
        (
            f"Against dense with dropout it is {gain(0.0, DROPOUT)} with true labels and {gain(noisy, DROPOUT)} with "
            f"{phrases.labels(noisy)}. By the rules written before: {words.verdict(dataset, '25')}, "
            f"{words.verdict(dataset, '26')}.",
            f"Calibration error at the end: {ece[0]} in dense, {ece[1]} in Top-k. At equal accuracy Top-k's differs by "
            f"{plain}, by temperature by {scaled}; {words.verdict(dataset, '27')}.",
            f"Under the strongest Gaussian noise Top-k differs by {gaussian}, under PGD by 4 of 255 by {pgd}. "
            f"Of its units {phrases.spread(silent[TOP_K])} are never chosen, of dense's "
            f"{phrases.spread(silent[DENSE])}.",
        ),
    )
