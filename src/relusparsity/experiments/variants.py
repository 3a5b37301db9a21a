"""Runs of several recipes as one dataset."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from .. import corpora, train
from ..config import RunConfig, from_dict, to_dict
from ..errors import StoppedEarly, UserError
from ..model_config import ModelConfig
from ..store import results, schema
from ..store.schema import MEASURED, OF_TEXT, STACKED
from . import shared

FINAL = ("final_batch_use", "final_token_use", "final_sequence_use", "final_loss", "final_bits_per_byte")
"""What is kept of the measurement after the last step."""

NOT_RUN = "not run"
"""In the provenance's `runs`, what is missing."""

PLACES = ("paths", "heldout_paths", "tokenizer")
"""Fields of a text that say where it lies."""


def measured(config: RunConfig, corpus: corpora.Corpus | None = None) -> xr.Dataset:
    """The run's dataset; of a run that diverged or was stopped by a screen, what was measured before."""
    corpus = corpora.load(config.corpus) if corpus is None else corpus
    try:
        return train.run(config, corpus).dataset
    except (FloatingPointError, StoppedEarly):
        return results.load(train.run_path(config, corpus) / "stopped.nc")


def made(name: str, config: Any, source: str, assemble: Callable[[Any, list[xr.Dataset]], xr.Dataset]) -> xr.Dataset:
    """An experiment's dataset, kept under its name: `assemble` makes it of its configuration and its runs' datasets.

    A run that diverged or was stopped by a screen is among them; see `measured`, and `shared.cached` for the rest.
    """
    return shared.cached(
        name, config, config.runs, source, lambda: assemble(config, [measured(run) for run in config.runs])
    )


