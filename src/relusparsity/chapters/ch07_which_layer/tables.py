"""Tables of chapter 07: the forecast, the treated layers, the embeddings' scale, the waves."""

import inspect
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ...claims.short import Said
from ...experiments import arms, dissociation, embedding_scale, endings
from ...interventions.inputs import Intervention
from . import trajectories, treatments


def treated(dataset: xr.Dataset) -> pd.DataFrame:
    """Batch use (percent) of a layer untreated and treated, and γ of its input at the end; a row a treatment and layer.

    Means over the seeds in which both ran; the last column says how many those are.
    """
    gamma = dataset["gamma"].astype(float).isel(step=-1)
    rows = {}
    for treatment in dissociation.TREATMENTS:
        for layer in dissociation.LAYERS:
            (twin, end), count = treatments.paired(dataset, layer, treatment)
            if not count:
                continue
            arms = [dissociation.TWIN, f"{treatment}, layer {layer}"]
            before, after = gamma.sel(recipe=arms, layer=layer).dropna("seed").mean("seed").values
            rows[f"{treatment}: layer {layer}"] = {
                "untreated, %": f"{twin:.1f}",
                "treated, %": f"{end:.1f}",
                "γ untreated": f"{before:.2f}",
                "γ treated": f"{after:.2f}",
                "seeds": count,
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("treatment")


def scales(dataset: xr.Dataset) -> pd.DataFrame:
    """What the embeddings' scale is: an arm a row, with γ of layer 0 early, the emptiest layers and the loss."""
    ends = arms.ends(dataset)
    rows = []
    for std in embedding_scale.STDS:
        for speed in embedding_scale.SPEEDS:
            for positions in embedding_scale.SCALES:
                of = ends.loc[embedding_scale.named(std, speed, positions)].dropna()
                rows.append(
                    {
                        "std": f"{std:g}",
                        "a step moves": f"{100 * speed:g} %",
                        "positions": f"{positions:g}",
                        "γ_0": f"{of['γ_0'].mean():.2f}",
                        "emptiest layer, by seed": " ".join(f"{layer:.0f}" for layer in of["lowest"]),
                        "its use, %": f"{np.mean([row[f'U_{row.lowest:.0f}'] for _, row in of.iterrows()]):.0f}",
                        "loss": f"{of['loss'].mean():.2f}",
                    }
                )
    return pd.DataFrame(rows).set_index("std")


def contrasts(dataset: xr.Dataset) -> pd.DataFrame:
    """What was written of the embeddings' scale before the runs, and what came."""
    table = embedding_scale.contrasts(dataset)
    table["chance"] = [f"{100 * chance:.0f} %" for chance in table["chance"]]
    table["holds"] = [_held(held) for held in table["holds"]]
    table["came"] = table["came"].fillna("not known yet").str.replace("-", "−")
    return table.rename(columns={"chance": "chance given"}).set_index("written before")


def forecast(judged: pd.DataFrame) -> pd.DataFrame:
    """What was forecast of the other sixteen recipes, and what came."""
    return judged.assign(holds=[_held(held) for held in judged["holds"]]).rename_axis("forecast")


def _held(held: object) -> str:
    return "open" if held is None else "held" if held else "failed"


def one_at_a_time(dataset: xr.Dataset) -> pd.DataFrame:
    """Batch use (percent) of each layer at the end and loss, a row per changed ingredient, *base* first."""
    table = endings.by_recipe(dataset).drop(columns="distance")
    return table.loc[["base", *(name for name in table.index if name != "base")]].rename(columns=endings.of_layer)


def halves(named: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Millions of training tokens by which half of what a layer loses is lost: a row a model, a column a layer."""
    rows = {name: trajectories.half_lost(dataset) / 1e6 for name, dataset in named.items()}
    shown = {
        name: {
            endings.of_layer(layer): "–" if value != value else f"{value:.1f}" for layer, value in enumerate(row.values)
        }
        for name, row in rows.items()
    }
    return pd.DataFrame.from_dict(shown, orient="index").rename_axis("million tokens")


def lines_that_matter() -> Said:
    """The library's own lines that treat a layer's input, as they are."""
    parts = [inspect.cleandoc("\n" + inspect.getsource(each)) for each in (Intervention.forward, Intervention.shift)]
    return Said("```python\n" + "\n\n".join(parts) + "\n```")
