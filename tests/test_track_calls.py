"""`track` in training, around compiled models, and where something fails."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import relusparsity
from any_models import build, inputs, names, stored
from relusparsity import models
from relusparsity.config import ModelConfig
from relusparsity.counting.layer import LayerUse
from relusparsity.counting.use import UseTracker
from relusparsity.errors import UserError
from track_made import assert_counts, shaped


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_is_not_changed_and_recomputed_layers_count_once(checkpointing: bool) -> None:
    one = build("opt").train()
    other = copy.deepcopy(one)
    if checkpointing:
        one.gradient_checkpointing_enable() if not hasattr(
            one, "activation_checkpointing_enable"
        ) else one.activation_checkpointing_enable()
    given = inputs("opt")
    for model in (one, other):
        torch.manual_seed(1)
        tracked = relusparsity.track(model)
        if model is one:
            with tracked as use:
                model(**given, labels=given["input_ids"]).loss.backward()
        else:
            with stored(model, names("opt")) as kept:
                model(**given, labels=given["input_ids"]).loss.backward()
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-7) and (
            checkpointing or torch.equal(ours.grad, theirs.grad)
        )
    for layer, activations in zip(use.counts(), kept, strict=True):
        assert_counts(layer, shaped(activations, 3) > 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_compiled_model_is_counted_and_stays_compiled(when: str) -> None:
    """Compiled by Dynamo without a backend, which needs no C++ compiler: it is Dynamo that drops hooks."""
    torch._dynamo.reset()
    model = build("opt")
    compiled = torch.compile(model, backend="eager")
    if when == "after":
        compiled(**inputs("opt"))
    with stored(model, names("opt")) as kept, relusparsity.track(compiled) as use:
        compiled(**inputs("opt"))
    for layer, activations in zip(use.counts(), kept, strict=True):
        assert_counts(layer, shaped(activations, 3) > 0)
    counters = torch._dynamo.utils.counters
    counters.clear()
    compiled(**inputs("opt"))
    assert (counters["stats"]["unique_graphs"] > 0) == (when == "before")  # after: the graph it had before
    assert all(layer.tokens == 24 for layer in use.counts())
    torch._dynamo.reset()


def test_wrapped_for_data_parallel_training(tmp_path: Path) -> None:
    """In a process of its own: a process group that outlives its model can wait for itself for ever."""
    job = Path(__file__).with_name("track_ddp_job.py")
    command = [sys.executable, str(job), str(tmp_path / "group")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and done.stdout.startswith("counted"), done.stderr[-3000:]


def test_an_exception_leaves_the_model_as_it_was_and_the_next_block_works() -> None:
    model = build("opt")
    with pytest.raises(RuntimeError, match="mine"), relusparsity.track(model):
        model(**inputs("opt"))
        raise RuntimeError("mine")
    with relusparsity.track(model) as use:
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.tensor([[500]]))  # no such token: fails inside forward
        model(**inputs("opt"))
    assert [layer.tokens for layer in use.counts()] == [24, 24]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_call_that_fails_between_layers_spoils_the_counts() -> None:
    model = build("opt")
    failing = model.model.decoder.layers[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(UserError, match="ended with an error"), relusparsity.track(model) as use:
        with pytest.raises(ZeroDivisionError):
            model(**inputs("opt"))
        failing.remove()
        model(**inputs("opt"))
    with pytest.raises(UserError, match="not whole"):
        use.token_use()


class Chooses(nn.Module):
    """A layer that, like an expert, sees some of the tokens only."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, inputs_embeds: torch.Tensor) -> torch.Tensor:
        return self.inside(inputs_embeds[:, ::2])


def test_layers_that_see_some_of_the_tokens_are_refused() -> None:
    model = Chooses()
    with pytest.raises(UserError, match="cannot be counted"), relusparsity.track(model):
        model(torch.ones(2, 6, 2))


def test_the_chapters_own_decoder_gives_the_chapters_own_counts() -> None:
    config = ModelConfig(n_layers=2, d_model=8, d_ff=16, n_heads=2, seq_len=8, vocab_size=64)
    model = models.build(config, seed=0)
    tokens = torch.randint(0, 64, (5, 8), generator=torch.Generator().manual_seed(0))
    reference = UseTracker([16, 16], 8)
    with relusparsity.track(model) as use, torch.no_grad():
        model(tokens, lambda layer, _x, _z, a: reference.update(layer, a > 0))
    width = reference.window_use().shape[1]
    np.testing.assert_array_equal(use.window_use()[:, :width], reference.window_use())
    for layer, counted in enumerate(use.counts()):
        for name in ("unit_tokens", "unit_sequences", "token_histogram", "sequence_histogram"):
            assert torch.equal(getattr(counted, name), getattr(reference.layers[layer], name))
    data = use.dataset()
    np.testing.assert_allclose(data["final_token_use"][0], reference.token_use(), rtol=1e-6)
    np.testing.assert_allclose(data["firing_rate_percentiles"][0], reference.firing_rate_percentiles(), rtol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 999), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans())
def test_the_counter_is_brute_force_however_the_stream_is_cut(seed: int, calls: list[int], padded: bool) -> None:
    rng = np.random.default_rng(seed)
    use, fired, real = LayerUse(5), [], []
    for sequences in calls:
        positions = int(rng.integers(1, 9))
        mask = rng.random((sequences, positions)) < 0.7 if padded else np.ones((sequences, positions), dtype=bool)
        mask.flat[0] = True
        part = rng.random((sequences, positions, 5)) < rng.random(5) ** 2
        use.update(torch.from_numpy(part), torch.from_numpy(mask) if padded else None)
        pad = ((0, 0), (0, 9 - positions))
        fired.append(np.pad(part, (*pad, (0, 0))))
        real.append(np.pad(mask, pad))
    assert_counts(use, np.concatenate(fired), np.concatenate(real))
    copied = LayerUse(5)
    copied.load(use.state())
    for counter in (use, copied):
        counter.update(torch.from_numpy(fired[0]), torch.from_numpy(real[0]))
    assert_counts(copied, np.concatenate([*fired, fired[0]]), np.concatenate([*real, real[0]]))
    both = LayerUse(5)
    both.merge(use)
    both.merge(copied)
    assert both.tokens == 2 * use.tokens and torch.equal(both.unit_tokens, 2 * use.unit_tokens)


def test_activations_of_any_strides_count() -> None:
    """As Mamba's, which has positions last, where it decodes one token."""
    fired = torch.rand(2, 16, 1, generator=torch.Generator().manual_seed(0)).transpose(1, 2) > 0.5
    assert fired.stride() == (16, 1, 1)
    for real in (None, torch.tensor([[True], [False]])):
        here, there = LayerUse(16, torch.device("cpu")), LayerUse(16, torch.device("cpu"))
        here.update(fired, real)
        there.update(torch.from_numpy(fired.numpy().copy()), real)
        assert all(torch.equal(value, there.state()[name]) for name, value in here.state().items())
        assert here.tokens == (2 if real is None else 1)
