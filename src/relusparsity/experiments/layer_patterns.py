"""Batch, sequence and token use of every layer over training (the paper's Figure 1): of chapters 01 and 02."""

import pandas as pd
import xarray as xr

from ..shapes import title
from ..store.schema import FINAL, MEASURED
from . import shared

RECORDED = (("laptop", "default"), ("mid", "first"), ("wide", "first"), ("wide", "nearest"))
"""Shapes and recipes whose dataset is committed."""

config = shared.config


def run(config: shared.Config) -> xr.Dataset:
    """Every measured variable by (seed, step, layer), and the final ones by (seed, layer)."""
    unit_level = ("last_fired", "death_onset", "death_count", "revival_count")

    def compute() -> xr.Dataset:
        variables = [*MEASURED, *(name for name in FINAL if name not in unit_level)]
        return shared.stack(shared.train_all(config.runs), config, variables)

    return shared.cached("layer_patterns", config, config.runs, __name__, compute)


def endings(*datasets: xr.Dataset) -> pd.DataFrame:
    """Loss, bits a byte and accuracy on the final held-out sets, a row per model and seed."""
    names = ["final_loss", "final_bits_per_byte", "final_accuracy"]
    tables = {title(dataset.attrs["scale"]): dataset[names].to_dataframe()[names].astype(float) for dataset in datasets}
    return pd.concat(tables, names=["model"]).round(3)


def before_and_after(dataset: xr.Dataset) -> pd.DataFrame:
    """Token, sequence and batch use at the first and last measured step: percent, mean over seeds, a row a layer."""
    three = 100 * dataset[["token_use", "sequence_use", "batch_use"]].mean("seed").isel(step=[0, -1])
    table = three.to_array("window").to_series().astype(float).unstack(["window", "step"])
    return table[["token_use", "sequence_use", "batch_use"]].round(1)
