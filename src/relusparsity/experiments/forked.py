"""Chapter 09: forks of one recipe, and what a fork's dataset says of single units: who died in it, who came back.

A unit **died** in a fork if it lived at its beginning and is dead at its end. It is dead at the end if it fires nowhere
on the final held-out sets, read one n before the end, and did not fire in the last n tokens of the stream, n being the
shape's dead(n): 1,048,576 tokens in Mid. It lived at the beginning unless both were so then, the sets being read at the
fork itself. First deaths are no endpoint: units come back. One n is that of every layer: forks are of decoders, whose
layers all see every token of the stream (of an encoder-decoder they have an n each: see `counting.deaths.waits`).
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..config import RunConfig, replace, to_dict
from ..errors import UserError
from ..recipes import RECIPES
from ..scales import base, names
from ..store import results
from ..store.schema import ASKED_FOR, COORDINATES
from . import factorial, shared, variants

FIRST = "first"
"""The recipe that all forks are of."""
SEEDS = 5
POINTS = {"10 %": 0.1, "25 %": 0.25, "50 %": 0.5}
"""Name of a point of the training → its share of the tokens; parents keep their state there."""
DECILES = 10


def parent(scale: str, seed: int) -> RunConfig:
    """What the forks of a seed go on from; it reads the final sets as they do."""
    run = replace(base(scale, seed, FIRST), **(factorial.FEWER if scale == "mid" else {}))
    earlier = run.train.dead_after // run.train.batch_tokens
    states = tuple(tokens(run, point) for point in POINTS)
    return replace(run, **{"measure.earlier": earlier, "train.fork_states": states})


def tokens(run: RunConfig, point: str) -> int:
    """Training tokens at a point, after whole steps."""
    return round(POINTS[point] * run.train.steps) * run.train.batch_tokens


def seeds(scale: str) -> tuple[int, ...]:
    """Those that judge the recipe, and as many after them as it takes."""
    first = RECIPES[FIRST].seeds(scale)
    return (*first, *range(max(first) + 1, max(first) + 1 + SEEDS))[:SEEDS]


def runs(scale: str, arms: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Iterator[RunConfig]:
    """The forks of all arms (name → point, what it changes), seed by seed; their parents are derived.

    Every fork asks for its parent's states at all points, so that a parent serves any experiment, whichever is first.
    """
    for seed in seeds(scale):
        of = parent(scale, seed)
        for point, fields in arms.values():
            yield replace(of, **{"fork.tokens": tokens(of, point)}, **fields)


def config(scale: str, arms: Mapping[str, tuple[str, Mapping[str, Any]]]) -> shared.Config:
    """An experiment's forks at a shape."""
    scale, _ = names(scale)
    return shared.Config(scale, FIRST, tuple(runs(scale, arms)))


def made(name: str, config: shared.Config, source: str, assemble: Callable[[Any, list[xr.Dataset]], xr.Dataset]) -> Any:
    """An experiment's dataset, as `variants.made`; parents are trained before their forks, once, with all states."""
    shared.train_all([run for run in shared.with_parents(config.runs) if not run.fork.tokens])
    return variants.made(name, config, source, assemble)


def lived(fork: xr.Dataset) -> np.ndarray:
    """Which units lived at a fork's beginning: (layer, unit)."""
    at = _config(fork)["fork"]["tokens"]
    silent = (fork["fork_firing_count"] == 0) & (fork["fork_last_fired"] <= at - fork.attrs["dead_after"])
    return ~silent.transpose("layer", "unit").values


def dead_at_the_end(fork: xr.Dataset) -> np.ndarray:
    """Which units are dead at a fork's end: (layer, unit)."""
    end = results.provenance(fork)["tokens_seen"]
    silent = (fork["earlier_firing_count"] == 0) & (fork["last_fired"] <= end - fork.attrs["dead_after"])
    return silent.transpose("layer", "unit").values


