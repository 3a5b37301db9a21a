"""What every experiment does alike: train its runs once, stack them by seed, keep its dataset under an id."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from .. import corpora, distributed, stopping, train
from ..checks import Checked
from ..config import RunConfig, from_dict, replace, to_dict
from ..errors import UserError
from ..identity import digest, plain
from ..models import training_flops
from ..recipes import RECIPES
from ..scales import Named, Scale, base, names
from ..store import loaded, results
from ..store.schema import OF_TEXT, UNITS

T = TypeVar("T")

Told = Callable[[RunConfig, float], object]
"""What is told of a run that was trained: its configuration, and the seconds that it took."""

WORTH_A_PROCESS = 1e11
"""Floating-point operations of a training below which starting a process costs more than it saves."""


@dataclass(frozen=True)
class Config(Checked):
    """What every experiment's configuration begins with."""

    scale: Scale
    """The shape, of whatever kind."""
    recipe: Named
    """The recipe; of several, the one that they change."""
    runs: tuple[RunConfig, ...]
    """Of one recipe: runs that differ in their seed only."""


def config(scale: str, recipe: str | None = None) -> Config:
    """The runs of a shape by a recipe (its own, unless one is named), one per seed."""
    scale, recipe = names(scale, recipe)
    return Config(scale, recipe, tuple(base(scale, seed, recipe) for seed in RECIPES[recipe].seeds(scale)))


def without_runs(scale: str, recipe: str | None = None) -> Config:
    """Of an experiment that trains no model of a shape: the shape says how much is measured."""
    return replace(config(scale, recipe), runs=())


def setting(table: Mapping[str, T], scale: str, what: str) -> T:
    """What an experiment's table has for a shape.

    Raises
    ------
    UserError
        For a shape that does not exist, or that the table leaves out.
    """
    scale, _ = names(scale)
    if scale not in table:
        raise UserError(f"scale {scale} has no {what}; those that have are {', '.join(table)}.")
    return table[scale]


def train_all(configs: Sequence[RunConfig], trained: Told = lambda run, seconds: None) -> list[train.Run]:
    """The finished runs of these configurations; those that exist are reused.

    On a CPU several are trained side by side: matrices of Laptop's size gain little from a second core, a second run
    gains all of it. `trained` is told of each run that was missing, as soon as it is there, with its seconds.
    """
    waiting = missing(configs)
    apart = in_processes(waiting)
    for forks in (False, True):  # which go on from what the others keep
        if some := [config for config in apart if bool(config.fork.tokens) == forks]:
            _side_by_side(sorted(some, key=lambda config: -sum(config.model.widths)), trained)
    runs = []
    for config in tqdm(configs, desc="runs", unit="run", leave=False, disable=None):
        begun = monotonic()
        runs.append(train.run(config, corpora.load(config.corpus)))
        if config in waiting and config not in apart:
            trained(config, monotonic() - begun)
    return runs


def path_of(run: RunConfig) -> Path:
    """A run's directory."""
    return train.run_path(run, corpora.load(run.corpus))


