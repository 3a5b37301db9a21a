"""Chapter 13: Top-k against dense, and against dense with dropout, in vision Transformers: quality and calibration.

Top-k keeps of each token the k largest entries after ReLU, in training and when read (Li et al. 2023, *The Lazy Neuron
Phenomenon*, arXiv 2210.06313). Fashion-MNIST whole, 6 layers of 768 units as in `lazy_pictures`, k = d_ff/12 = 64.
Three arms, dense, dense with dropout and Top-k, each with 0, 40 and 80 % of the training labels replaced, ten seeds,
each arm trained as `top_k_tuning` chose for it. `top_k_sizes` has other k.

All of the test, 10,000 pictures, is judged each 100 steps (an epoch has 101) and at the end: calibration, as it is and
by the temperature that fits the validation then. At the end also under Gaussian, shot and impulse noise, five strengths
each, and the first 2,048 pictures under FGSM and 20 steps of PGD that move a pixel by at most 1, 2, 4 or 8 of 255.

Arms of a seed begin with the same weights and see the same pictures in the same order, so that they are paired. Which
labels are replaced is drawn once, the same for all seeds. A unit is never chosen, or silent, if it fires at no patch of
the final sets: the class token does not count, and in the last layer nobody reads what patches do; see `lazy_pictures`.

Written before any run on Fashion-MNIST, of tuning too (2026-11-30): `EXPECTED` and `CHANCES`. Known were
`lazy_pictures` (dense, untuned: 87.8 %) and two seeds of each arm on 5,000 digits, untuned: dense ended at 91.0 and
89.1 %, with dropout at 91.2 and 93.4, Top-k at 93.9 and 93.9; with 40 % noise at 79.5 and 78.9, 76.6 and 84.8, 82.2
and 85.7. There Top-k had a smaller calibration error at equal accuracy, by temperature in one seed of the two; a
quarter of its units was silent.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..claims.statistics import student
from ..config import replace
from ..scales import pictures
from ..store.schema import PREDICTED, PREDICTED_AT_THE_END
from . import every, forked, lazy, shared, top_k_tuning, variants
from .top_k_tuning import DENSE, DROPOUT, NOISES, TOP_K, named

DATE = "2026-11-30"
RAN = ""
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("fashion", None),)
"""Shapes whose dataset is committed once it ran; see `top_k_tuning`, which comes before."""

SEEDS = {"smoke": (0,), "digits": (0, 1), "fashion": tuple(range(10))}

LEFT_OUT = ("sequence_use", "batch_use", "train_token_use", "final_sequence_use", "final_batch_use")
KEPT = tuple(name for name in lazy.KEPT if name not in LEFT_OUT)
"""Variables of a run that stay as they are."""

BINS = ("bin_pictures", "bin_confidence", "bin_correct")
"""Of these the dataset has the end alone, as `final_bin_pictures` and so on."""


def changes(scale: str) -> dict[str, dict[str, Any]]:
    """Name of each arm at each noise → what it changes of a shape's run."""
    return {
        named(arm, noise): top_k_tuning.arm(scale, arm, noise) | fields | {"measure.predictions": True}
        for (arm, noise), fields in top_k_tuning.fields(scale).items()
    }


def config(scale: str) -> shared.Config:
    """All arms of every seed at a shape, seed by seed."""
    made, of = changes(scale), pictures(scale)
    runs = (replace(of, seed=seed, **fields) for seed in SEEDS[scale] for fields in made.values())
    return shared.Config(scale, "default", tuple(runs))


