"""``python -m relusparsity record``: train the runs of recorded experiments on a machine that is there for a while.

A queue with one worker per GPU, or per so many GPUs, which then train one run together; what is finished is packed in
small pieces, to carry to the machine that keeps the repository (`pieces`). A machine that stopped goes on where it was:
finished runs are reused, and so is the last state of one that keeps states. No worker outlives the recorder.
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition
from time import monotonic

from filelock import FileLock, Timeout

from .. import paths
from ..config import to_dict
from ..errors import UserError
from ..screens import in_words
from ..store import sealed
from . import pieces, planned, worker
from .jobs import Job, jobs
from .recorded import Recorded

GRACE = 5.0
"""Seconds that a worker whose pipe has ended has to end itself."""


def record(
    experiments: Sequence[Recorded], out: Path, workers: int = 0, minutes: float | None = None, gpus_per_run: int = 1
) -> int:
    """Train what is missing, for so many minutes, and pack everything that is finished; how many runs are left.

    Parameters
    ----------
    workers
        Runs at a time; 0: as many as there are GPUs for.
    gpus_per_run
        Processes that train a run together, a GPU each. Asked here, since a run has one name and text with any number.

    Raises
    ------
    UserError
        Before anything is loaded or made: for fewer than no workers, minutes or GPUs, or more GPUs than there are, and
        a folder that cannot be written. Before anything is trained: for a folder with pieces of other runs, or in which
        another recording is at work. At the end, naming the runs that failed; the others are packed. Early, if the
        first runs fail for one reason: the others would too.
    """
    begun = monotonic()
    check(out, workers, minutes, gpus_per_run)
    queue = jobs(experiments)
    with _alone_in(out):
        return _recorded(queue, out, workers or _gpus() // gpus_per_run or 1, minutes, gpus_per_run, begun)


def check(out: Path, workers: int, minutes: float | None, gpus_per_run: int) -> None:
    """What can be said of these arguments of `record` at once; it raises what that raises."""
    if workers < 0:
        raise UserError(f"workers = {workers}: expected as many as run at a time, or 0 for one per GPU.")
    if minutes is not None and not minutes >= 0:
        raise UserError(f"minutes = {minutes:g}: expected 0 or more, or none for as long as it takes.")
    there = _gpus()
    if gpus_per_run < 1 or gpus_per_run > (there or gpus_per_run):
        most = f" and at most the {there} of this machine" if there else ""
        raise UserError(
            f"gpus_per_run = {gpus_per_run}: expected the GPUs that train one run together, 1 or more{most}."
        )
    paths.writable(out, ())


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """A lock on a folder: each recording replaces the pieces in it with its own."""
    with sealed.told(out):
        out.mkdir(parents=True, exist_ok=True)
        held = FileLock(out / ".recording.lock", timeout=0)
        try:
            held.acquire()
        except Timeout:
            raise UserError(f"another recording is at work in {out}; wait for its end, or name another one.") from None
        pieces.tidy(out)
    try:
        yield
    finally:
        held.release()


def _recorded(queue: list[Job], out: Path, workers: int, minutes: float | None, gpus_per_run: int, begun: float) -> int:
    others = {name for piece in out.glob("piece-*.tar") for name in pieces.held(piece)} - {
        job.path.name for job in queue
    }
    if others:
        raise UserError(
            f"{out} holds pieces of {len(others)} other runs, which these would replace; name another folder."
        )
    missing = deque(job for job in queue if not job.finished)
    needed = sum(planned.seconds(job.config, gpus_per_run) for job in missing)
    each = "" if gpus_per_run == 1 else f" of {gpus_per_run} GPUs each"
    print(
        f"{len(queue)} runs, {len(queue) - len(missing)} finished before; {len(missing)} to train on {workers} "
        f"worker{'s' if workers > 1 else ''}{each}: {planned.about(needed / workers)} on {planned.like()}, "
        f"about {sum(planned.size(job.config) for job in missing) / 1e6:.1f} MB of datasets → {out}",
        flush=True,
    )
    for rules, stoppable in Counter(job.config.screens for job in missing if job.config.screens).items():
        print(f"{stoppable} of these may stop early: {in_words(rules)}", flush=True)
    until = math.inf if minutes is None else begun + 60 * minutes

    def pack() -> None:
        pieces.pack([job.path for job in queue if job.finished], out)

    state = _Queue(missing, until, pack, workers, gpus_per_run)
    state.pack()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for feeding in as_completed([pool.submit(state.work, number) for number in range(workers)]):
                feeding.result()
        except BaseException:
            state.end()  # or the pool would wait for the whole queue
            raise
    left = sum(not job.finished for job in queue)
    print(f"{len(queue) - left} of {len(queue)} runs are finished; {left} left", flush=True)
    if state.missing and (why := state.hopeless()):
        raise UserError(
            f"the first {len(state.failed)} runs failed, for one reason ({why.rstrip('.')}); {len(state.missing)} "
            "not tried; mend that, then the same command tries them all."
        )
    if state.failed:
        raise UserError(f"{', '.join(state.failed)} failed; what each said is above, and the others are packed.")
    return left


class _Queue:
    """What is still to be trained, shared by the threads that each feed one worker process."""

    def __init__(self, missing: deque[Job], until: float, pack: Callable[[], object], workers: int, gpus: int) -> None:
        self.missing, self.until, self.pack, self.workers, self.gpus = missing, until, pack, workers, gpus
        self.failed: dict[str, str] = {}
        """Run → why, in words that are the same for another run."""
        self.succeeded = self.ended = False
        self.processes: dict[int, subprocess.Popen[str]] = {}
        self.slower = 1.0
        """Seconds taken, in those expected: of the last finished run."""
        self.training: set[Path] = set()
        """Directories of the runs in flight."""
        self.lock = Condition()

    def next(self) -> Job | None:
        """The first job that there is still time for, and hope; a fork not before its parent's end, which it awaits."""
        with self.lock:
            while not (self.ended or self.hopeless()):
                before = self.training | {job.path for job in self.missing}
                for job in self.missing:
                    in_time = monotonic() + self.slower * planned.seconds(job.config, self.gpus) < self.until
                    if in_time and job.parent not in before:
                        self.missing.remove(job)
                        self.training.add(job.path)
                        return job
                if not any(job.parent in self.training for job in self.missing):
                    break
                self.lock.wait()
        return None

    def hopeless(self) -> str | None:
        """Why the first runs failed, if as many as there are workers say the same, and none came to its end."""
        said = Counter(self.failed.values()).items()
        return next((why for why, times in said if times >= max(2, self.workers) and not self.succeeded), None)

    def end(self) -> None:
        """Begin no run any more, and end those in flight."""
        with self.lock:
            self.ended = True
            self.lock.notify_all()
            for process in self.processes.values():
                if self.gpus == 1:
                    process.terminate()
                elif process.stdin:  # with it, torchrun's processes end; itself it would end with a traceback
                    with suppress(BrokenPipeError):
                        process.stdin.close()
        for process in self.processes.values():  # a thread interrupted at its start is none that the pool waits for
            process.wait()

    def work(self, number: int) -> None:
        """Feed one worker process until nothing is left; a run that fails is named and left out.

        Several processes together train one run alone: what one of them comes to grief by ends them all.
        """
        while job := self.next():
            begun = monotonic()
            with self.lock:
                if self.ended:
                    break
                process = self.processes.get(number)
                if process is None or process.poll() is not None:
                    process = self.processes[number] = _worker(number, self.gpus)
                assert process.stdin and process.stdout
                with suppress(BrokenPipeError):  # it may have died since; then it gives no answer
                    process.stdin.write(json.dumps(to_dict(job.config)) + "\n")
                    process.stdin.flush()
            answer = process.stdout.readline().strip() or _ended(process)
            if self.gpus > 1:
                _let_go(process)
            if self.ended:
                break
            self._answered(job, answer, monotonic() - begun, number)
        if number in self.processes:
            _let_go(self.processes[number])

    def _answered(self, job: Job, answer: str, seconds: float, number: int) -> None:
        with self.lock:
            self.training.discard(job.path)
            self.lock.notify_all()
            if (job.path / pieces.DATASETS[0]).is_file():
                self.slower = seconds / planned.seconds(job.config, self.gpus)
            if job.finished or answer == worker.FINISHED:
                self.succeeded = True
            else:
                why = re.sub(rf"\S*{sealed.RUN.pattern}\S*", "run-…", answer)  # its files have names of their own
                if why in self.failed.values():
                    answer = "failed for a reason said above"
                self.failed[job.path.name] = why
            self.pack()
            print(f"{job.path.name} on worker {number}: {answer}, {seconds:.0f} s", flush=True)


