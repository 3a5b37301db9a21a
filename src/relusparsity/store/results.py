"""Run directories and datasets: with provenance, and sealed as `sealed` seals every file."""

import io
import json
import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from .. import identity
from ..errors import UserError
from ..recipes import FROZEN
from ..version import __version__
from . import heaps, packing, renamed
from .sealed import atomic_write, check, read, sealed_write, sha256, told, write_json  # noqa: F401 - found here too

_CHECKOUT = Path(__file__).resolve().parents[3]


_INSTALLED = Path(__file__).parents[1] / "data"
"""Where a wheel carries the recorded datasets."""


def checkout() -> Path | None:
    """The repository this package is imported from, or None when it is installed elsewhere."""
    return _CHECKOUT if (_CHECKOUT / "notebooks").is_dir() and (_CHECKOUT / "pyproject.toml").is_file() else None


def runs_dir() -> Path:
    """Where runs live: $RELUSPARSITY_RUNS, else runs/ in the checkout, else the user's cache.

    Raises
    ------
    UserError
        Where there is none of these, nor a home.
    """
    if chosen := os.environ.get("RELUSPARSITY_RUNS"):
        return Path(chosen)
    if root := checkout():
        return root / "runs"
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise UserError(f"no folder for runs ({error}); name one with RELUSPARSITY_RUNS.") from error
    return cache / "relusparsity"


def data_dir() -> Path:
    """Where recorded datasets live: data/ in the checkout, or beside the modules of an installed wheel.

    Raises
    ------
    UserError
        When there is neither.
    """
    root = checkout()
    if root is not None:
        return root / "data"
    if not _INSTALLED.is_dir():
        raise UserError(f"recorded datasets lie in a clone of the repository, but the package is at {_CHECKOUT}.")
    return _INSTALLED


def save(dataset: xr.Dataset, path: Path | str) -> None:
    """Write a dataset as compressed netCDF, packed as `packing` says, atomically, with its checksum beside it.

    Raises
    ------
    ValueError
        If a variable lacks `units` or `long_name`, or the dataset its provenance; UserError if the disk is full, or
        netCDF cannot hold a variable so that it comes back as it is.
    """
    bare = [str(n) for n, v in dataset.variables.items() if not {"units", "long_name"} <= set(v.attrs)]
    if bare or "provenance" not in dataset.attrs:
        raise ValueError(f"not saved: without units or long_name: {bare}; attributes: {list(dataset.attrs)}")
    with sealed_write(Path(path)) as temporary:
        temporary.write_bytes(_netcdf(packing.packed(dataset)))


def _netcdf(dataset: xr.Dataset) -> memoryview:
    deflated = {"zlib": True, "complevel": 9, "shuffle": True}
    encoding: dict[Any, dict[str, Any]] = {}
    dataset = dataset.drop_encoding()  # of the file that it was read from
    for name, variable in dataset.variables.items():
        encoding[name] = {"_FillValue": None} if variable.dtype.kind == "f" else {}  # NaN is NaN without being told
        if variable.size and variable.ndim:  # one chunk: many small ones compress by a tenth less
            letters = (variable.dtype.itemsize,) if variable.dtype.kind == "S" else ()  # bytes lie there one by one
            encoding[name] |= deflated | {"chunksizes": variable.shape + letters}
    made = io.BytesIO()  # HDF5 itself neither says which file has no room nor lets go of it
    # the format of HDF5 1.10 takes 3 KB less for a variable than that of 1.6, which is the default
    with h5netcdf.File(made, "w", libver=("v110", "v110")) as file:
        dataset.dump_to_store(xr.backends.H5NetCDFStore(file), encoding=encoding)
    return made.getbuffer()


def load(path: Path | str) -> xr.Dataset:
    """Read a dataset into memory, old names in it as `renamed` has them now; it runs no code and takes no lock.

    Raises
    ------
    UserError
        If the file is missing, damaged, or not one of ours (no provenance).
    """
    return _todays(as_written(Path(path)))