def with_parents(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """These runs, each once, in their order, and before a fork its parent.

    Of one that several ask for, the screens all have, and the states for forks that any has.
    """
    runs: dict[Path, RunConfig] = {}
    for asked in dict.fromkeys(configs):
        for run in (asked.parent, asked) if asked.fork.tokens else (asked,):
            known = runs.get(path := path_of(run), run)
            both = tuple(screen for screen in known.screens if screen in run.screens)
            states = tuple(sorted({*known.train.fork_states, *run.train.fork_states}))
            runs[path] = replace(known, screens=both, **{"train.fork_states": states})
    return list(runs.values())


def missing(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """Those that were not trained yet; one that diverged ends at once, and is not among them."""
    folders = {config: path_of(config) for config in configs}
    ends = ("dataset.nc", "stopped.nc")
    return [config for config, folder in folders.items() if not any((folder / name).is_file() for name in ends)]


def in_processes(waiting: Sequence[RunConfig]) -> list[RunConfig]:
    """Those of these runs that are trained side by side, each in a process of its own; the others come one by one."""
    large = [c for c in waiting if training_flops(c.model) * c.train.tokens > WORTH_A_PROCESS]
    alone = distributed.device().type != "cpu" or "RANK" in os.environ or len(large) < 2
    return [] if alone else large


def side_by_side(processes: int) -> tuple[int, dict[str, str]]:
    """How many of so many processes run at once here, and their environment: on a CPU one a core, else one by one."""
    if distributed.device().type != "cpu":
        return 1, dict(os.environ)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = max(1, min(cores, processes))
    return workers, os.environ | {"OMP_NUM_THREADS": str(max(1, cores // workers))}


def _side_by_side(configs: Sequence[RunConfig], trained: Told) -> None:
    """Train each in a process of its own. What stops there is taken up again by the caller, and says why."""
    workers, environment = side_by_side(len(configs))
    if len(configs) < 2 * workers:  # three share two cores, lest the third come alone, after the others
        workers = len(configs)
    command = [sys.executable, "-c", f"from {__name__} import _train_given; _train_given()"]
    begun: list[subprocess.Popen[str]] = []

    def train_one(config: RunConfig) -> None:
        at, pipe, nowhere = monotonic(), subprocess.PIPE, subprocess.DEVNULL
        process = subprocess.Popen(
            command, stdin=pipe, stdout=nowhere, stderr=nowhere, env=environment, text=True, process_group=0
        )
        begun.append(process)
        assert process.stdin
        with suppress(BrokenPipeError), process:  # its input stays open, so that it ends with this process
            process.stdin.write(json.dumps(to_dict(config)) + "\n")
            process.stdin.flush()
            process.wait()
        if not process.returncode:
            trained(config, monotonic() - at)

    with ThreadPoolExecutor(workers) as pool:
        try:
            list(tqdm(pool.map(train_one, configs), total=len(configs), desc="runs", leave=False, disable=None))
        except BaseException:  # the pool would wait for them
            for process in begun:
                process.terminate()
            raise


def _train_given() -> None:
    stopping.with_parent()
    train.run(from_dict(RunConfig, json.loads(sys.stdin.readline())))


def agreed(parts: Iterable[dict[str, Any]], context: Any = None) -> dict[str, Any]:
    """Attributes that all parts have alike; what one of them alone has is not true of the whole."""
    first, *others = parts
    return {
        name: value
        for name, value in first.items()
        if all(name in other and np.array_equal(other[name], value) for other in others)
    }


def stack(runs: Sequence[train.Run], of: Config, variables: Sequence[str] | None = None) -> xr.Dataset:
    """The runs' datasets over a new first dimension `seed`, with a provenance that names every run.

    `variables` keeps these (and their coordinates) alone, of those of text what the runs have.

    Raises
    ------
    UserError
        If the runs differ in more than their seed, or two have the same.
    """
    if len({replace(run.config, seed=0) for run in runs}) > 1 or len({run.config.seed for run in runs}) < len(runs):
        raise UserError(f"{len(runs)} runs are to be stacked by seed: expected one configuration and different seeds.")
    if variables is not None:
        variables = [name for name in variables if name not in OF_TEXT or name in runs[0].dataset]
    parts = [run.dataset if variables is None else run.dataset[variables] for run in runs]
    stacked = xr.concat(parts, dim="seed", join="exact", coords="minimal", compat="override", combine_attrs=agreed)
    stacked = stacked.transpose("seed", ...)
    units, long_name = UNITS["seed"]
    stacked = stacked.assign_coords(
        seed=("seed", [run.config.seed for run in runs], {"units": units, "long_name": long_name})
    )
    facts = [results.provenance(run.dataset) for run in runs]
    first = facts[0]
    stacked.attrs |= {
        "scale": of.scale,
        "recipe": of.recipe,
        "provenance": json.dumps(
            first | {"runs": [f["run_id"] for f in facts], "wall_seconds": [f["wall_seconds"] for f in facts]},
            sort_keys=True,
        ),
    }
    if searched := RECIPES[of.recipe].searched:
        stacked.attrs["search_seeds"] = json.dumps(searched)
    return stacked


def _are_runs(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(each, RunConfig) for each in value)


def cached(
    name: str, config: Any, runs: Sequence[RunConfig], source: str, compute: Callable[[], xr.Dataset]
) -> xr.Dataset:
    """The experiment's dataset: read back if it was made from these runs by this code; else made.

    Parameters
    ----------
    config
        The experiment's own frozen configuration.
    runs
        The training runs it rests on.
    source
        `__name__` of the experiment: what it does and all that it imports is part of the name; see `loaded.code`.
    """
    texts = [corpora.load(run.corpus) for run in runs]
    paths = [train.run_path(run, text).name for run, text in zip(runs, texts, strict=True)]
    # of parts of a text, which its checksum leaves out
    labels = [[*text.domains, *text.extra] if isinstance(text, corpora.Corpus) else [] for text in texts]
    held = {field.name: getattr(config, field.name) for field in fields(config)}
    own = {name: plain(value) for name, value in held.items() if not _are_runs(value)}
    if isinstance(config, Config):
        own["searched"] = RECIPES[config.recipe].searched  # the dataset says which seeds do not judge
    if any(run.screens for run in runs):  # no part of a run's name, but of what there is of it
        own["screens"] = [plain(run.screens) for run in runs]
    key = digest(own, paths, labels, loaded.code(source))[:16]
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
