"""Checked access to datasets for the rules: a missing or impossible number stops here, by name."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..checks import shown
from ..errors import UserError
from ..shapes import title
from ..store.renamed import WORDS
from ..version import commits

Floats = NDArray[np.float64]

LETTERS = {"wide": "P", "mid": "S", "laptop": "L", "smoke": "smoke"}
"""Shape → the ledger's letter."""
PLACES = {"fashion": "recorded", "spans": "recorded", "digits": "live"}
"""Shape of another kind than these → the ledger's word for where its runs are made."""
SHAPES = {
    "P": {"n_layers": 6, "d_ff": 32768},
    "S": {"n_layers": 6, "d_ff": 8192, "d_model": 512},
}


class NotTestable(Exception):
    """The rule has no value on this dataset; the message is the reason that the verdict gives."""


@dataclass(frozen=True)
class Reading:
    """What a rule reads in one seed."""

    seed: int
    holds: bool | None
    """Whether the rule holds in this seed; None where that is undefined, and `note` has the reason."""
    values: dict[str, float | str]
    """Label with its unit → value; a word where there is no number ("never")."""
    note: str = ""
    agrees: bool | None = None
    """Numerical agreement with the source, for the rows that define it."""
    margins: tuple[float, ...] = ()
    """How far on the holding side of its threshold each number of the rule lies; empty where one is not a number."""


def notes(readings: Iterable[Reading]) -> str:
    """What the readings note, each note once with the seeds that have it."""
    seeds_of: dict[str, list[int]] = {}
    for reading in readings:
        seeds_of.setdefault(reading.note, []).append(reading.seed)
    return "; ".join(
        f"seed{'s' if len(of) > 1 else ''} {', '.join(map(str, of))}: {note}" for note, of in seeds_of.items()
    )


@dataclass(frozen=True)
class Finding:
    """What a rule finds in a dataset: one reading per seed, and what keeps it from deciding."""

    readings: tuple[Reading, ...]
    limits: tuple[str, ...] = field(default=())
    """How the data fall short of the rule's terms (a sample too small, say): then there are values but no verdict."""
    open: str = ""
    """Why the rule's own words leave it open: then it is inconclusive, whatever the seeds show."""
    to_come: str = ""
    """How many of the runs that the rule reads are not made yet: while a seed lacks one, it is not yet tested."""


def scale_name(name: str) -> str:
    """The ledger's letter (P, S, L) of a shape, or its word (smoke, recorded, live).

    Examples
    --------
    >>> scale_name("laptop")
    'L'
    """
    known = LETTERS | PLACES
    if name in known.values():
        return name
    shape = WORDS[name][0] if name in WORDS else name
    if shape not in known:
        raise UserError(f"scale {name!r} is not known to the ledger; it knows {', '.join(known)}.")
    return known[shape]


def model_name(scale: str) -> str:
    """What readers call the models of a letter, or of two.

    Examples
    --------
    >>> model_name("L + P")
    'Laptop + Wide'
    """
    shapes = {letter: shape for shape, letter in LETTERS.items()}
    return " + ".join(title(shapes.get(part, part)) for part in scale.split(" + "))


def scale_of(dataset: xr.Dataset) -> str:
    """The ledger's letter of the dataset's shape; of Wide and Mid the recorded model must have it.

    Raises
    ------
    UserError
        Where the attribute is missing, or the recorded model is not of that shape.
    """
    if "scale" not in dataset.attrs:
        raise UserError(
            "the dataset has no attribute 'scale'; expected one of " + ", ".join(LETTERS) + "; record it again."
        )
    scale = scale_name(str(dataset.attrs["scale"]))
    for key, expected in SHAPES.get(scale, {}).items():
        given = setting(dataset, "model", key)
        if given != expected:
            raise UserError(
                f"the dataset says that it is {model_name(scale)}, which means {key} = {expected}, but was made with "
                f"{key} = {given}; give it the name of its own shape."
            )
    return scale


def provenance(dataset: xr.Dataset) -> dict[str, Any]:
    """How a dataset was made, as it says itself.

    Raises
    ------
    UserError
        If it does not.
    """
    try:
        facts = json.loads(dataset.attrs["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the dataset does not say how it was made: provenance ({error!r}); load it anew.") from error
    if not isinstance(facts, dict):
        raise UserError(f"the dataset's provenance is {shown(facts)}: expected a table; load it anew.")
    return facts


def setting(dataset: xr.Dataset, *keys: str) -> Any:
    """A field of the configuration that the dataset was made with, from its provenance."""
    value: Any = provenance(dataset)
    try:
        for key in ("config", *keys):
            value = value[key]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the dataset's provenance has no config.{'.'.join(keys)} ({error!r}); record it again."
        ) from error
    return value


def attribute(dataset: xr.Dataset, name: str) -> int:
    """A whole number among the dataset's attributes, such as the size of a sample in tokens."""
    if name not in dataset.attrs:
        raise UserError(f"the dataset has no attribute {name!r}, which its rule reads; record it again.")
    return int(dataset.attrs[name])


