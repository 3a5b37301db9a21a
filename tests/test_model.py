"""The decoder against independent implementations with the same weights: logits equal to rtol 1e-4 + atol 1e-4."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from fixtures_core import tiny_model
from relusparsity.config import ModelConfig
from relusparsity.models import Decoder, build, count_parameters, training_flops
from relusparsity.models.decoder import MLP

SHAPE: dict[str, Any] = {"n_layers": 3, "d_model": 16, "d_ff": 40, "n_heads": 4, "seq_len": 12, "vocab_size": 50}


def shaken(config: ModelConfig, seed: int = 0) -> Decoder:
    """A model in which no parameter is 0 or 1, so that none can be left out unseen."""
    model = build(config, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator) * 0.3
    return model.eval()


def tokens(config: ModelConfig, sequences: int = 3, length: int | None = None, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, (sequences, length or config.seq_len), generator=generator)


def assert_same_logits(ours: torch.Tensor, theirs: Any) -> None:
    assert float(ours.detach().abs().max()) > 0.5, "logits near 0 would agree by chance"
    np.testing.assert_allclose(ours.detach().numpy(), np.asarray(theirs), rtol=1e-4, atol=1e-4)


def copied(target: dict[str, torch.Tensor], values: dict[str, torch.Tensor]) -> None:
    """Copy every tensor; one that is left over on either side is an error."""
    assert set(target) == set(values)
    with torch.no_grad():
        for name, value in values.items():
            target[name].copy_(value)


@torch.no_grad()
def test_equals_hugging_face_opt() -> None:
    config = ModelConfig(**SHAPE, positions="learned")
    ours = shaken(config)
    theirs = transformers.OPTForCausalLM(
        transformers.OPTConfig(
            vocab_size=50,
            hidden_size=16,
            num_hidden_layers=3,
            ffn_dim=40,
            num_attention_heads=4,
            max_position_embeddings=12,
            word_embed_proj_dim=16,
            activation_function="relu",
            do_layer_norm_before=True,
            tie_word_embeddings=True,
            dropout=0.0,
        )
    ).eval()
    mine = dict(ours.named_parameters())
    named = {
        "embed_tokens.weight": mine["embedding.weight"],
        # OPT leaves the first two rows of its positions unused
        "embed_positions.weight": torch.cat((torch.zeros(2, 16), mine["position_embedding.weight"])),
        "final_layer_norm.weight": mine["final_norm.weight"],
        "final_layer_norm.bias": mine["final_norm.bias"],
    }
    for layer in range(3):
        for kind in ("weight", "bias"):
            a, b = f"layers.{layer}.", f"blocks.{layer}."
            q, k, v = mine[f"{b}attention.qkv.{kind}"].chunk(3)
            named |= {f"{a}self_attn.{n}_proj.{kind}": value for n, value in (("q", q), ("k", k), ("v", v))}
            named[f"{a}self_attn.out_proj.{kind}"] = mine[f"{b}attention.out.{kind}"]
            named[f"{a}self_attn_layer_norm.{kind}"] = mine[f"{b}attention_norm.{kind}"]
            named[f"{a}fc1.{kind}"] = mine[f"{b}mlp.fc_in.{kind}"]
            named[f"{a}fc2.{kind}"] = mine[f"{b}mlp.fc_out.{kind}"]
            named[f"{a}final_layer_norm.{kind}"] = mine[f"{b}mlp_norm.{kind}"]
    copied(dict(theirs.model.decoder.named_parameters()), named)
    text = tokens(config)
    assert_same_logits(ours(text), theirs(text).logits)
    assert_same_logits(ours(text[:, :7]), theirs(text[:, :7]).logits)  # shorter than seq_len


@torch.no_grad()
@pytest.mark.parametrize("place", ["parallel", "pre"])
def test_equals_hugging_face_gpt_neox(place: str) -> None:
    config = ModelConfig(**SHAPE, positions="rotary", norm_place=place, tied=False)  # type: ignore[arg-type]
    ours = shaken(config)
    theirs = transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(
            vocab_size=50,
            hidden_size=16,
            num_hidden_layers=3,
            intermediate_size=40,
            num_attention_heads=4,
            max_position_embeddings=12,
            hidden_act="relu",
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
            layer_norm_eps=1e-5,
            use_parallel_residual=place == "parallel",
            tie_word_embeddings=False,
        )
    ).eval()
    mine = dict(ours.named_parameters())
    named = {
        "gpt_neox.embed_in.weight": mine["embedding.weight"],
        "gpt_neox.final_layer_norm.weight": mine["final_norm.weight"],
        "gpt_neox.final_layer_norm.bias": mine["final_norm.bias"],
        "lm_head.weight": mine["output.weight"],
    }
    for layer in range(3):
        for kind in ("weight", "bias"):
            a, b = f"gpt_neox.layers.{layer}.", f"blocks.{layer}."
            # ours: all queries, all keys, all values; NeoX: query, key, value of head 0, of head 1, …
            qkv = mine[f"{b}attention.qkv.{kind}"].unflatten(0, (3, 4, 4)).transpose(0, 1).flatten(0, 2)
            named[f"{a}attention.query_key_value.{kind}"] = qkv
            named[f"{a}attention.dense.{kind}"] = mine[f"{b}attention.out.{kind}"]
            named[f"{a}input_layernorm.{kind}"] = mine[f"{b}attention_norm.{kind}"]
            named[f"{a}post_attention_layernorm.{kind}"] = mine[f"{b}mlp_norm.{kind}"]
            named[f"{a}mlp.dense_h_to_4h.{kind}"] = mine[f"{b}mlp.fc_in.{kind}"]
            named[f"{a}mlp.dense_4h_to_h.{kind}"] = mine[f"{b}mlp.fc_out.{kind}"]
    copied(dict(theirs.named_parameters()), named)
    text = tokens(config)
    assert_same_logits(ours(text), theirs(text).logits)


# A decoder in NumPy, float64, written from the definitions alone


def reference(config: ModelConfig, weights: dict[str, np.ndarray], text: np.ndarray) -> np.ndarray:
    """Logits (sequence, position, vocabulary), one sequence and one head at a time."""
    return np.stack([one_sequence(config, weights, row) for row in text]) * config.logit_scale


def one_sequence(config: ModelConfig, w: dict[str, np.ndarray], row: np.ndarray) -> np.ndarray:
    length, width = len(row), config.d_model

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + (w[f"{name}.bias"] if config.bias else 0)

    def normed(x: np.ndarray, name: str) -> np.ndarray:
        if config.norm == "rmsnorm":
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"]
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w[f"{name}.weight"] + (w[f"{name}.bias"] if config.bias else 0)

    def turned(x: np.ndarray) -> np.ndarray:
        """Pair (i, i + half) of a head turned by position × 10000^(−2i / head width), as complex numbers."""
        half = x.shape[1] // 2
        angle = np.arange(length)[:, None] * 10_000.0 ** (-2 * np.arange(half) / x.shape[1])
        pairs = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angle)
        return np.concatenate((pairs.real, pairs.imag), 1)

    def attention(x: np.ndarray, name: str) -> np.ndarray:
        heads = []
        q, k, v = np.split(linear(x, f"{name}.qkv"), 3, axis=1)
        for h in range(config.n_heads):
            size = width // config.n_heads
            here = slice(h * size, (h + 1) * size)
            a, b = (
                (turned(q[:, here]), turned(k[:, here])) if config.positions == "rotary" else (q[:, here], k[:, here])
            )
            scores = np.where(np.tri(length, dtype=bool), a @ b.T / math.sqrt(size), -np.inf)
            share = np.exp(scores - scores.max(1, keepdims=True))
            heads.append(share / share.sum(1, keepdims=True) @ v[:, here])
        return linear(np.concatenate(heads, 1), f"{name}.out")

    def mlp(x: np.ndarray, name: str) -> np.ndarray:
        z = linear(x, f"{name}.fc_in")
        hidden = np.maximum(z, 0) if config.activation == "relu" else z * 0.5 * (1 + erf(z / math.sqrt(2)))
        return linear(hidden, f"{name}.fc_out")

    x = w["embedding.weight"][row]
    if config.positions == "learned":
        x = x + w["position_embedding.weight"][:length]
    if config.positions == "sinusoidal":
        column = np.arange(width)
        angle = np.arange(length)[:, None] / 10_000.0 ** (column // 2 * 2 / width)
        x = x + np.where(column % 2, np.cos(angle), np.sin(angle))
    if config.embedding_norm:
        x = normed(x, "embedding_norm")
    for layer in range(config.n_layers):
        b = f"blocks.{layer}."
        if config.norm_place == "post":
            x = normed(x + attention(x, f"{b}attention"), f"{b}attention_norm")
            x = normed(x + mlp(x, f"{b}mlp"), f"{b}mlp_norm")
        elif config.norm_place == "pre":
            x = x + attention(normed(x, f"{b}attention_norm"), f"{b}attention")
            x = x + mlp(normed(x, f"{b}mlp_norm"), f"{b}mlp")
        else:
            x = (
                x
                + attention(normed(x, f"{b}attention_norm"), f"{b}attention")
                + mlp(normed(x, f"{b}mlp_norm"), f"{b}mlp")
            )
    if config.norm_place != "post":
        x = normed(x, "final_norm")
    return x @ w["embedding.weight" if config.tied else "output.weight"].T


erf = np.vectorize(math.erf, otypes=[float])

recipes = st.builds(
    ModelConfig,
    n_layers=st.integers(1, 3),
    d_model=st.sampled_from([4, 8, 24]),
    d_ff=st.integers(1, 20),
    n_heads=st.sampled_from([1, 2]),
    seq_len=st.integers(1, 9),
    vocab_size=st.integers(2, 30),
    activation=st.sampled_from(["relu", "gelu"]),
    norm=st.sampled_from(["layernorm", "rmsnorm"]),
    norm_place=st.sampled_from(["pre", "post", "parallel"]),
    embedding_norm=st.booleans(),
    positions=st.sampled_from(["learned", "rotary", "sinusoidal", "none"]),
    bias=st.booleans(),
    tied=st.booleans(),
    embedding_std=st.sampled_from([0.02, 1.0]),
    init=st.sampled_from(["normal", "xavier", "fan_in"]),
    logit_scale=st.sampled_from([1.0, 0.25]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(recipes, st.integers(0, 5))
def test_equals_the_numpy_reference_for_every_recipe(config: ModelConfig, seed: int) -> None:
    model = shaken(config, seed)
    weights = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    text = tokens(config, sequences=2, seed=seed)
    ours = model(text).detach().numpy()
    np.testing.assert_allclose(ours, reference(config, weights, text.numpy()), rtol=1e-4, atol=1e-4)


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
    c, f, v, n, b = config.d_model, config.d_ff, config.vocab_size, config.n_layers, config.bias
    assert counted["attention"] == n * (4 * c * c + b * 4 * c)
    assert counted["mlp"] == n * (2 * c * f + b * (c + f))
    learned = config.seq_len * c if config.positions == "learned" else 0
    assert counted["embedding"] == v * c * (1 if config.tied else 2) + learned
    assert counted["other"] == sum(value.numel() for name, value in named.items() if "norm" in name)
    assert counted["total"] == sum(value.numel() for value in named.values())


def test_flops_are_those_that_torch_counts() -> None:
    config = ModelConfig(**SHAPE)
    model = build(config, seed=0)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        logits = model(tokens(config, sequences=2))
        logits.sum().backward()
    # the first layer's attention and MLP still need the gradient of their input: the embedding is trained
    assert counter.get_total_flops() / (2 * config.seq_len) == training_flops(config)
