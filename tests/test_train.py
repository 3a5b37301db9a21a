"""The training loop: what it counts, what it writes down, and that nothing that happens to it changes a bit."""

import dataclasses
import json
import math
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from fixtures_core import before_changes_of_files, full_disk, tiny_corpus, tiny_run, train_in_child
from relusparsity import corpora, train
from relusparsity.config import RunConfig, TrainConfig, from_dict
from relusparsity.errors import UserError
from relusparsity.models import build
from relusparsity.store import results, schema, sealed
from relusparsity.train import Run, Trainer, evaluate, golden, loop, measurements
from relusparsity.train.loop import learning_rate

laws = settings(deadline=None, derandomize=True, max_examples=100)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of runs of this test alone."""
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    return tmp_path


def trained(folder: Path, **changes: Any) -> Run:
    """The tiny run, undisturbed, in this process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(folder))
        return train.run(tiny_run(**changes), tiny_corpus())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("undisturbed"))


def log_of(run: Run) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


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


# What a run writes down


def test_the_dataset_is_the_schema(undisturbed: Run) -> None:
    data = undisturbed.dataset
    expected = {name: ("step", *dims) for name, (dims, *_) in schema.MEASURED.items()}
    expected |= {name: ("history_step", *dims) for name, (dims, *_) in schema.HISTORY.items()}
    expected |= {name: dims for name, (dims, *_) in schema.FINAL.items()}
    assert {str(name): value.dims for name, value in data.data_vars.items()} == expected
    assert set(data.coords) == {
        "step", "tokens", "layer", "percentile", "window", "history_step", "history_tokens", "history_unit"
    }  # fmt: skip
    assert data["step"].values.tolist() == [0, 1, 2, 4, 8, 16, 24, 32, 40]
    assert data["tokens"].values.tolist() == [64 * step for step in data["step"].values.tolist()]
    assert data["history_step"].values.tolist() == [0, 8, 40]
    assert data["history_unit"].values.tolist() == [0, 6, 12, 19, 25]
    facts = results.provenance(data)
    assert facts["config"] == json.loads((undisturbed.path / "config.json").read_text())
    assert from_dict(RunConfig, facts["config"]) == tiny_run()
    assert facts["tokens_seen"] == 2560 and facts["corpus"]["checksum"] == tiny_corpus().checksum
    assert facts["run_id"] == undisturbed.path.name.removeprefix("run-")
    assert data.attrs["d_ff"] == 32 and data.attrs["dead_after"] == 128
    assert data.attrs["sample_tokens"] == 128 and data.attrs["final_sample_tokens"] == 192
    shares = [name for name in data.data_vars if str(name).endswith(("_use", "_rate")) or "percentiles" in str(name)]
    assert all(float(data[name].min()) >= 0 and float(data[name].max()) <= 1 for name in shares)
    assert not any(path.name.startswith(".") for path in undisturbed.path.rglob("*"))
    assert not (undisturbed.path / "states").exists()


def test_it_learns(undisturbed: Run) -> None:
    loss = undisturbed.dataset["heldout_loss"].values
    assert loss[0] == pytest.approx(math.log(64), abs=0.1) and loss[-1] < loss[0] - 1
    assert float(undisturbed.dataset["heldout_accuracy"][-1]) > 0.15


def test_the_log_has_every_step(undisturbed: Run) -> None:
    rows, config = log_of(undisturbed), tiny_run().train
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert [row["lr"] for row in rows] == [learning_rate(config, 64 * step) for step in range(40)]
    steps, mean = undisturbed.dataset["step"].values.tolist(), undisturbed.dataset["train_loss"].values
    assert np.isnan(mean[0])
    for i in range(1, len(steps)):
        assert mean[i] == pytest.approx(np.mean([row["loss"] for row in rows[steps[i - 1] : steps[i]]]), rel=1e-6)


