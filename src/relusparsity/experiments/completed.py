"""Runs that a recorded dataset alone still has: a machine is gone, and its runs went with it."""

import json
from collections.abc import Mapping

import xarray as xr

from ..errors import UserError
from ..store import results
from . import shared, variants

BY_RUN = ("runs", "wall_seconds", "commits", "checksums")
"""What a provenance has by (recipe, seed)."""


def completed(
    dataset: xr.Dataset, config: shared.Config, recorded: xr.Dataset, names: Mapping[str, str] | None = None
) -> xr.Dataset:
    """The dataset with those runs that it lacks and a recorded one has; what both have stays as it is.

    Parameters
    ----------
    dataset
        Of runs by (recipe, seed, …); see `variants.whole`.
    config
        The experiment's; its runs come seed by seed, of each seed the dataset's recipes.
    recorded
        With the same variables, measured at the same steps.
    names
        Recipe → its name in the recorded dataset, for those that are in it; None: all have the same.

    Raises
    ------
    UserError
        If a recorded run is not the one that is lacking: by its name, which fields and data make.
    """
    facts, theirs = results.provenance(dataset), results.provenance(recorded)
    if "checksums" in facts or "checksums" in theirs:
        facts, theirs = ({"checksums": variants.one_text(each)} | each for each in (facts, theirs))
    arms, called = [*map(str, dataset["recipe"].values)], [*map(str, recorded["recipe"].values)]
    seeds, known = dataset["seed"].values.tolist(), recorded["seed"].values.tolist()
    names, whole = {arm: arm for arm in arms} if names is None else names, dataset.copy(deep=True)
    for place, run in enumerate(config.runs):
        (seed_at, arm_at), arm = divmod(place, len(arms)), arms[place % len(arms)]
        seed, name = seeds[seed_at], names.get(arm)
        if facts["runs"][arm_at][seed_at] != variants.NOT_RUN or name not in called or seed not in known:
            continue
        of, at = called.index(name), known.index(seed)
        if (id := theirs["runs"][of][at]) == variants.NOT_RUN:
            continue
        if id != (lacking := shared.path_of(run).name.removeprefix("run-")):
            raise UserError(
                f"the recorded {name}, seed {seed}, is the run {id}: expected {lacking}, of the fields and data that "
                f"{arm} has by now; train that one."
            )
        for variable in whole.data_vars:
            whole[variable].loc[{"recipe": arm, "seed": seed}] = recorded[variable].sel(recipe=name, seed=seed)
        for told in BY_RUN:
            if told in facts:
                facts[told][arm_at][seed_at] = theirs[told][of][at]
        if name in theirs["stopped_after_step"][at]:
            facts["stopped_after_step"][seed_at][arm] = theirs["stopped_after_step"][at][name]
    return whole.assign_attrs(provenance=json.dumps(facts, sort_keys=True))
