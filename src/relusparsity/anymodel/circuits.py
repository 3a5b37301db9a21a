"""What heads write for the token that they read, by a model's weights alone: copying scores of their OV circuits."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attention import induction
from ..errors import UserError
from ..models import Decoder
from ..models.attention import Attention
from .attach import NUMBER
from .followed import Followed
from .interface import attentions

OUTPUTS = ("o_proj", "out_proj", "dense")


def copying_scores(model: nn.Module) -> list[np.ndarray]:
    """Copying score of every head of a language model, layer by layer: (head); see `attention.induction.copying`.

    Parameters
    ----------
    model
        A decoder of this package, or one of transformers with separate value projections or GPT-2's, its norms before
        attention. The weights of these norms, and of the last, are multiplied in.

    Raises
    ------
    UserError
        If its weights do not allow it.
    """
    model = Followed.module(model)
    read, written = _ends(model)
    last = [m for name, m in model.named_modules() if _is_norm(m) and not NUMBER.search(name)]
    tokens = induction.between(read, written * _scale(last[-1], written))
    return [_of_layer(model, name, attention, tokens) for name, attention in _layers(model)]


def _layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    found = list(attentions(model))
    if not found:
        raise _unknown(model, "it has no attention that is known")
    yield from found


def _ends(model: Any) -> tuple[Tensor, Tensor]:
    """Embedding and unembedding (vocabulary, model)."""
    if isinstance(model, Decoder):
        if model.config.norm_place == "post":
            raise _unknown(model, "its norms come after attention")
        if model.config.attention == "gate":
            raise _unknown(model, "a gate multiplies what its heads put out by what the token says")
        return model.embedding.weight, model.output.weight
    out = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    config = getattr(model, "config", None)
    if (
        out is None
        or getattr(config, "is_encoder_decoder", False)
        or not model.__class__.__name__.endswith(("ForCausalLM", "LMHeadModel"))
    ):
        raise _unknown(model, "it is no decoder that predicts the next token")
    if not getattr(config, "do_layer_norm_before", True):
        raise _unknown(model, "its norms come after attention")
    read, written = model.get_input_embeddings().weight, out.weight
    if read.shape != written.shape:
        raise _unknown(model, "embedding and unembedding have different widths")
    return read, written


def _of_layer(model: nn.Module, name: str, attention: Any, tokens: Tensor) -> np.ndarray:
    """Scores of one layer's heads."""
    made = _value_and_output(attention, len(tokens))
    if made is None:
        raise _unknown(model, f"the value and output projections of {name} are not known")
    value, output, heads = made
    block = name[: [*NUMBER.finditer(name)][-1].end()]
    norms = [each for part, each in model.get_submodule(block).named_children() if _is_norm(each)]
    value = value * _scale(norms[0], value)
    width = output.shape[1] // heads
    groups = value.shape[0] // width
    scores = []
    for head in range(heads):
        group = head * groups // heads
        of = value[group * width : (group + 1) * width], output[:, head * width : (head + 1) * width]
        scores.append(induction.copying(of[0], tokens, of[1]))
    return np.array(scores)


def _value_and_output(attention: Any, width: int) -> tuple[Tensor, Tensor, int] | None:
    """Value projection (group · width, model), output projection (model, head · width), and heads."""
    if isinstance(attention, Attention):
        return attention.qkv.weight.chunk(3)[2], attention.out.weight, attention.n_heads
    if hasattr(attention, "c_attn"):  # GPT-2's, whose weights are transposed
        return attention.c_attn.weight.T.chunk(3)[2], attention.c_proj.weight.T, attention.num_heads
    out = next((getattr(attention, name) for name in OUTPUTS if hasattr(attention, name)), None)
    value, head = getattr(attention, "v_proj", None), getattr(attention, "head_dim", None)
    if not (isinstance(out, nn.Linear) and isinstance(value, nn.Linear) and isinstance(head, int)):
        return None
    fits = value.weight.shape[1] == out.weight.shape[0] == width
    return (value.weight, out.weight, out.weight.shape[1] // head) if fits else None


def _is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__


@torch.no_grad()
def _scale(norm: nn.Module, like: Tensor) -> Tensor:
    """What a norm multiplies each dimension with, of LayerNorm and RMSNorm of any kind: asked with ±1 by turns."""
    asked = torch.ones(like.shape[1], dtype=like.dtype, device=like.device)
    asked[1::2] = -1
    scale: Tensor = (norm(asked) - norm(-asked)) / 2 * asked
    return scale


def _unknown(model: nn.Module, why: str) -> UserError:
    return UserError(f"{type(model).__name__} has no copying scores: {why}.")