def run(config: shared.Config) -> xr.Dataset:
    """What is judged of every arm and noise (recipe) and seed, trained where it does not exist."""
    return variants.made("top_k", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """See `assembled`."""
    return assembled(config, runs, changes(config.scale))


def assembled(
    config: shared.Config, runs: Sequence[xr.Dataset | None], changes: Mapping[str, dict[str, Any]]
) -> xr.Dataset:
    """The dataset of the runs there are, in the order of `config.runs`; None was not run, its values are missing.

    What is judged of a run that did not come to its end is missing, too.

    Parameters
    ----------
    changes
        Name of each arm, in the order in which a seed's runs come → what it changes.
    """
    whole = variants.whole(variants.with_missing(runs, config.runs), changes, config.scale)
    ended = [None if run is None or "final_loss" not in run else judged(run) for run in runs]
    some = next(each for each in ended if each is not None)
    filled = [xr.full_like(some, np.nan, dtype=float) if each is None else each for each in ended]
    by_seed = [xr.concat(each, _index("recipe", changes)) for each in variants.seeds(filled, len(changes))]
    own = xr.concat(by_seed, _index("seed", whole["seed"].values)).transpose("recipe", "seed", ...)
    for name in own.data_vars:
        whole[name] = (own[name].dims, own[name].values.astype(np.float32), some[name].attrs)
    labels = {name: some[name] for name in some.coords if name not in whole.coords}
    return whole[[*KEPT, *own.data_vars]].assign_coords(labels)


def _index(name: str, labels: Iterable[Any]) -> pd.Index:
    return pd.Index(list(labels), name=name)


def judged(run: xr.Dataset) -> xr.Dataset:
    """What is judged of a run that came to its end, by (step, scaling), and at its end by what is done to pictures.

    `calibration_error` is how far a bin's accuracy lies from its confidence, mean over the test; `final_silent_units`
    fire nowhere in the final sets.
    """
    gaps = abs(run["bin_correct"] - run["bin_confidence"]).sum("bin") / run["bin_pictures"].sum("bin")
    said = {"units": "1", "long_name": "expected calibration error of all test pictures in 15 bins"}
    silent = {"units": "units", "long_name": "units that fire at no patch of the final sets"}
    names = [name for name in (*PREDICTED, *PREDICTED_AT_THE_END) if name not in BINS]
    kept = {name: run[name] for name in names} | {"calibration_error": gaps.assign_attrs(said)}
    kept |= {f"final_{name}": run[name].isel(step=-1, drop=True) for name in BINS}
    kept["final_silent_units"] = (run["final_firing_count"] == 0).sum("unit").assign_attrs(silent)
    return xr.Dataset(kept).drop_vars(["tokens"])


def ends(dataset: xr.Dataset) -> pd.DataFrame:
    """A row per arm and seed, NaN where there is no end; of the whole test, in percent but for `temperature`, `silent`.

    Columns: `accuracy`; `error` and `scaled error`, the calibration error as it is and by temperature; `temperature`;
    `use`, the units that fire at a patch, mean over the layers; `silent` units, all layers together.
    """
    last = dataset.isel(step=-1)
    error = 100 * last["calibration_error"]
    columns = {
        "accuracy": 100 * last["test_accuracy"],
        "error": error.sel(scaling="as it is"),
        "scaled error": error.sel(scaling="temperature"),
        "temperature": last["temperature"],
        "use": 100 * dataset["final_token_use"].mean("layer", skipna=False),
        "silent": dataset["final_silent_units"].sum("layer", skipna=False),
    }
    return lazy.tabulated(columns)


def at_equal_accuracy(dataset: xr.Dataset, one: str, other: str) -> pd.DataFrame:
    """Two arms where they are equally accurate on the validation, a row per arm and seed.

    In each seed the goal is the smaller of their two accuracies at the end. An arm is read at the measurement whose
    accuracy is nearest to it; of equally near ones, at the last. NaN where one of the two has no end.

    Returns
    -------
    DataFrame
        `step`, and in percent `validation`, its accuracy there, and `accuracy`, `error` and `scaled error` as `ends`.
    """
    valid = 100 * dataset["heldout_accuracy"].sel(recipe=[one, other]).transpose("recipe", "seed", "step").astype(float)
    goal = valid.isel(step=-1).min("recipe", skipna=False)
    rows = {}
    for arm, seed in product((one, other), dataset["seed"].values.tolist()):
        of, far = dataset.sel(recipe=arm, seed=seed), abs(valid - goal).sel(recipe=arm, seed=seed).values
        known = bool(np.isfinite(goal.sel(seed=seed)))
        place = int(np.flatnonzero(far.round(9) == np.nanmin(far).round(9))[-1]) if known else -1
        error = 100 * of["calibration_error"].isel(step=place).astype(float)
        there = {
            "step": float(of["step"][place]),
            "validation": float(valid.sel(recipe=arm, seed=seed).isel(step=place)),
            "accuracy": 100 * float(of["test_accuracy"].isel(step=place)),
            "error": float(error.sel(scaling="as it is")),
            "scaled error": float(error.sel(scaling="temperature")),
        }
        rows[arm, int(seed)] = there if known else dict.fromkeys(there, np.nan)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["arm", "seed"])


def gain(dataset: xr.Dataset, noise: float, over: str = DENSE) -> pd.Series:
    """Points of accuracy on the test by which Top-k ends above another arm, by seed."""
    accuracy = ends(dataset)["accuracy"]
    return accuracy.loc[named(TOP_K, noise)] - accuracy.loc[named(over, noise)]


def excess(dataset: xr.Dataset, column: str) -> pd.Series:
    """Points by which a calibration error of Top-k (`error`, `scaled error`) is larger than dense's, by seed.

    Without noise, at equal accuracy.
    """
    names = named(TOP_K, 0.0), named(DENSE, 0.0)
    error = at_equal_accuracy(dataset, *names)[column]
    return error.loc[names[0]] - error.loc[names[1]]


