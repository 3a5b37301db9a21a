"""Frozen weights on held-out text: every number against the activations themselves."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures_core import VOCABULARY, made_up_text, tiny_model
from relusparsity.corpora import heldout_sequences
from relusparsity.models import Decoder, build
from relusparsity.train import evaluate

SET = 4  # sequences


def model_of(**changes: Any) -> Decoder:
    model = build(tiny_model(init="fan_in", embedding_std=1.0, **changes), seed=0)
    with torch.no_grad():
        for mlp in model.mlps():
            if mlp.fc_in.bias is not None:  # some units silent, some rare
                mlp.fc_in.bias += torch.linspace(-3, 1, mlp.fc_in.bias.numel())
    return model.eval()


def sequences(count: int) -> np.ndarray:
    """(sequence, position + 1), as the corpus gives them."""
    return heldout_sequences(made_up_text(count * 8 + 1, seed=3), 8)


@torch.no_grad()
def seen_by(model: Decoder, text: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, ...]]]:
    """Logits, and each layer's MLP input, pre-activation and activation, one sequence at a time."""
    logits, rows = [], []
    for row in text:
        layers: list[tuple[np.ndarray, ...]] = []

        def look(_layer: int, *values: torch.Tensor, at: list[tuple[np.ndarray, ...]] = layers) -> None:
            at.append(tuple(value.numpy().copy() for value in values))

        out = model(torch.from_numpy(row[None, :-1]), look)
        logits.append(out.numpy())
        rows.append(layers)
    stacked = [tuple(np.concatenate(kind) for kind in zip(*layer, strict=True)) for layer in zip(*rows, strict=True)]
    return np.concatenate(logits), stacked


