"""What a process says when it stops: one sentence and how the run goes on; under torchrun, its error in the summary."""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from .identity import digest
from .store.ondisk import outlook

TORCHRUN = "TORCHELASTIC_ERROR_FILE"
"""Where torchrun looks for a process's error; it sets this in those that it starts."""

GONE = ("gloo", "closed by peer", "reset by peer", "Broken pipe", "ncclRemoteError")
"""What the error of a process says whose partner died: gloo's, the store's and NCCL's words."""

LINGER = 10.0
"""Seconds that a process that is not the cause waits for torchrun to end it; ending by itself, it is named a cause."""

_speaking = threading.RLock()  # a process that torchrun ends first ends its sentence
_begun: tuple[Path, int] | None = None


def begin(path: Path, resume_every: int) -> None:
    """From now on, what stops is the training of this run."""
    global _begun
    _begun = path, resume_every


def prospect() -> str:
    """How the run that was begun goes on; or, of a command that trains none, that it does."""
    return outlook(*_begun) if _begun else "the same command resumes from what was kept"


def refuse(sentence: str, status: int) -> int:
    """Say what no process can mend and give the exit status; of torchrun's processes, the first that has it."""
    if TORCHRUN not in os.environ:
        print(sentence, file=sys.stderr)
        return status
    if os.environ["RANK"] != "0":
        time.sleep(LINGER)  # the first process may have it too, and may be writing what it keeps
    with _speaking:
        if _first(sentence):
            print(sentence, file=sys.stderr)
            _record(sentence, sentence)
            _leave(status)
    time.sleep(LINGER)
    return status


def interrupt(number: int = signal.SIGINT) -> int:
    """Say how the run goes on after a signal, of Ctrl-C or another, that all processes get; give the exit status."""
    if os.environ.get("RANK", "0") == "0":
        by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        with suppress(OSError):  # of a terminal that was closed
            print(f"interrupted{by}; {prospect()}", file=sys.stderr, flush=True)
    if TORCHRUN in os.environ:
        _leave(128 + number)
    return 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGTERM and a closed terminal interrupt as Ctrl-C does, once; a further signal changes nothing.

    What this process ignores, as after nohup, it ignores still. Only the main thread can be interrupted.
    """
    heard = [
        each for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN
    ]

    def end(number: int, frame: object) -> NoReturn:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    before = {each: signal.signal(each, end) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def fail(error: Exception) -> None:
    """End one of torchrun's processes whose error nobody foresaw; alone, do nothing."""
    if TORCHRUN not in os.environ:
        return
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    if any(word in reason for word in GONE):
        _outlive(f"another process is gone ({reason.partition('. ')[0]})")
        time.sleep(LINGER)
    with _speaking:
        if _first(reason):
            traceback.print_exception(error)
            _say(reason)
            _record(reason, "".join(traceback.format_exception(error)))
            _leave(1)
    time.sleep(LINGER)
    _leave(1)


def watch() -> None:
    """Begin a command, which trains no run yet; when torchrun ends this process, since another one died, say a word.

    A thread says it: the main one may be waiting inside NCCL for the one that died, where no handler of Python's runs.
    """
    global _begun
    _begun = None
    if TORCHRUN not in os.environ:
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(writing)

    def wait() -> None:
        while os.read(reading, 1)[0] != signal.SIGTERM:
            pass
        ended = "torchrun ended it, since another process is gone or the job was stopped"
        try:
            _outlive(ended)
            with _speaking:
                _record(ended, ended)
        finally:  # also when nobody hears it any more, or this process would stay
            _leave(128 + signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _outlive(reason: str) -> None:
    """The sentence of a process that is not the cause, unless another one of this machine has said one."""
    with _speaking:
        if not list(_shared().glob("said-*")) and _first("another process is gone"):
            _say(reason)


def _say(reason: str) -> None:
    print(f"rank {os.environ.get('RANK')} stopped: {reason}; {prospect()}", file=sys.stderr)


def _shared() -> Path:
    """A folder of torchrun's for this start of this machine's processes; it removes it at its end."""
    return Path(os.environ[TORCHRUN]).parent.parent


def _first(sentence: str) -> bool:
    """Whether no other process of this machine has said this."""
    try:
        (_shared() / f"said-{digest(sentence)[:16]}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _record(message: str, details: str) -> None:
    """Leave an error for torchrun's summary, in the form of torch.distributed.elastic's `record`.

    That one would always add the traceback, and would import torch to say that an option is wrong.
    """
    facts = {"message": message, "extraInfo": {"py_callstack": details, "timestamp": str(int(time.time()))}}
    Path(os.environ[TORCHRUN]).write_text(json.dumps({"message": facts}))


def _leave(status: int) -> NoReturn:
    """Exit at once: taking leave of the others, as at a usual exit, would wait for those that are gone."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
