"""What the figures of chapter 13 draw, read off its datasets: arms by noise, and pairs of a seed."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr

from ... import store
from ...claims.statistics import student
from ...experiments import lazy, top_k
from ...experiments.top_k_tuning import ARMS, DENSE, NOISES, TOP_K, named
from ...store import results

OTHERS = tuple(arm for arm in ARMS if arm != TOP_K)
"""What Top-k is compared with."""


def if_recorded(name: str, scale: str) -> xr.Dataset | None:
    """A committed dataset, or None while it is to come."""
    return store.recorded(name, scale) if results.recorded_path(name, scale).is_file() else None


def noises(dataset: xr.Dataset) -> list[float]:
    """Shares of the labels that are replaced in a dataset, smallest first."""
    there = {str(name).rpartition(", noise ")[2] for name in dataset["recipe"].values}
    return [noise for noise in NOISES if f"{noise:g}" in there]


def by_arm(dataset: xr.Dataset, *names: str) -> xr.Dataset:
    """Variables of a dataset by (arm, noise, seed, …); noise: percent of the labels that are replaced."""
    parts = [str(name).rpartition(", noise ") for name in dataset["recipe"].values]
    pairs = [(arm, round(100 * float(noise), 6)) for arm, _, noise in parts]
    index = pd.MultiIndex.from_tuples(pairs, names=["arm", "noise"])
    bare = dataset[[*names]].astype(float).drop_vars(["recipe", "changed"], errors="ignore")
    of = bare.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "recipe")).unstack("recipe")
    return of.sel(arm=list(dict.fromkeys(arm for arm, _ in pairs))).transpose("arm", "noise", "seed", ...)


def gains(values: xr.DataArray, level: float = 0.95) -> xr.Dataset:
    """How far Top-k lies above each of the other arms: values (arm, seed, …) → (over, seed, …).

    `gain`, by seed; `low` and `high` of Student's interval of its mean, missing while a seed is; `by_chance`: see it.
    """
    others = values.sel(arm=list(OTHERS)).rename(arm="over")
    gain = values.sel(arm=TOP_K, drop=True) - others
    ends = xr.apply_ufunc(
        lambda of: np.array([*student(pd.Series(of), level), by_chance(of, level)]),
        gain,
        input_core_dims=[["seed"]],
        output_core_dims=[["end"]],
        vectorize=True,
    )
    return xr.Dataset({"gain": gain, "low": ends[..., 0], "high": ends[..., 1], "by_chance": ends[..., 2]})


def by_chance(differences: np.ndarray, level: float = 0.95) -> float:
    """How far from 0 their mean would lie at most if signs were drawn by a coin, in such a share of all 2ⁿ choices.

    It is what no difference looks like: two arms that differ by luck alone could as well be swapped in any seed. NaN
    where one is missing, or there are so few that no mean could lie beyond.
    """
    if np.isnan(differences).any() or 2.0 ** (1 - len(differences)) > 1 - level:
        return np.nan
    signs = np.array(list(product((1.0, -1.0), repeat=len(differences))))
    return float(np.quantile(abs(signs @ differences) / len(differences), level, method="inverted_cdf"))


def quality(dataset: xr.Dataset) -> xr.Dataset:
    """`accuracy` (arm, noise, seed) on the test at the end, percent, and its `gains`, points."""
    accuracy = 100 * by_arm(dataset.isel(step=-1), "test_accuracy")["test_accuracy"]
    return xr.Dataset({"accuracy": accuracy, **gains(accuracy)}, attrs=dataset.attrs)


def calibrated(dataset: xr.Dataset, sizes: xr.Dataset | None = None) -> xr.Dataset:
    """The reliability diagram of each arm, and of other k where they are given, at the end.

    In percent, by (arm, noise, scaling, bin), all seeds that ran together: `confidence` and `right`, means of a bin's
    pictures, and `share`, those of all pictures that are in it. `pictures`: how many they are. By (arm, noise, scaling,
    seed): `error`, the calibration error. By (arm, noise, seed): `accuracy`. Arms stand from the smallest k to dense;
    the attribute `first` names the one that is shown first.
    """
    parts = [_diagram(each) for each in (dataset, sizes) if each is not None]
    whole = xr.concat(parts, "arm", join="outer") if len(parts) > 1 else parts[0]
    arms = sorted(map(str, whole["arm"].values), key=_size)
    return whole.sel(arm=arms).assign_attrs(dataset.attrs, first=TOP_K)


def _size(arm: str) -> tuple[float, int]:
    """By k, and of dense ones in their order; 'k = d_ff/12' names a twelfth."""
    _, cut, parts = arm.partition("/")
    return (1 / float(parts), 0) if cut else (1.0, ARMS.index(arm))


def _diagram(dataset: xr.Dataset) -> xr.Dataset:
    ends = by_arm(dataset.isel(step=-1), "test_accuracy", "calibration_error")
    sums = by_arm(dataset, *(f"final_{name}" for name in top_k.BINS))
    pictures, confidence, correct = (sums[f"final_{name}"].sum("seed") for name in top_k.BINS)
    filled = pictures.where(pictures > 0)
    parts = {
        "confidence": 100 * confidence / filled,
        "right": 100 * correct / filled,
        "share": 100 * pictures / filled.sum("bin", min_count=1),
        "pictures": pictures,
        "error": 100 * ends["calibration_error"],
        "accuracy": 100 * ends["test_accuracy"],
    }
    whole = xr.Dataset({name: of.drop_vars("step", errors="ignore") for name, of in parts.items()})
    return whole.drop_vars("tokens", errors="ignore").transpose("arm", "noise", "scaling", "bin", "seed")


def robustness(dataset: xr.Dataset) -> xr.Dataset:
    """Accuracy on changed pictures, percent, and Top-k's gains there, points: where the change is 0, as they are.

    `noisy` (arm, noise, seed, corruption, strength) of all test pictures, `attacked` (arm, noise, seed, attack,
    epsilon) of those that are attacked; the gains as `noisy_gain`, `attacked_low` and so on.
    """
    names = "test_accuracy", "unattacked_accuracy", "corrupted_accuracy", "attacked_accuracy"
    of = 100 * by_arm(dataset.isel(step=-1), *names)
    found = {}
    for name, as_is, changed, along in (
        ("noisy", "test_accuracy", "corrupted_accuracy", "strength"),
        ("attacked", "unattacked_accuracy", "attacked_accuracy", "epsilon"),
    ):
        values = xr.concat([of[as_is].expand_dims({along: [0]}), of[changed]], along)
        found[name] = values.transpose("arm", "noise", "seed", ..., along)
        found |= {f"{name}_{each}": value for each, value in gains(found[name]).items()}
    return xr.Dataset(found, attrs=dataset.attrs).drop_vars(["step", "tokens"], errors="ignore")


def used(dataset: xr.Dataset) -> xr.Dataset:
    """Of a layer's units, percent, at the end: `use`, those that fire at a patch, and `silent`, those that never do.

    By (arm, noise, seed, layer). `alike` (noise, seed): Spearman's rank correlation of the layers' use in Top-k with
    that in dense, missing where layers are alike. The attribute `most`: percent of a layer that Top-k keeps, and so the
    most that can fire.
    """
    of = 100 * by_arm(dataset, "final_token_use", "final_silent_units")
    run = lazy.models(dataset)[named(TOP_K, 0.0)]
    use, silent = of["final_token_use"], of["final_silent_units"] / run.model.width
    pair = [use.sel(arm=arm, drop=True) for arm in (TOP_K, DENSE)]
    alike = xr.apply_ufunc(_ranks, *pair, input_core_dims=[["layer"], ["layer"]], vectorize=True)
    most = 100 * run.model.top_k / run.model.width  # type: ignore[attr-defined]
    return xr.Dataset({"use": use, "silent": silent, "alike": alike}, attrs=dataset.attrs | {"most": most})


ALIKE = 0.01
"""Share of the largest within which layers use as many units."""


def _ranks(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where a value is missing, or all are alike within `ALIKE` and have no order."""
    if not np.isfinite([one, other]).all() or any(np.ptp(each) <= ALIKE * each.max() for each in (one, other)):
        return np.nan
    return float(spearmanr(one, other).statistic)


def known(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Those of the seeds that ran."""
    of = np.asarray(values, dtype=float)
    return of[np.isfinite(of)]
