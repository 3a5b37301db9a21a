"""A recorder trains a fork's parent first, with the state that the fork needs, and tells the fork's own time."""

from collections import deque
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fixtures_core import runs_in
from relusparsity.book import planned, recorder
from relusparsity.config import RunConfig, replace
from relusparsity.experiments import shared
from relusparsity.screens import Screen
from relusparsity.store import results
from test_recorder import of, short

AT = 2_560


def fork(seed: int, **changes: Any) -> RunConfig:
    return replace(short(seed), **{"fork.tokens": AT} | changes)


def test_a_parent_is_queued_once_before_its_forks_with_all_states_that_they_need() -> None:
    screened = replace(short(1), screens=(Screen(1, "heldout_loss", None, ">", 9.0),))
    runs = (fork(1), fork(2), screened, fork(1, **{"fork.tokens": 1_280, "fork.zero_moments": True}))
    first, one, second, two, last = recorder.jobs(of(*runs))
    assert first.config == replace(short(1), **{"train.fork_states": (1_280, AT)}), "without a screen: forks have none"
    assert second.config == replace(short(2), **{"train.fork_states": (AT,)})
    assert [one.config, two.config, last.config] == [runs[0], runs[1], runs[3]]
    assert [job.parent for job in (first, second)] == [None] * 2
    assert [job.parent for job in (one, two, last)] == [first.path, second.path, first.path]
    assert len({job.path for job in recorder.jobs(of(*runs))}) == 5


def queue(*runs: RunConfig) -> recorder._Queue:
    return recorder._Queue(deque(recorder.jobs(of(*runs))), float("inf"), lambda: None, workers=2, gpus=1)


@pytest.mark.parametrize("answer", ["finished", "out of memory"])
def test_a_fork_waits_for_its_parents_end_whatever_it_is(answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    of_queue, given = queue(fork(1), short(2)), []
    parent, other = of_queue.next(), of_queue.next()
    assert parent and other and [parent.config.seed, other.config.seed] == [1, 2] and parent.parent is None
    waiting = Thread(target=lambda: given.append(of_queue.next()), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive() and not given, "its parent is in flight"
    of_queue._answered(other, "finished", 1.0, 1)
    waiting.join(0.2)
    assert waiting.is_alive() and not given, "still"
    of_queue._answered(parent, answer, 1.0, 0)
    waiting.join(10)
    assert [job.config.fork.tokens for job in given] == [AT], "of a parent that failed, it says itself what it lacks"
    assert of_queue.next() is None


def test_one_that_waits_ends_with_the_queue() -> None:
    of_queue, given = queue(fork(1)), []
    of_queue.next()
    waiting = Thread(target=lambda: given.append(of_queue.next()), daemon=True)
    waiting.start()
    of_queue.end()
    waiting.join(10)
    assert given == [None]


def test_a_fork_does_not_wait_for_a_parent_that_there_is_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    of_queue = queue(fork(1))
    monkeypatch.setattr(planned, "seconds", lambda run, gpus: 0.0 if run.fork.tokens else float("inf"))
    assert of_queue.next() is None and len(of_queue.missing) == 2


def test_two_workers_train_parents_and_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs_in(tmp_path / "runs", monkeypatch)
    runs = [fork(201), fork(201, **{"fork.freeze_before": 3})]
    assert recorder.record(of(*runs), tmp_path / "out", workers=2) == 0
    parent, *made = [results.load(job.path / "dataset.nc") for job in recorder.jobs(of(*runs))]
    for each in made:
        assert results.provenance(each)["parent"]["run_id"] == results.provenance(parent)["run_id"]
        assert int(each["step"][0]) * runs[0].train.batch_tokens == AT


@pytest.mark.parametrize("cores", [True, False])
def test_a_fork_takes_the_time_of_its_own_steps(cores: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "_on_cores", lambda: cores)
    start = (planned.CORE if cores else planned.GPU)[2]
    run = replace(short(1), **{"measure.final_sets": 1})
    half, few = (replace(run, **{"fork.tokens": AT, "fork.steps": steps}) for steps in (0, 2))
    whole, rest, little = (planned.seconds(each) - start for each in (run, half, few))
    assert rest == pytest.approx(whole / 2, rel=0.2) and little < rest / 2
    assert planned.size(few) < planned.size(run) < planned.size(replace(run, **{"measure.earlier": 2}))


def test_side_by_side_forks_come_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[int]] = []
    monkeypatch.setattr(shared, "missing", lambda runs: list(runs))
    monkeypatch.setattr(shared, "in_processes", lambda runs: list(runs))
    monkeypatch.setattr(shared, "_side_by_side", lambda runs, told: calls.append([run.fork.tokens for run in runs]))
    monkeypatch.setattr(shared.train, "run", lambda *given: None)
    shared.train_all([fork(1), short(1), short(2)])
    shared.train_all([short(1)])
    assert calls == [[0, 0], [AT], [0]]