def stack(runs: Sequence[xr.Dataset], changes: Mapping[str, dict[str, Any]], scale: str) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), from runs of one seed that read as many tokens.

    Steps are those of the recipe *first*; a recipe with larger batches is shown at the same numbers of tokens. A run
    that stopped, having diverged or by a screen, is kept up to there and missing (NaN) from there on; the provenance
    says after which step, by recipe, as `stopped_after_step`, and by which screen, as `screens`.

    Parameters
    ----------
    changes
        Name of each recipe, in the order of `runs` → what it changes of the base, which need not be among them. The
        provenance has every recipe's whole configuration, as `configs`.

    Raises
    ------
    UserError
        If every one of them diverged, their seeds differ, or they are models of different kinds.
    """
    facts = [results.provenance(data) for data in runs]
    all_ran = all(f["run_id"] != NOT_RUN for f in facts)
    if all_ran and not any("final_loss" in data or "screen" in data.attrs for data in runs):
        raise UserError(f"each of {', '.join(changes)} diverged: there is no end to compare; lower their lr.")
    if len(seeds := {f["config"]["seed"] for f in facts}) > 1:
        raise UserError(f"{', '.join(changes)} have the seeds {sorted(seeds)}: expected one for all recipes.")
    if len(kinds := {f["config"]["model"].get("class", ModelConfig.__name__) for f in facts}) > 1:
        raise UserError(
            f"{', '.join(changes)} are models of {' and '.join(sorted(kinds))}: expected one kind, whose layers are "
            "the same; give each kind a dataset of its own."
        )
    reads_text = OF_TEXT[0] in runs[0]
    names = [name for name in (*MEASURED, *FINAL) if reads_text or name not in OF_TEXT]
    parts = [data.swap_dims(step="tokens").drop_vars("step") for data in runs]
    ended = [part for part in parts if "final_loss" in part]
    ended = ended or [part for part in parts if "screen" in part.attrs] or parts  # of a seed that never ran
    at = np.array(sorted(set.intersection(*(set(part["tokens"].values.tolist()) for part in ended))))
    whole = next((part for part in parts if "final_loss" in part), _end(runs[0]))
    parts = [_filled(part, whole)[names].reindex(tokens=at) for part in parts]
    of_stacks = {name: [part[name].variable for part in parts] for name in STACKED if name in parts[0]}
    unlike = [name for name, (first, *others) in of_stacks.items() if not all(first.equals(each) for each in others)]
    dataset = xr.concat(
        parts, dim="recipe", join="exact", coords=unlike or "minimal", compat="override", combine_attrs=shared.agreed
    ).expand_dims("seed", axis=1)
    batch = facts[0]["config"]["train"]["batch_tokens"]
    step = ("tokens", at // batch, {"units": "steps", "long_name": "steps of the first recipe"})
    dataset = dataset.assign_coords(step=step).swap_dims(tokens="step")
    names_of = {
        "recipe": (list(changes), "what is changed of the base"),
        "changed": ([_said(fields) for fields in changes.values()], "fields that differ from the base"),
    }
    for name, (values, long_name) in names_of.items():
        dataset.coords[name] = ("recipe", values, {"units": "1", "long_name": long_name})
    about = {"units": "1", "long_name": "seed of the initial weights and of the order of the text"}
    dataset.coords["seed"] = ("seed", [facts[0]["config"]["seed"]], about)
    runs_of = {
        "runs": [f["run_id"] for f in facts],
        "wall_seconds": [f["wall_seconds"] for f in facts],
        "commits": [None if f["run_id"] == NOT_RUN else f["environment"]["commit"] for f in facts],
        "configs": {name: f["config"] for name, f in zip(changes, facts, strict=True)},
        "stopped_after_step": {
            name: int(data.attrs["stopped_after_step"])
            for name, data in zip(changes, runs, strict=True)
            if "stopped_after_step" in data.attrs
        },
    }
    screens = {
        name: json.loads(data.attrs["screen"])
        for name, data in zip(changes, runs, strict=True)
        if "screen" in data.attrs
    }
    runs_of |= {"screens": screens} if screens else {}
    named_by = [_checksum(f) for f in facts]
    if set(named_by) - {None, facts[0]["corpus"]["checksum"]}:  # their data differ, or are not the text alone
        runs_of["checksums"] = named_by
    dataset.attrs |= {"scale": scale, "provenance": json.dumps(facts[0] | runs_of, sort_keys=True)}
    return dataset


def one_text(facts: dict[str, Any]) -> list[Any]:
    """Checksums of runs that all read the text of a provenance, in the shape of its `runs`; None of one not made."""
    made = np.array(facts["runs"]) != NOT_RUN
    told = np.full(made.shape, None, dtype=object)
    told[made] = facts["corpus"]["checksum"]
    return told.tolist()


def _checksum(facts: dict[str, Any]) -> str | None:
    """By which a run is named; None of one that was not made."""
    of = facts["corpus"]
    return None if facts["run_id"] == NOT_RUN else of.get("spans_checksum", of["checksum"])


def _end(run: xr.Dataset) -> xr.Dataset:
    """What a run keeps of its end, for none that came to it."""
    sets = results.provenance(run)["config"]["measure"]["final_sets"]
    sizes = {"set": sets, "layer": run.sizes["layer"]}
    of_none = {name: schema.FINAL[name] for name in FINAL}
    return xr.Dataset(
        {
            name: (dims, np.zeros([sizes[dim] for dim in dims]), {"units": units, "long_name": long_name})
            for name, (dims, units, long_name) in of_none.items()
        }
    )


def seeds(runs: Sequence[xr.Dataset], recipes: int) -> list[Sequence[xr.Dataset]]:
    """Runs that come seed by seed, so many of each, as a list of each seed's."""
    return [runs[first : first + recipes] for first in range(0, len(runs), recipes)]


def whole(runs: Sequence[xr.Dataset], changes: Mapping[str, dict[str, Any]], scale: str) -> xr.Dataset:
    """Runs of several recipes and seeds, which come seed by seed, as one dataset: see `stack` and `by_seed`."""
    stacked = [stack(each, changes, scale) for each in seeds(runs, len(changes))]
    ran = next((part for part in stacked if set(results.provenance(part)["runs"]) != {NOT_RUN}), stacked[0])
    for part in stacked:  # of a seed that never ran, the ends have the schema's words and not those of its kind of run
        for name, values in part.data_vars.items():
            values.attrs = ran[name].attrs
    return by_seed(stacked)


