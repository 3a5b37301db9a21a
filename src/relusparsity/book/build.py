"""``make book`` and ``make record``: run the chapters, then render a copy of the book or renew the committed one.

Nothing that git tracks is written by ``book``; ``record`` alone writes ``data/`` and ``book/chapters/``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from time import monotonic
from typing import Any

from tqdm.auto import tqdm

from .. import distributed
from ..errors import StoppedEarly, UserError
from ..experiments import shared
from ..scales import EVERY, names
from ..shapes import TABLES
from ..store import results, sealed
from . import front, planned, rests
from .recorded import Recorded, check_text, chosen, everything, outdated, recorded_at, runs_of

DEFAULT = "laptop"
"""Where no other shape is asked for, a notebook runs at that of its parameters: this one or, when just begun, smoke."""
LONGEST = "03_neuron_death"


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
    parser.add_argument("--chapter", type=int, metavar="NN", help="run this chapter alone; the others stay as they are")
    arguments = parser.parse_args()
    try:
        root = results.checkout()
        if root is None:
            raise UserError("the book is made in a clone of the repository; clone it and install it with `make`.")
        if arguments.what == "record":
            record(root, arguments.scale, arguments.recipe, arguments.only, arguments.chapter)
        elif arguments.only or arguments.recipe:
            raise UserError("--only and --recipe say what record is to write, but book runs every chapter; leave them.")
        else:
            book(root, arguments.scale, arguments.chapter)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    except subprocess.CalledProcessError as error:
        parser.exit(1, f"{' '.join(map(str, error.cmd[1:]))} failed; its message is above.\n")


def book(root: Path, scale: str, chapter: int | None = None) -> None:
    """Run every chapter on this machine, or one, and render a copy of the book; other chapters are as committed."""
    sources = rests.notebooks(root, chapter)
    scale = names(scale)[0] if chapter is None else shape_of(sources[0], names(scale)[0])
    check_device(scale)
    # what the chapters show of this machine
    shown = [(each, shape_of(source, scale)) for source in sources for each in shown_by([source], rests.scale(source))]
    train_first([each.config(at) for each, at in shown if not each.own_texts])
    chapters = execute(root, scale, root / "_build" / scale / "chapters", sources)
    # of its own for one chapter: Sphinx would take the others from the last copy that it rendered in the same place
    copy = root / "_build" / (scale if chapter is None else f"{scale}-{chapter:02d}")
    for old in copy.glob("book/**/*.*"):  # files that the book no longer has
        if not (root / old.relative_to(copy)).exists():
            old.unlink()
    shutil.copytree(root / "book", copy / "book", dirs_exist_ok=True)
    place(chapters, sources, copy / "book" / "chapters")
    shutil.copy2(root / "_config.yml", copy)
    program = Path(sys.executable).with_name("jupyter-book")
    subprocess.run([program, "build", "book", "-W", "-n", "--keep-going", "-q"], cwd=copy, check=True)
    scales = " and ".join(dict.fromkeys(shape_of(source, scale) for source in sources))
    print(f"\nThe book of this machine's runs (scale {scales}): {(copy / '_build/html/index.html').as_uri()}")
    tell_outdated(sources)


def record(
    root: Path, scale: str, recipe: str | None = None, only: Sequence[str] = (), chapter: int | None = None
) -> None:
    """Write the dataset of every experiment at a shape, and the executed chapters of the default shape.

    With `only`, the datasets of these experiments alone: their runs are trained, no chapter is executed. With
    `chapter`, that chapter, and before it the datasets that it makes of shapes that need no GPU.

    Raises
    ------
    UserError
        Before any training: for names or a shape without a recorded dataset, a chapter that does not exist, a shape
        that needs a GPU where there is none, another text than the recorded one. Later: for a run that diverged where
        its experiment needs it whole.
    """
    sources = rests.notebooks(root, chapter)
    if chapter is None:
        experiments = chosen(scale, recipe, only)
    elif only or recipe or scale != DEFAULT:
        small = " and ".join(_for_any_machine())
        raise UserError(f"a chapter's own data are those at scale {small}; give it no other scale, recipe or name.")
    else:
        experiments = [each for at in _for_any_machine() for each in shown_by(sources, at)]
    for at in {each.scale for each in experiments}:
        check_device(at)
    check_text(experiments)
    train_first([each.config() for each in experiments if not each.own_texts])
    for each in experiments:
        print(f"{each.name} at scale {each.scale} → {each.path.name}", flush=True)
        try:
            dataset = each.made_by.run(each.config())
        except (FloatingPointError, StoppedEarly) as error:
            raise UserError(
                f"{error}; {each.name} needs each of its runs whole, so {each.path.name} was not written: change their "
                "recipe."
            ) from error
        results.save(dataset, each.path)
    if only:
        print("Written; the chapters and front pages are as they were: `make record` renews them from the new data.")
        return
    front.write(root)
    place(execute(root, DEFAULT, root / "_build" / "record", sources), sources, root / "book" / "chapters")
    tell_outdated(sources)
    for other in sorted(set(rests.notebooks(root)) - set(sources)):
        if both := sorted({each.name for each in experiments if shows(other, each)}):
            print(f"{other.stem} shows {', '.join(both)} too: renew it with `make record CHAPTER={other.stem[:2]}`.")


def shape_of(source: Path, scale: str) -> str:
    """The shape at which a notebook runs where the book is made at a shape: its own, unless another is asked for."""
    return rests.scale(source) if scale == DEFAULT else scale


def shows(source: Path, each: Recorded) -> bool:
    """Whether a notebook runs an experiment, or names its dataset."""
    return each.module in rests.imported(source) or each.name in rests.words(source)


def tell_outdated(sources: Sequence[Path]) -> None:
    """Name the datasets, of those that these notebooks show, that were made of other runs than there are by now."""
    for each in everything():
        if any(shows(source, each) for source in sources) and (said := outdated(each)):
            print(said, flush=True)


def shown_by(sources: Sequence[Path], scale: str = DEFAULT, recipe: str | None = None) -> list[Recorded]:
    """The experiments of a shape, by its own recipe or another, that these notebooks import and run."""
    imported = {name for source in sources for name in rests.imported(source)}
    return [each for each in recorded_at(scale, recipe) if each.module in imported]


def of_chapter(chapter: int, scale: str, recipe: str | None = None) -> list[Recorded]:
    """What one chapter shows of a shape, whether it runs it or names its dataset, for a queue of its runs.

    Raises
    ------
    UserError
        If there is no such chapter, or it shows nothing there.
    """
    root = results.checkout()
    if root is None:
        raise UserError("chapters lie in a clone of the repository; clone it, or name experiments instead.")
    (source,) = rests.notebooks(root, chapter)
    if found := [each for each in recorded_at(scale, recipe) if shows(source, each)]:
        return found
    shapes = [shape for shape in EVERY if any(shows(source, each) for each in everything() if each.scale == shape)]
    by = "" if recipe is None else f" by the recipe {recipe}"
    there = f"it does at {' and '.join(shapes)}" if shapes else "nor at any other"
    raise UserError(f"chapter {chapter} shows nothing recorded at scale {names(scale, recipe, EVERY)[0]}{by}; {there}.")


def place(executed: Path, sources: Sequence[Path], folder: Path) -> None:
    """Put the executed copies of these notebooks where a book has its chapters."""
    for source in sources:
        notebook = json.loads((executed / f"{source.stem}.ipynb").read_bytes())
        with sealed.atomic_write(folder / f"{source.stem}.ipynb") as temporary:
            temporary.write_text(cell_by_cell(notebook), encoding="utf-8")


def cell_by_cell(notebook: dict[str, Any]) -> str:
    """A notebook as JSON, a line a cell: what figures draw is numbers, and a line a number takes a third more bytes."""

    def plain(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    cells = ",\n".join(map(plain, notebook["cells"]))
    rest = ",\n".join(f"{plain(name)}:{plain(of)}" for name, of in notebook.items() if name != "cells")
    return f'{{"cells":[\n{cells}\n],\n{rest}}}\n'


def check_device(scale: str) -> None:
    """Refuse a shape whose runs are for a GPU where there is none, before the text is fetched or anything trained."""
    if EVERY[scale].train.compile and distributed.device().type == "cpu":
        others = _for_any_machine(scale)
        raise UserError(
            f"scale {scale} needs an NVIDIA GPU, and PyTorch finds none here; use a machine that has one, or another "
            f"scale: {' and '.join(others)} {'need' if len(others) > 1 else 'needs'} none."
        )


def _for_any_machine(scale: str = "smoke") -> list[str]:
    """Shapes that read what this one does, and whose runs need no GPU."""
    alike = next(table for table in TABLES.values() if scale in table)
    return [name for name, run in alike.items() if not run.train.compile]


def train_first(configs: Sequence[Any]) -> None:
    """Train the runs that experiments share, together and before any of them waits for one: no core is left idle."""
    runs = shared.with_parents(run for config in configs for run in runs_of(config))
    plan = planned.Plan(runs)
    print(plan, flush=True)
    try:
        shared.train_all(runs, plan.trained)
    except (FloatingPointError, StoppedEarly) as error:
        # each experiment trains what it still lacks, and marks or refuses this run
        print(f"{error}; going on", flush=True)


def execute(root: Path, scale: str, folder: Path, sources: Sequence[Path]) -> Path:
    """Run notebooks with papermill into a folder, several side by side on a CPU.

    A notebook is not run again if nothing that it rests on has changed since: see `rests`.

    Raises
    ------
    CalledProcessError
        If one fails; what papermill said of it is printed, and those not yet begun are left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in set(folder.glob("*.ipynb")) - {folder / f"{source.stem}.ipynb" for source in rests.notebooks(root)}:
        old.unlink()
    data, changed = rests.datasets(root), []
    for source in sources:
        output, kept = folder / f"{source.stem}.ipynb", folder / f"{source.stem}.inputs"
        if output.is_file() and rests.unchanged(kept, root, source, data):
            print(f"{source.name} at scale {shape_of(source, scale)}: unchanged", flush=True)
        else:
            changed.append(source)
    workers, environment = shared.side_by_side(len(changed))
    bar = tqdm(total=len(changed), desc="chapters", unit="chapter")

    def run(source: Path) -> None:
        output, at = folder / f"{source.stem}.ipynb", shape_of(source, scale)
        parameters = [] if at == rests.scale(source) else ["-p", "scale", at]
        command = [sys.executable, "-m", "papermill", str(source), str(output), *parameters]
        quiet = ["--no-progress-bar", "--log-level", "WARNING"]
        begun, code, notes = monotonic(), rests.code(root, source), output.with_suffix(".reads")
        notes.write_text("")
        own = environment | {"RELUSPARSITY_READS": str(notes)}
        done = subprocess.run([*command, *quiet], cwd=root, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            bar.write(done.stdout.decode(errors="replace"), file=sys.stderr)
        done.check_returncode()
        output.with_suffix(".inputs").write_text(rests.stamp(code, source, data, set(notes.read_text().splitlines())))
        took = f"done in {monotonic() - begun:.0f} s"
        bar.write(f"{source.name} at scale {at}: {took}", file=sys.stderr)
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
