"""What `python -m relusparsity measure` and `compare` do."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from .. import results
from ..errors import UserError
from . import load, report, runs
from . import measure as one
from . import text as texts

if TYPE_CHECKING:
    from ..__main__ import Measure


def measure(given: "Measure") -> None:
    """Measure every model, then write the report: of one, or of all side by side."""
    if not given.models or not given.text:
        raise UserError("measure needs a model and, after --text, a text file; see measure --help.")
    folders = _folders([_called(name) for name in given.models], given.out)
    for folder in folders:
        _check_writable(folder)
    options = one.Options(
        tokens=texts.count(given.tokens),
        seq_len=given.seq_len,
        batch_size=_batch_size(given.batch_size),
        rule=given.rule,
        layers=given.layers,
        of=given.of,
    )
    measured = []
    for name, folder in zip(given.models, folders, strict=True):
        ready = load.load(name, given.device, given.dtype, given.tokenizer, given.trust_remote_code)
        dataset = one.measure_text(ready.model, ready.tokenizer, given.text, options, folder, ready.name)
        results.save(dataset, folder / "dataset.nc")
        measured.append(dataset)
        report.write([dataset], folder / "report.html")
        print(f"{ready.name}\n  {folder / 'dataset.nc'}\n  {folder / 'report.html'}", flush=True)
    if len(measured) > 1:
        together = folders[0].parent / "comparison.html"
        report.write(measured, together)
        print(f"all together\n  {together}")


def compare(folders: Sequence[str], out: Path) -> None:
    """Write one report of models measured before."""
    if len(folders) < 2:
        raise UserError("compare needs two or more folders that measure wrote.")
    paths = [Path(folder) / "dataset.nc" if Path(folder).is_dir() else Path(folder) for folder in folders]
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name the report's file, such as {out / 'comparison.html'}.")
    _check_writable(out.parent)
    report.write([_measured(path) for path in paths], out)
    print(out)


def _measured(path: Path) -> xr.Dataset:
    if path.suffix != ".nc":
        raise UserError(f"{path} is no dataset; give the folders that measure wrote, or their dataset.nc.")
    data = results.load(path)
    if "measurement" not in results.provenance(data):
        raise UserError(f"{path} was not written by measure; measure its model first, then compare what that writes.")
    return data


def _called(name: str) -> str:
    """A model's short name, for a folder."""
    found = runs.find(name)
    return found.name if found else name.rstrip("/").rpartition("/")[2] or "model"


def _folders(short: Sequence[str], out: str | None) -> list[Path]:
    """Where each model's files go, none twice."""
    if len(short) == 1:
        return [Path(out or f"measured-{short[0]}")]
    if len(set(short)) < len(short):
        raise UserError(f"two of the models are called the same ({', '.join(short)}); measure them one by one.")
    return [Path(out or "measured") / name for name in short]


def _check_writable(folder: Path) -> None:
    """Before anything is measured: that what will be measured can be kept."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{folder} cannot be written: {there} is no folder, or not yours; name another with --out.")


def _batch_size(given: str) -> int | None:
    if given == "auto":
        return None
    if not given.isdecimal() or int(given) < 1:
        raise UserError(f"batch_size = {given!r}: expected a number of sequences above 0, or auto.")
    return int(given)
