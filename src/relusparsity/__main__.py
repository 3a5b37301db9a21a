"""The command line: train, record, look at and remove runs; measure any models; fetch models and data."""

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Annotated, Any

import tyro

from . import scales, stopping
from .commands import Clean, Compare, Export, Measure, Models, Record, Show, Train
from .errors import UserError

DESCRIPTION = """Layer-dependent activation sparsity in ReLU Transformers, measured exactly.

Try, in this order:
  python -m relusparsity train --scale smoke                         a run of seconds, to see what happens
  python -m relusparsity train --model.activation gelu --seed 1      a Laptop run (minutes), two fields changed
  python -m relusparsity show                                        every run on this machine
  python -m relusparsity show 3f2a                                   one run, named by the start of its id
  python -m relusparsity clean                                       what could be removed; nothing is, without --yes
  python -m relusparsity measure facebook/opt-125m --text my.jsonl   any model, from a folder or the hub, on your text
  python -m relusparsity models                                      models and data for further chapters, in packages

Runs lie in runs/ of the clone, or in $RELUSPARSITY_RUNS. The same configuration is never trained twice: a finished run
is reused, one that was interrupted is resumed from its last state, if it keeps any (--train.resume_every).
With many GPUs: torchrun --nproc-per-node 8 -m relusparsity train ...
"""

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What a disk says that is full, or lets nothing be written."""


def _value(option: str, arguments: Sequence[str]) -> str | None:
    """The value of --scale or --recipe: they decide the defaults of the other fields, so they are read before them."""
    found = None
    for place, argument in enumerate(arguments):
        name, given, value = argument.partition("=")
        if name == option:  # given twice, the last counts, as of every option
            found = value if given else next(iter(arguments[place + 1 :]), "")
            if not found or found.startswith("--"):
                raise UserError(f"{option} has no value; give it the name of a {option[2:]}, or leave it out.")
    return found


def _parse(arguments: Sequence[str]) -> Train | Record | Show | Clean | Measure | Compare | Export | Models:
    scale, recipe = _value("--scale", arguments), _value("--recipe", arguments)
    scale = "laptop" if scale is None else scale
    start = Train(scale, recipe, scales.base(scale, recipe=recipe))
    command: Any = (
        Annotated[Train, tyro.conf.subcommand("train", default=start)]
        | Annotated[Record, tyro.conf.subcommand("record")]
        | Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Clean, tyro.conf.subcommand("clean")]
        | Annotated[Measure, tyro.conf.subcommand("measure")]
        | Annotated[Compare, tyro.conf.subcommand("compare")]
        | Annotated[Export, tyro.conf.subcommand("export")]
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
    except KeyboardInterrupt as interrupted:
        return stopping.interrupt(*interrupted.args)
    except Exception as error:
        stopping.fail(error)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
