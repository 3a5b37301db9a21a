"""A queue of runs, rehearsed on a CPU: several workers, pieces, an interruption, a run that fails, and unpacking."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fixtures_core import runs_in, tiny_corpus, tiny_run
from relusparsity import corpora, train
from relusparsity.__main__ import main
from relusparsity.book import pieces, planned, recorder
from relusparsity.book.recorded import Recorded
from relusparsity.config import RunConfig, replace
from relusparsity.errors import UserError
from relusparsity.scales import base
from relusparsity.screens import Screen
from relusparsity.store import ondisk, results, sealed
from relusparsity.train import loop


def of(*runs: RunConfig, **attributes: Any) -> list[Recorded]:
    return [
        Recorded(
            "made up", "smoke", None, SimpleNamespace(config=lambda scale: SimpleNamespace(runs=runs), **attributes)
        )
    ]


def short(seed: int, **changes: Any) -> RunConfig:
    return replace(base("smoke", seed), **{"train.tokens": 5_120, "measure.points": 3} | changes)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--out {folder}/file", "file cannot be written"),
        ("--out {folder}/file/below", "below cannot be the path|below cannot be written"),
        ("--out=", "an empty name cannot be the path of a file"),
        ("--minutes -1", "minutes = -1: expected 0 or more"),
        ("--minutes nan", "minutes = nan: expected 0 or more"),
        ("--workers -1", "workers = -1: expected"),
        ("--gpus_per_run 0", "gpus_per_run = 0: expected"),
        ("--gpus_per_run 3", "gpus_per_run = 3: expected .* at most the 2 of this machine"),
        ("--chapter 11 --scale wide", "chapter 11 shows nothing recorded at scale wide"),
        ("--chapter 3 --scale smoke", "chapter 3 shows nothing recorded at scale smoke"),
        ("nothing_such", "not recorded at scale laptop"),
    ],
)
def test_arguments_are_refused_before_anything_is_loaded_made_or_printed(
    arguments: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(recorder, "_gpus", lambda: 2)
    monkeypatch.setattr(corpora, "load", lambda *given: pytest.fail("the text was loaded"))
    monkeypatch.setattr(recorder, "_worker", lambda *given: pytest.fail("a worker was begun"))
    monkeypatch.chdir(tmp_path)
    assert main(["record", *arguments.format(folder=tmp_path).split()]) == 2
    said = capsys.readouterr()
    assert re.search(says, said.err) and said.err.count("\n") == 1 and not said.out
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_of_two_recordings_into_one_folder_the_second_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, queue = tmp_path / "out", of(short(101))
    monkeypatch.setattr(recorder.Job, "finished", True)
    said = []

    def second(*given: Any) -> None:
        with pytest.raises(UserError, match=r"another recording is at work in .*out; wait for its end") as refused:
            recorder.record(queue, out)
        said.append(refused.value)

    with monkeypatch.context() as patch:
        patch.setattr(pieces, "pack", second)
        assert recorder.record(queue, out) == 0
    assert said and recorder.record(queue, out) == 0, "the lock is let go of"


def test_four_workers_one_failure_an_interruption_and_the_way_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [short(seed) for seed in range(101, 105)]
    wild = short(101, **{"train.lr": 1e9, "train.clip": 0.0})
    impossible = short(101, **{"train.precision": "bf16", "train.compile": True})  # for a GPU, and there is none
    first = of(*runs[:2], wild, impossible)
    with pytest.raises(UserError, match=r"run-\w+ failed; what each said is above"):  # to diverge is an end
        recorder.record(first, tmp_path / "out", workers=4)
    said = capsys.readouterr().out
    assert "4 runs, 0 finished before; 4 to train on 4 workers: " in said and "MB of datasets" in said
    assert said.count("finished, ") == 2 and "its loss" not in said and "stopped after step" in said
    assert "is for a GPU, and there is none" in said and said.endswith("3 of 4 runs are finished; 1 left\n")

    with pytest.raises(UserError, match="out holds pieces of 1 other runs"):
        recorder.record(of(*runs), tmp_path / "out", workers=2)
    assert recorder.record(of(*runs, wild), tmp_path / "out", workers=2, minutes=1e-9) == 2, "no time to begin one"
    assert "5 runs, 3 finished before" in capsys.readouterr().out
    monkeypatch.setattr(pieces, "PIECE", 1)  # a piece per run
    assert recorder.record(of(*runs, wild), tmp_path / "out", workers=2) == 0
    packed = sorted((tmp_path / "out").glob("piece-*.tar"))
    assert len(packed) == 5

    here = {job.path.name: job for job in recorder.jobs(of(*runs, wild))}
    whole = [job for job in here.values() if (job.path / "dataset.nc").is_file()]
    assert len(whole) == 4 and all(
        0.7 < planned.size(job.config) / (job.path / "dataset.nc").stat().st_size < 1.5 for job in whole
    ), "what the plan says of bytes"
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path / "home"))
    assert main(["record", "--unpack", *map(str, packed)]) == 0
    assert "damaged" not in ondisk.listing()
    for name, job in here.items():
        for file in pieces.DATASETS:
            if (job.path / file).is_file():
                there = results.load(tmp_path / "home" / name / file)
                xr.testing.assert_identical(there, results.load(job.path / file))
    monkeypatch.setattr(loop, "_train", lambda *given: pytest.fail("trained again"))
    (tmp_path / "home" / "corpora").symlink_to(next(iter(here.values())).path.parent / "corpora")
    assert train.run(runs[0]).path == tmp_path / "home" / recorder.jobs(of(runs[0]))[0].path.name, "taken for its own"


ALONE = """
from pathlib import Path
from types import SimpleNamespace
from relusparsity.book import build, recorder
from relusparsity.book.recorded import Recorded
from relusparsity.config import replace
from relusparsity.scales import base

