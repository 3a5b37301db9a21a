"""Chapter 10, live: four ways to train one small model; what `pruned_training` does on a GPU, in small.

Laptop by its own recipe empties late: 2 % of its units are dead at half of its training, 10 to 15 % at its end, and
there is next to nothing to remove. So this run has the weight decay of *nearest*, by which a quarter of the units is
dead at its end, after 320 steps. Its n of dead(n) is a twentieth of them: 16 steps, in which many dead units come back.

- **dense**: nothing changed. It keeps its state at half of its tokens, and the next two go on from there.
- **pruned**: after 4, 5, 6 and 7 eighths of the tokens the dead units go, down to multiples of 16 a layer. The 128 of a
  GPU would take nothing from a layer of 1,024 that lost a hundred.
- **random**: as many of each layer at random, at the same times.
- **narrow**: begins anew, with one width for all layers: the mean of `pruned`'s over layers and training.

What `pruned` came to decides the last two, so they are trained once it has ended; `config` names the first two alone.

Seconds: these runs share the cores with each other and with whatever else is done there, so the clock says little of
them. A step of each model is timed after they have ended, in turn and again and again; a run's seconds are its steps
times these.
"""

import json
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import xarray as xr

from ... import arithmetic, corpora, distributed
from ...config import RunConfig, replace, to_dict
from ...experiments import pruned_training, shared, variants
from ...prune_config import rounded_up
from ...recipes import RECIPES
from ...store import results
from ...store.schema import LAYER
from ...train.step import Trainer

NAME = "pruning_while_training"
"""Name of its datasets."""

RECORDED = (("laptop", "default"),)
"""Shapes and recipes whose dataset is committed."""

STEPS, DECAY_OF, MULTIPLE = 320, "nearest", 16
EIGHTHS = (4, 5, 6, 7)
"""After how many eighths of the tokens units are removed; forks begin at the first."""
DEAD_AFTER = 0.05
"""n of dead(n), as a share of the tokens."""
ROUNDS = 40
"""Times that a step of each model is timed."""

SHORT: dict[str, Any] = {
    "train.resume_every": 0,
    "train.snapshots": 0,
    "measure.points": 16,
    "measure.final_sets": 2,
    "measure.history_units": 1,
    "measure.histories": 1,
}
"""Measured no more than is asked here, and at every moment of a removal: points are a multiple of eight."""