def _todays(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset as written, with today's names."""
    dataset = dataset.rename({old: new for old, new in renamed.DIMENSIONS.items() if old in dataset.dims})
    if (word := str(dataset.attrs.get("scale"))) in renamed.WORDS:
        dataset.attrs["scale"] = renamed.WORDS[word][0]
    dataset.attrs["provenance"] = renamed.with_todays_runs(dataset.attrs["provenance"])
    return dataset


_NO_NETCDF = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What HDF5 and those above it raise, besides OSError, for bytes that they do not understand."""


def as_written(path: Path) -> xr.Dataset:
    """What `load` reads, with the names that are in the file; raises what `load` raises."""
    data = read(path)
    decode = _decoded if len(data) > _SMALL else _decoded_once
    try:
        with told(path, "read", "expected a dataset that this library wrote"):
            dataset = decode(data)
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}; expected a dataset that this library wrote.") from error
    if dataset is None:
        raise UserError(f"{path} has no provenance; expected a dataset that this library wrote.")
    return dataset.copy(deep=True) if decode is _decoded_once else dataset


def _decoded(data: bytes) -> xr.Dataset | None:
    """The dataset in a file's bytes, unpacked; None where it has no provenance. OSError where they are no netCDF."""
    # values as they are: no unit or other attribute makes times of them, or numbers in place of those there
    as_is = {"mask_and_scale": False, "decode_times": False, "decode_timedelta": False}
    try:
        heaps.check(data)
        # from memory: HDF5 would want a lock on the file, which another program may hold
        dataset = xr.load_dataset(io.BytesIO(data), engine="h5netcdf", **as_is)
    except _NO_NETCDF as error:
        raise OSError(str(error)) from error
    return packing.unpacked(dataset) if "provenance" in dataset.attrs else None


_SMALL = 4_000_000
"""Bytes up to which a file is decoded once: what is committed, a third of a second each, is read again and again."""
_decoded_once = lru_cache(maxsize=64)(_decoded)


def recorded_path(experiment: str, scale: str, recipe: str | None = None) -> Path:
    """Where a committed dataset lies: `data/<experiment>-<shape>[-<recipe>].nc`, by today's words.

    Where $RELUSPARSITY_READS names a file, as it does for a chapter of `make book`, the dataset's name is added to it.
    """
    parts = [str(part) for part in (experiment, scale, recipe) if part is not None]
    path = data_dir() / f"{renamed.file('-'.join(parts))}.nc"
    if notes := os.environ.get("RELUSPARSITY_READS"):
        with Path(notes).open("a") as file:
            file.write(f"{path.name}\n")
    return path


def recorded(experiment: str, scale: str = "laptop", recipe: str | None = None) -> xr.Dataset:
    """A committed dataset, of an experiment with one recipe or of one with several.

    Parameters
    ----------
    scale
        Name of a shape.
    recipe
        Name of the recipe; without it, the shape's own, or that of the one dataset there is.

    Raises
    ------
    UserError
        If it was never recorded, naming those that were; if the file says that it is of another shape or recipe.
    """
    there = sorted(data_dir().glob("*.nc"))  # a name that is a path, or too long for one, is none of them
    paths = [recorded_path(experiment, scale, recipe)]
    if recipe is None and str(scale) in FROZEN:
        paths.append(recorded_path(experiment, scale, FROZEN[scale]))
    for path in paths:
        if path in there:
            dataset, of_one = as_written(path), path.stem.split("-")[2:]
            _agrees(path, dataset)
            return _todays(dataset).assign_attrs({"recipe": of_one[0]} if of_one else {})
    if scale in renamed.WORDS and recipe is not None:
        shape, of_word = renamed.WORDS[scale]
        raise UserError(f"{scale!r} is an old word for scale {shape!r} with recipe {of_word!r}; ask by today's names.")
    known = ", ".join(path.stem for path in there)
    raise UserError(f"no recorded dataset {paths[-1].stem}; recorded are: {known or 'none'}.")


def _agrees(path: Path, dataset: xr.Dataset) -> None:
    """Refuse a file whose name says another shape or recipe than it does itself, as far as it does.

    Its name is the place where it lies, and what lies there may be a copy of another. A dataset of several recipes
    names none, and one that varies a recipe goes by the name of that; an old word for its scale, which named a recipe
    too, is then of the shape alone.
    """
    _, shape, *of_one = path.stem.split("-")
    word = str(dataset.attrs.get("scale", shape))
    its_shape, by_word = renamed.WORDS.get(word, (word, ""))
    its_recipe = str(dataset.attrs.get("recipe", by_word if of_one else ""))
    if its_shape != shape or its_recipe not in ("", *of_one):
        by = f"recipe {its_recipe!r}" if its_recipe else "a recipe it does not name"
        raise UserError(
            f"{path} is not what its name says: it was recorded at scale {its_shape!r} with {by}; restore the file "
            f"that was recorded under this name, or make it again."
        )


def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, device and commit, for provenance.

    In a copy without the repository, as on a GPU machine, $RELUSPARSITY_COMMIT says which commit was copied.
    """
    import torch

    packages = ("torch", "numpy", "xarray", "tokenizers", "h5netcdf")
    name = platform.processor() or platform.machine()
    on_gpu: dict[str, str | None] = {}
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name()
        on_gpu = {"cuda": torch.version.cuda, "driver": _driver(), "triton": _version("triton")}
    return on_gpu | {
        "python": platform.python_version(),
        "packages": {"relusparsity": __version__} | {package: version(package) for package in packages},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": f"{device} ({name}, {os.cpu_count()} cores)",
        "commit": _commit(),
        "meaning": identity.MEANING,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _driver() -> str | None:
    """Version of NVIDIA's driver, as its own tool says."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.splitlines()[0].strip() if said.strip() else None


def _commit() -> str:
    root = checkout()
    if root is None or not (root / ".git").exists():
        return os.environ.get("RELUSPARSITY_COMMIT") or "unknown (not a git checkout)"

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        commit, dirty = git("rev-parse", "HEAD"), git("status", "--porcelain", "src")
    except (OSError, subprocess.CalledProcessError):
        return "unknown (git failed)"
    return commit + ("+changes" if dirty else "")


def provenance(dataset: xr.Dataset) -> dict[str, Any]:
    """How a dataset was made: configuration, environment, corpus, tokens seen, wall seconds."""
    return json.loads(dataset.attrs["provenance"])


def described(values: dict[str, tuple[tuple[str, ...], Any]], schema: dict[str, tuple[str, str]]) -> xr.Dataset:
    """Dataset from {name: (dims, values)} with the units and long names of `schema` {name: (units, long name)}."""
    dataset = xr.Dataset()
    for name, (dims, value) in values.items():
        units, long_name = schema[name]
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        dataset[name] = xr.Variable(dims, array, {"units": units, "long_name": long_name})
    return dataset
