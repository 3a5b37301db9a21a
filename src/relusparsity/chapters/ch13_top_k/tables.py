"""Tables of chapter 13: how the arms are trained, what they are worth, and Top-k in pairs of a seed."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ...experiments import lazy, top_k, top_k_tuning
from ...experiments.top_k_tuning import ARMS, DENSE, DROPOUT, TOP_K, named
from . import phrases, read

REPLACED = "labels replaced"
SCALINGS = {"": "as it is", ", by temperature": "temperature"}
"""End of a column's name → how probabilities are read."""


def settings(dataset: xr.Dataset) -> pd.DataFrame:
    """How each arm is trained where it is judged: learning rate, weight decay and dropout."""
    models, rows = lazy.models(dataset), {}
    for noise, arm in _arms(dataset):
        run = models[named(arm, noise)]
        rows[_percent(noise), arm] = {
            "learning rate": f"{run.train.lr:g}",
            "weight decay": f"{run.train.weight_decay:g}",
            "dropout": f"{run.model.dropout:g}",
        }
    return _table(rows)


def tuned(tuning: xr.Dataset) -> pd.DataFrame:
    """What the settings that were tried reach on the validation, percent, mean of the seeds; ✓: the one chosen."""
    scale, end = tuning.attrs["scale"], 100 * tuning["heldout_accuracy"].isel(step=-1).astype(float).mean("seed")
    chosen, rows = top_k_tuning.chosen(tuning), {}
    for arm in ARMS:
        for setting, fields in top_k_tuning.settings(scale, arm).items():
            rows[arm, setting] = {
                _percent(noise): f"{float(end.sel(recipe=f'{named(arm, noise)}, {setting}')):.2f}"
                + " ✓" * (chosen[arm, noise] == fields)
                for noise in top_k_tuning.noises(scale)
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["arm", "setting"]).rename_axis(columns=REPLACED)


def quality(dataset: xr.Dataset) -> pd.DataFrame:
    """Accuracy, loss and units at the end: mean of the seeds, accuracy with their range."""
    of, table, rows = read.by_arm(dataset.isel(step=-1), "test_loss")["test_loss"], top_k.ends(dataset), {}
    units = _units(dataset)
    for noise, arm in _arms(dataset):
        ends, loss = table.loc[named(arm, noise)], of.sel(arm=arm, noise=round(100 * noise, 6))
        rows[_percent(noise), arm] = {
            "accuracy, %": phrases.spread(ends["accuracy"].to_numpy(), 2, ""),
            **{f"loss{end}": _mean(loss.sel(scaling=scaling).values, 3) for end, scaling in SCALINGS.items()},
            "fire at a patch, %": _mean(ends["use"].to_numpy(), 1),
            "never chosen, %": _mean(100 * ends["silent"].to_numpy() / units, 1),
        }
    return _table(rows)


SOURCE = {
    "true labels": (74.85, 74.83),
    "40 % of the labels replaced": (59.44, 62.13),
    "80 % of the labels replaced": (25.35, 30.80),
    "Gaussian noise": (39.54, 42.29),
    "shot noise": (38.56, 40.68),
    "impulse noise": (37.37, 40.07),
    "ECE": (8.42, 7.48),
}
"""What Li et al. 2023 report of a vision Transformer on ImageNet, percent: dense, and Top-k with 128 of 3,072 units."""


