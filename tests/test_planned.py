"""What is said of runs before and while they are trained: how many, how long, and each that ends."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fixtures_core import tiny_corpus
from relusparsity import corpora, distributed, train
from relusparsity.book import planned
from relusparsity.config import RunConfig, replace
from relusparsity.experiments import shared
from relusparsity.scales import base, pictures, spans
from relusparsity.store import results

RUNS = [replace(base("smoke", seed), **{"model.d_model": width}) for seed in (1, 2) for width in (32, 64)]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    monkeypatch.setattr(corpora, "load", lambda config: tiny_corpus())


def test_a_plan_says_what_is_left_and_each_run_that_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shared, "missing", lambda runs: runs[1:])
    monkeypatch.setattr(planned, "seconds", lambda run: 100.0)
    plan = planned.Plan(RUNS)
    assert str(plan) == "4 runs, 1 trained before; 3 to train: about 5 minutes"
    plan.trained(RUNS[2], 50.0)
    plan.trained(RUNS[1], 10.0)
    plan.trained(RUNS[3], 300.0)
    names = [train.run_path(run, tiny_corpus()).name for run in RUNS]
    assert capsys.readouterr().out.splitlines() == [
        f"1 of 3: {names[2]} (seed 2, d_model 32), 50 seconds; about 100 seconds left",  # half as long as was thought
        f"2 of 3: {names[1]} (seed 1, d_model 64), 10 seconds; about 30 seconds left",
        f"3 of 3: {names[3]} (seed 2, d_model 64), 5 minutes",
    ]
    monkeypatch.setattr(shared, "missing", lambda runs: [])
    assert str(planned.Plan(RUNS[:1])) == "1 run, trained before"


def test_runs_side_by_side_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(distributed, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(shared.os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setattr(planned, "seconds", lambda run: 60.0)
    assert str(planned.Plan(RUNS)) == "4 runs; 4 to train, 2 at a time: about 2 minutes"
    assert str(planned.Plan(RUNS[:1])) == "1 run; 1 to train: about 60 seconds"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_longer_trainings_and_larger_models_take_longer(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "device", lambda: torch.device(device))
    run = base("laptop")
    longer, larger = (replace(run, **changes) for changes in ({"train.tokens": 1_638_400}, {"model.d_ff": 2048}))
    assert planned.seconds(run) < min(planned.seconds(longer), planned.seconds(larger))
    assert planned.seconds(run, together=2) < planned.seconds(run)
    measured = replace(run, **{"measure.final_sets": 640})
    assert (planned.seconds(measured) > planned.seconds(run)) == (device == "cpu")
    assert planned.size(longer) == planned.size(run) < planned.size(larger)
    assert planned.size(replace(run, **{"control.kind": "watch"})) > planned.size(run)
    few = replace(run, **{"measure.points": 4})
    assert planned.size(few) < planned.size(run) < planned.size(replace(run, **{"measure.history_units": 1024}))


def test_planned_are_times_like_those_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mid had a GPU for itself; of the encoder-decoders two shared one, each of which takes half of that or more."""
    monkeypatch.setattr(distributed, "device", lambda: torch.device("cuda"))
    alone, shared_by_two = (
        [seconds for seconds in np.ravel(results.provenance(results.recorded(name, at))["wall_seconds"]) if seconds]
        for name, at in (("layer_patterns", "mid"), ("lazy_text", "spans"))
    )
    assert planned.seconds(base("mid", recipe="first")) == pytest.approx(np.mean(alone), rel=0.25)
    assert max(shared_by_two) / 2 < planned.seconds(spans("spans")) < min(shared_by_two)


def test_judging_predictions_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a core, digits were seen to take 1.5 to 1.7 times as long with it."""
    times = {}
    for device, shape in (("cpu", "digits"), ("cuda", "digits"), ("cuda", "fashion")):
        monkeypatch.setattr(distributed, "device", lambda device=device: torch.device(device))
        plain, judged = (replace(pictures(shape), **{"measure.predictions": which}) for which in (False, True))
        times[device, shape] = planned.seconds(judged) / planned.seconds(plain)
    assert 1.5 < times["cpu", "digits"] < 2 and 1 < times["cuda", "digits"] < times["cuda", "fashion"]


def test_train_all_tells_of_each_run_that_was_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[RunConfig] = []
    monkeypatch.setattr(shared, "missing", lambda runs: [RUNS[0], RUNS[2]])
    monkeypatch.setattr(train, "run", lambda run, corpus: SimpleNamespace(config=run))
    trained = shared.train_all(RUNS, lambda run, seconds: told.append(run))
    assert [each.config for each in trained] == RUNS and told == [RUNS[0], RUNS[2]]

    told.clear()
    monkeypatch.setattr(shared, "in_processes", lambda waiting: waiting)
    processes(monkeypatch, """import sys; sys.exit('"seed": 1' in sys.stdin.readline())""")
    shared.train_all(RUNS, lambda run, seconds: told.append(run))
    assert told == [RUNS[2]], "of that which failed, what takes it up again says why"


def test_interrupted_it_ends_what_it_trains_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "side_by_side", lambda count: (2, dict(os.environ)))
    begun = processes(monkeypatch, "import time; time.sleep(60)")

    def interrupt() -> None:
        while len(begun) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    Timer(0, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        shared._side_by_side(RUNS, lambda run, seconds: None)
    assert [each.returncode for each in begun] == [-signal.SIGTERM] * 2, "and none of the others was begun"
    assert all(os.getpgid(0) != each.pid == each.group for each in begun), "Ctrl-C reaches them through their parent"


def test_three_share_two_cores_and_four_come_two_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "side_by_side", lambda count: (2, dict(os.environ)))
    together: list[int] = []

    def pool(workers: int) -> Any:
        together.append(workers)
        return ThreadPoolExecutor(workers)

    monkeypatch.setattr(shared, "ThreadPoolExecutor", pool)
    processes(monkeypatch, "")
    for runs in (RUNS[:2], RUNS[:3], RUNS):
        shared._side_by_side(runs, lambda run, seconds: None)
    assert together == [2, 3, 2]


def processes(monkeypatch: pytest.MonkeyPatch, program: str) -> list[Any]:
    """The processes that are begun from now on, each of them this program."""
    begun: list[Any] = []

    def begin(command: list[str], **given: Any) -> Any:
        begun.append(popen([sys.executable, "-c", program], **given))
        begun[-1].group = os.getpgid(begun[-1].pid)
        return begun[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(shared.subprocess, "Popen", begin)
    return begun
