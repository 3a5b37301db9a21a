"""Runs that cannot go on, or need not; and other recipes."""

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.errors import UserError
from relusparsity.models import build
from relusparsity.store import results
from relusparsity.train import Run, Trainer, golden, loop
from train_made import log_of, trained

pytest_plugins = ("train_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_finished_run_is_reused(undisturbed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(undisturbed.path.parent))
    monkeypatch.setattr(loop, "Trainer", None)
    assert train.run(tiny_run(), tiny_corpus()) == undisturbed
    with pytest.raises(TypeError):
        train.run(tiny_run(seed=1), tiny_corpus())


@pytest.mark.parametrize("rate", [1e15, 1e30])
def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_what_was_measured(folder: Path, rate: float) -> None:
    changes = {"train.lr": rate, "train.schedule": "constant", "train.warmup": 640, "model.norm_place": "pre"}
    changes |= {"model.positions": "none", "train.optimizer": "sgd", "train.clip": 0.0}
    with pytest.raises(FloatingPointError, match=r"run-[0-9a-f]+ stopped after step \d+: ") as caught:
        train.run(tiny_run(**changes), tiny_corpus())
    (path,) = folder.glob("run-*")
    last = len(log_of(Run(path, tiny_run())))
    assert f"stopped after step {last}: " in str(caught.value)
    assert f"at step {last + 1} (learning rate" in str(caught.value) or "an activation is NaN" in str(caught.value)
    assert all(math.isfinite(row["loss"]) for row in log_of(Run(path, tiny_run())))
    kept = results.load(path / "stopped.nc")
    assert kept.attrs["stopped_after_step"] == last
    assert 0 in kept["step"] and kept["step"].max() <= last and np.isfinite(kept["heldout_loss"][0])
    assert not (path / "dataset.nc").exists()
    with pytest.raises(FloatingPointError, match=f"stopped after step {last}: "):
        train.run(tiny_run(**changes), tiny_corpus())  # not taken for finished


def test_a_machine_without_a_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    def fail(*_: object) -> None:
        raise InductorError(InvalidCxxCompiler(), None)

    monkeypatch.setattr(golden, "meaning", lambda: "1")  # the fault is the training's alone
    monkeypatch.setattr(Trainer, "advance", fail)
    with pytest.raises(UserError, match=r"compile = True does not work on this machine \(InvalidCxxCompiler: "):
        train.run(tiny_run(seed=4712, **{"train.compile": True}), tiny_corpus())
    with pytest.raises(InductorError):  # of a run that asked for nothing of the kind, it is another matter
        train.run(tiny_run(seed=4712), tiny_corpus())


@pytest.mark.parametrize("place", ["advance", "__init__"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory"),
        MemoryError("Unable to allocate 8 TiB for an array"),
    ],
)
def test_too_little_memory_names_the_shape_and_what_to_change(
    place: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(golden, "meaning", lambda: "1")
    monkeypatch.setattr(Trainer, place, fail)
    config = tiny_run(seed=4711)
    with pytest.raises(UserError, match=rf"too little memory for .* d_ff {config.model.d_ff} .* lower batch_tokens"):
        train.run(config, tiny_corpus())


def test_a_fault_that_is_not_of_memory_stays_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Trainer) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(golden, "meaning", lambda: "1")
    monkeypatch.setattr(Trainer, "advance", fail)
    with pytest.raises(RuntimeError, match="something else"):
        train.run(tiny_run(seed=4712), tiny_corpus())


def test_a_corpus_of_another_vocabulary_is_refused() -> None:
    corpus = dataclasses.replace(tiny_corpus(), vocab_size=70)
    with pytest.raises(UserError, match=rf"checksum {corpus.checksum[:12]}\) has 70 token types.* configured for 64"):
        train.run(tiny_run(), corpus)


def test_damaged_results_are_named(folder: Path) -> None:
    run = trained(folder, **{"train.tokens": 256, "measure.points": 1})
    weights = run.path / "weights" / "00000004.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"00000004\.safetensors is damaged.*delete the folder .*run-.* to train again"):
        run.model()
    with pytest.raises(UserError, match=r"00000099\.safetensors does not exist"):
        run.model(step=99)
    data = run.path / "dataset.nc"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"dataset\.nc is damaged"):
        train.run(run.config, tiny_corpus())
    with pytest.raises(UserError, match=r"dataset\.nc is damaged"):
        _ = run.dataset


def test_too_little_held_out_text_is_said(folder: Path) -> None:
    with pytest.raises(UserError, match="makes 9 sets of 64 tokens, but 10 are asked for"):
        train.run(tiny_run(**{"measure.final_sets": 10}), tiny_corpus())
    with pytest.raises(UserError, match="the held-out text has 8 tokens, too few"):
        train.run(tiny_run(), tiny_corpus(heldout_tokens=8))
    with pytest.raises(UserError, match="the training text has 5 tokens, too few"):
        train.run(tiny_run(), tiny_corpus(train_tokens=5))


@pytest.mark.parametrize(
    "changes",
    [
        {"train.precision": "bf16"},
        {"model.bias": False, "model.norm": "rmsnorm", "model.positions": "sinusoidal", "model.embedding_norm": True},
        {"model.tied": False, "model.norm_place": "parallel", "model.init": "xavier", "train.deterministic": True},
    ],
    ids=["bf16", "no biases", "untied"],
)
def test_other_recipes_train_to_the_end(folder: Path, changes: dict[str, Any]) -> None:
    run = trained(folder, **changes, **{"train.tokens": 512, "measure.points": 2})
    assert float(run.dataset["final_loss"]) < math.log(64) + 0.3
    assert np.isfinite(run.dataset["batch_use"]).all()
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("count", "kept"), [(0, [4]), (1, [0, 1, 2, 4]), (4, [0, 1, 2, 3, 4])])
def test_as_many_snapshots_as_asked_for(folder: Path, count: int, kept: list[int]) -> None:
    run = trained(folder, **{"train.tokens": 256, "measure.points": 1, "train.snapshots": count})
    assert run.snapshots() == kept
    assert not torch.equal(run.model().embedding.weight, build(run.config.model, 0).embedding.weight)


def test_every_run_of_a_process_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler gives up after eight models of one code, and says so in a warning alone."""
    graphs: list[int] = []

    def count(graph: Any, inputs: Any) -> Any:
        graphs.append(1)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    corpus, made = tiny_corpus(), []
    for number in range(10):  # every other is another model, as interventions make it
        changes = {"intervention.kind": "centre", "intervention.layer": number // 2 % 2} if number % 2 else {}
        trainer = Trainer(tiny_run(seed=number, **{"train.compile": True, **changes}), corpus, torch.device("cpu"))
        before = len(graphs)
        trainer.advance()
        made.append(len(graphs) - before)
    assert min(made) >= 1, f"graphs by run: {made}"


def test_bf16_with_compile_is_for_a_gpu(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="precision = bf16 with compile = True is for a GPU"):
        train.run(tiny_run(**{"train.precision": "bf16", "train.compile": True}), tiny_corpus())