def beside_source(dataset: xr.Dataset) -> pd.DataFrame:
    """What Li et al. report of ImageNet, and ours of the same kind, mean of the seeds; noise: mean of its strengths."""
    accuracy, changed = read.quality(dataset)["accuracy"], read.robustness(dataset)["noisy"].sel(noise=0.0)
    ours = {phrases.labels(noise): accuracy.sel(noise=noise) for noise in accuracy["noise"].values.tolist()}
    spoilt = changed.isel(strength=slice(1, None)).mean("strength", skipna=False)
    ours |= {
        f"{phrases.proper(kind)} noise": spoilt.sel(corruption=kind) for kind in spoilt["corruption"].values.tolist()
    }
    ours["ECE"] = read.calibrated(dataset)["error"].sel(noise=0.0, scaling="as it is")
    rows = {}
    for what, (plain, theirs) in SOURCE.items():
        if what in ours:
            both = [ours[what].sel(arm=arm) for arm in (DENSE, TOP_K)]
            change = float((both[1] - both[0]).mean("seed"))  # of pairs that ran
            rows[what] = {
                "Li et al.: dense": f"{plain:.2f}",
                "Top-k": f"{theirs:.2f}",
                "change": phrases.signed(theirs - plain),
                "ours: dense": _mean(both[0].values, 2),
                "ours: Top-k": _mean(both[1].values, 2),
                "ours: change": phrases.signed(change) if np.isfinite(change) else "to come",
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("percent right, or ECE")


def differences(dataset: xr.Dataset) -> pd.DataFrame:
    """How far Top-k ends above the others in accuracy, points, in pairs of a seed."""
    of, rows = read.quality(dataset), {}
    for noise in of["noise"].values.tolist():
        for over in of["over"].values.tolist():
            at = of.sel(noise=noise, over=over)
            pairs, known = at["gain"].values, bool(np.isfinite(at["low"]))
            there = read.known(pairs)
            rows[f"{noise:g} %", over] = {
                "mean": phrases.signed(there.mean()) if there.size else "to come",
                "95 %": phrases.span(float(at["low"]), float(at["high"])) if known else "–",
                "95 % of means by chance": f"± {float(at['by_chance']):.2f}" if np.isfinite(at["by_chance"]) else "–",
                "above in": f"{int((there > 0).sum())} of {there.size}",
            }
    return _table(rows, "from")


def calibration(dataset: xr.Dataset) -> pd.DataFrame:
    """Calibration errors in percent and Brier score at the end, mean of the seeds, and the temperature."""
    names = {"ECE": "calibration_error", "adaptive ECE": "test_adaptive_error", "Brier": "test_brier"}
    of, rows = read.by_arm(dataset.isel(step=-1), *names.values(), "temperature"), {}
    for noise, arm in _arms(dataset):
        at = of.sel(arm=arm, noise=round(100 * noise, 6))
        row: dict[str, Any] = {"temperature": _mean(at["temperature"].values, 2)}
        for words, name in names.items():
            times, digits = (1, 3) if name == "test_brier" else (100, 2)
            row |= {
                words + end: _mean(times * at[name].sel(scaling=scaling).values, digits)
                for end, scaling in SCALINGS.items()
            }
        rows[_percent(noise), arm] = row
    return _table(rows)


def at_equal_accuracy(dataset: xr.Dataset) -> pd.DataFrame:
    """Row 27 seed by seed: where dense and Top-k are read, and their calibration errors there, percent."""
    table = top_k.at_equal_accuracy(dataset, named(DENSE, 0.0), named(TOP_K, 0.0))
    columns: dict[str, list[str]] = {}
    for arm in (DENSE, TOP_K):
        of = table.loc[named(arm, 0.0)]
        columns |= {
            f"{arm}: step": _each(of["step"], 0),
            f"{arm}: validation": _each(of["validation"], 2),
            f"{arm}: ECE": _each(of["error"], 2),
            f"{arm}: by temperature": _each(of["scaled error"], 2),
        }
    return pd.DataFrame(columns).rename_axis("seed")


def robustness(dataset: xr.Dataset) -> pd.DataFrame:
    """Accuracy on pictures as they are and spoilt the most, percent, and ECE under noise; mean of the seeds."""
    of, rows = read.robustness(dataset), {}
    error = 100 * read.by_arm(dataset, "corrupted_error")["corrupted_error"].isel(strength=-1)
    for noise, arm in _arms(dataset):
        at = {"arm": arm, "noise": round(100 * noise, 6)}
        noisy, attacked = (of[name].sel(at).isel({along: -1}) for name, along in LAST.items())
        row = {"as it is": _mean(of["noisy"].sel(at).isel(corruption=0, strength=0).values, 1)}
        row |= {
            phrases.proper(each): _mean(noisy.sel(corruption=each).values, 1) for each in noisy["corruption"].values
        }
        by = f", ε = {int(attacked['epsilon'])}"
        row |= {str(each) + by: _mean(attacked.sel(attack=each).values, 1) for each in attacked["attack"].values}
        kind = str(noisy["corruption"].values[0])
        for end, scaling in SCALINGS.items():
            values = error.sel(at | {"corruption": kind, "scaling": scaling}).values
            row[f"ECE, {phrases.proper(kind)}{end}"] = _mean(values, 1)
        rows[_percent(noise), arm] = row
    return _table(rows)


LAST = {"noisy": "strength", "attacked": "epsilon"}


def sizes(others: xr.Dataset, dataset: xr.Dataset) -> pd.DataFrame:
    """Other k beside d_ff/12 and dense, which is d_ff: mean of the seeds that all have."""
    seeds = [seed for seed in others["seed"].values if seed in dataset["seed"].values]
    of = read.calibrated(dataset.sel(seed=seeds), others.sel(seed=seeds))
    ends = pd.concat([top_k.ends(each.sel(seed=seeds)) for each in (dataset, others)])
    units, rows = _units(dataset), {}
    for noise in read.noises(others):
        for arm in of["arm"].values.tolist():
            if named(arm, noise) not in ends.index or arm == DROPOUT:
                continue
            at, table = of.sel(arm=arm, noise=round(100 * noise, 6)), ends.loc[named(arm, noise)]
            rows[_percent(noise), arm] = {
                "accuracy, %": _mean(at["accuracy"].values, 2),
                **{f"ECE{end}": _mean(at["error"].sel(scaling=scaling).values, 2) for end, scaling in SCALINGS.items()},
                "fire at a patch, %": _mean(table["use"].to_numpy(), 1),
                "never chosen, %": _mean(100 * table["silent"].to_numpy() / units, 1),
            }
    return _table(rows)


def _arms(dataset: xr.Dataset) -> list[tuple[float, str]]:
    return [(noise, arm) for noise in read.noises(dataset) for arm in ARMS]


def _percent(noise: float) -> str:
    return f"{100 * noise:g} %"


def _units(dataset: xr.Dataset) -> int:
    """Units of all layers together."""
    model = next(iter(lazy.models(dataset).values())).model
    return model.n_layers * model.width


def _mean(values: np.ndarray, digits: int) -> str:
    return phrases.mean(values, digits, "")


def _each(values: pd.Series, digits: int) -> list[str]:
    return ["to come" if np.isnan(value) else f"{value:,.{digits}f}" for value in values]


def _table(rows: dict[tuple[str, str], dict[str, Any]], what: str = "arm") -> pd.DataFrame:
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis([REPLACED, what])