def came_back(fork: xr.Dataset) -> np.ndarray:
    """Which units were dead at a fork's beginning and have fired since: (layer, unit)."""
    fired = fork["last_fired"].transpose("layer", "unit").values > _config(fork)["fork"]["tokens"]
    return ~lived(fork) & fired


def deciles(fork: xr.Dataset) -> np.ndarray:
    """Each living unit's tenth of its layer by firing rate at the fork, 0 the rarest, −1 for the dead: (layer, unit).

    Units of one rate are ranked by their index, so that tenths are equally large; a control and its twin have the same.
    """
    counts, alive = fork["fork_firing_count"].transpose("layer", "unit").values, lived(fork)
    found = np.full(counts.shape, -1)
    for row, count, of in zip(found, counts, alive, strict=True):
        units = np.flatnonzero(of)
        ranked = units[np.argsort(count[units], kind="stable")]
        row[ranked] = np.arange(len(ranked)) * DECILES // max(1, len(ranked))
    return found


def counted(which: np.ndarray, *kinds: tuple[np.ndarray, int]) -> np.ndarray:
    """How many units of each layer are so, by kinds: (layer, kind, …).

    Parameters
    ----------
    which
        Whether a unit counts: (layer, unit).
    kinds
        The kind of each unit, a whole number from 0, (layer, unit), and how many kinds there are.
    """
    found = np.zeros((len(which), *(count for _, count in kinds)), dtype=np.int64)
    layer, unit = np.nonzero(which)
    np.add.at(found, (layer, *(kind[layer, unit] for kind, _ in kinds)), 1)
    return found


Kept = Mapping[str, tuple[tuple[str, ...], Any, str, str]]
"""Of what is kept of a fork, by name: dimensions, values, unit and description."""


