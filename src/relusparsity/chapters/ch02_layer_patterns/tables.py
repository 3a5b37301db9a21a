"""Tables of chapter 02: what its runs are, and what use a sequence's first token sees."""

import pandas as pd
import xarray as xr

from ...shapes import title
from ...store import results


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