def nats(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Cross-entropy of every token, from the definition, in float64."""
    z = logits.astype(np.float64)
    chosen = np.take_along_axis(z, targets[..., None], -1)[..., 0]
    return np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1)) + z.max(-1) - chosen


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(1, 9), st.integers(1, 12))
def test_the_score_does_not_depend_on_the_batch(count: int, batch: int) -> None:
    model, text = model_of(), sequences(count)
    found = evaluate.score(model, text, batch)
    logits, _ = seen_by(model, text)
    assert found.tokens == count * 8
    assert found.loss == pytest.approx(nats(logits, text[:, 1:]).mean(), rel=1e-5)
    assert found.correct == (logits.argmax(-1) == text[:, 1:]).sum()
    assert found.accuracy == found.correct / found.tokens
    assert found.bits_per_byte(0.25) == pytest.approx(found.loss / math.log(2) / 4)


def test_a_model_that_knows_nothing_loses_the_logarithm_of_the_vocabulary() -> None:
    model = build(tiny_model(embedding_std=1e-6), seed=0)
    assert evaluate.score(model, sequences(4), 4).loss == pytest.approx(math.log(VOCABULARY), abs=1e-3)


def test_scores_add_up() -> None:
    model, text = model_of(), sequences(7)
    whole, part = evaluate.score(model, text, 7), evaluate.score(model, text[:3], 7)
    part.merge(evaluate.score(model, text[3:], 7))
    assert (part.correct, part.tokens) == (whole.correct, whole.tokens)
    assert part.nats == pytest.approx(whole.nats, rel=1e-6)


@pytest.mark.parametrize("changes", [{}, {"bias": False}, {"activation": "gelu"}, {"norm_place": "post"}])
def test_a_measurement_is_what_the_activations_say(changes: dict[str, Any]) -> None:
    model, text = model_of(**changes), sequences(3 * SET + 2)  # two sequences do not make a set
    units = [0, 3, 15]
    found = evaluate.measure(model, text, SET, [units] * 2)
    logits, layers = seen_by(model, text[: 3 * SET])
    fired = np.stack([activation > 0 for *_, activation in layers])  # (layer, sequence, position, unit)
    assert 0.02 < fired.mean() < 0.98

    np.testing.assert_array_equal(found.use.unit_tokens, fired.sum((1, 2)))
    np.testing.assert_array_equal(found.use.unit_sequences, fired.any(2).sum(1))
    assert found.use.tokens == 3 * SET * 8
    by_set = fired.reshape(2, 3, SET * 8, 16).any(2).mean(-1).T
    np.testing.assert_array_equal(found.batch_use, by_set)
    assert found.use.window_use()[:, found.use.windows.index(SET * 8)] == pytest.approx(by_set.mean(0))
    assert found.score.tokens == 3 * SET * 8
    assert found.score.loss == pytest.approx(nats(logits, text[: 3 * SET, 1:]).mean(), rel=1e-5)

    for layer, (x, z, _) in enumerate(layers):  # the drift: of the first set
        x, z = x[:SET].reshape(-1, 8).astype(np.float64), z[:SET].reshape(-1, 16)[:, units].astype(np.float64)
        mlp = model.mlps()[layer]
        w_in, w_out = mlp.fc_in.weight[units].detach().numpy(), mlp.fc_out.weight[:, units].detach().numpy()
        mean = x.mean(0)
        expected = {
            "gamma": np.linalg.norm(mean) / np.linalg.norm(x.std(0)),
            "preactivation_mean": z.mean(0),
            "preactivation_std": z.std(0),
            "preactivation_p99": np.percentile(z, 99, axis=0, method="inverted_cdf"),
            "preactivation_max": z.max(0),
            "history_firing_rate": (z > 0).mean(0),
            "input_weight_norm": np.linalg.norm(w_in, axis=1),
            "output_weight_norm": np.linalg.norm(w_out, axis=0),
            "input_bias": np.zeros(3) if mlp.fc_in.bias is None else mlp.fc_in.bias[units].detach().numpy(),
            "input_alignment": w_in @ mean / np.linalg.norm(w_in, axis=1) / np.linalg.norm(mean),
        }
        assert set(found.drift) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found.drift[name][layer], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_without_chosen_units_the_input_alone_is_measured() -> None:
    model, text = model_of(), sequences(SET)
    alone = evaluate.measure(model, text, SET).drift
    assert set(alone) == {"gamma"}
    np.testing.assert_array_equal(alone["gamma"], evaluate.measure(model, text, SET, [[1], [1]]).drift["gamma"])


def test_measuring_in_small_batches_changes_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    model, text = model_of(), sequences(3 * SET)
    whole = evaluate.measure(model, text, SET, [[3], [3]])
    monkeypatch.setattr(evaluate, "batch_size", lambda *_: 3)  # does not divide the set
    pieces = evaluate.measure(model, text, SET, [[3], [3]])
    np.testing.assert_array_equal(pieces.batch_use, whole.batch_use)
    assert torch.equal(pieces.use.window_units, whole.use.window_units)
    assert pieces.score.tokens == whole.score.tokens
    for name, value in whole.drift.items():
        np.testing.assert_allclose(pieces.drift[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_float32_and_bf16_differ_a_little() -> None:
    model, text = model_of(), sequences(16)
    plain, half = (
        evaluate.measure(model, text, SET, [[1], [1]]),
        evaluate.measure(model, text, SET, [[1], [1]], precision="bf16"),
    )
    flips = (plain.use.unit_tokens - half.use.unit_tokens).abs().sum()
    assert half.score.nats != plain.score.nats, "bf16 was really used"
    assert half.score.loss == pytest.approx(plain.score.loss, rel=0.02)
    assert flips < 0.02 * plain.use.unit_tokens.sum()
    assert all(of_layer.dtype == np.float32 for of_layer in half.drift["preactivation_mean"])


@pytest.mark.parametrize("batch", [1, 4, 5, 100])
def test_firing_counts_leave_no_sequence_out(batch: int) -> None:
    model, text = model_of(), sequences(9)
    found = evaluate.firing_counts(model, text, batch)
    _, layers = seen_by(model, text)
    np.testing.assert_array_equal(found.unit_tokens, [(a > 0).sum((0, 1)) for *_, a in layers])
    np.testing.assert_array_equal(found.unit_sequences, [(a > 0).any(1).sum(0) for *_, a in layers])
    assert found.tokens == 72


@pytest.mark.parametrize("batch", [2, 100])
@pytest.mark.parametrize("layer", [0, 1])
def test_firing_by_token_type(layer: int, batch: int) -> None:
    model, text = model_of(), sequences(9)
    table, totals = evaluate.token_type_counts(model, text, layer, batch)
    _, layers = seen_by(model, text)
    fired, inputs = layers[layer][2] > 0, text[:, :-1]
    assert table.shape == (VOCABULARY, 16) and totals.shape == (VOCABULARY,)
    for kind in range(VOCABULARY):
        np.testing.assert_array_equal(table[kind], fired[inputs == kind].sum(0))
        assert totals[kind] == (inputs == kind).sum()


@pytest.mark.parametrize("read", [evaluate.firing_counts, evaluate.measure])
def test_nan_is_never_counted_as_silence(read: Any) -> None:
    model = model_of()
    with torch.no_grad():
        model.mlps()[1].fc_in.weight[3, 3] = math.nan
    with pytest.raises(FloatingPointError, match="an activation is NaN"):
        read(model, sequences(SET), SET)