def above(low: float) -> bool | None:
    """Whether an interval lies above 0 whose lower end this is; None where it is not known."""
    return None if low != low else low > 0


EXPECTED: dict[str, tuple[float, float]] = {
    named(DENSE, 0.0): (86.5, 91.0),
    named(DROPOUT, 0.0): (87.5, 92.0),
    named(TOP_K, 0.0): (87.5, 92.0),
    named(DENSE, 0.4): (76.0, 87.0),
    named(DROPOUT, 0.4): (80.0, 88.0),
    named(TOP_K, 0.4): (78.0, 88.0),
    named(DENSE, 0.8): (45.0, 78.0),
    named(DROPOUT, 0.8): (55.0, 80.0),
    named(TOP_K, 0.8): (50.0, 79.0),
}
"""Arm → interval of its accuracy on the test at the end, percent, mean of the seeds."""

CHANCES: dict[str, float] = {
    "row 25: without noise Top-k ends within 0.3 points of dense (90 %)": 0.35,
    "at 40 % noise Top-k ends above dense (95 %)": 0.65,
    "at 40 % noise Top-k ends above dense with dropout (95 %)": 0.3,
    "at 80 % noise Top-k ends above dense (95 %)": 0.55,
    "at 80 % noise Top-k ends above dense with dropout (95 %)": 0.3,
    "row 27: at equal accuracy Top-k is better calibrated (95 %)": 0.55,
    "row 27: at equal accuracy Top-k is better calibrated, scaled by temperature (95 %)": 0.3,
    "under the strongest Gaussian noise Top-k is more accurate than dense (95 %)": 0.55,
    "under PGD by 4 of 255 Top-k is more accurate than dense (95 %)": 0.6,
    "without noise more units of Top-k than of dense are silent, in every seed": 0.93,
}
"""Sentence of `come` → the chance written for it."""


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; an arm without an end in every seed is neither right nor wrong."""
    return lazy.predicted(EXPECTED, ends(dataset).rename(columns={"accuracy": "end"}))


NEAR = 0.3
"""Points of accuracy within which the 90 % interval of row 25 must lie, ends included."""


def costs_little(dataset: xr.Dataset) -> tuple[tuple[float, float], bool | None]:
    """Row 25: the 90 % interval of the difference in accuracy on the test, without noise, and whether it is inside."""
    low, high = (round(end, 9) for end in student(gain(dataset, 0.0), 0.9))
    return (low, high), None if low != low else low >= -NEAR and high <= NEAR


def come(dataset: xr.Dataset) -> dict[str, tuple[str, bool | None]]:
    """Sentence → what came and whether it holds, None where a run of what it reads is missing."""
    plain, inside = costs_little(dataset)
    found = {"row 25: without noise Top-k ends within 0.3 points of dense (90 %)": (_points(plain), inside)}
    for noise, over in product(NOISES[1:], (DENSE, DROPOUT)):
        low, high = student(gain(dataset, noise, over))
        found[f"at {100 * noise:g} % noise Top-k ends above {over} (95 %)"] = _points((low, high)), above(low)
    for column, how in (("error", ""), ("scaled error", ", scaled by temperature")):
        low, high = student(excess(dataset, column))
        found[f"row 27: at equal accuracy Top-k is better calibrated{how} (95 %)"] = _points((low, high)), above(-high)
    of = {arm: dataset.sel(recipe=named(arm, 0.0)) for arm in (TOP_K, DENSE)}
    changed = {
        "the strongest Gaussian noise": ("corrupted_accuracy", {"corruption": "gaussian", "strength": 5}),
        "PGD by 4 of 255": ("attacked_accuracy", {"attack": "PGD", "epsilon": 4}),
    }
    for words, (name, at) in changed.items():
        beyond = 100 * (of[TOP_K][name].sel(at) - of[DENSE][name].sel(at)).astype(float).to_series()
        low, high = student(beyond)
        found[f"under {words} Top-k is more accurate than dense (95 %)"] = _points((low, high)), above(low)
    silent = ends(dataset)["silent"]
    more = silent.loc[named(TOP_K, 0.0)] - silent.loc[named(DENSE, 0.0)]
    found["without noise more units of Top-k than of dense are silent, in every seed"] = every.in_every(more, more > 0)
    return found


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a run of what they read is missing, unless one known is against it."""
    came = come(dataset)
    return forked.said(CHANCES, (came[sentence] for sentence in CHANCES))


def _points(interval: tuple[float, float]) -> str:
    return f"{interval[0]:+.2f} to {interval[1]:+.2f} points"
