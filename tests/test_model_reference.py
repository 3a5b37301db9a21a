"""The decoder against independent implementations with the same weights."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from model_made import SHAPE, assert_same_logits, copied, recipes, reference, shaken, tokens
from relusparsity.config import ModelConfig


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


@settings(max_examples=150, deadline=None, derandomize=True)
@given(recipes, st.integers(0, 5))
def test_equals_the_numpy_reference_for_every_recipe(config: ModelConfig, seed: int) -> None:
    model = shaken(config, seed)
    weights = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    text = tokens(config, sequences=2, seed=seed)
    ours = model(text).detach().numpy()
    np.testing.assert_allclose(ours, reference(config, weights, text.numpy()), rtol=1e-4, atol=1e-4)
