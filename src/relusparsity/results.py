"""Run directories and datasets: whole or absent, with provenance, checked when read."""

import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import __version__
from .config import source_digest
from .errors import UserError

RENAMED = {"method": "chosen_by"}
"""Names in datasets written by earlier versions → their names now: `sel` takes `method` for how to fill gaps."""

_CHECKOUT = Path(__file__).resolve().parents[2]


def checkout() -> Path | None:
    """The repository this package is imported from, or None when it is installed elsewhere."""
    return _CHECKOUT if (_CHECKOUT / "notebooks").is_dir() and (_CHECKOUT / "pyproject.toml").is_file() else None


def runs_dir() -> Path:
    """Where runs live: $RELUSPARSITY_RUNS, else runs/ in the checkout, else the user's cache."""
    if chosen := os.environ.get("RELUSPARSITY_RUNS"):
        return Path(chosen)
    root = checkout()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "runs" if root else cache / "relusparsity"


def data_dir() -> Path:
    """Where recorded datasets live: data/ in the checkout.

    Raises
    ------
    UserError
        When the package is not imported from a checkout.
    """
    root = checkout()
    if root is None:
        raise UserError(f"recorded datasets lie in a clone of the repository, but the package is at {_CHECKOUT}.")
    return root / "data"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


@contextmanager
def sealed_write(path: Path) -> Iterator[Path]:
    """`atomic_write` with a checksum file; killed at any moment, what stands at `path` passes `check`."""
    sidecar = _sidecar(path)
    before = sidecar.read_text() if sidecar.is_file() and path.is_file() else ""
    with atomic_write(path) as written:
        yield written
        line = f"{sha256(written)}  {path.name}\n"
        with atomic_write(sidecar) as temporary:  # until the file takes its place, the old one is right too
            temporary.write_text(line + before)
    with atomic_write(sidecar) as temporary:
        temporary.write_text(line)


def check(path: Path, advice: str = "delete it and make it again") -> None:
    """Compare a file with the checksum beside it; `advice` ends the sentence if they disagree.

    Raises
    ------
    UserError
        If either is missing or they disagree (a truncated or edited file).
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; make it again or check the name.")
    if not _sidecar(path).is_file():
        raise UserError(f"{path} has no checksum file {_sidecar(path).name} beside it; {advice}.")
    expected = [line[:64] for line in _sidecar(path).read_text().splitlines()]
    if (found := sha256(path)) not in expected:
        wanted = " or ".join(f"{each[:12]}…" for each in expected) or "nothing: its checksum file is empty"
        raise UserError(f"{path} is damaged: its sha256 is {found[:12]}…, expected {wanted}; {advice}.")


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as compressed netCDF, atomically, with its checksum beside it.

    Raises
    ------
    ValueError
        If a variable lacks `units` or `long_name`, or the dataset its provenance.
    """
    bare = [str(n) for n, v in dataset.variables.items() if not {"units", "long_name"} <= set(v.attrs)]
    if bare or "provenance" not in dataset.attrs:
        raise ValueError(f"not saved: without units or long_name: {bare}; attributes: {list(dataset.attrs)}")
    encoding = {n: {"zlib": True, "complevel": 6, "shuffle": True} for n, v in dataset.variables.items() if v.ndim}
    with sealed_write(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


def load(path: Path) -> xr.Dataset:
    """Read a dataset into memory; it runs no code and the file is closed again.

    Raises
    ------
    UserError
        If the file is missing, damaged, or not one of ours (no provenance).
    """
    check(path)
    dataset = xr.load_dataset(path, engine="h5netcdf")
    if "provenance" not in dataset.attrs:
        raise UserError(f"{path} has no provenance; expected a dataset that this library wrote.")
    return dataset.rename({old: new for old, new in RENAMED.items() if old in dataset.dims})


def recorded_path(experiment: str, scale: str) -> Path:
    return data_dir() / f"{experiment}-{scale}.nc"


def recorded(experiment: str, scale: str = "laptop") -> xr.Dataset:
    """A committed dataset: `data/<experiment>-<scale>.nc`.

    Raises
    ------
    UserError
        If it was never recorded, naming those that were.
    """
    path = recorded_path(experiment, scale)
    if not path.is_file():
        there = sorted(p.stem for p in data_dir().glob("*.nc"))
        raise UserError(f"no recorded dataset {path.stem}; recorded are: {', '.join(there) or 'none'}.")
    return load(path)


def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, device and commit, for provenance.

    In a copy without the repository, as on a GPU machine, $RELUSPARSITY_COMMIT says which commit was copied.
    """
    packages = ("torch", "numpy", "xarray", "tokenizers", "h5netcdf")
    name = platform.processor() or platform.machine()
    if device.startswith("cuda"):
        import torch

        name = torch.cuda.get_device_name()
    return {
        "python": platform.python_version(),
        "packages": {"relusparsity": __version__} | {package: version(package) for package in packages},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": f"{device} ({name}, {os.cpu_count()} cores)",
        "commit": _commit(),
        "source": source_digest()[:16],
    }


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