@pytest.mark.parametrize("step", [0, 8, 40])
def test_measurements_are_those_of_the_kept_weights(undisturbed: Run, step: int) -> None:
    config, data = undisturbed.config, undisturbed.dataset.sel(step=step)
    text = corpora.heldout_sequences(tiny_corpus().heldout, 8)
    seen = evaluate.measure(undisturbed.model(step=step), text[:16], 8, [0, 6, 12, 19, 25])
    np.testing.assert_allclose(data["batch_use"], seen.batch_use.mean(0), rtol=1e-6)
    for name in ("token_use", "sequence_use", "window_use", "rarefied_use", "silent_units", "token_use_percentiles"):
        np.testing.assert_allclose(data[name], getattr(seen.use, name)(), rtol=1e-6, err_msg=name)
    assert float(data["heldout_loss"]) == pytest.approx(seen.score.loss, rel=1e-6)
    assert float(data["heldout_accuracy"]) == pytest.approx(seen.score.accuracy)
    assert float(data["heldout_bits_per_byte"]) == pytest.approx(seen.score.loss / math.log(2) / 3, rel=1e-6)
    np.testing.assert_allclose(data["gamma"], seen.drift["gamma"], rtol=1e-6)
    drift = undisturbed.dataset.sel(history_step=step)
    for name in schema.HISTORY:
        np.testing.assert_allclose(drift[name], seen.drift[name], rtol=6e-4, atol=1e-12, err_msg=name)
    if step == 0:
        fresh = build(config.model, config.seed)
        kept = undisturbed.model(step=0)
        assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), kept.parameters(), strict=True))


def test_the_end_is_measured_on_the_final_sets(undisturbed: Run) -> None:
    data, text = undisturbed.dataset, corpora.heldout_sequences(tiny_corpus().heldout, 8)
    seen = evaluate.measure(undisturbed.model(), text[:24], 8)
    np.testing.assert_array_equal(data["final_batch_use"], seen.batch_use.astype(np.float32))
    np.testing.assert_array_equal(data["final_firing_count"], seen.use.unit_tokens)
    np.testing.assert_array_equal(data["final_sequences_fired"], seen.use.unit_sequences)
    for name in ("token_use", "sequence_use", "window_use", "rarefied_use"):
        np.testing.assert_allclose(data[f"final_{name}"], getattr(seen.use, name)(), rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(data["position_use"], seen.use.position_use(), rtol=1e-6)
    for name in ("loss", "accuracy"):
        assert float(data[f"final_{name}"]) == pytest.approx(getattr(seen.score, name), rel=1e-6)
    assert float(data["final_bits_per_byte"]) == pytest.approx(seen.score.bits_per_byte(1 / 3), rel=1e-6)


# Counting inside the step


def brute_force_stream(config: RunConfig) -> tuple[Trainer, np.ndarray]:
    """Train, and before every step take its masks from a model of the same weights: (step, layer, token, unit)."""
    trainer, masks = Trainer(config, tiny_corpus(), torch.device("cpu")), []
    for step in range(config.train.steps):
        text = torch.from_numpy(corpora.batch(tiny_corpus().train, 8, 8, config.seed, step))
        seen: list[np.ndarray] = []
        with torch.no_grad():
            logits = trainer.model(text[:, :-1], lambda _l, _x, _z, a, at=seen: at.append((a > 0).numpy()))
            expected = F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
        loss, _ = trainer.advance()
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)
        masks.append(np.stack(seen))
    return trainer, np.stack(masks)


