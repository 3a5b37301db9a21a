"""Chapter 09, live: one run and forks of it, 200 steps each; what `attribution` and `sealing` do on a GPU, in small.

A quarter of each layer's units is treated, a tenth there. Halfway through its training Laptop has some tens of dead
units in each of layers 2 to 4, and in the next 200 steps more die there than at any other time; layers 1 and 5 have
few, layer 0 none. So nothing is said of layer 0, nor, from one seed and some tens of deaths a layer, how sure an
attributable fraction is.

The forks' parent trains as the runs of Part I do, to the bit up to where they leave it. It is no run of theirs: to know
who died, it reads the held-out sets at a moment of its own, and that is part of a run's name.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ... import corpora, train
from ...config import RunConfig, replace
from ...errors import UserError
from ...experiments import attribution, forked, sealing, shared
from ...store import results
from . import lives

NAME = "why_units_die"
"""Name of its datasets."""

RECORDED = (("laptop", "default"),)
"""Shapes and recipes whose dataset is committed."""

POINT, STEPS, SHARE, LAYER = "50 %", 200, 0.25, 3
"""Where forks begin, how long they go on, the treated of a layer's units, and the layer whose upstream is frozen."""

TWIN = attribution.named(POINT, attribution.TWIN)
"""Watched and not changed: what controls and frozen forks are compared with."""

CONTROLLED = {
    attribution.named(POINT, kind): {
        f"control.{name}": value for name, value in {**attribution.KINDS[kind], "share": SHARE}.items()
    }
    for kind in (attribution.TWIN, "exchange")
}
"""Name of a fork with a control on updates, or without one → what it changes; a line more is a fork more."""

FROZEN: dict[str, dict[str, Any]] = {sealing.named(frozen=LAYER): {"fork.freeze_before": LAYER}}
"""The same of forks in which something stands still."""

ARMS = {name: (POINT, fields) for name, fields in (CONTROLLED | FROZEN).items()}

SHORT: dict[str, Any] = {
    "train.resume_every": 0,
    "measure.points": 6,
    "measure.sets": 1,
    "measure.final_sets": 2,
    "measure.history_units": 1,
    "measure.histories": 1,
}
"""Measured no more than is asked here: on cores, measuring takes longer than training."""

KEPT = 24
"""Evenly spaced steps of the parent at which its weights are kept, besides early ones: what `lives` reads. A parent is
derived from its forks, so they keep theirs too."""


def parent(scale: str, recipe: str | None = None) -> RunConfig:
    """What all forks go on from. At a constant rate it is trained no longer than they are: nothing else is changed."""
    of = shared.config(scale, recipe).runs[0]
    at = forked.tokens(of, POINT)
    batch, whole = of.train.batch_tokens, of.train.tokens
    end = min(whole, at + STEPS * batch)
    fields = {
        "train.tokens": end if of.train.schedule == "constant" else whole,
        "train.fork_states": (at,),
        "train.snapshots": KEPT,
        "measure.earlier": of.train.dead_after // batch,
    }
    return replace(of, **SHORT, **fields)


def config(scale: str, recipe: str | None = None) -> shared.Config:
    """The forks at a shape, by its own recipe or another; their parent is derived."""
    of, made = shared.config(scale, recipe), parent(scale, recipe)
    (at,) = made.train.fork_states
    steps = min(STEPS, (made.train.tokens - at) // made.train.batch_tokens)
    forks = {"fork.tokens": at, "fork.steps": steps}
    return shared.Config(of.scale, of.recipe, tuple(replace(made, **forks, **fields) for _, fields in ARMS.values()))


def run(config: shared.Config) -> xr.Dataset:
    """Deaths by (arm, seed, layer, decile, treated), revivals and hazards, and units that die in the parent."""
    shared.train_all(shared.with_parents(config.runs))  # forks side by side
    return forked.made(NAME, config, __name__, assemble)


def assemble(config: shared.Config, runs: Sequence[xr.Dataset | None]) -> xr.Dataset:
    """The dataset of the forks there are, in the order of `config.runs`; None was not run, its values are missing.

    Raises
    ------
    UserError
        If the fork that all are compared with is not there.
    """
    if runs[0] is None or "final_loss" not in runs[0]:
        raise UserError(f"the fork {TWIN!r} has no end, and all others are compared with it: train it first.")
    dataset = forked.assemble(config, runs, ARMS, measured)
    (made,) = [run for run in shared.with_parents(config.runs) if not run.fork.tokens]
    corpus = corpora.load(made.corpus)
    values = lives.followed(train.run(made, corpus), corpus)
    steps = values.pop("life_step")
    added: dict[str, tuple[tuple[str, ...], Any]] = {
        name: (("seed", *lives.ADDED[name][0]), value[None]) for name, value in values.items()
    }
    at: dict[str, Any] = {"chosen": list(lives.CHOSEN), "cause": list(lives.CAUSES), "bin": range(lives.BINS)}
    at |= {"edge": range(lives.BINS + 1), "life_step": steps}
    coords: dict[str, Any] = {name: ((name,), np.array(of)) for name, of in at.items()}
    coords["life_tokens"] = (("life_step",), steps * made.train.batch_tokens)
    units = lives.COORDINATES | {name: (unit, said) for name, (_, unit, said) in lives.ADDED.items()}
    followed = results.described(coords | added, units).set_coords(list(coords))
    dataset = dataset.merge(followed, join="exact", combine_attrs="override")
    return dataset.assign_attrs(life_sample_tokens=made.measure.set_tokens)


def measured(fork: xr.Dataset) -> forked.Kept:
    """What is kept of a fork, by name: dimensions, values, unit and description; deaths where units are treated."""
    treated: forked.Kept = attribution.measured(fork) if "treated" in fork else {}
    return {**sealing.measured(fork), **treated}
