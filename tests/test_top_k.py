"""Top-k against a loop that sorts one token after the other: what stays, what is counted, what learns."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import relusparsity
from fixtures_core import tiny_corpus, tiny_model, tiny_run
from model_made import shaken, tokens
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.models import feedforward
from relusparsity.train import Trainer

TOP = {"model.activation": "topk", "model.top_k": 5}


def brute(z: np.ndarray, k: int) -> np.ndarray:
    """The k largest of max(z, 0) in each row of (row, unit), the lower index first among equal ones."""
    out = np.zeros_like(z)
    for row, kept in zip(z, out, strict=True):
        for unit in sorted(range(len(row)), key=lambda unit: (-max(row[unit], 0.0), unit))[:k]:
            kept[unit] = max(row[unit], 0.0)
    return out


few = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 0.5, 1.0, 1.25]), min_size=6, max_size=6)  # ties everywhere


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(few, min_size=1, max_size=4), st.integers(1, 9), st.sampled_from([torch.float32, torch.bfloat16]))
def test_it_is_what_sorting_one_token_after_the_other_gives(rows: Any, k: int, kind: torch.dtype) -> None:
    given = torch.tensor(rows)[None].to(kind)
    found = feedforward.top_k(given, k)
    assert found.dtype == kind
    np.testing.assert_array_equal(found[0].float().numpy(), brute(np.array(rows), k))


def test_gradients_reach_what_stays_alone() -> None:
    z = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(1))
    (feedforward.top_k(z, 7) * weights).sum().backward()
    kept = brute(z.detach().flatten(0, 1).numpy(), 7).reshape(2, 5, 40) > 0
    assert z.grad is not None and 0 < kept.sum() < z.numel()
    np.testing.assert_array_equal(z.grad.numpy(), np.where(kept, weights.numpy(), 0))


def test_what_is_not_a_number_is_not_lost() -> None:
    z = torch.ones(1, 1, 8)
    z[..., 3] = torch.nan
    assert feedforward.top_k(z, 2).isnan()[0, 0].tolist() == [unit == 3 for unit in range(8)]


@torch.no_grad()
def test_a_decoder_keeps_k_units_in_training_and_when_read_and_counts_them() -> None:
    config = tiny_model(activation="topk", top_k=5)
    model, text = shaken(config), tokens(config)
    for training in (True, False):
        counted: list[Any] = []
        seen: list[Any] = []
        model.train(training)(
            text, lambda *told, to=seen: to.append(told[2:]), lambda *told, to=counted: to.append(told[1])
        )
        for (z, a), per_unit in zip(seen, counted, strict=True):
            expected = brute(z.flatten(0, 1).numpy(), 5).reshape(a.shape)
            np.testing.assert_array_equal(a.numpy(), expected)
            np.testing.assert_array_equal(per_unit.numpy(), (expected > 0).sum(1))
    with relusparsity.track(model) as use:
        model(text)
    assert "smooth activations" not in str(use)
    assert [layer.token_histogram[6:].sum().item() for layer in use.counts()] == [0, 0]


@torch.no_grad()
def test_k_of_all_units_is_relu() -> None:
    relu, all_of_them = shaken(tiny_model()), shaken(tiny_model(activation="topk", top_k=16))
    text = tokens(relu.config)
    assert torch.equal(relu(text), all_of_them(text))


def test_it_trains_and_goes_on_when_units_are_removed_down_to_fewer_than_k() -> None:
    removed = {"prune.tokens": (128,), "prune.rule": "random", "prune.widths": (4, 32), "prune.multiple": 4}
    trainer = Trainer(tiny_run(**TOP, **removed), tiny_corpus(), torch.device("cpu"))
    losses = [float(trainer.advance()[0]) for _ in range(8)]
    assert trainer.model.widths() == [4, 32] and np.isfinite(losses).all()
    firings = trainer.deaths.stream_firings.tolist()
    assert 0 < firings[1] <= 5 * trainer.tokens


def test_compiled_it_is_the_same() -> None:
    z = torch.randn(2, 6, 24, generator=torch.Generator().manual_seed(0)).bfloat16()
    compiled = torch.compile(feedforward.top_k, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(z, 4), feedforward.top_k(z, 4))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"top_k": 17}, r"ModelConfig.top_k = 17 with activation = topk: expected .* 1 to the 16 of the narrowest"),
        ({"top_k": 9, "d_ff": (16, 8)}, r"top_k = 9 .* from 1 to the 8 of the narrowest layer"),
        ({"top_k": 0}, r"ModelConfig.top_k = 0: expected a number above 0"),
        ({"top_k": None}, r"top_k = None with activation = topk: expected how many units stay at a token"),
        ({"activation": "relu", "top_k": 4}, r"top_k = 4 is not read by activation = relu; leave it out"),
    ],
)
def test_a_k_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        replace(tiny_model(), **{"activation": "topk", **changes})
    assert "\n" not in str(refused.value)