@pytest.mark.parametrize("changes", [{}, {"model.activation": "gelu", "model.norm_place": "post"}])
def test_counts_of_the_training_stream_are_exact(undisturbed: Run, changes: dict[str, Any]) -> None:
    config = tiny_run(**changes)
    trainer, masks = brute_force_stream(config)  # (step, layer, sequence, position, unit)
    deaths, by_step = trainer.deaths, masks.any((2, 3))
    np.testing.assert_array_equal(deaths.stream_firings, masks.sum((0, 2, 3, 4)))
    np.testing.assert_array_equal(deaths.stream_sequence_units, masks.any(3).sum((0, 2, 3)))
    last = np.where(by_step.any(0), 40 - by_step[::-1].argmax(0), 0)
    np.testing.assert_array_equal(torch.stack(deaths.rows(deaths.last_fired)), 64 * last)
    dead = np.array([~by_step[max(0, step - 2) : step].any(0) for step in range(2, 41)])  # dead(128): two steps
    began = np.concatenate((dead[:1], dead[1:] & ~dead[:-1]))
    np.testing.assert_array_equal(torch.stack(deaths.rows(deaths.deaths)), began.sum(0))
    np.testing.assert_array_equal(torch.stack(deaths.rows(deaths.revivals)), (dead[:-1] & ~dead[1:]).sum(0))
    if changes:
        return
    data = undisturbed.dataset
    assert int(data["deaths"].sum()) >= 5 and int(data["revivals"].sum()) >= 2, "the case is not an empty one"
    np.testing.assert_array_equal(data["death_count"], began.sum(0))
    np.testing.assert_array_equal(data["last_fired"], 64 * last)
    steps = data["step"].values.tolist()
    for i, (start, stop) in enumerate(zip([0, *steps], steps, strict=False)):
        part = masks[start:stop]
        if not len(part):
            assert np.isnan(data["train_token_use"][i]).all() and np.isnan(data["train_sequence_use"][i]).all()
            continue
        np.testing.assert_allclose(data["train_token_use"][i], part.mean((0, 2, 3, 4)), rtol=1e-6)
        np.testing.assert_allclose(data["train_sequence_use"][i], part.any(3).mean((0, 2, 3)), rtol=1e-6)
        if stop >= 2:
            np.testing.assert_array_equal(data["dead_units"][i], dead[stop - 2].sum(1))
        np.testing.assert_array_equal(data["deaths"][i], began[max(0, start - 1) : max(0, stop - 1)].sum((0, 2)))
    assert np.isnan(data["dead_units"][:2]).all(), "undefined before n tokens"
    first = np.array([[began[:, i, u].argmax() if began[:, i, u].any() else -1 for u in range(32)] for i in range(2)])
    for layer, unit in np.ndindex(first.shape):
        onset = float(data["death_onset"][layer, unit])
        if first[layer, unit] < 0:
            assert math.isnan(onset)
        else:  # dead at the end of step first + 2: the last firing was at the latest two steps before
            assert onset == 64 * first[layer, unit]


# The optimisation


def test_gradients_are_clipped_and_their_norm_is_logged() -> None:
    def first_step(clip: float) -> tuple[float, list[torch.Tensor]]:
        trainer = Trainer(
            tiny_run(**{"train.clip": clip, "train.optimizer": "sgd", "train.warmup": 0, "train.weight_decay": 0.0}),
            tiny_corpus(),
            torch.device("cpu"),
        )
        before = [p.detach().clone() for p in trainer.model.parameters()]
        _, norm = trainer.advance()
        return float(norm), [p.detach() - b for p, b in zip(trainer.model.parameters(), before, strict=True)]

    norm, free = first_step(0)
    moved = torch.cat([d.flatten() for d in free]).norm()
    assert float(moved) == pytest.approx(norm * learning_rate(tiny_run(**{"train.warmup": 0}).train, 0), rel=1e-4)
    again, clipped = first_step(norm / 10)
    assert again == pytest.approx(norm)
    for a, b in zip(free, clipped, strict=True):
        torch.testing.assert_close(a / 10, b, rtol=1e-3, atol=1e-7)


