"""Datasets → verdicts, by the ledger's wording and nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import xarray as xr

from ..checks import shown
from ..errors import UserError
from . import effects, rules
from .ledger import LEDGER, Claim, seeds_needed
from .reading import (
    PLACES,
    SHAPES,
    Finding,
    NotTestable,
    Reading,
    fresh,
    made,
    model_name,
    notes,
    recipe,
    scale_name,
    scale_of,
    search_seeds,
    seeds,
)
from .statistics import against_threshold

Datasets = Mapping[tuple[str, str], xr.Dataset]
"""(experiment, scale) → dataset; the scale is written as in the dataset's attribute or as the ledger's letter."""


class Verdict(StrEnum):
    """The five words of the ledger."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE = "not testable here"
    NOT_YET_TESTED = "not yet tested"


@dataclass(frozen=True)
class Outcome:
    """What a row of the ledger says about one shape."""

    row: Claim
    scale: str
    """The ledger's letter: P (Wide), S (Mid), L (Laptop), smoke, or L + P; or its word (see `PLACES` and `ANY`)."""
    verdict: Verdict | None
    """None for what we only show: a recorded shape that the row is not judged at, or this machine's run."""
    reason: str = ""
    """Why there is no plain verdict, or what to know with it."""
    readings: tuple[Reading, ...] = ()
    ignored: frozenset[int] = frozenset()
    """Seeds among the readings that do not count, because they searched for the recipe."""
    recipe: str = ""
    made: str = ""
    """On which machine, by which commit and of which text the dataset was recorded, as far as it says so."""
    here: bool = False
    """Whether this machine made the run (otherwise it is a recorded one)."""

    @property
    def n(self) -> int:
        """Number of seeds that count."""
        return sum(reading.seed not in self.ignored for reading in self.readings)

    @property
    def agreement(self) -> tuple[int, int] | None:
        """Number of seeds that agree with the source's number, and of seeds asked; None where the row does not ask."""
        counted = [r.agrees for r in self.readings if r.seed not in self.ignored and r.agrees is not None]
        return (sum(counted), len(counted)) if counted else None

    @property
    def interval(self) -> str:
        """The interval's word over the seeds that count (`statistics.against_threshold`); "" where there is none."""
        counted = [reading.margins for reading in self.readings if reading.seed not in self.ignored]
        return against_threshold(counted) if all(counted) else ""


@dataclass(frozen=True)
class Rule:
    """The experiment that a row reads and the function that reads it (one dataset per shape)."""

    experiment: str
    find: Callable[..., Finding]
    beside: str = ""
    """Another experiment at the same shape, whose dataset the function is given first."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The experiments whose datasets the function is given, in this order."""
        return (self.beside, self.experiment) if self.beside else (self.experiment,)


ANY, REAL, OWN = "any", "real", "own"
"""Scales of rows that ask for no shape, or for models of others: judged where their experiment was made; and of rows
that ask for models of ours of no shape in particular."""

# a row without a rule waits for its experiment
RULES: dict[str, Rule] = {
    "1": Rule("layer_patterns", rules.first_layer_collapses),
    "2": Rule("layer_patterns", rules.last_layer_survives),
    "3": Rule("layer_patterns", rules.layers_differ),
    "3b": Rule("layer_patterns", rules.early_layer_collapses),
    "4": Rule("layer_patterns", rules.first_and_last_inverted),
    "5": Rule("layer_patterns", rules.sparse_at_a_token),
    "6": Rule("layer_patterns", rules.falls_gradually),
    "7": Rule("layer_patterns", rules.shifts_per_sequence),
    "8": Rule("layer_patterns", rules.shift_is_layer_0s),
    "9": Rule("neuron_death", effects.units_turn_off),
    "12": Rule("pruning", effects.units_can_be_pruned),
    "13": Rule("feature_specificity", effects.layers_differ_in_specificity),
    "14": Rule("layer_patterns", rules.small_models_mislead),
}


