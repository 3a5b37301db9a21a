"""Chapter 10: whether removing dead units while training saves time: five ways to train one recipe, at Wide.

*Nearest* at Wide, its three judging seeds. A dense run keeps its state after a tenth of its tokens; its forks go on
from there to its end, so that they are paired.

- **dense**: nothing changed.
- **pruned**: after 10, 25 and 50 % of the tokens the units go that are dead(n) then, down to multiples of 128.
- **random**: as many at random, at the same times. What `pruned` came to is known once it has run, and stands in
  `WIDTHS`; the arm is there from then on.

Two more begin anew, with fewer units from the first step on:

- **narrow**: one width for all layers, the mean of `pruned`'s over layers and training, as recorded runs foretold it.
- **recommended**: a width for each layer, by `planning.recommend` from a recorded run's first tenth.

Row 17 of the ledger: L is 1.005 × dense's last loss, and a run comes to L at its first measurement at or below it.
Seconds are those of training: compiling and removing stand apart, and so does measuring. The row asks for a median over
the seeds of (dense's seconds to L) / (pruned's), from the fork on, of 1.3 at least, and that `pruned`, its parent's
tenth included, is not slower to L than `narrow`, by the medians; who never comes to L is slower. L is taken of the
held-out sets that are read at every measurement, since no other loss is known on the way.

Rivals: removal of saturated neurons from vision models in training (Dufort-Labbé et al. 2024, arXiv 2403.07688), and
narrowing a language model under one schedule (IDEA Prune, arXiv 2503.05920). The bar is the small model from scratch.

Written before the runs (2026-11-30), with no run that lost units seen but in tests, and dense runs of the same seeds
known: `EXPECTED` and `CHANCES`. Their dead units say what `pruned` will be left with, if those that stay do as before.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..config import RunConfig, replace
from ..prune_config import rounded_up
from ..recipes import RECIPES
from ..scales import base, names
from ..store import results
from ..store.schema import COORDINATES
from . import every, forked, shared, variants

DATE = "2026-11-30"
RAN = ""
"""The day of the latest runs so far; empty before the first."""

RECORDED = (("wide", None),)
"""Shapes whose dataset is committed once it ran."""

RECIPE, UNITS, MULTIPLE = "nearest", 32_768, 128
POINTS = (0.1, 0.25, 0.5)
"""Shares of the tokens after which units are removed; forks begin at the first."""

PLANNED: dict[int, tuple[int, tuple[int, ...]]] = {
    2: (17_280, (22_656, 7_552, 23_680, 28_160, 28_288, 25_728)),
    3: (16_384, (20_992, 3_584, 17_024, 26_880, 28_928, 26_112)),
    4: (14_976, (23_552, 5_248, 7_040, 22_272, 28_672, 26_752)),
}
"""Seed → the widths of `narrow` and of `recommended` at Wide, off its recorded run; other shapes have their shares."""

WIDTHS: dict[int, tuple[int, ...]] = {}
"""Seed → what `pruned` came to at Wide, of each layer after each removal: `came_to` reads it off a fork's dataset."""

EXPECTED: dict[str, tuple[float, float]] = {
    "pruned": (-0.3, 0.4),
    "narrow": (-1.0, 1.0),
    "recommended": (-1.0, 0.6),
}
"""Arm → interval of its last loss beside dense's, in percent of it, mean of the seeds."""

CHANCES = {
    "row 17: 1.3 times as fast to L as dense, and not slower than narrow": 0.35,
    "the median of dense's seconds to L over pruned's, from the fork on, is 1.3 or more": 0.65,
    "pruned comes to L in every seed": 0.8,
    "narrow comes to L in every seed": 0.5,
    "recommended ends with a lower loss than narrow in every seed": 0.4,
}
"""Sentence → the chance written for it; see `sentences`."""


def parent(scale: str, seed: int) -> RunConfig:
    """The dense run that the forks of a seed go on from."""
    run = base(scale, seed, RECIPE)
    return replace(run, **{"train.fork_states": (_tokens(run)[0],)})


def _tokens(run: RunConfig) -> tuple[int, ...]:
    """Training tokens at `POINTS`, after whole steps, and not before anybody can be dead(n)."""
    of = run.train
    return tuple(max(of.dead_after, round(point * of.steps) * of.batch_tokens) for point in POINTS)