RATES = {"train.embedding_rate": 4.0, "train.position_rate": 0.5, "train.fc_out_rate": 0.125}


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("rates", [{}, RATES])
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "sgd"])
def test_a_step_takes_rate_times_decay_off_matrices_and_embeddings_alone(
    optimizer: str, rates: dict[str, float], vectors: bool
) -> None:
    """Without gradients nothing else moves a weight: whatever the momentum, 1 − lr · decay of it is left a step."""
    changes = {"train.optimizer": optimizer, "model.tied": False, "model.positions": "learned"} | rates
    changes |= {"train.decay_vectors": vectors}
    changes |= {"train.weight_decay": 0.5, "train.warmup": 0, "train.schedule": "constant"}
    trainer = Trainer(tiny_run(**changes), tiny_corpus(), torch.device("cpu"))
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    for name, parameter in trainer.model.named_parameters():
        if vectors and parameter.ndim < 2:
            parameter.data += 0.1  # biases begin at 0
            before[name] += 0.1
        parameter.register_hook(torch.zeros_like)
    for _ in range(3):
        trainer.advance()
    for name, parameter in trainer.model.named_parameters():
        left = 1.0 if not vectors and ("norm" in name or "bias" in name) else 0.95**3
        torch.testing.assert_close(parameter.detach(), left * before[name], msg=name)
    kinds = {"adamw": torch.optim.AdamW, "adafactor": torch.optim.Adafactor, "sgd": torch.optim.SGD}
    assert type(trainer.optimizer) is kinds[optimizer]
    if optimizer == "adamw":
        assert trainer.optimizer.defaults["betas"] == (0.9, 0.98)
    if optimizer == "sgd":
        assert trainer.optimizer.defaults["momentum"] == 0.9


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_group_of_its_own_rate_moves_so_much_more_and_the_others_as_before(optimizer: str) -> None:
    """One step without decay: AdamW's and SGD's first update of a weight is proportional to its rate."""

    def moved(**rates: float) -> dict[str, torch.Tensor]:
        changes = {"train.optimizer": optimizer, "model.positions": "learned", "train.weight_decay": 0.0}
        trainer = Trainer(tiny_run(**changes, **rates), tiny_corpus(), torch.device("cpu"))
        before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
        trainer.advance()
        return {name: p.detach() - before[name] for name, p in trainer.model.named_parameters()}

    one, other = moved(), moved(**RATES)
    factors = {"embedding.weight": 4.0, "position_embedding.weight": 0.5}
    factors |= {f"blocks.{layer}.mlp.fc_out.weight": 0.125 for layer in range(2)}
    assert set(factors) < set(one)
    for name, step in one.items():
        torch.testing.assert_close(other[name], factors.get(name, 1.0) * step, rtol=1e-4, atol=1e-7, msg=name)


def test_the_rate_of_the_step_is_the_rate_of_the_schedule() -> None:
    trainer = Trainer(tiny_run(), tiny_corpus(), torch.device("cpu"))
    for step in range(6):
        trainer.advance()
        rates = {group["lr"] for group in trainer.optimizer.param_groups}
        assert rates == {learning_rate(tiny_run().train, 64 * step)}


schedules = st.builds(
    lambda steps, warmup, schedule, lr: TrainConfig(
        tokens=steps * 1024, batch_tokens=1024, warmup=warmup, schedule=schedule, lr=lr
    ),
    st.integers(1, 60),
    st.integers(0, 70 * 1024),
    st.sampled_from(["cosine", "rsqrt", "constant"]),
    st.floats(1e-5, 1.0),
)


@laws
@given(schedules)
def test_the_learning_rate(config: TrainConfig) -> None:
    rates = np.array([learning_rate(config, step * 1024) for step in range(config.steps)])
    done = np.arange(1, config.steps + 1) * 1024.0  # tokens at the end of each step
    rising = done <= config.warmup
    np.testing.assert_allclose(rates[rising], config.lr * done[rising] / max(config.warmup, 1))
    after = rates[~rising]
    assert (after <= config.lr * (1 + 1e-12)).all() and (np.diff(after) <= 1e-15).all()
    if config.schedule == "constant":
        assert (after == config.lr).all()
    if config.schedule == "rsqrt":
        np.testing.assert_allclose(after, config.lr * np.sqrt(max(config.warmup, 1024) / done[~rising]))
    if config.schedule == "cosine" and len(after):
        assert after[-1] == pytest.approx(config.lr / 10), "it ends at a tenth"
        half = (done[~rising] - config.warmup) / max(1, config.tokens - config.warmup)
        np.testing.assert_allclose(after, config.lr * (0.55 + 0.45 * np.cos(np.pi * half)))


