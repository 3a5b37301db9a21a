"""``make book`` and ``make record``: run the chapters, then render a copy of the book or renew the committed one.

Nothing that git tracks is written by ``book``; ``record`` alone writes ``data/`` and ``book/chapters/``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import pkgutil
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from time import monotonic
from typing import Any

from tqdm.auto import tqdm

from .. import experiments, results
from ..errors import UserError
from ..experiments import shared
from . import front

DEFAULT = "laptop"  # the value of `scale` in every notebook's parameters
LONGEST = "03_neuron_death"
ignored = shutil.ignore_patterns("*.inputs", "*.unfinished.ipynb")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m relusparsity.book.build", description=__doc__)
    parser.add_argument("what", choices=("book", "record"))
    parser.add_argument("--scale", default=DEFAULT, help="scale of the runs (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        root = results.checkout()
        if root is None:
            raise UserError("the book is made in a clone of the repository; clone it and install it with `make`.")
        (book if arguments.what == "book" else record)(root, arguments.scale)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    except subprocess.CalledProcessError as error:
        parser.exit(1, f"{' '.join(map(str, error.cmd[1:]))} failed; its message is above.\n")


def book(root: Path, scale: str) -> None:
    """Run every chapter on this machine and render a copy of the book from the result."""
    train_first(recorded_at(DEFAULT), scale)  # what the chapters show of this machine
    copy = root / "_build" / scale
    chapters = execute(root, scale, copy / "chapters")
    for old in copy.glob("book/**/*.*"):  # files that the book no longer has
        if not (root / old.relative_to(copy)).exists():
            old.unlink()
    shutil.copytree(root / "book", copy / "book", dirs_exist_ok=True)
    shutil.copytree(chapters, copy / "book" / "chapters", dirs_exist_ok=True, ignore=ignored)
    shutil.copy2(root / "_config.yml", copy)
    program = Path(sys.executable).with_name("jupyter-book")
    subprocess.run([program, "build", "book", "-W", "-n", "--keep-going", "-q"], cwd=copy, check=True)
    print(f"\nThe book of this machine's runs (scale {scale}): {(copy / '_build/html/index.html').as_uri()}")


def record(root: Path, scale: str) -> None:
    """Write the dataset of every experiment at a scale, and the executed chapters at the default scale."""
    modules = recorded_at(scale)
    train_first(modules, scale)
    for name, experiment in modules.items():
        path = results.recorded_path(name, scale)
        print(f"{name} at scale {scale} → {path.relative_to(root)}", flush=True)
        results.save(experiment.run(experiment.config(scale)), path)
    front.write(root)
    executed = execute(root, DEFAULT, root / "_build" / "record")
    shutil.copytree(executed, root / "book" / "chapters", dirs_exist_ok=True, ignore=ignored)


def recorded_at(scale: str) -> dict[str, Any]:
    """The experiments whose dataset is committed at a scale, by name."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
    modules = {name: importlib.import_module(f"{experiments.__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if scale in getattr(module, "RECORDED", ())}


def train_first(modules: dict[str, Any], scale: str) -> None:
    """Train the runs that experiments share, together and before any of them waits for one: no core is left idle."""
    configs = [module.config(scale) for module in modules.values()]
    groups = [getattr(config, group, ()) for config in configs for group in ("runs", "gelu", "others")]
    runs = list(dict.fromkeys(run for group in groups for run in group))
    print(f"{len(runs)} runs at scale {scale}, trained now where they do not exist", flush=True)
    shared.train_all(runs)


def execute(root: Path, scale: str, folder: Path) -> Path:
    """Run every notebook with papermill into a folder, several side by side on a CPU.

    A notebook is not run again if neither it, the library, the recorded data nor the lock has changed since.

    Raises
    ------
    CalledProcessError
        If one fails; what papermill said of it is printed, and those not yet begun are left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted((root / "notebooks").glob("*.py"))
    for old in set(folder.glob("*.ipynb")) - {folder / f"{source.stem}.ipynb" for source in sources}:
        old.unlink()
    parameters = [] if scale == DEFAULT else ["-p", "scale", scale]
    inputs = {source: fingerprint(root, source) for source in sources}
    changed = []
    for source in sources:
        output, stamp = folder / f"{source.stem}.ipynb", folder / f"{source.stem}.inputs"
        if output.is_file() and stamp.is_file() and stamp.read_text() == inputs[source]:
            print(f"{source.name} at scale {scale}: unchanged", flush=True)
        else:
            changed.append(source)
    workers, environment = shared.side_by_side(len(changed))
    bar = tqdm(total=len(changed), desc=f"chapters at scale {scale}", unit="chapter")

    def run(source: Path) -> None:
        output = folder / f"{source.stem}.ipynb"
        command = [sys.executable, "-m", "papermill", str(source), str(output), *parameters]
        quiet = ["--no-progress-bar", "--log-level", "WARNING"]
        begun = monotonic()
        done = subprocess.run(
            [*command, *quiet], cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            bar.write(done.stdout.decode(errors="replace"), file=sys.stderr)
        done.check_returncode()
        output.with_suffix(".inputs").write_text(inputs[source])
        bar.write(f"{source.name}: done in {monotonic() - begun:.0f} s", file=sys.stderr)
        bar.update()

    with bar, ThreadPoolExecutor(workers) as pool:
        # what takes longest begins first, or a core would wait for it at the end
        running = [pool.submit(run, source) for source in sorted(changed, key=_how_short)]
        for future in as_completed(running):
            if future.exception() is not None:
                pool.shutdown(cancel_futures=True)
            future.result()
    return folder


def _how_short(source: Path) -> tuple[bool, int]:
    """Sorts the chapters that take longest to the front: that on death, then the later ones."""
    return source.stem != LONGEST, -int(source.stem[:2])


def fingerprint(root: Path, notebook: Path) -> str:
    """Digest of everything that a chapter's outputs follow from, but for the machine."""
    library = sorted((root / "src").rglob("*.py"))
    files = [notebook, root / "requirements.txt", *library, *sorted((root / "data").glob("*"))]
    return hashlib.sha256("".join(results.sha256(file) for file in files).encode()).hexdigest()


if __name__ == "__main__":
    main()
