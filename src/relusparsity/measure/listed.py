"""Models by the names that `make models` lists them under; one in a GGUF file is read once and kept as safetensors."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..errors import UserError
from ..packages import catalogue, path
from ..packages.catalogue import Package
from ..paths import path as checked
from ..store.sealed import read_json, sha256, told, write_json
from . import progress
from .checkpoint import need_gguf

CONTENTS = "contents.json"
"""In the folder of a converted model: the sha256 of its files, and the notes to be read with every result."""

BUSY = ".converting-"
"""How the folder's name begins that a conversion fills; one that was killed leaves it, and the next one removes it."""


def find(name: str) -> Package | None:
    """The package that holds the model of this name; None if it is a path, or no package is called so.

    Raises
    ------
    UserError
        If the package holds nothing that `measure` reads, or was not fetched.
    """
    package = catalogue.everything().get(name)
    if package is None or checked(name).exists():
        return None
    if not _is_read(package):
        some = ", ".join(each.name for each in catalogue.everything().values() if _is_read(each))
        raise UserError(f"{name} is listed, but holds no model that measure reads; of those listed, it reads: {some}.")
    catalogue.folder(name)
    return package


def text(name: str) -> str:
    """The path of a text: the folder of the package of this name if its files are texts, else what was given.

    Raises
    ------
    UserError
        If the package was not fetched.
    """
    package = catalogue.everything().get(name)
    if package is None or checked(name).exists() or not all(each.endswith(".txt") for each in package.wanted):
        return name
    return str(catalogue.folder(name))


def about(package: Package) -> dict[str, str]:
    """Of a package, what belongs into the record of a measurement."""
    return {"package": f"{package.package} {package.version}", "sha256": package.sha256, "licence": package.licence}


def model_folder(package: Package, read: Callable[[str], tuple[Any, Any, list[str]]]) -> tuple[Path, list[str]]:
    """The folder of a package's model, as `save_pretrained` writes it, and the notes to be read with every result.

    Parameters
    ----------
    read
        Reads the GGUF file of this path: its model in float32 on the CPU, its tokenizer, and notes. It is called once
        for a package, since it takes a hundred times as long as reading safetensors.
    """
    if not any(pattern.endswith(".gguf") for pattern in package.wanted):
        return path(package.name, "model.safetensors").parent, []
    folder = package.folder.with_name(f"{package.folder.name}.safetensors")
    with FileLock(catalogue.store() / ".lock"):
        for left in catalogue.store().glob(f"{BUSY}*"):
            shutil.rmtree(left, ignore_errors=True)
        if (notes := _notes(folder)) is None:
            need_gguf()
            file = path(package.name, ".gguf")
            print(f"{package.name}: {file.name} is read once and kept as safetensors in {folder}", file=sys.stderr)
            with progress.current().stage("converting"):
                model, tokenizer, notes = read(str(file))
            with tempfile.TemporaryDirectory(prefix=BUSY, dir=catalogue.store()) as name:
                _write(Path(name) / "model", model, tokenizer, notes)
                with told(folder):
                    shutil.rmtree(folder, ignore_errors=True)  # one that is damaged
                    os.replace(Path(name) / "model", folder)
    return folder, notes


def _is_read(package: Package) -> bool:
    return any(pattern.endswith((".gguf", "model.safetensors")) for pattern in package.wanted)


def _write(folder: Path, model: Any, tokenizer: Any, notes: Sequence[str]) -> None:
    from safetensors.torch import save_model

    config = model.config
    config.architectures = [type(model).__name__]
    if hasattr(config, "quantization_config"):  # undone in reading, which is why `save_pretrained` would refuse
        del config.quantization_config
    with told(folder):
        folder.mkdir()
        config.save_pretrained(folder)
        save_model(model, str(folder / "model.safetensors"), {"format": "pt"})
        tokenizer.save_pretrained(folder)
        files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    write_json(folder / CONTENTS, {"files": files, "notes": list(notes)})


def _notes(folder: Path) -> list[str] | None:
    """The notes of a converted model that is whole, else None."""
    try:
        contents = read_json(folder / CONTENTS)
        with told(folder, "read"):
            whole = all(sha256(folder / name) == checksum for name, checksum in contents["files"].items())
    except UserError:
        return None
    return list(contents["notes"]) if whole else None
