"""Chapter 06: the paper's shape with half the learning rate, twice the weight decay and longer training, one seed.

Exploration. What the factorial and the longer runs suggest, written before the run: layer 0 empties with the product of
learning rate, weight decay and steps, the last layer with the learning rate alone. If so, this recipe should end with
fewer units in use in layer 0 than the first recipe, which chapter 2 then showed, and with far more in layer 5. Layer 0
fell and layer 5 rose, by more than seeds differ by; what had been suggested of the rate alone did not last
(`equal_decay`). It was the nearest to the source of those then known: scale paper has it since (`scales.NEAREST`).
"""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from .. import results, train
from ..config import RunConfig, from_dict, replace
from ..scales import SEARCH_SEEDS, base
from . import exploration, variants
from .modern import Config

TIMES = 1.75
"""Training tokens, in those of the scale's run."""

CHANGES = {"train.lr": 3e-4, "train.weight_decay": 2.0}
"""What else it changes of that run."""

RECORDED = ("paper_first",)
"""Scales whose dataset is committed."""


def config(scale: str) -> Config:
    """The recipe at a scale, with a seed that no verdict rests on."""
    run = base(scale, SEARCH_SEEDS.get(scale, (0,))[0])
    steps = int(TIMES * run.train.steps)
    return Config(scale, (replace(run, **CHANGES, **{"train.tokens": steps * run.train.batch_tokens}),))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (seed, step, layer), and the final ones by (seed, layer), as in chapter 02."""
    return variants.patterns("stronger_decay", config, __name__)


def summed_decay(run: RunConfig) -> float:
    """Sum over the steps of learning rate times weight decay.

    AdamW takes that share off every matrix at each step: without a gradient, a weight of it would end at exp(−sum) of
    where it began.
    """
    steps = range(0, run.train.tokens, run.train.batch_tokens)
    return run.train.weight_decay * sum(train.learning_rate(run.train, seen) for seen in steps)


def by_summed_decay(runs: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """The end (batch use in percent of each layer, distance and loss), and the recipe: `summed_decay`, rate, shape.

    Means over the seeds; columns 0, 1 … are the layers. A row a run, by rising sum.

    Parameters
    ----------
    runs
        Name → dataset of one recipe, which may be selected from one of several.
    """
    rows = {}
    for name, dataset in runs.items():
        run = _config(dataset)
        rows[name] = exploration.ending(dataset) | {
            "sum": round(summed_decay(run), 1),
            "rate": run.train.lr,
            "decay": run.train.weight_decay,
            "steps": f"{run.train.steps:,}",
            "stream": f"{run.model.d_model:,}",
            "units": f"{run.model.d_ff:,}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("sum").rename_axis("run")


def _config(dataset: xr.Dataset) -> RunConfig:
    """The configuration of a dataset's one recipe."""
    facts = results.provenance(dataset)
    first = from_dict(RunConfig, facts["config"])
    if "recipe" not in dataset.coords:
        return first
    name = dataset["recipe"].item()
    if "configs" not in facts:  # recorded before each was kept: all of these are recipes of the exploration
        return exploration.changed(first, exploration.CHANGES[name])
    return from_dict(RunConfig, facts["configs"][name])
