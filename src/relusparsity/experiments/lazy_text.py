"""Chapter 12: sparsity that nobody asked for, in an encoder-decoder on text with spans cut out, as T5 is trained.

The share of positive entries after ReLU, by layer and over training (Li et al. 2023, *The Lazy Neuron Phenomenon*,
arXiv 2210.06313, who report 3.0 % of T5-Base): 6 + 6 layers of 2,048 units on a stream of 512, 61 million parameters,
12,800 steps of 32 sequences. 210 million tokens are those that the encoder reads; the decoder predicts 114 for each 512
of them. A layer's share is that of its own tokens, and the layers of both stacks weigh alike.

Beside it the same with T5's optimiser, and with targets that are drawn, from which nothing can be learned. Adafactor's
steps are parts of a matrix's own size: lr is such a part, 0.01 as in T5's first 10,000 steps, and with its decay lr
times decay is AdamW's. Three seeds of each, nine runs. Of the first four, two of AdamW learned so little that
`lazy_text_rates` asks which rate it needs; row 20 reads that.

Written before the runs (2026-11-30): `EXPECTED` and `CHANCES`. Known were runs of 800 steps of 16 sequences on the
docstrings, one of each arm (3 + 3 layers of 256 units on a stream of 64, AdamW at 2e-3). There the share began at 51 %
and ended at 43, at 47 by Adafactor, at 46 with random targets, which left 29 to 55 % of the units of four layers
silent; elsewhere hardly one was. A run of 6 + 6 layers, read after 1,000 of its 2,000 steps, had come from 49 to 36 %,
the encoder to 34, the decoder to 39. Decoders of Mid, on the text of these runs, had ended at 1 to 8 %.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..config import replace
from ..scales import spans
from ..store import results
from ..store.schema import OF_SPANS
from . import forked, lazy, shared, variants
from .every import in_every
from .lazy import AS_IS

DATE = "2026-11-30"
RAN = "2026-11-30"
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("spans", None),)
"""Shapes whose dataset is committed once it ran."""

SEEDS = (0, 1, 2)

ADAFACTOR, RANDOM = "Adafactor", "random targets"
CHANGES: dict[str, dict[str, Any]] = {
    AS_IS: {},
    ADAFACTOR: {"train.optimizer": "adafactor", "train.lr": 0.01, "train.weight_decay": 0.01},
    RANDOM: {"corpus.targets": "random"},
}
"""Name of each arm → what it changes of a shape's run."""

PARAMETERS, TOKENS = 60_000_000, 200_000_000
"""The least that row 20 asks for."""
RARE = 0.1
"""A unit is rare that fires at a smaller share of the tokens; the source counts 93.5 % of the units of one layer."""


def config(scale: str) -> shared.Config:
    """All arms of every seed at a shape, seed by seed."""
    runs = tuple(replace(spans(scale, seed), **fields) for seed in SEEDS for fields in CHANGES.values())
    return shared.Config(scale, "default", runs)


def run(config: shared.Config) -> xr.Dataset:
    """Use of every layer by (recipe, seed, step, layer), losses and accuracies, trained where they do not exist."""
    return variants.made("lazy_text", config, __name__, assemble)


def assemble(
    config: shared.Config, runs: Sequence[xr.Dataset | None], changes: Mapping[str, dict[str, Any]] | None = None
) -> xr.Dataset:
    """See `lazy.assemble`; with what units do on the final held-out sets. Layers go by `layer_name`, too.

    Parameters
    ----------
    changes
        Arms, in the order of a seed's runs; None: `CHANGES`.
    """
    added: lazy.Added = {
        "final_accuracy": ((), OF_SPANS["final_accuracy"], lambda run: float(run["final_accuracy"])),
        "final_silent_units": (("layer",), ("units", "units that fire nowhere on the final held-out sets"), _silent),
        "final_rare_units": (
            ("layer",),
            (
                "units",
                f"units that fire at less than {100 * RARE:g} % of the layer's tokens of the final held-out sets",
            ),
            lambda run: (_firing_rates(run) < RARE).sum("unit").values,
        ),
    }
    return lazy.assemble(config, runs, CHANGES if changes is None else changes, added)


def _silent(run: xr.Dataset) -> np.ndarray:
    found: np.ndarray = (run["final_firing_count"] == 0).sum("unit").values
    return found


def _firing_rates(run: xr.Dataset) -> xr.DataArray:
    """Share of a layer's own tokens of the final sets at which a unit fires: (layer, unit)."""
    sequences = run.attrs["final_sample_tokens"] // results.provenance(run)["config"]["model"]["seq_len"]
    return run["final_firing_count"].transpose("layer", "unit") / (sequences * run["layer_positions"])


def ends(dataset: xr.Dataset) -> pd.DataFrame:
    """See `lazy.ends`; with three columns more.

    In percent, `living`: see `lazy.living`, of the units that fire somewhere on the final held-out sets; and `batch`,
    the share of the units that fire in one of these sets. `loss` is in nats per token.
    """
    table = lazy.ends(dataset)
    at = {
        "living": lazy.living(dataset["final_token_use"], lazy.alive(dataset, dataset["final_silent_units"])),
        "batch": 100 * dataset["final_batch_use"].astype(float).mean(("set", "layer")),
        "loss": dataset["final_loss"].astype(float),
    }
    for name, of in at.items():
        table[name] = [float(of.sel(recipe=arm, seed=seed)) for arm, seed in table.index]
    return table


