"""Made-up datasets of forks, as a run's `measurements` would write them, of numbers that are drawn; no model is run."""

import json
from typing import Any

import numpy as np
import xarray as xr

from relusparsity.config import RunConfig, to_dict
from relusparsity.store.schema import UNITS

BINS = (0, 1, 2, 4, 8)
"""Silent steps of the hazard's bins."""


def fork(run: RunConfig, seed: int = 0, layers: int = 6, units: int = 40, every: int = 1) -> xr.Dataset:
    """A fork's end: about half of its units fire nowhere, before the fork and after it, in each probe apart.

    Parameters
    ----------
    seed
        Of what is drawn.
    every
        Steps between measurements of the loss.
    """
    rng, batch, dead_after = np.random.default_rng(seed), run.train.batch_tokens, run.train.dead_after
    at, end = run.fork.tokens, run.end_step * batch

    def firings() -> np.ndarray:
        return rng.integers(1, 9, (layers, units)) * (rng.random((layers, units)) < 0.5)

    def last(until: int) -> np.ndarray:
        """Last firings, in whole steps up to here: some n before to the token, some one step later."""
        near = until - dead_after + batch * rng.integers(-1, 2, (layers, units))
        any_time = batch * rng.integers(0, until // batch + 1, (layers, units))
        return np.maximum(0, np.where(rng.random((layers, units)) < 0.5, near, any_time))

    before, after = last(at), last(end)
    after = np.where((rng.random((layers, units)) < 0.3) | (after <= at), before, after)  # not fired since
    steps = list(range(run.begin_step, run.end_step + 1, every))
    of_units = ("unit", "layer")  # in the order that `forked` has to turn around
    values: dict[str, Any] = {
        "fork_firing_count": (of_units, firings().T),
        "earlier_firing_count": (of_units, firings().T),
        "fork_last_fired": (of_units, before.T),
        "last_fired": (of_units, after.T),
        "treated": (of_units, (rng.random((layers, units)) < 0.3).T),
        "path_length": (of_units, rng.random((layers, units)).T),
        "silent_at_risk": (("layer", "silent_steps"), rng.integers(100, 200, (layers, len(BINS)))),
        "silent_fired": (("layer", "silent_steps"), rng.integers(0, 100, (layers, len(BINS)))),
        "final_batch_use": (("set", "layer"), rng.random((3, layers))),
        "final_loss": ((), rng.random()),
        "heldout_loss": (("step",), rng.random(len(steps))),
        "falls": (of_units, np.where(rng.random((layers, units)) < 0.1, 0, 1 + rng.random((layers, units))).T),
        "largest_falls": (of_units, np.where(rng.random((layers, units)) < 0.1, np.nan, rng.random((layers, units))).T),
        "step": (("step",), steps),
        "layer": (("layer",), np.arange(layers)),
        "silent_steps": (("silent_steps",), list(BINS)),
    }
    described = {
        name: (dims, of, dict(zip(("units", "long_name"), UNITS[name], strict=True)))
        for name, (dims, of) in values.items()
    }
    facts = {
        "config": to_dict(run),
        "run_id": f"{seed:016x}",
        "tokens_seen": end,
        "wall_seconds": float(seed),
        "environment": {"commit": "0" * 40},
        "parent": {"run_id": f"{run.seed:016x}", "state": "0" * 64},
    }
    attrs = {"provenance": json.dumps(facts), "d_ff": units, "dead_after": dead_after, "final_sample_tokens": 64}
    return xr.Dataset({name: of for name, of in described.items()}, attrs=attrs)


def diverged(whole: xr.Dataset) -> xr.Dataset:
    """The same fork, stopped before its last measurement: what a run then keeps."""
    kept = whole[["heldout_loss"]].isel(step=slice(0, -1)).drop_vars(["layer", "silent_steps"], errors="ignore")
    kept.attrs = whole.attrs | {"stopped_after_step": int(whole["step"][-1]) - 1, "stopped": "the loss is nan"}
    return kept