def assemble(
    config: shared.Config,
    runs: Sequence[xr.Dataset | None],
    arms: Mapping[str, tuple[str, Mapping[str, Any]]],
    measured: Callable[[xr.Dataset], Kept],
) -> xr.Dataset:
    """What `measured` keeps of each fork, (arm, seed, …), with its losses and its layers' batch use at the end.

    Parameters
    ----------
    runs
        Their datasets in the order of `config.runs`; None stands for one that was not made, whose values are NaN. A
        fork that diverged has no end either.

    Raises
    ------
    UserError
        If none has an end.
    """
    ended = [run if run is not None and "final_loss" in run else None for run in runs]
    some = next((run for run in ended if run is not None), None)
    if some is None:
        raise UserError(f"none of {len(runs)} forks came to its end: there is nothing to compare; train one at least.")
    steps = sorted({int(step) for run in ended if run is not None for step in run["step"].values})
    kept = {**measured(some), **_common(some, steps)}
    values = {name: np.full((len(runs), *np.shape(of)), np.nan) for name, (_, of, *_) in kept.items()}
    for place, run in enumerate(ended):
        for name, (_, of, *_) in ({**measured(run), **_common(run, steps)} if run is not None else {}).items():
            values[name][place] = of
    by = (len(runs) // len(arms), len(arms))
    dataset = xr.Dataset(
        {
            name: (
                ("arm", "seed", *dims),
                values[name].reshape(*by, *values[name].shape[1:]).swapaxes(0, 1),
                {"units": units, "long_name": said},
            )
            for name, (dims, _, units, said) in kept.items()
        },
        _coordinates(config, arms, some, steps, {"arm", "seed"}.union(*(dims for dims, *_ in kept.values()))),
    )
    facts = [results.provenance(run) if run is not None else None for run in runs]
    first = results.provenance(some)
    named = {
        "runs": [facts["run_id"] if facts else variants.NOT_RUN for facts in facts],
        "wall_seconds": [facts["wall_seconds"] if facts else 0.0 for facts in facts],
        "commits": [facts["environment"]["commit"] if facts else None for facts in facts],
        "parents": [facts["parent"]["run_id"] if facts else None for facts in facts],
    }
    by_arm = {name: np.reshape(np.array(each, object), by).T.tolist() for name, each in named.items()}
    configs = dict(zip(arms, map(to_dict, config.runs), strict=False))
    dataset.attrs = {
        **{name: some.attrs[name] for name in ("d_ff", "dead_after", "final_sample_tokens")},
        "scale": config.scale,
        # of `FIRST` a dataset goes by its experiment's name alone, as those of arms do
        **({} if config.recipe == FIRST else {"recipe": config.recipe}),
        "provenance": json.dumps(first | by_arm | {"configs": configs}, sort_keys=True),
    }
    return dataset


def _common(fork: xr.Dataset, steps: Sequence[int]) -> Kept:
    """What is kept of every fork."""
    loss = fork["heldout_loss"].reindex(step=steps).values
    return {
        "heldout_loss": (("step",), loss, "nats/token", "cross-entropy on held-out text"),
        "final_loss": ((), float(fork["final_loss"]), "nats/token", "cross-entropy on the final held-out sets"),
        "final_batch_use": (
            ("layer",),
            fork["final_batch_use"].astype(float).mean("set").values,
            "1",
            "mean share of units that fire in 8,192 held-out tokens, at the end",
        ),
    }


def _coordinates(
    config: shared.Config,
    arms: Mapping[str, tuple[str, Mapping[str, Any]]],
    some: xr.Dataset,
    steps: Sequence[int],
    dims: Collection[str],
) -> dict[str, Any]:
    """Those of these dimensions."""
    at = list(dict.fromkeys(run.seed for run in config.runs))
    batch = config.runs[0].train.batch_tokens
    found = {
        "arm": ("arm", list(arms), "1", "where the fork leaves its parent, and what changes"),
        "seed": ("seed", at, *COORDINATES["seed"]),
        "step": ("step", list(steps), *COORDINATES["step"]),
        "tokens": ("step", [step * batch for step in steps], *COORDINATES["tokens"]),
        "layer": ("layer", some["layer"].values, *COORDINATES["layer"]),
        "decile": ("decile", list(range(DECILES)), "1", "tenth of a layer's living units by firing rate at the fork"),
        "treated": ("treated", [False, True], "1", "whether the units are under the control"),
        "dead": ("dead", [False, True], "1", "whether the unit is dead at the fork's end"),
        "share": ("share", list(range(1, 101)), "%", "share up to here, and more than the one before"),
        "silent_steps": ("silent_steps", some["silent_steps"].values, *ASKED_FOR["silent_steps"][1:]),
    }
    return {
        name: (dim, of, {"units": units, "long_name": said})
        for name, (dim, of, units, said) in found.items()
        if dim in dims
    }


def said(written: Mapping[str, float], came: Iterable[tuple[str, bool | None]]) -> pd.DataFrame:
    """Sentences with the chance written for each before the runs, against what came and whether it holds.

    None for both where `came` has None: what the sentence reads is not known, or decides nothing.
    """
    rows = [
        (sentence, chance, None if holds is None else value, holds)
        for (sentence, chance), (value, holds) in zip(written.items(), came, strict=True)
    ]
    return pd.DataFrame(rows, columns=["written before", "chance", "came", "holds"])


def in_all(holds: pd.Series) -> tuple[str, bool | None]:
    """What comes of a rule asked layer by layer, where a layer that does not count has None; None where none counts."""
    asked = holds.dropna()
    return f"{int(asked.sum())} of {len(asked)} layers", bool(asked.all()) if len(asked) else None


def larger(one: float, other: float) -> bool | None:
    """Whether a number is larger than another; None where one of them is not known (NaN)."""
    return None if one != one or other != other else one > other


def _config(fork: xr.Dataset) -> dict[str, Any]:
    config: dict[str, Any] = results.provenance(fork)["config"]
    return config
