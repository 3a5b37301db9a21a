"""A recorder that is interrupted, killed or without hope: no worker outlives it, no piece loses a run, one sentence."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from time import monotonic, sleep
from typing import Any

import pytest

from fixtures_core import before_changes_of_files
from relusparsity import corpora, stopping
from relusparsity.__main__ import main
from relusparsity.book import pieces, recorded, recorder
from relusparsity.config import to_dict
from relusparsity.errors import UserError
from test_recorder import of, short

SIGNALS = [(signal.SIGINT, 130, ""), (signal.SIGTERM, 143, " by SIGTERM"), (signal.SIGHUP, 129, " by SIGHUP")]


def programs(monkeypatch: pytest.MonkeyPatch, program: str) -> list[Any]:
    """The workers that a recorder begins from now on, each of them this program."""
    begun: list[Any] = []

    def worker(number: int, gpus: int) -> Any:
        pipe = subprocess.PIPE
        begun.append(subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True))
        return begun[-1]

    monkeypatch.setattr(recorder, "_worker", worker)
    return begun


@pytest.mark.parametrize(("number", "status", "by"), SIGNALS)
def test_interrupted_it_ends_its_workers_and_says_one_sentence(
    number: int,
    status: int,
    by: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workers = programs(monkeypatch, "import sys, time; sys.stdin.readline(); time.sleep(60)")
    monkeypatch.setattr(recorded, "chosen", lambda *given: of(*map(short, range(401, 407))))
    before, at = [signal.getsignal(each) for each, *_ in SIGNALS], []

    def interrupt() -> None:
        while len(workers) < 2:
            sleep(0.01)
        at.append(monotonic())
        os.kill(os.getpid(), number)

    Timer(0, interrupt).start()
    assert main(["record", "--scale", "smoke", "--workers", "2", "--out", str(tmp_path / "out")]) == status
    assert monotonic() - at[0] < 20 and [signal.getsignal(each) for each, *_ in SIGNALS] == before
    assert [each.returncode for each in workers] == [-signal.SIGTERM] * 2, "and no further one was begun"
    said = capsys.readouterr()
    assert said.err == f"interrupted{by}; the same command resumes from what was kept\n"
    assert said.out.count("\n") == 1 and "6 to train on 2 workers" in said.out, "none of them failed"


def test_interrupted_while_it_starts_a_thread_it_still_waits_for_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    slow = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(1), sys.exit(5)))"
    workers = programs(monkeypatch, f"{slow}; open({str(ready)!r}, 'w'); time.sleep(60)")

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *given: Any) -> Any:  # type: ignore[override]
            super().submit(*given)
            while not ready.is_file():
                sleep(0.01)
            self._threads.clear()  # as a signal leaves it between a thread's start and its entry here
            raise KeyboardInterrupt

    monkeypatch.setattr(recorder, "ThreadPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        recorder.record(of(short(401)), tmp_path / "out", workers=1)
    assert [each.returncode for each in workers] == [5]


def test_a_second_signal_changes_nothing_and_what_is_ignored_is_ignored_still() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt) as raised, stopping.interruptible():
            signal.raise_signal(signal.SIGHUP)  # as under nohup
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGINT)
        assert raised.value.args == (signal.SIGTERM,)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_worker_ends_with_the_recorder_and_hears_no_ctrl_c() -> None:
    config = short(411, **{"train.tokens": 2_560_000})
    corpora.load(config.corpus)
    (job,) = recorder.jobs(of(config))
    worker = recorder._worker(0)
    assert worker.stdin and os.getpgid(worker.pid) != os.getpgrp()
    worker.stdin.write(json.dumps(to_dict(config)) + "\n")
    worker.stdin.flush()
    while not (job.path / "metrics.jsonl").is_file():
        assert worker.poll() is None
        sleep(0.05)
    worker.stdin.close()  # as when the recorder is killed
    assert worker.wait(10) == 0 and not job.finished


FAULTY = "import sys, json, re\nfor line in sys.stdin: "


@pytest.mark.parametrize(
    ("program", "tried", "repeated", "says"),
    [
        (
            "print('/runs/run-' + 4 * f'{json.loads(line)[\"seed\"]:04x}' + '/config.json is at fault.', flush=True)",
            2,
            1,
            r"^the first 2 runs failed, for one reason \(run-… is at fault\); 3 not tried; mend that, then the "
            r"same command tries them all\.$",
        ),
        (
            "print(json.loads(line)['seed'] % 2, flush=True)",
            3,
            1,
            r"^the first 3 runs failed, for one reason \(1\); 2 ",
        ),
        (
            "print('fault', json.loads(line)['seed'], flush=True)",
            5,
            0,
            r"^(run-\w+, ){4}run-\w+ failed; what each said",
        ),
        (
            "print('finished' if json.loads(line)['seed'] == 421 else 'faulty', flush=True)",
            5,
            3,
            r"^(run-\w+, ){3}run-\w+ failed; what each said",
        ),
        ("sys.exit(3)", 2, 1, r"for one reason \(its process ended\)"),
        ("import os; os.kill(os.getpid(), 9)", 2, 1, r"for one reason \(its process ended by SIGKILL\)"),
    ],
)
def test_when_the_first_runs_fail_for_one_reason_the_others_are_not_tried(
    program: str,
    tried: int,
    repeated: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs(monkeypatch, FAULTY + program)
    with pytest.raises(UserError, match=says) as failed:
        recorder.record(of(*map(short, range(421, 426))), tmp_path, workers=1)
    said = capsys.readouterr().out
    assert said.count(" on worker 0: ") == tried and said.endswith("0 of 5 runs are finished; 5 left\n")
    assert said.count("failed for a reason said above") == repeated and "\n" not in str(failed.value)


@pytest.mark.slow
def test_a_configuration_that_fails_everywhere_stops_two_workers(tmp_path: Path) -> None:
    impossible = {"train.precision": "bf16", "train.compile": True}  # for a GPU, and there is none
    with pytest.raises(UserError, match=r"reason \(precision = bf16 .* use float32\); [67] not tried") as failed:
        recorder.record(of(*(short(seed, **impossible) for seed in range(431, 440))), tmp_path, workers=2)
    assert str(failed.value).count("bf16") == 1


def test_killed_at_any_moment_no_run_is_without_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 25)
    runs = [tmp_path / f"run-{number:016x}" for number in range(6)]
    for run in runs:
        run.mkdir()
        (run / pieces.DATASETS[0]).write_bytes(10 * b"x")

    def held(out: Path) -> set[str]:
        return {run for piece in out.glob("piece-*.tar") for run in pieces.held(piece)}

    class Killed(BaseException):
        """As SIGKILL."""

    def die() -> None:
        raise Killed

    for moment in range(100):
        out = tmp_path / f"out-{moment}"
        before = [run for run in runs if run != runs[1]]
        assert len(pieces.pack(before, out)) == 3
        with monkeypatch.context() as patch:
            before_changes_of_files(moment, die, patch.setattr)
            try:
                pieces.pack(runs, out)
            except Killed:
                assert held(out) >= {run.name for run in before}
            else:
                break
    assert moment > 5 and held(out) == {run.name for run in runs}, "killed before every change, and not at all"


def test_what_a_killed_recorder_left_half_written_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".piece-1.tar.abc.tar").write_text("half")
    monkeypatch.setattr(recorder.Job, "finished", True)
    assert recorder.record(of(short(401)), tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {".recording.lock"}