@laws
@given(st.integers(1, 5000), st.integers(1, 200))
def test_when_a_run_is_measured(steps: int, points: int) -> None:
    measured = measurements.measured_steps(steps, points)
    assert measured[0] == 0 and measured[-1] == steps
    assert measured == sorted(set(measured)), "in order, none twice"
    even = {round(steps * i / points) for i in range(1, points + 1)} - {0}
    assert even <= set(measured)
    early = [step for step in measured if step not in even]
    assert early == [0, *(2**i for i in range(len(early) - 1))] and all(step < min(even) for step in early)
    assert not early[1:] or 2 * early[-1] >= min(even), "no gap before the first even one"


@laws
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 40))
def test_when_drift_is_measured_and_of_which_units(d_ff: int, count: int, steps: int) -> None:
    measured = measurements.measured_steps(steps * 7, steps)
    history = measurements.history_steps(measured, count)
    assert len(history) == min(count, len(measured)) and set(history) <= set(measured) and history[0] == 0
    assert history == sorted(history) and (history[-1] == measured[-1] or count == 1)
    units = measurements.history_units(d_ff, count)
    assert len(units) == len(set(units.tolist())) == min(count, d_ff) and units[0] == 0 and units[-1] < d_ff
    gaps = np.diff([*units, d_ff])
    assert gaps.max() - gaps.min() <= 1, "evenly spaced"


# Whatever happens to it

start = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def warm_server() -> Iterator[None]:
    """Children are forked from a process that has imported everything, and nothing else."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        start.set_forkserver_preload(["fixtures_core", "torch._dynamo"])
        yield


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
    ],
    ids=["adamw", "adafactor", "sgd", "without states", "intervention"],
)
def test_killed_between_any_two_writes_it_resumes_to_the_bit(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, undisturbed: Run, changes: dict[str, Any], kills: int
) -> None:
    whole = undisturbed if not changes else trained(tmp_path_factory.mktemp("whole"), **changes)
    rng = random.Random(kills)
    for _ in range(kills):
        child = start.Process(target=train_in_child, args=(folder, changes, 0, rng.randrange(20, 120)))
        child.start()
        child.join()
        assert child.exitcode in (-signal.SIGKILL, 0)
        survivors_are_whole(folder)
    assert_same_to_the_bit(train.run(tiny_run(**changes), tiny_corpus()), whole)


def test_killed_at_random_moments_it_resumes_to_the_bit(folder: Path, undisturbed: Run) -> None:
    rng, killed, longest = random.Random(), 0, 0.6
    for _ in range(20):
        child = start.Process(target=train_in_child, args=(folder, {}, 0))
        child.start()
        while child.is_alive() and not list(folder.glob("run-*/metrics.jsonl")):
            time.sleep(0.01)
        child.join(rng.uniform(0, longest))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)  # type: ignore[arg-type]
            child.join()
            killed += 1
            survivors_are_whole(folder)
        if killed == 4 or (killed and child.exitcode == 0):
            break
        if child.exitcode == 0:  # too quick to be killed: once more from the beginning, and sooner
            longest /= 2
            for finished in folder.glob("run-*"):
                shutil.rmtree(finished)
    assert killed, "never killed: the case was not tried"
    assert_same_to_the_bit(train.run(tiny_run(), tiny_corpus()), undisturbed)


def test_two_processes_with_the_same_id_do_not_spoil_each_other(folder: Path, undisturbed: Run) -> None:
    children = [start.Process(target=train_in_child, args=(folder, {}, 0)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
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
    assert_same_to_the_bit(train.run(tiny_run(), tiny_corpus()), undisturbed)


def interrupted(folder: Path) -> Path:
    """The directory of a run that was killed after its second state."""
    while len(list(folder.glob("run-*/states/[0-9]*"))) < 2:
        child = start.Process(target=train_in_child, args=(folder, {}, 0, 100))
        child.start()
        child.join()
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
    assert_same_to_the_bit(train.run(tiny_run(), tiny_corpus()), undisturbed)


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
    assert_same_to_the_bit(train.run(tiny_run(), tiny_corpus()), undisturbed)


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