def _ended(process: "subprocess.Popen[str]") -> str:
    """Why a worker gave no answer."""
    by = ""
    try:
        process.wait(GRACE)  # its pipe ends before it does: a GPU takes a while to be let go of
        if process.returncode < 0:
            by = f" by {signal.Signals(-process.returncode).name}"
    except subprocess.TimeoutExpired:
        process.kill()
    _let_go(process)
    return f"its process ended{by}"


def _let_go(process: "subprocess.Popen[str]") -> None:
    """Close the pipes of a worker and wait for its end."""
    with suppress(BrokenPipeError), process:
        pass


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _worker(number: int, gpus: int = 1) -> "subprocess.Popen[str]":
    """A process on GPUs of its own, or torchrun with as many processes as it has GPUs."""
    there = _gpus()
    given = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(there)))  # perhaps not the first ones
    first = gpus * (number % max(there // gpus, 1))
    own = ",".join(given.split(",")[first : first + gpus])
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": own} if there else {})
    command = [sys.executable, "-c", f"from {worker.__name__} import serve; serve()"]
    if gpus > 1:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", "--no-python"]
        command = [
            sys.executable,
            *torchrun,
            sys.executable,
            "-c",
            f"from {worker.__name__} import serve_one; serve_one()",
        ]
    pipe = subprocess.PIPE
    # in a group of its own, Ctrl-C reaches the recorder alone, which ends its workers
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, process_group=0)
