"""Chapter 01: what is trained, what that costs, and how it learns; GELU beside ReLU."""

from dataclasses import dataclass

import xarray as xr

from ...config import RunConfig, replace
from ...experiments import shared

VARIABLES = (
    "train_loss",
    "heldout_loss",
    "heldout_bits_per_byte",
    "heldout_accuracy",
    "token_use",
    "sequence_use",
    "batch_use",
    "final_loss",
    "final_bits_per_byte",
    "final_accuracy",
)

NAME = "training"
"""Name of its datasets."""

RECORDED = (("laptop", "default"),)
"""Shapes and recipes whose dataset is committed."""


@dataclass(frozen=True)
class Config(shared.Config):
    """The shared ReLU runs, and GELU runs that differ in the activation alone."""

    gelu: tuple[RunConfig, ...]
    """GELU, the first of these seeds only: no verdict depends on it."""


def config(scale: str, recipe: str | None = None) -> Config:
    """The chapter's configuration at a shape, by its own recipe or another."""
    of = shared.config(scale, recipe)
    return Config(of.scale, of.recipe, of.runs, (replace(of.runs[0], **{"model.activation": "gelu"}),))


def run(config: Config) -> xr.Dataset:
    """Loss and use by (activation, seed, step[, layer]); missing (NaN) for the seeds that GELU was not trained with."""

    def compute() -> xr.Dataset:
        shared.train_all((*config.runs, *config.gelu))  # together, so that they share the cores
        parts = {
            "relu": shared.stack(shared.train_all(config.runs), config, VARIABLES),
            "gelu": shared.stack(shared.train_all(config.gelu), config, VARIABLES),
        }
        about = {"units": "1", "long_name": "nonlinearity of the MLP"}
        return xr.concat(
            list(parts.values()),
            dim=xr.Variable("activation", list(parts), about),
            join="outer",  # by seed; the steps are the same
            coords="minimal",
            compat="equals",
            combine_attrs="override",  # the provenance is that of the shared ReLU runs
        )

    return shared.cached(NAME, config, (*config.runs, *config.gelu), __name__, compute)