def evaluate(
    recorded: Datasets,
    here: Datasets | None = None,
    rows: tuple[Claim, ...] = LEDGER,
    rules: Mapping[str, Rule] = RULES,
) -> list[Outcome]:
    """Judge rows on recorded datasets; other shapes and this machine's run are shown without a verdict.

    Parameters
    ----------
    recorded
        The committed datasets.
    here
        What this machine has just run.
    rows, rules
        The ledger's, or those that a chapter brings with it (`rows` in its folder): number of a row → its rule.

    Returns
    -------
    Outcomes in the order of the rows; within a row, the shapes at which it is judged come first.

    Raises
    ------
    UserError
        If a key is no pair, a dataset's shape is not that of its key, two datasets have one letter, or one lacks what
        a rule reads.
    """
    kept, own = _by_letter(recorded), _by_letter(here or {})
    outcomes: list[Outcome] = []
    for row in rows:
        rule = rules.get(row.number)
        if rule is None:
            outcomes += [Outcome(row, scale, Verdict.NOT_YET_TESTED) for scale in row.scales]
            continue
        outcomes += [_judged(row, rule, scale, kept) for scale in row.scales]
        outcomes += [
            _beside(row, rule, scale, [kept[each, scale] for each in rule.reads], here=False)
            for name, scale in kept
            if name == rule.experiment and not {scale, ANY, REAL} & set(row.scales) and " + " not in row.scales[0]
            if all((each, scale) in kept for each in rule.reads)
        ]
        outcomes += _here(row, rule, kept, own)
    return outcomes


_KEYED = "a dictionary such as {('layer_patterns', 'wide'): dataset}"


def _by_letter(datasets: Datasets) -> dict[tuple[str, str], xr.Dataset]:
    found: dict[tuple[str, str], xr.Dataset] = {}
    if not isinstance(datasets, Mapping):
        raise UserError(f"the datasets to judge are {_KEYED}, not {shown(datasets)}.")
    for key, dataset in datasets.items():
        if not (isinstance(key, tuple) and len(key) == 2 and isinstance(dataset, xr.Dataset)):
            raise UserError(f"{shown(key)} is the key of a {type(dataset).__name__}: expected {_KEYED}.")
        experiment, name = key
        scale = scale_of(dataset)
        if scale != scale_name(name):
            at = model_name(scale)
            raise UserError(f"{experiment} is given as scale {name!r} but was recorded at {at}; correct the key.")
        if (experiment, scale) in found:
            raise UserError(f"{experiment} is given twice at {model_name(scale)}; judge one recipe at a time.")
        found[experiment, scale] = dataset
    return dict(sorted(found.items()))


def _judged(row: Claim, rule: Rule, scale: str, kept: Datasets) -> Outcome:
    parts = scale.split(" + ")
    if scale in (ANY, REAL):
        parts = [at for name, at in kept if name == rule.experiment][:1] or parts
    absent = [part for part in parts if any((name, part) not in kept for name in rule.reads)]
    if absent:
        return _unrecorded(row, scale, absent)
    datasets = [kept[rule.experiment, part] for part in parts]
    last = datasets[-1]
    try:
        finding = _read(rule.find, [kept[name, part] for part in parts for name in rule.reads])
    except NotTestable as reason:
        return Outcome(row, scale, Verdict.NOT_TESTABLE, str(reason), recipe=recipe(last), made=made(last))
    ignored = search_seeds(last)
    verdict, reason_ = _verdict(row, parts, datasets, finding, ignored)
    return Outcome(row, scale, verdict, reason_, finding.readings, ignored, recipe(last), made(last))


def _read(find: Callable[..., Finding], datasets: list[xr.Dataset]) -> Finding:
    """The readings of the seeds that count, made without the others, and of the last dataset's search seeds.

    Each search seed is read on its own, so that it lends no sign, mean or reason to the verdict.
    """
    *before, last = map(fresh, datasets)
    finding = find(*before, last)
    readings = {reading.seed: reading for reading in finding.readings}
    everything = datasets[-1]
    for place, seed in enumerate(seeds(everything)):
        if seed not in readings:
            try:
                (readings[seed],) = find(*before, everything.isel(seed=[place])).readings
            except (NotTestable, UserError) as reason:
                undefined: dict[str, float | str] = dict.fromkeys(finding.readings[0].values, "undefined")
                readings[seed] = Reading(seed, None, undefined, str(reason))
    return replace(finding, readings=tuple(readings[seed] for seed in seeds(everything)))


