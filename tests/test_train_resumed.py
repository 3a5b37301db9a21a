"""Nothing that happens to a run changes a bit of it: kills, full disks, damaged files."""

import json
import os
import pickle
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from fixtures_core import before_changes_of_files, child, full_disk, start, tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.errors import UserError
from relusparsity.store import results, sealed
from relusparsity.train import Run
from train_made import trained

pytest_plugins = ("train_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def warm_server() -> Iterator[None]:
    """Children are forked from a process that has imported everything, and nothing else."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        start.set_forkserver_preload(["fixtures_core", "torch._dynamo"])
        yield


def assert_same_to_the_bit(run: Run, other: Run) -> None:
    """Losses, counts, weights: all but how long it took."""
    assert (run.path / "metrics.jsonl").read_bytes() == (other.path / "metrics.jsonl").read_bytes()
    one, two = run.dataset.drop_attrs(), other.dataset.drop_attrs()
    xr.testing.assert_identical(one, two)
    facts, others = (results.provenance(each.dataset) for each in (run, other))
    for name in ("config", "corpus", "run_id", "tokens_seen", "parameters"):
        assert facts[name] == others[name]
    assert run.snapshots() == other.snapshots()
    assert not any(path.name.startswith(".") for path in run.path.rglob("*")), "half-written files are gone"
    for step in run.snapshots():
        one, two = (each.model(step=step).state_dict() for each in (run, other))
        assert list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


def assert_resumed_to_the_bit(folder: Path, whole: Run, **changes: Any) -> None:
    """Trained to its end in the folder of those that were killed, and as if they had not been."""
    run = train.run(tiny_run(**changes), tiny_corpus())
    assert list(folder.glob("run-*")) == [run.path], "another run began anew"
    assert_same_to_the_bit(run, whole)


def survivors_are_whole(folder: Path) -> None:
    """Every file that stands at its place after a kill can be read."""
    for path in folder.rglob("*.sha256"):
        data = path.with_suffix("")
        if data.is_file() and not any(part.startswith(".") for part in data.relative_to(folder).parts):
            sealed.check(data)
    for path in folder.rglob("[0-9]*.npz"):
        np.load(path, allow_pickle=False)["batch_use"]
    for path in folder.rglob("[a-z]*.json"):
        json.loads(path.read_text())


@pytest.mark.parametrize(
    ("changes", "kills"),
    [
        ({}, 6),
        ({"train.optimizer": "adafactor", "model.tied": False}, 3),
        ({"train.optimizer": "sgd", "train.schedule": "rsqrt"}, 3),
        ({"train.resume_every": 0}, 2),
        (
            {
                "intervention.kind": "add",
                "intervention.layer": 1,
                "intervention.strength": 2.0,
                "intervention.placebo": True,
            },
            3,
        ),
        ({"prune.tokens": (16 * 64, 26 * 64), "prune.multiple": 4, "train.optimizer": "sgd"}, 2),
    ],
    ids=["adamw", "adafactor", "sgd", "without states", "intervention", "units removed"],
)
def test_killed_between_any_two_writes_it_resumes_to_the_bit(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, undisturbed: Run, changes: dict[str, Any], kills: int
) -> None:
    whole = undisturbed if not changes else trained(tmp_path_factory.mktemp("whole"), **changes)
    rng = random.Random(kills)
    for _ in range(kills):
        training = child(folder, changes, dies_after=rng.randrange(20, 120))
        training.join()
        assert training.exitcode in (-signal.SIGKILL, 0)
        survivors_are_whole(folder)
    assert_resumed_to_the_bit(folder, whole, **changes)


def test_killed_at_random_moments_it_resumes_to_the_bit(folder: Path, undisturbed: Run) -> None:
    rng, killed, longest = random.Random(), 0, 0.6
    for _ in range(20):
        training = child(folder, {})
        while training.is_alive() and not list(folder.glob("run-*/metrics.jsonl")):
            time.sleep(0.01)
        training.join(rng.uniform(0, longest))
        if training.is_alive():
            os.kill(training.pid, signal.SIGKILL)  # type: ignore[arg-type]
            training.join()
            killed += 1
            survivors_are_whole(folder)
        if killed == 4 or (killed and training.exitcode == 0):
            break
        if training.exitcode == 0:  # too quick to be killed: once more from the beginning, and sooner
            longest /= 2
            for finished in folder.glob("run-*"):
                shutil.rmtree(finished)
    assert killed, "never killed: the case was not tried"
    assert_resumed_to_the_bit(folder, undisturbed)


def test_two_processes_with_the_same_id_do_not_spoil_each_other(folder: Path, undisturbed: Run) -> None:
    children = [child(folder, {}) for _ in range(3)]
    for training in children:
        training.join()
        assert training.exitcode == 0
    (path,) = folder.glob("run-*")
    assert_same_to_the_bit(Run(path, tiny_run()), undisturbed)


@pytest.mark.parametrize("changes_before", [30, 75, 110])
def test_a_full_disk_leaves_what_can_be_resumed(
    folder: Path, undisturbed: Run, changes_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(UserError, match=r"run-.*No space left"):
        before_changes_of_files(changes_before, full_disk, patched.setattr)
        train.run(tiny_run(), tiny_corpus())
    survivors_are_whole(folder)
    assert not list(folder.glob("run-*/dataset.nc"))
    assert_resumed_to_the_bit(folder, undisturbed)


def interrupted(folder: Path) -> Path:
    """The directory of a run that was killed after its second state."""
    while len(list(folder.glob("run-*/states/[0-9]*"))) < 2:
        child(folder, {}, dies_after=100).join()
    (path,) = folder.glob("run-*")
    return path


def test_a_truncated_state_is_named_and_the_one_before_resumes(folder: Path, undisturbed: Run) -> None:
    path = interrupted(folder)
    newest = sorted((path / "states").glob("[0-9]*"))[-1]
    state = newest / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(
        UserError, match=rf"state\.safetensors is damaged.*delete the folder .*/{newest.name} to resume"
    ):
        train.run(tiny_run(), tiny_corpus())
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    assert_resumed_to_the_bit(folder, undisturbed)


@pytest.mark.parametrize("damage", ["", "{}\n", "not json\n" * 40])
def test_a_damaged_log_is_named(folder: Path, damage: str) -> None:
    path = interrupted(folder)
    (path / "metrics.jsonl").write_text(damage)
    with pytest.raises(
        UserError, match=r"metrics\.jsonl is damaged: expected the lines of steps 1 to \d+ .*; delete the run"
    ):
        train.run(tiny_run(), tiny_corpus())


def test_resuming_and_reading_run_no_code(folder: Path, undisturbed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(folder)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("unpickled")

    for owner, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(owner, name, refuse)
    assert_resumed_to_the_bit(folder, undisturbed)