def parent(scale: str, recipe: str | None = None) -> RunConfig:
    """The dense run, which the forks go on from."""
    of = shared.config(scale, recipe).runs[0]
    batch = of.train.batch_tokens
    steps = min(STEPS, of.train.steps) // 16 * 16
    fields = {
        "train.tokens": steps * batch,
        "train.warmup": min(of.train.warmup, steps * batch),
        "train.dead_after": round(DEAD_AFTER * steps) * batch,
        "train.weight_decay": RECIPES[DECAY_OF].changes["train.weight_decay"],
        "train.fork_states": (steps // 8 * EIGHTHS[0] * batch,),
    }
    return replace(of, **SHORT, **fields)


def config(scale: str, recipe: str | None = None) -> shared.Config:
    """`dense` and `pruned` at a shape, by its own recipe or another; the others follow from what `pruned` came to."""
    of, dense = shared.config(scale, recipe), parent(scale, recipe)
    tokens = tuple(dense.train.tokens // 8 * eighths for eighths in EIGHTHS)
    multiple = min(MULTIPLE, dense.model.width // 8)
    fields = {"fork.tokens": tokens[0], "prune.tokens": tokens, "prune.multiple": multiple}
    return shared.Config(of.scale, of.recipe, (dense, replace(dense, **fields)))


def matched(pruned: RunConfig, came: xr.Dataset) -> dict[str, RunConfig]:
    """`random` and `narrow`, of the widths that `pruned` came to.

    Parameters
    ----------
    came
        Its dataset: `removed_at` (layer, unit), `width` (step, layer).
    """
    widths = np.reshape(pruned_training.came_to(came), (len(pruned.prune.tokens), -1))
    at, end = pruned.prune.tokens, pruned.train.tokens
    spans = np.diff([*at, end]) / end
    mean = pruned.model.width * at[0] / end + float(spans @ widths.mean(1))
    fields = {"prune.rule": "random", "prune.widths": tuple(map(int, widths.ravel()))}
    begins = replace(pruned, prune=type(pruned.prune)(), fork=type(pruned.fork)())
    narrow = {"model.d_ff": rounded_up(mean, pruned.prune.multiple), "train.fork_states": ()}
    return {"random": replace(pruned, **fields), "narrow": replace(begins, **narrow)}


def run(config: shared.Config) -> xr.Dataset:
    """Loss, seconds and widths by (arm, seed, step[, layer]), and what of the first removal would have come back."""
    shared.train_all(shared.with_parents(config.runs))
    return variants.made(NAME, config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset]) -> xr.Dataset:
    """The dataset of `dense` and `pruned`, in this order, and of the two runs that follow from them."""
    dense, pruned = runs
    others = matched(config.runs[1], pruned)
    made = dict(zip(others, shared.train_all(list(others.values())), strict=True))
    of = {"dense": dense, "pruned": pruned} | {name: each.dataset for name, each in made.items()}
    fork = config.runs[1].fork.tokens
    dataset = pruned_training.together(config, {config.runs[0].seed: of}, [dense], fork)
    dataset = _timed(dataset, config.runs[0])
    ends = [[float(each["final_loss"])] for each in of.values()]
    values: dict[str, tuple[tuple[str, ...], Any]] = {"final_loss": (("arm", "seed"), ends)}
    removed, back = returned(dense, pruned, fork)
    values |= {name: (("seed", "layer"), each[None]) for name, each in (("removed", removed), ("returned", back))}
    dataset = dataset.merge(results.described(values, UNITS))
    facts = results.provenance(dataset)
    follow = {name: facts[name][len(runs) :] for name in ("runs", "wall_seconds", "commits")}
    facts |= {name: facts[name][: len(runs)] for name in follow} | {"followed": follow}
    facts["configs"] = {name: to_dict(each) for name, each in zip(of, (*config.runs, *others.values()), strict=True)}
    about = {"dead_after": dense.attrs["dead_after"], "d_ff": dense.attrs["d_ff"], "rounds": ROUNDS}
    decay = f"{config.recipe}, decay {config.runs[0].train.weight_decay:g}"
    dataset.coords["recipe"] = ((), decay, {"units": "1", "long_name": "how all arms are trained"})
    return dataset.assign_attrs(about, provenance=json.dumps(facts, sort_keys=True))


UNITS = {
    "final_loss": ("nats/token", "cross-entropy on the final held-out sets"),
    "removed": ("units", "units of the layer that the first removal took"),
    "returned": ("units", "of these, those that have fired again by the end of the dense run"),
    "layer": ("1", LAYER),
}
SECONDS = "steps taken, times the seconds of a step of the same widths, timed in turn after the runs"


def returned(dense: xr.Dataset, pruned: xr.Dataset, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Units that went after so many tokens, and those of them that fired again where nothing was removed: (layer).

    Up to there the two runs are one, so that these are the same units; later removals have no twin.
    """
    went = pruned["removed_at"].transpose("layer", "unit").values == tokens
    fired = dense["last_fired"].transpose("layer", "unit").values > tokens
    return went.sum(1), (went & fired).sum(1)


def _timed(dataset: xr.Dataset, run: RunConfig) -> xr.Dataset:
    """The dataset with seconds by the steps that `step_seconds` times, in place of the clock's."""
    width = dataset["width"].transpose("arm", "seed", "step", "layer").values[:, 0]
    known = np.isfinite(width).all(-1)
    rows = [tuple(map(int, row)) for row in width[known]]
    seconds = step_seconds(run, sorted(set(rows), reverse=True))  # dense first
    per_step = np.full(known.shape, np.nan)
    per_step[known] = [seconds[row] for row in rows]
    steps = dataset["step"].values
    whole = seconds[(int(dataset.sel(arm="dense")["width"].max()),) * dataset.sizes["layer"]]
    begun = np.array([steps[there][0] for there in known]) * whole  # of a fork: its parent's, which is dense
    spent = np.diff(steps, prepend=0) * np.where(known, per_step, 0)
    spent[known & (np.cumsum(known, 1) == 1)] = 0  # the first measurement is of the beginning
    values = np.where(known, begun[:, None] + np.cumsum(spent, 1), np.nan)
    about = {
        "training_seconds": ("s", SECONDS),
        "step_seconds": ("s", "seconds of a step of these widths, timed in turn"),
    }
    dims = ("arm", "seed", "step")
    return dataset.assign(
        {
            name: (dims, each[:, None], {"units": units, "long_name": said})
            for (name, (units, said)), each in zip(about.items(), (values, per_step), strict=True)
        }
    )


@arithmetic.float32("tf32")
def step_seconds(
    run: RunConfig, widths: Sequence[tuple[int, ...]], rounds: int = ROUNDS
) -> Mapping[tuple[int, ...], float]:
    """Seconds of a training step with each of these widths, the first of which is what the others are compared with.

    Each round takes a step of each, beginning with another one every time. What a round took longer than others, all
    of it did: so a width's seconds are the first one's, median over the rounds, times the median of the ratio to it.
    """
    corpus, device = corpora.load(run.corpus), distributed.device()
    trainers = [Trainer(replace(run, **{"model.d_ff": each}), corpus, device) for each in widths]
    taken = np.zeros((rounds + 1, len(widths)))
    for number, row in enumerate(taken):
        for place in np.roll(np.arange(len(widths)), -number):
            begun = perf_counter()
            loss, *_ = trainers[place].advance()
            float(loss)  # waits for a GPU
            row[place] = perf_counter() - begun
    taken = taken[1:]  # the first one warms up
    seconds = np.median(taken[:, 0]) * np.median(taken / taken[:, :1], axis=0)
    return dict(zip(widths, map(float, seconds), strict=True))
