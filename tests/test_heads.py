"""What heads of models do, watched while these run, equals what their own eager function says it did."""

from typing import Any

import numpy as np
import pytest
import torch

import heads_made
from attention_made import assert_same, matrix, statistics
from heads_made import CAUSAL, EAGER_ALONE, MADE, build, padding, tokens, weights
from relusparsity.anymodel.heads import track_heads
from relusparsity.attention import Scores

DELIMITERS = tuple(range(3, 30))
HOW = [(kind, how) for kind in MADE for how in ("eager", "sdpa") if how == "eager" or kind not in EAGER_ALONE]


def check(heads: Any, expected: list[list[np.ndarray]], real: np.ndarray, ids: torch.Tensor) -> None:
    flags = np.isin(ids.numpy(), DELIMITERS)
    assert len(heads.layers) == len(expected)
    for use, whole in zip(heads.uses(), expected, strict=True):
        assert use.queries == real.sum()
        assert_same(use, statistics(whole, real, flags), 1e-6)


@pytest.mark.parametrize(("kind", "how"), HOW)
@pytest.mark.parametrize("pad", ["none", "left", "right"])
def test_weights_are_those_of_the_eager_function(kind: str, how: str, pad: str) -> None:
    ids, model = tokens(), build(kind)
    mask = None if pad == "none" else padding(*ids.shape, left=pad == "left")
    expected = weights(model, ids, mask)
    watched = model if how == "eager" else build(kind, how)
    with torch.no_grad():
        before = watched(input_ids=ids, attention_mask=mask)[0]
        with track_heads(watched, DELIMITERS) as heads:
            after = watched(input_ids=ids, attention_mask=mask)[0]
    assert torch.equal(before, after)
    check(heads, expected, np.ones(ids.shape, bool) if mask is None else mask.bool().numpy(), ids)


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("cache", [None, "static"])
def test_cached_generation_is_the_same_as_reading_its_text(kind: str, cache: str | None) -> None:
    """Left-padded prompts are continued beyond the width of windows; the whole text is then read at once."""
    model, ids = build(kind), tokens(2, 6)
    mask = padding(2, 6, left=True)
    with track_heads(model, DELIMITERS) as heads, torch.no_grad():
        text = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=9, min_new_tokens=9, do_sample=False, pad_token_id=0,
            cache_implementation=cache,
        )  # fmt: skip
    read = text[:, :-1]  # the last token was made and never read
    whole = torch.cat((mask, torch.ones(2, read.shape[1] - 6, dtype=torch.int64)), dim=1)
    places = {"position_ids": (whole.cumsum(1) - 1).clamp(0)} if kind == "gpt2" else {}  # as `generate` counts them
    expected, flags = weights(model, read, whole, **places), np.isin(read.numpy(), DELIMITERS)
    assert len(heads.layers) == 2
    for use, layer in zip(heads.uses(), expected, strict=True):
        assert use.queries == whole.sum()
        found = statistics(layer, whole.bool().numpy(), flags)
        del found["next"]  # one call does not know it
        assert_same(use, found, 1e-6)


def test_the_model_is_left_as_it_was() -> None:
    from transformers.modeling_utils import AttentionInterface

    before = AttentionInterface.get_interface
    model, other = build("llama"), build("llama")
    with track_heads(model) as heads, track_heads(model) as again, torch.no_grad():
        assert AttentionInterface.get_interface is not before
        model(tokens())
        other(tokens())
    assert AttentionInterface.get_interface is before
    assert [use.queries for use in heads.uses()] == [use.queries for use in again.uses()] == [36, 36]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.config._attn_implementation == "eager"
    with torch.no_grad():
        model(tokens())
    assert heads.layers[0] is not None and heads.layers[0].queries == 36


@pytest.mark.parametrize("how", ["eager", "sdpa"])
def test_a_layer_called_without_a_mask(how: str) -> None:
    """Without one the eager function lets a token see what follows, and sdpa does not."""
    model, x = build("llama", how), torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    place = model.model.rotary_emb(x, torch.arange(6)[None])
    with track_heads(model) as heads, torch.no_grad():
        model.model.layers[0].self_attn(x, position_embeddings=place, attention_mask=None)
    use = heads.layers[0]
    assert use is not None
    assert (use.mean("next").min() > 0.01) == (how == "eager")


def test_a_decoder_of_ours() -> None:
    """Against queries and keys that are computed here from the model's weights."""
    from relusparsity.config import ModelConfig
    from relusparsity.models import Decoder

    for positions in ("rotary", "learned"):
        torch.manual_seed(0)
        config = ModelConfig(n_layers=2, d_model=16, n_heads=2, d_ff=16, seq_len=8, vocab_size=99, positions=positions)
        model, ids, kept = Decoder(config), tokens(2, 8), []
        with torch.no_grad():
            for block in model.blocks:
                block.attention.qkv.weight[:16] *= 6
        handles = [
            block.attention.qkv.register_forward_hook(lambda _, __, out, kept=kept: kept.append(out))
            for block in model.blocks
        ]
        with track_heads(model, DELIMITERS) as heads, torch.no_grad():
            model(ids)
        for handle in handles:
            handle.remove()
        expected = []
        for block, out in zip(model.blocks, kept, strict=True):
            q, k, _ = out.view(2, 8, 3, 2, 8).permute(2, 0, 3, 1, 4)
            if positions == "rotary":
                q, k = block.attention._rotate(q), block.attention._rotate(k)
            expected.append([matrix(q[s], k[s], Scores(scale=8**-0.5)) for s in range(2)])
        check(heads, expected, np.ones((2, 8), bool), ids)


def test_prefix_matching_of_a_model() -> None:
    from relusparsity.attention.induction import repeated

    model = build("llama")
    ids = repeated(torch.arange(3, 99), torch.tensor([1]), period=6, times=3, draws=2)
    with track_heads(model, period=6, begin=1) as heads, torch.no_grad():
        model(ids)
    for layer, found in enumerate(heads.prefix_matching()):
        each = []
        for row, sequence in zip(ids.tolist(), weights(model, ids)[layer], strict=True):
            for i in range(len(row)):
                if after := [j + 1 for j in range(i) if row[j] == row[i]]:
                    each.append(sequence[:, i, after].sum(1))
        np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=0, atol=1e-6)


def test_a_dataset_of_every_statistic() -> None:
    model = build("gpt_oss")
    with track_heads(model, DELIMITERS) as heads, torch.no_grad():
        model(heads_made.tokens(2, 64))
    data = heads.dataset()
    assert dict(data.sizes) == {"seed": 1, "layer": 2, "head": 4}
    assert data["attention_name"].values.tolist() == ["model.layers.0.self_attn", "model.layers.1.self_attn"]
    assert float(data["attention_learned_sink"].min()) > 0.001
    assert data["sink_rate"].notnull().all()
    assert data["attention_entropy"].attrs["units"] == "nats"
