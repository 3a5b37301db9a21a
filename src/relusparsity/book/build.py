"""``make book`` and ``make record``: run the chapters, then render a copy of the book or renew the committed one.

Nothing that git tracks is written by ``book``; ``record`` alone writes ``data/`` and ``book/chapters/``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from time import monotonic
from typing import Any

from tqdm.auto import tqdm

from .. import distributed, results
from ..errors import UserError
from ..experiments import shared
from ..scales import names
from ..shapes import SHAPES
from . import front, rests
from .recorded import check_text, chosen, recorded_at

DEFAULT = "laptop"  # the value of `scale` in every notebook's parameters
LONGEST = "03_neuron_death"
ignored = shutil.ignore_patterns("*.inputs", "*.reads", "*.unfinished.ipynb")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m relusparsity.book.build", description=__doc__)
    parser.add_argument("what", choices=("book", "record"))
    parser.add_argument("--scale", default=DEFAULT, help="shape of the runs (default: %(default)s)")
    parser.add_argument("--recipe", help="record by this recipe (default: the shape's own)")
    parser.add_argument(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="record the datasets of these experiments alone, and leave the chapters",
    )
    arguments = parser.parse_args()
    try:
        root = results.checkout()
        if root is None:
            raise UserError("the book is made in a clone of the repository; clone it and install it with `make`.")
        if arguments.what == "record":
            record(root, arguments.scale, arguments.recipe, arguments.only)
        elif arguments.only or arguments.recipe:
            raise UserError("--only and --recipe say what record is to write, but book runs every chapter; leave them.")
        else:
            book(root, arguments.scale)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    except subprocess.CalledProcessError as error:
        parser.exit(1, f"{' '.join(map(str, error.cmd[1:]))} failed; its message is above.\n")


def book(root: Path, scale: str) -> None:
    """Run every chapter on this machine and render a copy of the book from the result."""
    scale, _ = names(scale)
    check_device(scale)
    # what the chapters show of this machine
    train_first([each.config(scale) for each in recorded_at(DEFAULT) if not each.own_texts])
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


def record(root: Path, scale: str, recipe: str | None = None, only: Sequence[str] = ()) -> None:
    """Write the dataset of every experiment at a shape, and the executed chapters of the default shape.

    With `only`, the datasets of these experiments alone: their runs are trained, no chapter is executed.

    Raises
    ------
    UserError
        Before any training: for names or a shape without a recorded dataset, a shape that needs a GPU where there is
        none, another text than the recorded one. Later: for a run that diverged where its experiment needs it whole.
    """
    experiments = chosen(scale, recipe, only)
    check_device(experiments[0].scale)
    check_text(experiments)
    train_first([each.config() for each in experiments if not each.own_texts])
    for each in experiments:
        print(f"{each.name} at scale {each.scale} → {each.path.name}", flush=True)
        try:
            dataset = each.made_by.run(each.config())
        except FloatingPointError as error:
            raise UserError(
                f"{error}; {each.name} needs each of its runs whole, so {each.path.name} was not written: change their "
                "recipe."
            ) from error
        results.save(dataset, each.path)
    if only:
        print("Written; the chapters and front pages are as they were: `make record` renews them from the new data.")
        return
    front.write(root)
    executed = execute(root, DEFAULT, root / "_build" / "record")
    shutil.copytree(executed, root / "book" / "chapters", dirs_exist_ok=True, ignore=ignored)


def check_device(scale: str) -> None:
    """Refuse a shape whose runs are for a GPU where there is none, before the text is fetched or anything trained."""
    if SHAPES[scale].train.compile and distributed.device().type == "cpu":
        small = " and ".join(name for name, run in SHAPES.items() if not run.train.compile)
        raise UserError(
            f"scale {scale} needs an NVIDIA GPU, and PyTorch finds none here; use a machine that has one, or another "
            f"scale: {small} need none."
        )


def train_first(configs: Sequence[Any]) -> None:
    """Train the runs that experiments share, together and before any of them waits for one: no core is left idle."""
    groups = [getattr(config, group, ()) for config in configs for group in ("runs", "gelu", "others")]
    runs = list(dict.fromkeys(run for group in groups for run in group))
    print(f"{len(runs)} runs, trained now where they do not exist", flush=True)
    try:
        shared.train_all(runs)
    except FloatingPointError as error:  # each experiment trains what it still lacks, and marks or refuses this run
        print(f"{error}; going on", flush=True)


def execute(root: Path, scale: str, folder: Path) -> Path:
    """Run every notebook with papermill into a folder, several side by side on a CPU.

    A notebook is not run again if nothing that it rests on has changed since: see `rests`.

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
    data, changed = rests.datasets(root), []
    for source in sources:
        output, kept = folder / f"{source.stem}.ipynb", folder / f"{source.stem}.inputs"
        if output.is_file() and rests.unchanged(kept, root, source, data):
            print(f"{source.name} at scale {scale}: unchanged", flush=True)
        else:
            changed.append(source)
    workers, environment = shared.side_by_side(len(changed))
    bar = tqdm(total=len(changed), desc=f"chapters at scale {scale}", unit="chapter")

    def run(source: Path) -> None:
        output = folder / f"{source.stem}.ipynb"
        command = [sys.executable, "-m", "papermill", str(source), str(output), *parameters]
        quiet = ["--no-progress-bar", "--log-level", "WARNING"]
        begun, code, notes = monotonic(), rests.code(root, source), output.with_suffix(".reads")
        notes.write_text("")
        own = environment | {"RELUSPARSITY_READS": str(notes)}
        done = subprocess.run([*command, *quiet], cwd=root, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            bar.write(done.stdout.decode(errors="replace"), file=sys.stderr)
        done.check_returncode()
        output.with_suffix(".inputs").write_text(rests.stamp(code, source, data, set(notes.read_text().split())))
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


if __name__ == "__main__":
    main()
