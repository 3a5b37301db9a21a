"""Small models of transformers of every family of attention, and their weights as the eager function gives them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers as t
from torch import Tensor

from any_models import KV, SMALL, T5

GROUPED = KV | {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
WINDOWS = GROUPED | {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
MADE: dict[str, Callable[[], tuple[Any, Any]]] = {
    "llama": lambda: (t.LlamaForCausalLM, t.LlamaConfig(**GROUPED)),
    "gpt2": lambda: (t.GPT2LMHeadModel, t.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=99, n_positions=64)),
    "opt": lambda: (
        t.OPTForCausalLM,
        t.OPTConfig(
            hidden_size=16,
            word_embed_proj_dim=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=32,
            vocab_size=99,
            max_position_embeddings=64,
        ),
    ),
    "gpt_neox": lambda: (t.GPTNeoXForCausalLM, t.GPTNeoXConfig(**SMALL)),
    "mistral": lambda: (t.MistralForCausalLM, t.MistralConfig(**GROUPED, sliding_window=4)),
    "qwen3": lambda: (t.Qwen3ForCausalLM, t.Qwen3Config(**GROUPED)),  # norms on queries and keys
    "gemma2": lambda: (  # soft caps
        t.Gemma2ForCausalLM,
        t.Gemma2Config(**WINDOWS, attn_logit_softcapping=1.5, query_pre_attn_scalar=4),
    ),
    "gemma3": lambda: (t.Gemma3ForCausalLM, t.Gemma3TextConfig(**WINDOWS, query_pre_attn_scalar=4)),
    "gpt_oss": lambda: (  # learned sinks
        t.GptOssForCausalLM,
        t.GptOssConfig(**WINDOWS, num_local_experts=2, num_experts_per_tok=1, eos_token_id=1),
    ),
    "bert": lambda: (t.BertForMaskedLM, t.BertConfig(**SMALL)),
    "t5": lambda: (t.T5EncoderModel, t.T5Config(**T5)),  # biases for relative positions
}
EAGER_ALONE = {"gemma2", "gpt_oss"}
"""Families that sdpa does not compute."""
CAUSAL = sorted(set(MADE) - {"bert", "t5"})


def build(kind: str, how: str = "eager", size: float = 6.0) -> Any:
    """A model with random weights, whose queries are large enough that attention is far from even."""
    make, config = MADE[kind]()
    torch.manual_seed(0)
    config._attn_implementation = how
    model = make(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("q_proj", "query", "c_attn", ".q.")):
                parameter.mul_(size)
            if name.endswith("sinks"):
                parameter.normal_()
    return model


def tokens(sequences: int = 3, length: int = 12, seed: int = 0) -> Tensor:
    return torch.randint(3, 99, (sequences, length), generator=torch.Generator().manual_seed(seed))


def weights(model: Any, ids: Tensor, mask: Tensor | None = None, **named: Any) -> list[list[np.ndarray]]:
    """(layer)(sequence)(head, query, key) of the model's own eager function."""
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, output_attentions=True, **named)
    return [[sequence.double().numpy() for sequence in layer] for layer in out.attentions]


def padding(sequences: int, length: int, left: bool) -> Tensor:
    at = torch.arange(length).expand(sequences, -1)
    cut = torch.tensor([0, 3, 7])[:sequences, None]
    return (at >= cut if left else at < length - cut).long()
