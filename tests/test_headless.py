"""Heads taken away, against the model whose output projection has no weights for them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heads_made import build
from relusparsity.anymodel.headless import mean_outputs, without_heads
from relusparsity.config import ModelConfig
from relusparsity.errors import UserError
from relusparsity.models import Decoder, decoder

IDS = torch.randint(3, 99, (3, 12), generator=torch.Generator().manual_seed(0))
GONE = [(0, 1), (1, 0), (1, 1)]


def own() -> Decoder:
    config = ModelConfig(n_layers=2, d_model=16, n_heads=4, d_ff=32, seq_len=16, vocab_size=99)
    return decoder.initialise(Decoder(config), 0).eval()


CASES: dict[str, Any] = {
    "own": (own, lambda m: [b.attention.out for b in m.blocks], 4),
    "llama": (lambda: build("llama"), lambda m: [b.self_attn.o_proj for b in m.model.layers], 4),
    "gpt2": (lambda: build("gpt2"), lambda m: [b.attn.c_proj for b in m.transformer.h], 2),
    "gpt_neox": (lambda: build("gpt_neox"), lambda m: [b.attention.dense for b in m.gpt_neox.layers], 2),
    "opt": (lambda: build("opt"), lambda m: [b.self_attn.out_proj for b in m.model.decoder.layers], 2),
}


def logits(model: nn.Module) -> Tensor:
    out = model(IDS)
    return out if isinstance(out, Tensor) else out.logits


def columns(projection: Any) -> Tensor:
    """The projection's weights (output, input), to be written to."""
    return projection.weight.T if type(projection).__name__ == "Conv1D" else projection.weight


@pytest.mark.parametrize("kind", CASES)
@torch.no_grad()
def test_zero_is_a_projection_without_weights_for_these_heads(kind: str) -> None:
    make, projections, heads = CASES[kind]
    model = make()
    before = logits(model)
    with without_heads(model, GONE):
        found = logits(model)
    assert torch.equal(logits(model), before), "the model is as it was"
    for layer, head in GONE:
        weight = columns(projections(model)[layer])
        width = weight.shape[1] // heads
        weight[:, head * width : (head + 1) * width] = 0
    torch.testing.assert_close(found, logits(model), rtol=1e-5, atol=1e-6)
    assert (found - before).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["own", "llama", "gpt2"])
@torch.no_grad()
def test_means_are_those_of_what_the_projection_reads_and_stand_in_its_place(kind: str) -> None:
    make, projections, heads = CASES[kind]
    model = make()
    kept: list[list[Tensor]] = [[], []]
    handles = [
        each.register_forward_pre_hook(lambda _, args, to=to: to.append(args[0].double()))
        for each, to in zip(projections(model), kept, strict=True)
    ]
    with mean_outputs(model) as means:
        for part in IDS.split(2):  # parts of different sizes
            model(part)
    for handle in handles:
        handle.remove()
    for mean, parts in zip(means, kept, strict=True):
        plain = torch.cat([part.flatten(0, 1) for part in parts]).mean(0)
        torch.testing.assert_close(mean.flatten(), plain)
        assert len(mean) == heads
    with without_heads(model, GONE, means):
        found = logits(model)
    for layer, head in GONE:  # no weights for the head, and what they make of its mean as a bias
        projection = projections(model)[layer]
        weight, width = columns(projection), means[layer].shape[1]
        at = slice(head * width, (head + 1) * width)
        added = weight[:, at] @ means[layer][head].float()
        weight[:, at] = 0
        projection.bias = nn.Parameter(added if projection.bias is None else projection.bias + added)
    torch.testing.assert_close(found, logits(model), rtol=1e-4, atol=1e-5)


def test_what_is_not_there_is_said_in_a_sentence() -> None:
    for heads, words in (([(0, 4)], "no head 4 in layer 0 of 4 heads"), ([(2, 0)], "no head 0 in layer 2: ")):
        with pytest.raises(UserError, match=words), without_heads(own(), heads):
            pass
    with pytest.raises(UserError, match="no head -1"), without_heads(own(), [(0, -1)]):
        pass
    with pytest.raises(UserError, match="no self-attention"), without_heads(nn.Linear(2, 2), []):
        pass
    with pytest.raises(UserError, match="read nothing"), mean_outputs(own()):
        pass
    model = build("llama")
    model.model.layers[1].self_attn.o_proj = nn.Identity()
    with pytest.raises(UserError, match=r"output projection of model\.layers\.1"), without_heads(model, [(0, 0)]):
        pass