def arms(scale: str, seed: int) -> dict[str, RunConfig]:
    """The runs of a seed, by name."""
    of = parent(scale, seed)
    whole, at = of.model.width, _tokens(of)
    multiple = min(MULTIPLE, whole // 8)
    narrow, recommended = PLANNED.get(seed, PLANNED[min(PLANNED)])

    def shares(width: int) -> int:
        return rounded_up(width * whole / UNITS, multiple)

    dense = replace(of, **{"fork.tokens": at[0]})
    removals = {"prune.tokens": at, "prune.multiple": multiple}
    found = {"dense": dense, "pruned": replace(dense, **removals)}
    if scale == "wide" and seed in WIDTHS:
        found["random"] = replace(dense, **removals, **{"prune.rule": "random", "prune.widths": WIDTHS[seed]})
    begins = replace(of, **{"train.fork_states": ()})
    found["narrow"] = replace(begins, **{"model.d_ff": shares(narrow)})
    found["recommended"] = replace(begins, **{"model.d_ff": tuple(map(shares, recommended))})
    return found


def seeds(scale: str) -> tuple[int, ...]:
    """Those that judge the recipe at Wide."""
    return RECIPES[RECIPE].seeds("wide")


def config(scale: str) -> shared.Config:
    """All runs of every seed at a shape, seed by seed."""
    scale, _ = names(scale)
    return shared.Config(scale, RECIPE, tuple(run for seed in seeds(scale) for run in arms(scale, seed).values()))


def run(config: shared.Config) -> xr.Dataset:
    """Loss, training seconds and widths by (arm, seed, step), of runs trained where they do not exist."""
    parents = [parent(config.scale, seed) for seed in seeds(config.scale)]
    shared.train_all(parents)

    def made(config: shared.Config, runs: list[xr.Dataset]) -> xr.Dataset:
        return assemble(config, runs, [variants.measured(each) for each in parents])

    return variants.made("pruned_training", config, __name__, made)


def assemble(
    config: shared.Config, runs: Sequence[xr.Dataset | None], parents: Sequence[xr.Dataset | None]
) -> xr.Dataset:
    """The dataset of the runs there are, in the order of `config.runs`, and their parents, a seed each.

    None was not run: its values are missing (NaN).
    """
    there = iter(runs)
    of_seeds = {seed: {arm: next(there) for arm in arms(config.scale, seed)} for seed in seeds(config.scale)}
    return together(config, of_seeds, parents, _tokens(config.runs[0])[0])


def together(
    config: shared.Config,
    of_seeds: Mapping[int, Mapping[str, xr.Dataset | None]],
    parents: Sequence[xr.Dataset | None],
    fork_tokens: int,
) -> xr.Dataset:
    """Runs by seed and arm as one dataset, (arm, seed, …); an arm that a seed lacks, or None, is missing (NaN).

    Parameters
    ----------
    parents
        What the forks of each seed go on from.
    fork_tokens
        Training tokens after which they do.
    """
    named = list(dict.fromkeys(arm for found in of_seeds.values() for arm in found))
    parts = [[_one(found.get(arm), of) for arm in named] for found, of in zip(of_seeds.values(), parents, strict=True)]
    some = next(part for of_seed in parts for part in of_seed if part is not None)
    steps = np.unique(np.concatenate([part["step"] for row in parts for part in row if part is not None]))
    nothing = xr.full_like(some.astype(float), np.nan)
    filled = [[(nothing if part is None else part).reindex(step=steps) for part in row] for row in parts]
    dataset = xr.concat([xr.concat(row, "arm") for row in filled], "seed").transpose("arm", "seed", ...)
    batch = config.runs[0].train.batch_tokens
    for name, (dim, values, (units, said)) in {
        "arm": ("arm", named, ("1", "how the run is trained")),
        "seed": ("seed", list(of_seeds), COORDINATES["seed"]),
        "step": ("step", steps, COORDINATES["step"]),
        "tokens": ("step", steps * batch, COORDINATES["tokens"]),
    }.items():
        dataset.coords[name] = (dim, values, {"units": units, "long_name": said})
    facts = [results.provenance(run) for found in of_seeds.values() for run in found.values() if run is not None]
    told = {"runs": [f["run_id"] for f in facts], "wall_seconds": [f["wall_seconds"] for f in facts]}
    told["commits"] = [f["environment"]["commit"] for f in facts]
    dataset.attrs = {
        "scale": config.scale,
        "recipe": config.recipe,
        "fork_tokens": fork_tokens,
        "provenance": json.dumps(facts[0] | told, sort_keys=True),
    }
    return dataset


def _one(run: xr.Dataset | None, parent: xr.Dataset | None) -> xr.Dataset | None:
    """What is kept of a run; its seconds are counted from the beginning of its training, or its parent's."""
    if run is None:
        return None
    facts = results.provenance(run)
    before, fork = 0.0, facts["config"]["fork"]["tokens"]
    if fork:
        assert parent is not None
        before = float(np.interp(fork, parent["tokens"], results.provenance(parent)["training_seconds"]))
    layers = run.sizes["layer"]
    width = run["width"].values if "width" in run else np.full((run.sizes["step"], layers), run.attrs["d_ff"])
    kept: dict[str, tuple[tuple[str, ...], Any, str, str]] = {
        "heldout_loss": (("step",), run["heldout_loss"].values, "nats/token", "cross-entropy on held-out text"),
        "training_seconds": (
            ("step",),
            before + np.array(facts["training_seconds"]),
            "s",
            "spent in training steps since step 0, a fork's parent's among them",
        ),
        "width": (("step", "layer"), width, "units", "hidden units that the layer has"),
        "removing_seconds": ((), facts["seconds"]["removing"], "s", "spent in removing units"),
        "first_steps_seconds": ((), facts["seconds"]["first_steps"], "s", "spent in first steps, which compile"),
    }
    made = {name: (dims, of, {"units": units, "long_name": said}) for name, (dims, of, units, said) in kept.items()}
    return xr.Dataset(made, {"step": run["step"].values, "layer": ("layer", run["layer"].values, run["layer"].attrs)})


def came_to(fork: xr.Dataset) -> tuple[int, ...]:
    """Units of each layer after each removal of a pruned fork, for `WIDTHS`."""
    config = results.provenance(fork)["config"]
    removed, began = fork["removed_at"].transpose("layer", "unit").values, config["model"]["d_ff"]
    return tuple(int(began - (of_layer <= at).sum()) for at in config["prune"]["tokens"] for of_layer in removed)


def to_loss(dataset: xr.Dataset) -> xr.DataArray:
    """Training seconds to L, (arm, seed): infinite for a run that never comes to it, NaN for one that is missing."""
    loss, seconds = dataset["heldout_loss"], dataset["training_seconds"]
    last = loss.sel(arm="dense").isel(step=-1)
    reached = seconds.where(loss <= 1.005 * last).min("step")
    return reached.where(reached.notnull(), np.inf).where(loss.notnull().any("step") & last.notnull())


def judge(dataset: xr.Dataset) -> pd.DataFrame:
    """Row 17, a row a seed: seconds to L of each arm, and dense's over pruned's from the fork on."""
    seconds = to_loss(dataset)
    table = seconds.transpose("seed", "arm").to_pandas()
    fork = int(dataset.attrs["fork_tokens"])
    begun = dataset["training_seconds"].sel(arm="dense").swap_dims(step="tokens").sel(tokens=fork).values
    table["dense / pruned"] = (table["dense"] - begun) / (table["pruned"] - begun)
    return table


def holds(dataset: xr.Dataset) -> bool | None:
    """Whether row 17 holds; None where a run that it reads is missing."""
    table = judge(dataset)
    if table[["dense", "pruned", "narrow"]].isna().any(axis=None):
        return None
    pruned, narrow = (float(table[arm].median()) for arm in ("pruned", "narrow"))
    return bool(float(table["dense / pruned"].median()) >= 1.3 and pruned < np.inf and pruned <= narrow)


def beside_dense(dataset: xr.Dataset) -> xr.DataArray:
    """Last loss beside dense's, in percent of it: (arm, seed)."""
    last = dataset["heldout_loss"].isel(step=-1)
    return 100 * (last / last.sel(arm="dense") - 1)


def predicted(dataset: xr.Dataset) -> pd.DataFrame:
    """`EXPECTED` against the runs; what has no end yet is neither right nor wrong."""
    mean, rows = beside_dense(dataset).mean("seed"), []
    for arm, (low, high) in EXPECTED.items():
        came = float(mean.sel(arm=arm))
        rows.append((arm, f"{low:g} to {high:g}", round(came, 2), None if came != came else low <= came <= high))
    return pd.DataFrame(rows, columns=["arm", "written before", "came", "holds"])


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the runs; None where a run of what they read is missing, unless one known is against it."""
    table, ends = judge(dataset), beside_dense(dataset)
    ratio = float(table["dense / pruned"].median(skipna=False))
    lower = ends.sel(arm="recommended") < ends.sel(arm="narrow")
    known = ends.sel(arm=["recommended", "narrow"]).notnull().all("arm").values
    below = [bool(of) if there else None for of, there in zip(lower.values, known, strict=True)]
    came: list[tuple[str, bool | None]] = [
        (f"{ratio:.2f}", holds(dataset)),
        (f"{ratio:.2f}", None if ratio != ratio else ratio >= 1.3),
        *(_all_reach(table, arm) for arm in ("pruned", "narrow")),
        (f"{below.count(True)} of {known.sum()} seeds", every.all_hold(below)),
    ]
    return forked.said(CHANCES, came)


def _all_reach(table: Mapping[str, pd.Series], arm: str) -> tuple[str, bool | None]:
    known = table[arm].notna()
    there = (table[arm] < np.inf).astype(object).where(known, None)
    return f"{there.eq(True).sum()} of {known.sum()} seeds", every.all_hold(there)
