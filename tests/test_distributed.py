"""Two processes (torchrun, gloo, CPU): on frozen weights they count what one counts; trained, they agree with one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pictures_made
import spans_made
from distributed_job import CHANGES, JUDGED, PRUNED, SETS, SHARDED, after_steps, measured, parameters
from fixtures_core import tiny_corpus, tiny_run
from relusparsity import distributed, train
from relusparsity.store import results
from relusparsity.store.schema import PREDICTED, PREDICTED_AT_THE_END
from relusparsity.train import resuming

JOB = Path(__file__).with_name("distributed_job.py")


def torchrun(*job: str, runs: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What two processes printed, and how they ended."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *job]
    settings = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} | ({"RELUSPARSITY_RUNS": str(runs)} if runs else {})
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left what they found."""
    out = tmp_path_factory.mktemp("two")
    done = torchrun(str(JOB), str(out))
    assert done.returncode == 0, done.stderr[-5000:]
    return out


def facts(two: Path, rank: int) -> dict[str, Any]:
    return json.loads((two / f"facts-{rank}.json").read_text())


def test_there_were_two(two: Path) -> None:
    for rank in (0, 1):
        assert facts(two, rank)["world"] == 2 and facts(two, rank)["ranks"] == [0, 1]


@pytest.mark.parametrize("sets", SETS)
def test_frozen_weights_are_counted_exactly_alike(two: Path, sets: int) -> None:
    expected = measured(sets)
    assert expected["unit_tokens"].any() and len(expected["batch_use"]) == sets
    for rank in (0, 1):
        found = np.load(two / f"measured-{sets}-{rank}.npz")
        assert set(found) == set(expected)
        for name, value in expected.items():
            if name == "score":
                np.testing.assert_allclose(found[name], value, rtol=1e-12)  # a sum of floats; its counts are exact
                np.testing.assert_array_equal(found[name][1:], value[1:])
            else:
                np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> train.Run:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(tmp_path_factory.mktemp("alone")))
        return train.run(tiny_run(**CHANGES), tiny_corpus())


def test_trained_together_they_agree_with_one(two: Path, alone: train.Run) -> None:
    together = train.Run(two / "runs" / alone.path.name, alone.config)
    one, both = alone.dataset, together.dataset
    for name in ("train_loss", "heldout_loss", "final_loss", "final_token_use", "final_batch_use", "train_token_use"):
        np.testing.assert_allclose(both[name], one[name], rtol=0.01, err_msg=name)
    np.testing.assert_array_equal(both["heldout_loss"][0], one["heldout_loss"][0])  # the same weights to begin with
    # the first steps differ by rounding alone: their counts over both processes are those of one
    np.testing.assert_allclose(both["train_token_use"][1], one["train_token_use"][1], rtol=1e-6)
    np.testing.assert_allclose(both["train_sequence_use"][1], one["train_sequence_use"][1], rtol=1e-6)
    lines = (together.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 21)), "one process writes"


def test_with_parameters_shared_out_they_agree_with_one(two: Path, alone: train.Run) -> None:
    assert facts(two, 0)["sharded"] == facts(two, 1)["sharded"] != alone.path.name
    assert max(facts(two, 0)["held"]) == 2, "a process holds a half"
    sharded = train.Run(two / "runs" / facts(two, 0)["sharded"], tiny_run(**SHARDED))
    one, both = alone.dataset, sharded.dataset
    for name in ("train_loss", "heldout_loss", "final_loss", "final_token_use", "final_batch_use", "train_token_use"):
        np.testing.assert_allclose(both[name], one[name], rtol=0.01, err_msg=name)
    np.testing.assert_array_equal(both["heldout_loss"][0], one["heldout_loss"][0])
    np.testing.assert_allclose(both["train_token_use"][1], one["train_token_use"][1], rtol=1e-6)
    weights = sharded.model().state_dict()  # saved whole, read by one process
    assert weights.keys() == alone.model().state_dict().keys()


