"""What the decoder keeps and counts: positions, hidden layers, initial scales, parameters."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from fixtures_core import tiny_model
from model_made import SHAPE, assert_same_logits, recipes, reference, shaken, tokens
from relusparsity.config import ModelConfig
from relusparsity.models import Decoder, build, count_parameters
from relusparsity.models.feedforward import MLP


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_an_odd_width_works(positions: str) -> None:
    config = ModelConfig(**SHAPE | {"d_model": 15, "n_heads": 3}, positions=positions)  # type: ignore[arg-type]
    model = shaken(config)
    weights = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    assert_same_logits(model(tokens(config)), reference(config, weights, tokens(config).numpy()))


# What every model keeps


@settings(max_examples=30, deadline=None, derandomize=True)
@given(recipes, st.data())
def test_no_token_sees_a_later_one(config: ModelConfig, data: st.DataObject) -> None:
    model, text = shaken(config), tokens(config)
    cut = data.draw(st.integers(0, config.seq_len - 1))
    other = text.clone()
    other[:, cut:] = (other[:, cut:] + 1) % config.vocab_size
    before, after = model(text), model(other)
    torch.testing.assert_close(before[:, :cut], after[:, :cut], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_observe_sees_every_mlp_as_it_is() -> None:
    model = shaken(tiny_model(n_layers=3))
    seen: list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]] = []
    text = tokens(model.config)
    logits = model(text, lambda *row: seen.append(row))
    assert [layer for layer, *_ in seen] == [0, 1, 2]
    assert torch.equal(logits, model(text)), "looking changes nothing"
    for (_, inputs, preactivation, activation), mlp in zip(seen, model.mlps(), strict=True):
        assert inputs.shape == (3, 8, 8) and preactivation.shape == activation.shape == (3, 8, 16)
        torch.testing.assert_close(preactivation, F.linear(inputs, mlp.fc_in.weight, mlp.fc_in.bias))
        assert torch.equal(activation, preactivation.clamp(min=0)) and (activation > 0).any()
    assert [mlp.layer for mlp in model.mlps()] == [0, 1, 2] and isinstance(model.mlps()[0], MLP)


@pytest.mark.parametrize("changes", [{}, {"tied": False, "positions": "learned", "init": "xavier"}])
def test_the_seed_alone_decides_the_weights(changes: dict[str, Any]) -> None:
    config = tiny_model(**changes)
    torch.manual_seed(1)
    first = dict(build(config, seed=3).named_parameters())
    torch.manual_seed(2)
    again, other = dict(build(config, seed=3).named_parameters()), dict(build(config, seed=4).named_parameters())
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if not torch.equal(first[name], other[name])]
    assert drawn == [name for name in first if "norm" not in name and "bias" not in name]


@pytest.mark.parametrize("init", ["normal", "xavier", "fan_in"])
@torch.no_grad()
def test_initial_scales(init: str) -> None:
    config = ModelConfig(
        n_layers=1,
        d_model=128,
        d_ff=512,
        vocab_size=300,
        init=init,  # type: ignore[arg-type]
        embedding_std=0.5,
        tied=False,
        positions="learned",
    )
    model = build(config, seed=0)
    block: Any = model.blocks[0]
    for linear in (block.attention.qkv, block.attention.out, block.mlp.fc_in, block.mlp.fc_out, model.output):
        fan_out, fan_in = linear.weight.shape
        expected = {"normal": 0.02, "xavier": math.sqrt(2 / (fan_in + fan_out)), "fan_in": fan_in**-0.5}[init]
        assert float(linear.weight.std()) == pytest.approx(expected, rel=0.03)
        assert linear.bias is None or not linear.bias.any()
        if init == "xavier":
            assert float(linear.weight.abs().max()) <= math.sqrt(6 / (fan_in + fan_out))
    assert float(model.embedding.weight.detach().std()) == pytest.approx(0.5, rel=0.03)
    assert float(model.position_embedding.weight.std()) == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("init", ["normal", "xavier", "fan_in"])
@torch.no_grad()
def test_a_scale_of_its_own_changes_that_part_alone(init: str) -> None:
    """By a factor: the draws are the same."""
    shape: dict[str, Any] = {"n_layers": 2, "d_model": 16, "d_ff": 32, "n_heads": 2, "seq_len": 16, "vocab_size": 64}
    plain = build(ModelConfig(**shape, init=init, positions="learned"), seed=0)  # type: ignore[arg-type]
    other = build(
        ModelConfig(**shape, init=init, positions="learned", position_std=1.0, mlp_std=0.5),  # type: ignore[arg-type]
        seed=0,
    )
    for (name, one), two in zip(plain.named_parameters(), other.parameters(), strict=True):
        factor = 50.0 if name.startswith("position") else 1.0
        if name.endswith(("fc_in.weight", "fc_out.weight")):
            fan_out, fan_in = one.shape
            factor = 0.5 / {"normal": 0.02, "xavier": math.sqrt(2 / (fan_in + fan_out)), "fan_in": fan_in**-0.5}[init]
        torch.testing.assert_close(two, factor * one, msg=name)


def test_a_tied_model_starts_with_the_scale_of_its_embeddings() -> None:
    model = build(ModelConfig(n_layers=1, init="fan_in", embedding_std=0.5), seed=0)
    assert model.output.weight is model.embedding.weight
    assert float(model.embedding.weight.detach().std()) == pytest.approx(0.5, rel=0.03)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(recipes)
def test_parameters_are_counted_by_part(config: ModelConfig) -> None:
    counted = count_parameters(config)
    named = dict(Decoder(config).named_parameters())
    c, v, n, b = config.d_model, config.vocab_size, config.n_layers, config.bias
    assert counted["attention"] == n * (4 * c * c + b * 4 * c)
    assert counted["mlp"] == sum(2 * c * f + b * (c + f) for f in config.widths)
    learned = config.seq_len * c if config.positions == "learned" else 0
    assert counted["embedding"] == v * c * (1 if config.tied else 2) + learned
    assert counted["other"] == sum(value.numel() for name, value in named.items() if "norm" in name)
    assert counted["total"] == sum(value.numel() for value in named.values())
