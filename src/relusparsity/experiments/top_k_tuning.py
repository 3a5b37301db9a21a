"""Chapter 13: how each arm of `top_k` is trained: rates and regularisation, sought on seeds that judge nothing.

Three arms, dense, dense with dropout and Top-k with k = d_ff/12 (rounded down), each with 0, 40 and 80 % of the
training labels replaced. The same budget for all: three rates times two strengths of regularisation, on two seeds. The
strength is that of weight decay; for the arm with dropout it is the dropout, and its decay is the shape's.

Of each arm and noise the setting is chosen with the highest accuracy on the validation at the end, mean of the two
seeds; of equal ones the shape's own, which is the first. The labels of the validation are clean, whatever the noise:
who has no clean labels could not choose so. The test is not looked at, and not kept.

Which labels are replaced is drawn once, and the same for all seeds.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from ..config import replace
from ..errors import UserError
from ..scales import pictures
from ..store import results
from . import shared, variants

RAN = "2026-11-30"
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("fashion", None),)
"""Shapes whose dataset is committed once it ran; those of `top_k` are trained as it says."""

SEEDS = (10, 11)
"""None of those that judge."""


def size(parts: int) -> str:
    """Name of an arm with Top-k, by its k.

    >>> size(24)
    'k = d_ff/24'
    """
    return f"k = d_ff/{parts}"


DENSE, DROPOUT, TOP_K = "dense", "dense with dropout", size(12)
ARMS = (DENSE, DROPOUT, TOP_K)
NOISES = (0.0, 0.4, 0.8)
"""Shares of the training labels that are replaced; in Smoke, the first two."""

RATES = (1.0, 0.5, 2.0)
"""Learning rates, in the shape's."""
DECAYS = (1.0, 4.0)
"""Weight decays, in the shape's."""
DROPOUTS = (0.1, 0.3)

MEASURED: dict[str, dict[str, Any]] = {
    "smoke": {"measure.sets": 2},
    "digits": {},
    "fashion": {"measure.sets": 64, "measure.points": 20},
}
"""Shape → when it is measured, and on how much: all of the validation, in Fashion every 100 steps; an epoch has 101."""

KEPT = ("heldout_accuracy", "heldout_loss", "train_loss")


def noises(scale: str) -> tuple[float, ...]:
    """Those of a shape."""
    return NOISES[:2] if scale == "smoke" else NOISES


def named(arm: str, noise: float) -> str:
    """An arm at a noise.

    >>> named("dense", 0.4)
    'dense, noise 0.4'
    """
    return f"{arm}, noise {noise:g}"


def top_k(scale: str, parts: int) -> dict[str, Any]:
    """What Top-k with k = d_ff / `parts`, rounded down, changes of a shape's run."""
    return {"model.activation": "topk", "model.top_k": pictures(scale).model.width // parts}


def arm(scale: str, name: str, noise: float) -> dict[str, Any]:
    """What an arm at a noise changes of a shape's run, beside its setting."""
    noisy = {"corpus.noise": noise} if noise else {}
    return MEASURED[scale] | noisy | (top_k(scale, 12) if name == TOP_K else {})


def settings(scale: str, arm: str) -> dict[str, dict[str, Any]]:
    """Name of each setting that is tried of an arm → its fields, the shape's own first; in Smoke at one rate alone."""
    run, rates = pictures(scale).train, RATES[:1] if scale == "smoke" else RATES
    strengths: dict[str, dict[str, Any]] = {
        f"decay × {times:g}": {"train.weight_decay": times * run.weight_decay} for times in DECAYS
    }
    if arm == DROPOUT:
        strengths = {f"dropout {share:g}": {"model.dropout": share} for share in DROPOUTS}
    return {
        f"rate × {rate:g}, {name}": {"train.lr": rate * run.lr} | fields
        for rate, (name, fields) in product(rates, strengths.items())
    }


def changes(scale: str) -> dict[str, dict[str, Any]]:
    """Name of each arm, noise and setting → what it changes of a shape's run."""
    return {
        f"{named(name, noise)}, {setting}": arm(scale, name, noise) | fields
        for name, noise in product(ARMS, noises(scale))
        for setting, fields in settings(scale, name).items()
    }


def config(scale: str) -> shared.Config:
    """All settings of every seed at a shape, seed by seed; in Smoke one seed."""
    of, seeds = pictures(scale), SEEDS[:1] if scale == "smoke" else SEEDS
    runs = (replace(of, seed=seed, **fields) for seed in seeds for fields in changes(scale).values())
    return shared.Config(scale, "default", tuple(runs))


def run(config: shared.Config) -> xr.Dataset:
    """Losses and accuracy on the validation by (recipe, seed, step), trained where they do not exist."""
    return variants.made("top_k_tuning", config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """The dataset of the runs there are, in the order of `config.runs`; None was not run, its values are missing."""
    there = variants.with_missing(runs, config.runs)
    return variants.whole(there, changes(config.scale), config.scale)[[*KEPT]]


def chosen(dataset: xr.Dataset) -> dict[tuple[str, float], dict[str, Any]]:
    """(arm, noise) → the fields of the setting by which it is trained; one of which a seed diverged is not chosen.

    Raises
    ------
    UserError
        If some of the runs are not made yet, or every setting of an arm diverged.
    """
    lacking = int((np.ravel(results.provenance(dataset)["runs"]) == variants.NOT_RUN).sum())
    if lacking:
        raise UserError(
            f"{lacking} of {dataset['heldout_loss'].isel(step=0).size} runs of top_k_tuning are not made yet, and "
            "settings are chosen among all of them; record it to its end."
        )
    end = dataset["heldout_accuracy"].isel(step=-1).astype(float).mean("seed", skipna=False).round(9)
    found, scale = {}, dataset.attrs["scale"]
    for name, noise in product(ARMS, noises(scale)):
        tried = settings(scale, name)
        reached = end.sel(recipe=[f"{named(name, noise)}, {setting}" for setting in tried]).values
        if np.isnan(reached).all():
            raise UserError(f"every setting of {named(name, noise)} diverged, so that none is chosen; lower its rates.")
        found[name, noise] = list(tried.values())[int(np.nanargmax(reached))]  # of equal ones, the first
    return found


def fields(scale: str) -> dict[tuple[str, float], dict[str, Any]]:
    """(arm, noise) → the setting by which a shape's is trained: as tuned where that is recorded, else the first of all.

    Raises
    ------
    UserError
        If the shape is to be tuned, and that is not recorded.
    """
    pictures(scale)
    if scale not in (shape for shape, _ in RECORDED):
        first = {name: next(iter(settings(scale, name).values())) for name in ARMS}
        return {(name, noise): first[name] for name, noise in product(ARMS, noises(scale))}
    path = results.recorded_path("top_k_tuning", scale)
    if not path.is_file():
        raise UserError(
            f"top_k at scale {scale} is trained as its tuning says, and {path.name} is not there; `make record "
            f'SCALE={scale} ONLY="top_k_tuning"` makes it.'
        )
    return chosen(results.load(path))
