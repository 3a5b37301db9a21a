"""Chapter 02: batch, sequence and token use of every layer over training (the paper's Figure 1 and its section)."""

import pandas as pd
import xarray as xr

from ..shapes import title
from ..store import results
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


def about(*datasets: xr.Dataset) -> pd.DataFrame:
    """What recorded runs are: size, text, training, seeds and samples, a column per model."""
    columns = {}
    for dataset in datasets:
        facts = results.provenance(dataset)
        model, train = facts["config"]["model"], facts["config"]["train"]
        columns[title(dataset.attrs["scale"])] = {
            "layers × units": f"{model['n_layers']} × {model['d_ff']:,}",
            "d_model": f"{model['d_model']:,}",
            "tokens a sequence": f"{model['seq_len']:,}",
            "corpus": facts["corpus"]["name"],
            "training tokens": f"{train['tokens']:,}",
            "passes over the text": f"{train['tokens'] / facts['corpus']['train_tokens']:.2f}",
            "seeds": ", ".join(map(str, dataset["seed"].values)),
            "measured steps": f"{dataset.sizes['step']}",
            "held-out tokens a measurement": f"{dataset.attrs['sample_tokens']:,}",
            "held-out tokens at the end": f"{dataset.attrs['final_sample_tokens']:,}",
        }
    return pd.DataFrame(columns)


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


SETTLED = 8
"""Position in a sequence from which on token use falls slowly, if at all."""


def first_token(*datasets: xr.Dataset) -> pd.DataFrame:
    """Token use of each layer at a sequence's first token, and its mean from `SETTLED` on; percent, mean over seeds."""
    rows = {}
    for dataset in datasets:
        use = 100 * dataset["position_use"].astype(float).mean("seed").transpose("layer", "position").to_pandas()
        rows[title(dataset.attrs["scale"]), "first token"] = use[0]
        rows[title(dataset.attrs["scale"]), f"from position {SETTLED}"] = use.loc[:, SETTLED:].mean(axis=1)
    return pd.DataFrame(rows).T.round(2)
