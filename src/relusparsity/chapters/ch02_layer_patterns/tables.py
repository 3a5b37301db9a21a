"""Tables of chapter 02: what its runs are and how they end, and what use a sequence's first token sees."""

import numpy as np
import pandas as pd
import xarray as xr

from ...checks import in_words
from ...experiments import endings, layer_patterns
from ...shapes import title
from ...store import results


def about(*datasets: xr.Dataset) -> pd.DataFrame:
    """What recorded runs are: size, text, training, seeds and samples, a column per model."""
    columns = {}
    for dataset in datasets:
        facts = results.provenance(dataset)
        model, train = facts["config"]["model"], facts["config"]["train"]
        columns[title(dataset.attrs["scale"])] = {
            "layers × units": f"{model['n_layers']} × {in_words(model['d_ff'])}",
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


SETTLED = 8
"""Position in a sequence from which on token use falls slowly, if at all."""


def first_token(*datasets: xr.Dataset) -> pd.DataFrame:
    """Token use of each layer at a sequence's first token, and its mean from `SETTLED` on; percent, mean over seeds."""
    rows = {}
    for dataset in datasets:
        use = 100 * dataset["position_use"].astype(float).mean("seed").transpose("layer", "position").to_pandas()
        rows[title(dataset.attrs["scale"]), "first token"] = use[0]
        rows[title(dataset.attrs["scale"]), f"from position {SETTLED}"] = use.loc[:, SETTLED:].mean(axis=1)
    return pd.DataFrame({" ".join(name): row for name, row in rows.items()}).T.round(2).rename(columns=endings.of_layer)


def by_seed(dataset: xr.Dataset) -> pd.DataFrame:
    """How each seed ends: batch use (percent) of each layer, and the loss."""
    table = endings.by_seed({"": dataset}).droplevel("recipe").drop(columns="distance")
    return table.rename(columns=endings.of_layer).rename_axis("seed").rename_axis(columns=None)


def before_and_after(dataset: xr.Dataset) -> pd.DataFrame:
    """Token, sequence and batch use before training and after it: percent, mean over seeds, a row a layer."""
    table = layer_patterns.before_and_after(dataset)
    steps = dict(zip(sorted(set(table.columns.get_level_values(1))), ("before", "after"), strict=True))
    table.columns = [f"{window.replace('_', ' ')}, {steps[step]}" for window, step in table.columns]
    return table.rename(index=endings.of_layer).rename_axis("%")


def bunched(dataset: xr.Dataset) -> pd.DataFrame:
    """Points by which as much text, its tokens drawn at random, would wake more of each layer: mean over seeds."""
    gap = 100 * (dataset["final_rarefied_use"] - dataset["final_window_use"]).astype(float).mean("seed")
    table = gap.sel(window=[512, 8192]).transpose("window", "layer").to_pandas().round(1)
    return table.rename(columns=endings.of_layer, index=lambda window: f"{window:,} tokens").rename_axis(None, axis=1)


def learned(*datasets: xr.Dataset) -> pd.DataFrame:
    """How well the models predict: loss, bits per byte and accuracy, mean and range over seeds, a row a model."""
    rows = {}
    for dataset in datasets:
        of = {name: dataset[f"final_{name}"].astype(float).values for name in ("loss", "bits_per_byte", "accuracy")}
        rows[title(dataset.attrs["scale"])] = {
            "loss, nats per token": _range(of["loss"], 2),
            "bits per byte": _range(of["bits_per_byte"], 3),
            "most likely token is right, %": _range(100 * of["accuracy"], 1),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _range(values: np.ndarray, digits: int) -> str:
    return f"{values.mean():.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"
