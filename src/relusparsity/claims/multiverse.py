"""In how many of all recorded runs of a width a rule holds, whatever their recipe: what a choice of recipe hides."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ..errors import UserError
from .judge import RULES
from .ledger import LEDGER, Claim
from .reading import SHAPES, Floats, NotTestable, provenance, seeds, setting
from .rules import batch_use

LETTER_OF = {shape["d_ff"]: letter for letter, shape in SHAPES.items()}
"""Hidden units a layer → the ledger's letter."""


@dataclass(frozen=True)
class Count:
    """Of how many runs, and in how many of them the rule holds."""

    held: int
    runs: int


def multiverse(datasets: Iterable[xr.Dataset], rows: tuple[Claim, ...] = LEDGER) -> dict[tuple[str, str], Count]:
    """(row, letter of a width) → `Count`, for rows that read the chapters' layer patterns.

    Every run counts once, search seeds too; left out are those that treat a layer's input, forks of others, those that
    did not finish, and those that a rule cannot read.

    Parameters
    ----------
    datasets
        Recorded datasets with the dimension `seed`, and `recipe` where they hold several. Others are passed over.
    rows
        Those that read one shape alone are counted.

    Raises
    ------
    UserError
        For a dataset that does not say how it was made, or of which seeds or recipes were selected: it names the runs
        of the whole, and not which of them are left.
    """
    rows = tuple(r for r in rows if r.number in RULES and RULES[r.number].experiment == "layer_patterns")
    rows = tuple(row for row in rows if " + " not in row.scales[0])
    found: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for dataset in datasets:
        for run_id, letter, run in _runs(dataset):
            for row in rows:
                try:
                    finding = RULES[row.number].find(run)
                except NotTestable:
                    continue
                (reading,) = finding.readings
                if reading.holds is not None and not finding.limits:
                    found[row.number, letter][run_id] = reading.holds
    return {at: Count(sum(runs.values()), len(runs)) for at, runs in found.items()}


def ends(datasets: Iterable[xr.Dataset], letter: str) -> list[Floats]:
    """Batch use at the end, percent by layer, of every finished and untreated run of a width, each once.

    Parameters
    ----------
    datasets
        As of `multiverse`, which says what it refuses.
    letter
        The ledger's for the width.
    """
    found = {run_id: batch_use(run)[0][0] for dataset in datasets for run_id, of, run in _runs(dataset) if of == letter}
    return list(found.values())


def _runs(dataset: xr.Dataset) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Id, letter and dataset of every finished run of a known width, as an experiment of one seed."""
    if "final_batch_use" not in dataset or "seed" not in dataset.dims or "arm" in dataset.dims:  # forks are no recipes
        return
    facts, by_seed = provenance(dataset), len(seeds(dataset))
    recipes = dataset["recipe"].values.tolist() if "recipe" in dataset.dims else [None]
    ids = np.array(facts.get("runs", []), dtype=object)
    if ids.size != len(recipes) * by_seed:
        raise UserError(
            f"the dataset holds {len(recipes) * by_seed} runs (recipes × seeds) and its provenance names {ids.size}: "
            "every run is counted once, by its name; give the whole dataset, not a selection of it."
        )
    ids = ids.reshape(len(recipes), by_seed)
    for at, recipe in enumerate(recipes):
        config: dict[str, Any] = facts.get("configs", {}).get(recipe) or setting(dataset)
        treated = config.get("intervention", {}).get("kind", "none") != "none"
        letter = next((of for width, of in LETTER_OF.items() if config.get("model", {}).get("d_ff") == width), None)
        if treated or letter is None:
            continue
        of_recipe = dataset if recipe is None else dataset.isel(recipe=at, drop=True)
        of_recipe = of_recipe.assign_attrs(provenance=json.dumps({"config": config}))
        for place in range(by_seed):
            run = of_recipe.isel(seed=[place])
            if not run["final_batch_use"].isnull().any():
                yield str(ids[at, place]), letter, run