def _unrecorded(row: Claim, scale: str, absent: list[str]) -> Outcome:
    if scale in {ANY, REAL, OWN, *PLACES.values()}:
        return Outcome(row, scale, Verdict.NOT_YET_TESTED)
    if absent == ["L"] and scale == "L":
        return Outcome(row, scale, Verdict.NOT_YET_TESTED, f"0 seeds of {seeds_needed(row.number, 'L')}")
    return Outcome(row, scale, Verdict.NOT_TESTABLE, "no run recorded of " + " or ".join(map(_shape, absent)))


def _shape(scale: str) -> str:
    shape = ", ".join(f"{key} {value}" for key, value in SHAPES.get(scale, {}).items())
    return f"{model_name(scale)} ({shape})" if shape else model_name(scale)


def _verdict(
    row: Claim, parts: list[str], datasets: list[xr.Dataset], finding: Finding, ignored: frozenset[int]
) -> tuple[Verdict, str]:
    if finding.limits:
        return Verdict.NOT_TESTABLE, "; ".join(finding.limits)
    for part, dataset in zip(parts, datasets, strict=True):
        fresh = {int(seed) for seed in dataset["seed"].values} - search_seeds(dataset)
        needed = seeds_needed(row.number, part)
        if len(fresh) < needed:
            beside = " that did not search for the recipe" if search_seeds(dataset) else ""
            of_part = f" at {model_name(part)}" if len(parts) > 1 else ""
            return Verdict.NOT_YET_TESTED, f"{len(fresh)} seeds of {needed}{of_part}{beside}"
    if finding.open:
        return Verdict.INCONCLUSIVE, finding.open
    counted = [reading for reading in finding.readings if reading.seed not in ignored]
    undecided = [reading for reading in counted if reading.holds is None]
    if undecided and finding.to_come:
        return Verdict.NOT_YET_TESTED, finding.to_come
    if undecided:
        return Verdict.NOT_TESTABLE, notes(undecided)
    held = sum(bool(reading.holds) for reading in counted)
    if held == len(counted):
        return Verdict.REPRODUCED, ""
    if held == 0:
        return Verdict.NOT_REPRODUCED, ""
    return Verdict.INCONCLUSIVE, f"holds in {held} of {len(counted)} seeds"


def _beside(row: Claim, rule: Rule, scale: str, datasets: list[xr.Dataset], here: bool) -> Outcome:
    last = datasets[-1]
    try:
        finding = _read(rule.find, datasets)
    except NotTestable as reason:
        return Outcome(row, scale, None, str(reason), recipe=recipe(last), made=made(last), here=here)
    return Outcome(
        row,
        scale,
        None,
        "; ".join(finding.limits) or finding.to_come or finding.open,
        finding.readings,
        search_seeds(last),
        recipe(last),
        made(last),
        here,
    )


def _here(row: Claim, rule: Rule, kept: Datasets, own: Datasets) -> list[Outcome]:
    """This machine's runs; in a row of two shapes they replace the recorded ones of their own shape only."""
    if " + " not in row.scales[0]:
        return [
            _beside(row, rule, scale, [own[each, scale] for each in rule.reads], here=True)
            for name, scale in own
            if name == rule.experiment and all((each, scale) in own for each in rule.reads)
        ]
    parts = row.scales[0].split(" + ")
    both = {**kept, **own}
    present = all((rule.experiment, part) in both for part in parts)
    if not present or not any((rule.experiment, part) in own for part in parts):
        return []
    return [_beside(row, rule, row.scales[0], [both[rule.experiment, part] for part in parts], here=True)]
