"""What every experiment does alike: train its runs once, stack them by seed, keep its dataset under an id."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from tqdm.auto import tqdm

from .. import corpora, distributed, results, train
from ..config import RunConfig, digest, replace, to_dict
from ..scales import SEEDS, base
from ..schema import UNITS


def seeds(scale: str, **changes: Any) -> tuple[RunConfig, ...]:
    """The scale's run, changed field by field (dotted names), once a seed."""
    return tuple(replace(base(scale, seed), **changes) for seed in SEEDS)


def train_all(configs: Sequence[RunConfig]) -> list[train.Run]:
    """The finished runs of these configurations; those that exist are reused."""
    bar = tqdm(configs, desc="runs", unit="run", leave=False, disable=None)
    return [train.run(config, corpora.load(config.corpus)) for config in bar]


def stack(runs: Sequence[train.Run], scale: str, variables: Sequence[str] | None = None) -> xr.Dataset:
    """The runs' datasets over a new first dimension `seed`, with a provenance that names every run.

    All runs must differ in their seed only. `variables` keeps these (and their coordinates) alone.
    """
    parts = [run.dataset if variables is None else run.dataset[list(variables)] for run in runs]
    stacked = xr.concat(
        parts, dim="seed", join="exact", coords="minimal", compat="override", combine_attrs="drop_conflicts"
    )
    stacked = stacked.transpose("seed", ...)
    units, long_name = UNITS["seed"]
    stacked = stacked.assign_coords(
        seed=("seed", [run.config.seed for run in runs], {"units": units, "long_name": long_name})
    )
    facts = [results.provenance(run.dataset) for run in runs]
    first = facts[0]
    stacked.attrs |= {
        "scale": scale,
        "provenance": json.dumps(
            first | {"runs": [f["run_id"] for f in facts], "wall_seconds": [f["wall_seconds"] for f in facts]},
            sort_keys=True,
        ),
    }
    return stacked


def cached(
    name: str, config: Any, runs: Sequence[RunConfig], source: str, compute: Callable[[], xr.Dataset]
) -> xr.Dataset:
    """The experiment's dataset: read back if this code made it from these runs, else computed and kept.

    Parameters
    ----------
    config
        The experiment's own frozen configuration.
    runs
        The training runs it rests on.
    source
        `__file__` of the experiment: an edit makes a new id.
    """
    paths = [train.run_path(run, corpora.load(run.corpus)).name for run in runs]
    key = digest(to_dict(config), paths, Path(source).read_text(), Path(__file__).read_text())[:16]
    path = results.runs_dir() / f"{name}-{key}.nc"
    path.parent.mkdir(parents=True, exist_ok=True)
    distributed.join()
    with distributed.lock(path.with_suffix(".lock")):
        if distributed.missing(path):
            dataset = compute()
            if distributed.rank() == 0:
                results.save(dataset, path)
            distributed.barrier()
    return results.load(path)
