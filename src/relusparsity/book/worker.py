"""The other end of a recorder's pipe: a process that trains the runs it is given, and ends with the recorder."""

import json
import os
import select
import sys
from threading import Thread
from time import sleep
from typing import TextIO

from .. import distributed, stopping, train
from ..config import RunConfig, from_dict
from ..errors import StoppedEarly, UserError

FINISHED = "finished"
"""What is answered of a run that came to its end."""


def _answers() -> TextIO:
    """Where a worker answers, for as long as the recorder is there: it ends with it, whatever it is doing."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    recorder = select.poll()
    recorder.register(sys.stdin, 0)  # for nothing but that its other end is closed

    def wait() -> None:
        recorder.poll()
        os._exit(0)  # a run in flight has its states, and each file is whole or absent

    Thread(target=wait, daemon=True).start()
    return answers


def serve() -> None:
    """A worker: trains the configurations on standard input, a JSON line each, and answers each with a line."""
    answers = _answers()
    for line in sys.stdin:
        print(_trained(line), file=answers, flush=True)


def serve_one() -> None:
    """One of torchrun's processes: trains with the others the one configuration that the first finds on its input."""
    answers = _answers()
    distributed.join()
    first = distributed.rank() == 0
    (line, *_) = distributed.gather(sys.stdin.readline() if first else "")
    said = _trained(line)
    if first:
        print(said, file=answers, flush=True)
    elif said != FINISHED:
        sleep(stopping.LINGER)  # the first may have it too, and may be writing what is kept
        print(said, file=sys.stderr, flush=True)
    if said != FINISHED:
        os._exit(1)  # torchrun ends the others; to take leave of them would be to wait


def _trained(line: str) -> str:
    try:
        train.run(from_dict(RunConfig, json.loads(line)))
    except (UserError, StoppedEarly, FloatingPointError, RuntimeError) as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    return FINISHED
