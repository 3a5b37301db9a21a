"""What `python -m relusparsity measure` and `compare` do."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import xarray as xr

from .. import paths
from ..asked import Asked
from ..corpora import pipes
from ..corpora.text import files
from ..errors import UserError
from ..store import results
from . import listed, load, progress, report, runs
from . import measure as one
from . import text as texts

FILES = ("dataset.nc", "dataset.nc.sha256", "report.html", "state.safetensors")


def measure(given: Asked) -> None:
    """Measure every model, then write the report: of one, or of all side by side."""
    if not given.models or not given.text:
        raise UserError("measure needs a model and, after --text, a text file; see measure --help.")
    for name in given.models:
        load.check(name)
    given = replace(given, text=tuple(map(listed.text, given.text)))
    files(given.text)
    folders = _folders([_called(name) for name in given.models], given.out)
    for folder in folders:
        paths.writable(folder, FILES)
    if len(folders) > 1:
        paths.writable(folders[0].parent, ("comparison.html",))
    options = one.Options(
        tokens=texts.count(given.tokens),
        seq_len=given.seq_len,
        batch_size=_batch_size(given.batch_size),
        rule=given.rule,
        layers=given.layers,
        of=given.of,
        removal=given.full,
        attention=given.attention,
        special_tokens=given.special_tokens,
    )
    stages = progress.Progress(len(given.models), lines=True)
    try:
        with progress.shown(stages):
            measured = [_one(given, name, folder, options) for name, folder in zip(given.models, folders, strict=True)]
    finally:
        pipes.forget()  # what another command reads is another text
    if len(measured) > 1:
        together = folders[0].parent / "comparison.html"
        report.write(measured, together)
        print(f"all together\n  {together}")


def _one(given: Asked, name: str, folder: Path, options: one.Options) -> xr.Dataset:
    """Measure a model and write its dataset and its report."""
    stages = progress.current()
    stages.begin(_called(name))
    with stages.stage("reading the model"):
        ready = load.load(name, given.device, given.dtype, given.tokenizer, given.trust_remote_code)
    dataset = one.measure_text(ready.model, ready.tokenizer, given.text, options, folder, ready.name, ready.about)
    results.save(dataset, folder / "dataset.nc")
    with stages.stage("writing the report"):
        report.write([dataset], folder / "report.html")
    stages.end()
    print(f"{ready.name}\n  {folder / 'dataset.nc'}\n  {folder / 'report.html'}", flush=True)
    return dataset


def compare(folders: Sequence[str], out: str | Path) -> None:
    """Write one report of models measured before."""
    if len(folders) < 2:
        raise UserError("compare needs two or more folders that measure wrote.")
    places = [paths.path(folder) for folder in folders]
    out = paths.path(out)
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name the report's file, such as {out / 'comparison.html'}.")
    paths.writable(out.parent, (out.name,))
    report.write([_measured(place / "dataset.nc" if place.is_dir() else place) for place in places], out)
    print(out)


def _measured(path: Path) -> xr.Dataset:
    if path.suffix.lower() != ".nc":
        raise UserError(f"{paths.shown(path)} is no dataset; give the folders that measure wrote, or their dataset.nc.")
    data = results.load(path)
    if "measurement" not in results.provenance(data):
        raise UserError(f"{path} was not written by measure; measure its model first, then compare what that writes.")
    return data


def _called(name: str) -> str:
    """A model's short name, for a folder."""
    found = runs.find(name)
    last = paths.path(name).name
    return found.name if found else last[: -len(".gguf")] if last.lower().endswith(".gguf") else last or "model"


def _folders(short: Sequence[str], out: str | None) -> list[Path]:
    """Where each model's files go, none twice."""
    if len(short) == 1:
        return [paths.path(f"measured-{short[0]}" if out is None else out)]
    if len(set(short)) < len(short):
        raise UserError(f"two of the models are called the same ({', '.join(short)}); measure them one by one.")
    return [paths.path("measured" if out is None else out) / name for name in short]


def _batch_size(given: str) -> int | None:
    if given == "auto":
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,8}", given):
        raise UserError(f"batch_size = {paths.shown(given)!r}: expected a number of sequences above 0, or auto.")
    return int(given)