def by_seed(stacked: Sequence[xr.Dataset]) -> xr.Dataset:
    """Datasets of `stack`, one of each seed, as one; in its provenance runs, seconds and commits are by (recipe, seed).

    So are, where the recipes' data differ, the checksums by which the runs are named.

    After which steps runs stopped is told seed by seed, and so are, as `unlike`, fields beside the seed in which a
    recipe's configuration differs from that of the first seed, which `configs` has.
    """
    dataset = xr.concat(
        stacked, dim="seed", join="exact", coords="minimal", compat="override", combine_attrs=shared.agreed
    )
    facts = [results.provenance(part) for part in stacked]
    by_run = ["runs", "wall_seconds", "commits"]
    if any("checksums" in f for f in facts):  # a seed of which few ran may have read one text
        by_run.append("checksums")
        facts = [{"checksums": one_text(f)} | f for f in facts]
    of_all: dict[str, Any] = {name: list(zip(*(f[name] for f in facts), strict=True)) for name in by_run}
    of_all["stopped_after_step"] = [f["stopped_after_step"] for f in facts]
    first = facts[0]["configs"]
    unlike = [{name: _unlike(f["configs"][name], first[name]) for name in first} for f in facts]
    if any(fields for of_seed in unlike for fields in of_seed.values()):
        of_all["unlike"] = [{name: fields for name, fields in of_seed.items() if fields} for of_seed in unlike]
    dataset.attrs["provenance"] = json.dumps(facts[0] | of_all, sort_keys=True)
    return dataset


def _unlike(config: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """Fields in which two configurations differ, by dotted name, but for the seed."""
    one, other = (to_dict(from_dict(RunConfig, each)) for each in (config, first))  # of before has fewer fields
    sections = [name for name, part in one.items() if isinstance(part, dict)]
    return {
        f"{section}.{name}": value
        for section in sections
        for name, value in one[section].items()
        if value != other[section][name]
    }


def _filled(part: xr.Dataset, whole: xr.Dataset) -> xr.Dataset:
    """The part with NaN for what only a finished run has."""
    lacking = [name for name in whole.data_vars if name not in part and "tokens" not in whole[name].dims]
    return part.assign({name: xr.full_like(whole[name], np.nan, dtype=float) for name in lacking})


def _said(changes: dict[str, Any]) -> str:
    return ", ".join(f"{field.partition('.')[2]} {value}" for field, value in changes.items()) or "nothing changed"


def with_missing(runs: Sequence[xr.Dataset | None], configs: Sequence[RunConfig]) -> list[xr.Dataset]:
    """The datasets of these runs, one at least; None stands for a run that was not made, whose values are missing."""
    made = [run for run in runs if run is not None]
    some = next((run for run in made if "final_loss" in run), made[0])  # one that has all steps, if there is one
    return [missing(some, of) if run is None else run for run, of in zip(runs, configs, strict=True)]


def to_come(*read: tuple[xr.Dataset, Iterable[str]]) -> str:
    """How many of the runs that a rule reads are not made yet, in words; "" where all are.

    Parameters
    ----------
    read
        A dataset with all its arms (or recipes), and the names of those that the rule reads.
    """
    runs = []
    for dataset, arms in read:
        names = dataset["arm" if "arm" in dataset.dims else "recipe"].values.tolist()
        of = dict(zip(names, results.provenance(dataset)["runs"], strict=True))
        runs += [run for arm in arms for run in of[arm]]
    waiting = runs.count(NOT_RUN)
    return f"{waiting} of {len(runs)} runs {'is' if waiting == 1 else 'are'} still to come" if waiting else ""


def missing(like: xr.Dataset, run: RunConfig) -> xr.Dataset:
    """Stands for a run that was not made: as one that measured nothing at the steps of another."""
    part = like[[name for name in like.data_vars if "step" in like[name].dims]]
    part = part.map(lambda values: xr.full_like(values, np.nan, dtype=float), keep_attrs=True)
    facts = results.provenance(like)
    config = to_dict(run)
    config["corpus"] = _read_where(config["corpus"], facts["config"]["corpus"])
    of_its_own = ("stopped", "stopped_after_step", "screen")
    part.attrs = {name: value for name, value in like.attrs.items() if name not in of_its_own} | {
        "provenance": json.dumps(facts | {"config": config, "run_id": NOT_RUN, "wall_seconds": 0.0})
    }
    return part


def _read_where(corpus: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A run's data, its text lying where that of another lies: on the machine that trained."""
    text = {"text": _read_where(corpus["text"], other["text"])} if {"text"} <= corpus.keys() & other.keys() else {}
    return corpus | text | {name: other[name] for name in PLACES if name in corpus and name in other}