def test_units_removed_by_two_are_those_removed_by_one(two: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    alone = train.run(tiny_run(**CHANGES, **PRUNED), tiny_corpus())
    assert facts(two, 0)["pruned"] == facts(two, 1)["pruned"] == alone.path.name
    one, both = alone.dataset, train.Run(two / "runs" / alone.path.name, alone.config).dataset
    assert one["removed_at"].notnull().any()
    for name in ("width", "removed_at"):
        np.testing.assert_array_equal(both[name], one[name])
    for name in ("train_loss", "final_loss", "final_token_use"):
        np.testing.assert_allclose(both[name], one[name], rtol=0.01, err_msg=name)


def test_two_that_read_pictures_agree_with_one(two: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    pictures_made.digits()
    alone = train.run(pictures_made.tiny_pictures(**JUDGED))
    assert facts(two, 0)["of_pictures"] == facts(two, 1)["of_pictures"] == alone.path.name
    one, both = alone.dataset, train.Run(two / "runs" / alone.path.name, alone.config).dataset
    for name in ("train_loss", "final_loss", "final_token_use", "train_token_use"):
        np.testing.assert_allclose(both[name], one[name], rtol=0.01, err_msg=name)
    np.testing.assert_allclose(both["train_token_use"][1], one["train_token_use"][1], rtol=1e-6)
    for name in PREDICTED:  # each read its half of the test, of the validation, and of what is attacked
        np.testing.assert_allclose(both[name][0], one[name][0], rtol=1e-5, err_msg=name)
    for name in PREDICTED_AT_THE_END:
        np.testing.assert_allclose(both[name], one[name], atol=0.02, err_msg=name)


def test_two_that_read_text_with_spans_cut_out_agree_with_one(two: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    alone = train.run(spans_made.tiny_spans(**CHANGES), spans_made.text())
    assert facts(two, 0)["of_spans"] == facts(two, 1)["of_spans"] == alone.path.name
    one, both = alone.dataset, train.Run(two / "runs" / alone.path.name, alone.config).dataset
    for name in ("train_loss", "final_loss", "final_token_use", "final_window_use"):
        np.testing.assert_allclose(both[name], one[name], rtol=0.01, err_msg=name)
    np.testing.assert_allclose(both["train_token_use"][1], one["train_token_use"][1], rtol=1e-6)


def test_a_state_of_two_is_taken_up_by_any_number(two: Path) -> None:
    assert facts(two, 0)["resumed"] and facts(two, 1)["resumed"], "two go on from it to the bit"
    one, straight = after_steps(0), after_steps(3)
    resuming.restore(one, two / "halfway")
    assert one.step == 3
    for name, value in parameters(straight).items():
        np.testing.assert_allclose(parameters(one)[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_runs_follow_each_other_and_a_finished_one_is_reused(two: Path, alone: train.Run) -> None:
    first, second, again = facts(two, 0)["runs"]
    assert facts(two, 1)["runs"] == [first, second, again]
    assert first == again == alone.path.name != second
    assert sorted(path.name for path in (two / "runs").glob("run-*/dataset.nc")) == ["dataset.nc"] * 6


def test_an_experiment_is_computed_by_both_and_written_by_one(two: Path) -> None:
    (path,) = (two / "runs").glob("both-*.nc")
    found = results.load(path)
    assert found.attrs["rank"] == 0
    np.testing.assert_allclose(found["use"], measured(7)["batch_use"].mean(0), rtol=1e-6)


def test_a_batch_that_two_cannot_share_is_said(two: Path) -> None:
    assert facts(two, 0)["said"] == facts(two, 1)["said"]
    assert "2 processes cannot share 1 sequences a step evenly" in facts(two, 0)["said"]


def test_one_process_needs_no_group() -> None:
    assert (distributed.rank(), distributed.world()) == (0, 1)
    distributed.join()
    assert distributed.world() == 1 and distributed.gather("mine") == ["mine"]
    distributed.barrier()


# One of them comes to grief

FAILING = Path(__file__).with_name("failing_job.py")
NO_TRACEBACK = "To enable traceback see"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a run of 50 steps on a text that is tokenised at once: some tests, twenty lines a document."""
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    files = sorted(FAILING.parent.glob("*.py"))[:40]  # the folder grows, and four runs make tokens of them
    lines = [line for file in files for line in file.read_text().splitlines(True)]
    documents = ["".join(lines[start : start + 20]) for start in range(0, len(lines), 20)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    changes = ["--train.snapshots", "0", "--measure.points", "2", "--measure.final_sets", "1"]
    return ["train", "--scale", "smoke", "--corpus.source", "text", "--corpus.paths", str(path), *changes]


def sentences(said: str) -> list[str]:
    return re.findall(r"^(?:rank \d stopped|error): .*$", said, re.M)


def root_cause(said: str) -> str:
    return said.partition("Root Cause")[2]


@pytest.mark.slow
def test_an_error_of_one_stands_in_the_summary_and_the_run_resumes(tmp_path: Path, small: list[str]) -> None:
    said = torchrun(str(FAILING), "raise", *small, runs=tmp_path)
    assert said.returncode == 1
    assert sentences(said.stderr) == [
        "rank 1 stopped: RuntimeError: a cable was pulled; the last whole state is of step 20, "
        "the same command resumes from it"
    ]
    assert "RuntimeError: a cable was pulled" in root_cause(said.stderr)
    assert "in failing" in root_cause(said.stderr), "with its place"
    assert "gloo" not in said.stderr and NO_TRACEBACK not in said.stderr
    again = torchrun("-m", "relusparsity", *small, runs=tmp_path)
    assert again.returncode == 0 and "interrupted before: resumed from step 20" in again.stdout


@pytest.mark.slow
def test_who_outlives_a_killed_one_says_how_the_run_goes_on(tmp_path: Path, small: list[str]) -> None:
    said = torchrun(str(FAILING), "kill", *small, "--train.resume_every", "0", runs=tmp_path)
    assert said.returncode == 1
    (sentence,) = sentences(said.stderr)
    assert sentence.startswith("rank 0 stopped: ") and "another process is gone" in sentence
    assert sentence.endswith("; no state was kept (resume_every = 0), the same command begins again")
    assert "SIGKILL" in root_cause(said.stderr) and NO_TRACEBACK not in said.stderr


@pytest.mark.slow
def test_what_is_refused_is_said_once_by_the_first_or_by_whom_alone_it_concerns(
    tmp_path: Path, small: list[str]
) -> None:
    for job, sentence in {
        ("-m", "relusparsity", *small, "--model.n_heads", "3"): "error: n_heads = 3 does not divide d_model = 16",
        (str(FAILING), "refuse", *small): "error: this machine alone has no text.",
    }.items():
        said = torchrun(*job, runs=tmp_path)
        assert said.returncode == 1, "torchrun's own status"
        (found,) = sentences(said.stderr)
        assert found.startswith(sentence)
        assert f"traceback : {sentence}" in root_cause(said.stderr) and NO_TRACEBACK not in said.stderr