def recipe(dataset: xr.Dataset) -> str:
    """The recipe in a few words, with its name if it has one: from the provenance; "" of what no recipe trained."""
    if "train" not in provenance(dataset).get("config", {"train": {}}):
        return ""
    named = f"{dataset.attrs['recipe']}: " if "recipe" in dataset.attrs else ""
    keys = ("tokens", "optimizer", "lr", "schedule", "weight_decay", "beta2")
    train = {key: setting(dataset, "train", key) for key in keys}
    return (
        f"{named}{_architecture(dataset)}, {train['optimizer']} "
        f"lr {train['lr']:g} {train['schedule']}, beta2 {train['beta2']:g}, weight decay {train['weight_decay']:g}, "
        f"{train['tokens']:,} tokens"
    )


def _architecture(dataset: xr.Dataset) -> str:
    """What a decoder has beside its size; of other kinds of model, which kind it is."""
    if _reads_pictures(dataset):
        size = setting(dataset, "model", "patch_size")
        return f"vision Transformer, patches of {size} × {size} pixels"
    if "target_len" in provenance(dataset)["config"]["model"]:
        return "encoder-decoder on text with spans cut out"
    keys = ("norm", "norm_place", "positions", "tied", "embedding_std", "init", "bias")
    model = {key: setting(dataset, "model", key) for key in keys}
    return (
        f"{model['norm_place']} {model['norm']}, {model['positions']} positions, "
        f"{'tied' if model['tied'] else 'untied'} embeddings of std {model['embedding_std']:g}, "
        f"{model['init']} init, {'biases' if model['bias'] else 'no biases'}"
    )


def _reads_pictures(dataset: xr.Dataset) -> bool:
    return "patch_size" in provenance(dataset).get("config", {}).get("model", {})


def made(dataset: xr.Dataset) -> str:
    """Machine, commits and text of a recorded dataset, hashes cut to twelve digits; "" where it does not name them."""
    kept = provenance(dataset)
    known = kept.get("environment", {})
    by = commits(kept)
    said = [known.get("device", ""), f"commit{'s' if len(by) > 1 else ''} {', '.join(by)}" if by else ""]
    if "checksum" in kept.get("corpus", {}):
        what = "pictures" if _reads_pictures(dataset) else "text"
        said.append(f"{what} sha256 {kept['corpus']['checksum']}")
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]+", r"\1", ", ".join(filter(None, said)))


def search_seeds(dataset: xr.Dataset) -> frozenset[int]:
    """Seeds that searched for the recipe (attribute `search_seeds`, a JSON list): we show and never count them."""
    return frozenset(int(seed) for seed in json.loads(dataset.attrs.get("search_seeds", "[]")))


def fresh(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset without its search seeds; unchanged if it has no others (it then cannot be judged)."""
    searched = search_seeds(dataset)
    if not searched or "seed" not in dataset.dims:
        return dataset
    kept = [place for place, seed in enumerate(seeds(dataset)) if seed not in searched]
    return dataset.isel(seed=kept) if kept else dataset


def take(dataset: xr.Dataset, name: str, *dims: str, share: bool = False, missing: bool = False) -> xr.DataArray:
    """A variable as float64 with exactly these dims, in this order.

    Parameters
    ----------
    share
        The values are shares and must lie between 0 and 1 (percent would be off by a hundred).
    missing
        NaN is allowed: the caller knows where it belongs.

    Raises
    ------
    UserError
        If the variable, which the error names, is missing, has other dims, or holds NaN, infinity or an impossible
        share.
    """
    if name not in dataset.variables:
        raise UserError(f"the dataset has no variable {name!r}, which its rule reads; record it again.")
    array = dataset[name]
    if set(array.dims) != set(dims):
        raise UserError(f"{name} has dims {tuple(map(str, array.dims))}; its rule expects {dims}.")
    if "layer" in dims and list(array.coords.get("layer", range(array.sizes["layer"]))) != list(
        range(array.sizes["layer"])
    ):
        raise UserError(f"{name} has layers {array['layer'].values.tolist()}; its rule expects all, from 0 up.")
    if 0 in array.shape:
        raise UserError(f"{name} is empty: its shape is {dict(zip(array.dims, array.shape, strict=True))}.")
    array = array.transpose(*dims).astype(np.float64)
    values = array.values
    if np.isinf(values).any() or (np.isnan(values).any() and not missing):
        raise UserError(f"{name} holds NaN or infinity where its rule needs a number.")
    if share and ((values < 0) | (values > 1)).any():
        raise UserError(
            f"{name} runs from {np.nanmin(values):g} to {np.nanmax(values):g}; expected shares between 0 and 1."
        )
    return array


def at(array: xr.DataArray, dim: str, label: object) -> xr.DataArray:
    """The slice at a coordinate's label (numbers to within 1e-6)."""
    if dim not in array.coords:
        raise UserError(f"{array.name} has no coordinate {dim!r}, in which its rule looks for {label!r}.")
    tolerance = {"method": "nearest", "tolerance": 1e-6} if isinstance(label, float) else {}
    try:
        return array.sel({dim: label}, **tolerance)  # type: ignore[arg-type]
    except KeyError:
        raise UserError(
            f"{array.name} has no {dim} {label!r}, which its rule reads; it has "
            f"{', '.join(map(str, array[dim].values))}."
        ) from None


def seeds(dataset: xr.Dataset) -> list[int]:
    """The seeds of a dataset, in its order; none may repeat."""
    if "seed" not in dataset.coords:
        raise UserError("the dataset has no coordinate 'seed', by which every rule is judged; record it again.")
    found = [int(seed) for seed in np.atleast_1d(dataset["seed"].values)]
    if len(set(found)) != len(found):
        raise UserError(f"the dataset repeats a seed: {found}; each seed counts once.")
    return found