print([each.path.name for each in build.of_chapter(3, "wide")])
run = replace(base("smoke", 501), **{"train.tokens": 5_120, "measure.points": 3})
made_by = SimpleNamespace(config=lambda scale: SimpleNamespace(runs=(run,)))
recorder.record([Recorded("made up", "smoke", None, made_by)], Path("out"), workers=1)
"""


@pytest.mark.slow
def test_it_works_in_a_copy_without_data_pages_or_history(root: Path, tmp_path: Path) -> None:
    corpora.load(short(501).corpus)
    for name in ("src", "notebooks"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(root / "pyproject.toml", tmp_path)
    own = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "RELUSPARSITY_COMMIT": "a" * 40}
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)
    assert "1 of 1 runs are finished" in done.stdout, done.stderr
    assert "neuron_death-wide-nearest.nc" in done.stdout.splitlines()[0]
    (run,) = pieces.held(tmp_path / "out" / "piece-1.tar")
    facts = results.provenance(results.load(results.runs_dir() / run / "dataset.nc"))
    assert facts["environment"]["commit"] == "a" * 40


def test_what_is_no_piece_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "x"
    inside.write_text("x")
    for number, name in enumerate(["../../evil", "run-1/dataset.nc", "run-0123456789abcdef/model.py"]):
        piece = tmp_path / f"{number}.tar"
        with sealed.sealed_write(piece) as temporary, tarfile.open(temporary, "w") as tar:
            tar.add(inside, name)
        with pytest.raises(UserError, match="it is not a piece"):
            pieces.unpack([piece])
    for whole in (piece.read_bytes()[:700], b"x" * 1024):  # cut and sealed again, and none at all
        with sealed.sealed_write(piece) as temporary:
            temporary.write_bytes(whole)
        with pytest.raises(UserError, match=r"2\.tar cannot be read \([\w ]+\); it is not a piece"):
            pieces.unpack([piece])
    piece.write_bytes(piece.read_bytes()[:-1])
    with pytest.raises(UserError, match="sha256"):
        pieces.unpack([piece])


def test_a_worker_that_dies_slowly_costs_its_own_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = "import os, sys, time; sys.stdin.readline(); os.close(0); os.close(1); time.sleep(60)"
    answers = "import sys\nfor _ in sys.stdin: print('finished', flush=True)"
    programs = iter([slow, answers])

    def worker(number: int, gpus: int) -> Any:
        command = [sys.executable, "-c", next(programs)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(recorder, "_worker", worker)
    monkeypatch.setattr(recorder, "GRACE", 0.1)
    with pytest.raises(UserError, match=r"^run-\w+ failed"):
        recorder.record(of(short(201), short(202), short(203)), tmp_path, workers=1)
    said = capsys.readouterr().out
    assert said.count("its process ended") == 1 and said.count("worker 0: finished") == 2


def test_no_minutes_and_fewer_than_no_workers(tmp_path: Path) -> None:
    assert recorder.record(of(short(201)), tmp_path, workers=1, minutes=0) == 1
    with pytest.raises(UserError, match="workers = -1: expected as many as run at a time"):
        recorder.record(of(short(201)), tmp_path, workers=-1)


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [
        (None, 1, ["0", "1", "2"]),
        ("5,7,8,9", 1, ["5", "7", "8", "9", "5"]),
        (None, 2, ["0,1", "2,3", "0,1"]),
        ("5,7,8,9", 2, ["5,7", "8,9"]),
        (None, 3, ["0,1,2", "0,1,2"]),
        (None, 4, ["0,1,2,3"]),
    ],
)
def test_workers_share_the_gpus_that_are_theirs(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: int, expected: list[str]
) -> None:
    monkeypatch.setattr(recorder, "_gpus", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    commands: list[list[str]] = []
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, env, **others: commands.append(command) or env["CUDA_VISIBLE_DEVICES"]
    )
    assert [recorder._worker(number, gpus) for number in range(len(expected))] == expected
    assert all((f"--nproc-per-node={gpus}" in command) == (gpus > 1) for command in commands)


@pytest.mark.parametrize(
    ("there", "gpus", "says"), [(2, 4, "1 or more and at most the 2 of this"), (0, 0, "1 or more")]
)
def test_more_gpus_a_run_than_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: int, gpus: int, says: str
) -> None:
    monkeypatch.setattr(recorder, "_gpus", lambda: there)
    with pytest.raises(UserError, match=rf"gpus_per_run = {gpus}: expected the GPUs .* {says}"):
        recorder.record(of(short(201)), tmp_path, gpus_per_run=gpus)


def test_two_processes_train_one_run_and_agree_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a CPU, so that they speak through gloo; what is promised of them is in test_distributed."""
    one = train.run(short(301)).dataset
    runs_in(tmp_path / "runs", monkeypatch)
    odd = short(301, **{"train.batch_tokens": 32, "train.warmup": 0, "train.dead_after": 2560})
    early = replace(short(302), screens=(Screen(7, "heldout_loss", None, ">", 0.0),))
    with pytest.raises(UserError, match=r"^run-\w+ failed"):
        recorder.record(of(short(301), odd, early), tmp_path / "out", gpus_per_run=2)
    said = capsys.readouterr().out
    assert "stopped after step 7: loss = " in said and said.endswith("2 of 3 runs are finished; 1 left\n")
    stopped = results.load(recorder.jobs(of(early))[0].path / "stopped.nc")
    assert results.provenance(stopped)["processes"] == 2 and stopped["step"].values.tolist() == [0, 1, 2, 4, 7]
    assert "to train on 1 worker of 2 GPUs each" in said and said.count("on worker 0: finished") == 1
    assert "2 processes cannot share 1 sequences a step evenly" in said, "the answer of the first of them"
    both = recorder.jobs(of(short(301)))[0].path
    two = results.load(both / "dataset.nc")
    assert results.provenance(two)["processes"] == 2 and results.provenance(one)["processes"] == 1
    assert results.provenance(two)["run_id"] == results.provenance(one)["run_id"]
    np.testing.assert_array_equal(two["heldout_loss"][0], one["heldout_loss"][0])  # the same weights to begin with
    np.testing.assert_allclose(two["train_token_use"][1], one["train_token_use"][1], rtol=1e-6)
    for name in ("train_loss", "heldout_loss", "final_loss", "final_token_use", "final_batch_use", "train_token_use"):
        np.testing.assert_allclose(two[name], one[name], rtol=0.01, err_msg=name)


def test_unpacked_over_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path / "there"))
    tiny = train.run(tiny_run(), tiny_corpus())
    (piece,) = pieces.pack([tiny.path], tmp_path / "out")
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    run = tmp_path / tiny.path.name
    run.mkdir()
    sealed.write_json(run / "config.json", {"an": "interrupted run"})
    (run / "dataset.nc.sha256").write_text("of an earlier try")
    assert pieces.unpack([piece]) == [run]
    assert tiny.path.name[4:] in ondisk.summary(run) and "damaged" not in ondisk.listing() + ondisk.summary(run)

    (run / "dataset.nc").write_text("ours")
    assert pieces.unpack([piece]) == [run] and (run / "dataset.nc").read_text() == "ours", "finished before"
