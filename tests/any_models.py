"""Small models of every kind that `track` recognises, saved to disk and loaded again; and what they do with inputs."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from torch import Tensor, nn

from relusparsity.measure import load

transformers_log = t.logging
transformers_log.set_verbosity_error()

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 99,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
KV = SMALL | {"num_key_value_heads": 2}
T5 = {"d_model": 16, "d_ff": 32, "num_layers": 2, "num_heads": 2, "d_kv": 8, "vocab_size": 99}
OPT = {"hidden_size": 16, "word_embed_proj_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2}

# name: (class, configuration, the modules that hold the hidden activations of the layers in order); made when asked
# for, since transformers imports a module for each, which collecting the tests need not wait for
KINDS: dict[str, Callable[[], tuple[Any, Any, tuple[str, ...]]]] = {
    "opt": lambda: (
        t.OPTForCausalLM,
        t.OPTConfig(**OPT, ffn_dim=32, vocab_size=99, max_position_embeddings=64),
        ("model.decoder.layers.{}.activation_fn",),
    ),
    "gpt2": lambda: (
        t.GPT2LMHeadModel,
        t.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=99, n_positions=64),
        ("transformer.h.{}.mlp.act",),
    ),
    "gpt_neox": lambda: (t.GPTNeoXForCausalLM, t.GPTNeoXConfig(**SMALL), ("gpt_neox.layers.{}.mlp.act",)),
    "t5": lambda: (
        t.T5ForConditionalGeneration,
        t.T5Config(**T5, decoder_start_token_id=0),
        ("encoder.block.{}.layer.1.DenseReluDense.act", "decoder.block.{}.layer.2.DenseReluDense.act"),
    ),
    "t5_gated": lambda: (
        t.T5ForConditionalGeneration,
        t.T5Config(**T5, decoder_start_token_id=0, feed_forward_proj="gated-gelu"),
        ("encoder.block.{}.layer.1.DenseReluDense.act", "decoder.block.{}.layer.2.DenseReluDense.act"),
    ),
    "bert": lambda: (
        t.BertForMaskedLM,
        t.BertConfig(**SMALL),
        ("bert.encoder.layer.{}.intermediate.intermediate_act_fn",),
    ),
    "vit": lambda: (
        t.ViTForImageClassification,
        t.ViTConfig(**{k: SMALL[k] for k in list(SMALL)[:4]}, image_size=16, patch_size=8),
        ("vit.layers.{}.mlp.activation_fn",),
    ),
    "llama": lambda: (t.LlamaForCausalLM, t.LlamaConfig(**KV), ("model.layers.{}.mlp.act_fn",)),
    "llama_relu": lambda: (t.LlamaForCausalLM, t.LlamaConfig(**KV, hidden_act="relu"), ("model.layers.{}.mlp.act_fn",)),
    "mistral": lambda: (t.MistralForCausalLM, t.MistralConfig(**KV), ("model.layers.{}.mlp.act_fn",)),
    "qwen2": lambda: (t.Qwen2ForCausalLM, t.Qwen2Config(**KV), ("model.layers.{}.mlp.act_fn",)),
    "gemma": lambda: (t.GemmaForCausalLM, t.GemmaConfig(**KV, head_dim=8), ("model.layers.{}.mlp.act_fn",)),
    "phi3": lambda: (t.Phi3ForCausalLM, t.Phi3Config(**KV), ("model.layers.{}.mlp.activation_fn",)),
    "nemotron": lambda: (t.NemotronForCausalLM, t.NemotronConfig(**KV), ("model.layers.{}.mlp.act_fn",)),
}
SMOOTH = {"gpt2", "gpt_neox", "t5_gated", "bert", "vit", "llama", "mistral", "qwen2", "gemma", "phi3"}
GATED = {"t5_gated", "llama", "llama_relu", "mistral", "qwen2", "gemma", "phi3"}
DECODERS = ("opt", "gpt2", "gpt_neox", "llama", "llama_relu", "mistral", "qwen2", "phi3", "nemotron")


def build(kind: str, folder: Path | None = None, seed: int = 0) -> Any:
    """A model of this kind with random weights, by way of the disk if a folder is given."""
    make, config, _ = KINDS[kind]()
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(0, 0.3)  # zeros, as made, would leave biases untested
        if folder is not None:
            model.save_pretrained(folder)
            model = make.from_pretrained(folder)
    return model.eval()


def names(kind: str) -> list[str]:
    return [pattern.format(i) for pattern in KINDS[kind]()[2] for i in range(2)]


def inputs(kind: str, sequences: int = 3, length: int = 8, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    if kind == "vit":
        return {"pixel_values": torch.randn(sequences, 3, 16, 16, generator=generator)}
    ids = torch.randint(3, 99, (sequences, length), generator=generator)
    given = {"input_ids": ids}
    if kind.startswith("t5"):
        given["decoder_input_ids"] = ids.flip(1)[:, : length // 2]
    return given


@contextmanager
def stored(model: nn.Module, modules: list[str]) -> Iterator[list[list[np.ndarray]]]:
    """The activations themselves, a list a module: what counting is checked against."""
    kept: list[list[np.ndarray]] = [[] for _ in modules]
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda _m, _a, out, at=at: kept[at].append(out.detach().float().numpy().copy())
        )
        for at, name in enumerate(modules)
    ]
    yield kept
    for handle in handles:
        handle.remove()


def in_the_sixth_batch(do: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of every batch that `measure` reads from now on, its sequences; in the sixth, before it is read, `do` is done."""
    read, calls = load.logits, list[int]()

    def reads(model: Any, ids: Any) -> Any:
        calls.append(len(ids))
        if len(calls) == 6:
            do()
        return read(model, ids)

    monkeypatch.setattr(load, "logits", reads)
    return calls


def interrupt() -> None:
    raise KeyboardInterrupt
