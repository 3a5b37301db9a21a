"""The training loop: what it counts, and what it writes down."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import corpora
from relusparsity.config import RunConfig, from_dict
from relusparsity.models import build
from relusparsity.store import results, schema
from relusparsity.train import Run, Trainer, evaluate
from relusparsity.train.loop import learning_rate
from train_made import log_of

pytest_plugins = ("train_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")


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
    seen = evaluate.measure(undisturbed.model(step=step), text[:16], 8, [[0, 6, 12, 19, 25]] * 2)
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
