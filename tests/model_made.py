"""Models whose weights are all different."""

import math
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from relusparsity.config import ModelConfig
from relusparsity.models import Decoder, build

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


def copied(target: dict[str, torch.Tensor], values: dict[str, torch.Tensor]) -> None:
    """Copy every tensor; one that is left over on either side is an error."""
    assert set(target) == set(values)
    with torch.no_grad():
        for name, value in values.items():
            target[name].copy_(value)


def assert_same_logits(ours: torch.Tensor, theirs: Any) -> None:
    assert float(ours.detach().abs().max()) > 0.5, "logits near 0 would agree by chance"
    np.testing.assert_allclose(ours.detach().numpy(), np.asarray(theirs), rtol=1e-4, atol=1e-4)


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


def _of_widths(d_ff: int | list[int], **fields: Any) -> ModelConfig:
    return ModelConfig(n_layers=3 if isinstance(d_ff, int) else len(d_ff), d_ff=d_ff, **fields)  # type: ignore[arg-type]


recipes = st.builds(
    _of_widths,
    d_ff=st.integers(1, 20) | st.lists(st.integers(1, 20), min_size=1, max_size=3),
    d_model=st.sampled_from([4, 8, 24]),
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
