"""Copying scores of whole models against the circuit that the model itself runs, token by token."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from any_models import build as any_model
from heads_made import build
from relusparsity.anymodel.circuits import copying_scores
from relusparsity.config import ModelConfig
from relusparsity.errors import UserError
from relusparsity.models import Decoder


def circuit(model: Any, attention: Any, norms: tuple[nn.Module, nn.Module], head: int) -> np.ndarray:
    """The (vocabulary, vocabulary) matrix of a head: its attention module is run on one token a sequence, which then
    attends to itself, with the other heads' part of the output projection set to 0.
    """
    inner, last = norms
    read = model.get_input_embeddings().weight
    names = [name for name in ("o_proj", "out_proj", "c_proj") if hasattr(attention, name)]
    weight = getattr(attention, names[0]).weight
    kept = weight.clone()
    across = weight.T if hasattr(attention, "c_proj") else weight  # (model, head · width)
    width = across.shape[1] // attention.config.num_attention_heads
    across[:, : head * width] = 0
    across[:, (head + 1) * width :] = 0
    x = (read * scale(inner))[:, None]
    place = {"position_embeddings": (torch.ones(1, 1, width), torch.zeros(1, 1, width))}  # no rotation
    rotary = any(part in type(attention).__name__ for part in ("Llama", "Gemma"))
    out = attention(x, attention_mask=None, **(place if rotary else {}))[0]
    weight.copy_(kept)
    return (model.get_output_embeddings().weight * scale(last) @ out[:, 0].T).double().numpy()


def scale(norm: Any) -> Tensor:
    return 1 + norm.weight if "Gemma" in type(norm).__name__ else norm.weight


CASES = {
    "llama": lambda m: [(b.self_attn, (b.input_layernorm, m.model.norm)) for b in m.model.layers],
    "gemma3": lambda m: [(b.self_attn, (b.input_layernorm, m.model.norm)) for b in m.model.layers],
    "gpt2": lambda m: [(b.attn, (b.ln_1, m.transformer.ln_f)) for b in m.transformer.h],
    "opt": lambda m: [
        (b.self_attn, (b.self_attn_layer_norm, m.model.decoder.final_layer_norm)) for b in m.model.decoder.layers
    ],
}


@pytest.mark.parametrize("kind", CASES)
@torch.no_grad()
def test_scores_are_those_of_the_circuit_that_runs(kind: str) -> None:
    model = build(kind)
    for name, parameter in model.named_parameters():
        if "norm" in name or "ln_" in name:
            parameter.uniform_(0.5, 2)
        if name.endswith("bias") and "norm" not in name and "ln_" not in name:
            parameter.zero_()
    found = copying_scores(model)
    for scores, (attention, norms) in zip(found, CASES[kind](model), strict=True):
        assert len(scores) == model.config.num_attention_heads
        for head, score in enumerate(scores):
            values = np.linalg.eigvals(circuit(model, attention, norms, head))
            values = values[np.abs(values) > 1e-7 * np.abs(values).max()]
            assert score == pytest.approx(values.real.sum() / np.abs(values).sum(), abs=1e-4)


@torch.no_grad()
def test_a_decoder_of_ours_that_copies() -> None:
    """Its values are what it reads and its output writes them back, in head 0; head 1 writes the opposite."""
    torch.manual_seed(0)
    config = ModelConfig(n_layers=1, d_model=16, n_heads=2, d_ff=16, seq_len=8, vocab_size=99, norm="rmsnorm")
    model = Decoder(config)
    attention = model.blocks[0].attention
    attention.out.weight.copy_(attention.qkv.weight[32:].T)
    attention.out.weight[:, 8:] *= -1
    np.testing.assert_allclose(copying_scores(model)[0], [1, -1], atol=1e-9)
    model.blocks[0].attention_norm.weight.uniform_(-1, 1)
    assert np.abs(copying_scores(model)[0]).max() < 0.999


def refused(model: Any) -> str:
    with pytest.raises(UserError) as error:
        copying_scores(model)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_weights_that_do_not_allow_it() -> None:
    assert "no decoder that predicts the next token" in refused(any_model("bert"))
    assert "no decoder" in refused(any_model("t5"))
    assert "no decoder" in refused(nn.Linear(2, 2))
    assert "projections of gpt_neox.layers.0.attention are not known" in refused(build("gpt_neox"))
    post = Decoder(ModelConfig(n_layers=1, d_model=8, n_heads=2, d_ff=8, seq_len=8, vocab_size=9, norm_place="post"))
    assert "norms come after attention" in refused(post)