def row_20(dataset: xr.Dataset, arm: str = AS_IS) -> pd.DataFrame:
    """Row 20 of an arm, a row a seed: `start`, `end` and `living`, in percent, and `holds`, whether the rule does.

    At most 10 % of the entries are positive at the end, and 45 to 55 % before the first step. None where a run has no
    end, or the model or its training is smaller than the rule asks for.
    """
    facts, run = results.provenance(dataset), lazy.models(dataset)[arm]
    large = facts["parameters"] >= PARAMETERS and run.train.tokens >= TOKENS
    table = ends(dataset).loc[arm][["start", "end", "living"]]
    start, end = table["start"].round(9), table["end"].round(9)
    holds = ((end <= 10) & start.between(45, 55)).astype(object)
    return table.assign(holds=holds.where(table["end"].notna() & large, None))


def by_layer(dataset: xr.Dataset, arm: str = AS_IS) -> pd.DataFrame:
    """A row a layer, by its name: means of the seeds, in percent; NaN where a seed has no end.

    `start` and `end`: positive entries, before the first step and at the end; `living`: those of the units that fire
    somewhere on the final sets; `sequence` and `batch`: units that fire in a sequence, and in a set of sequences;
    `silent`, `dead` and `rare`: units without a firing on the final sets, dead in the training text, and that fire at
    less than a tenth of the tokens.
    """
    of, units = dataset.sel(recipe=arm), int(lazy.numbers(dataset).loc[arm, "units"])
    use, silent = of["final_token_use"].astype(float), of["final_silent_units"] / units
    rows = {
        "start": of["token_use"].isel(step=0),
        "end": use,
        "living": use / (1 - silent).where(silent < 1),
        "sequence": of["final_sequence_use"],
        "batch": of["final_batch_use"].astype(float).mean("set", skipna=False),
        "silent": silent,
        "dead": of["dead_units"].isel(step=-1) / units,
        "rare": of["final_rare_units"] / units,
    }
    columns = {name: 100 * each.astype(float).mean("seed", skipna=False).values for name, each in rows.items()}
    return pd.DataFrame(columns, pd.Index(dataset["layer_name"].values.tolist(), name="layer"))


def first_layer(dataset: xr.Dataset) -> pd.DataFrame:
    """The encoder's first layer, a row an arm and seed: its `silent`, `dead` and `rare` units, counted; see `by_layer`.

    The source says of T5 that it has no dead neurons, and that most fire rarely.
    """
    of = dataset.isel(layer=0)
    each = {
        "silent": of["final_silent_units"],
        "dead": of["dead_units"].isel(step=-1),
        "rare": of["final_rare_units"],
    }
    return lazy.tabulated(each)


EXPECTED = {AS_IS: (4.0, 16.0), ADAFACTOR: (4.0, 22.0), RANDOM: (8.0, 35.0)}
"""Arm → interval of the share of positive entries at the end, percent, all layers, mean of the seeds."""

CHANCES = {
    "row 20: at most 10 % of the entries are positive at the end, 45 to 55 % at the start, in every seed": 0.5,
    "the share starts between 45 and 55 %, in every arm and seed": 0.97,
    "Adafactor ends denser than AdamW in every seed": 0.6,
    "with random targets, the share ends below half of its start in every seed": 0.5,
    "the encoder's first layer has no silent unit at the end, in every seed": 0.5,
    "nine tenths of the units of the encoder's first layer fire at less than a tenth of the tokens, in every seed": 0.3,
    "the decoder ends denser than the encoder in every seed": 0.65,
    "more than 90 % of the units fire in one set of 16 sequences, in every seed": 0.5,
}
"""Sentence → the chance written for it; see `sentences`."""


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; an arm without an end in every seed is neither right nor wrong."""
    return lazy.predicted(EXPECTED, ends(dataset))


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a run of what they read is missing, unless one known is against it."""
    table, first, units = ends(dataset), first_layer(dataset).loc[AS_IS], lazy.numbers(dataset).loc[AS_IS, "units"]
    base, drawn, row = table.loc[AS_IS], table.loc[RANDOM], row_20(dataset)
    beyond = table.loc[ADAFACTOR, "end"] - base["end"]
    use = dataset["final_token_use"].sel(recipe=AS_IS).transpose("seed", "layer").astype(float)
    decodes = np.array([str(name).startswith("decoder") for name in dataset["layer_name"].values])
    denser = (
        100 * (use[:, decodes].mean("layer", skipna=False) - use[:, ~decodes].mean("layer", skipna=False)).to_pandas()
    )
    rare = 100 * first["rare"] / units
    came = [
        in_every(row["end"].where(row["holds"].notna()), row["holds"].eq(True)),
        in_every(table["start"], table["start"].round(9).between(45, 55)),
        in_every(beyond, beyond > 0),
        in_every(drawn["end"] / drawn["start"], lazy.halved(drawn).eq(True)),
        in_every(first["silent"], first["silent"] == 0),
        in_every(rare, rare.round(9) >= 90),
        in_every(denser, denser > 0),
        in_every(base["batch"], base["batch"] > 90),
    ]
    return forked.said(CHANCES, came)
