"""Attention that is not known, or would be counted wrongly, is refused with one sentence; other kinds are read."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from torch import nn

from any_models import SMALL
from attention_made import assert_same, matrix, statistics
from heads_made import build, tokens, weights
from relusparsity.anymodel import track
from relusparsity.anymodel.heads import track_heads
from relusparsity.attention import Scores
from relusparsity.encoder_decoder_config import EncoderDecoderConfig
from relusparsity.errors import UserError
from relusparsity.models.encoder_decoder import EncoderDecoder


def refused(call: Any) -> str:
    with pytest.raises(UserError) as error, torch.no_grad():
        call()
    said = str(error.value)
    assert "\n" not in said
    return said


def refused_while(heads: Any, call: Any) -> str:
    """What a call is refused with while heads are tracked."""

    def tracked() -> None:
        with heads:
            call()

    return refused(tracked)


def test_models_without_weights_to_be_had() -> None:
    bloom = t.BloomForCausalLM(t.BloomConfig(vocab_size=99, hidden_size=16, n_layer=1, n_head=2))
    assert "BloomForCausalLM has no attention weights to be had" in refused(lambda: track_heads(bloom))
    assert "Linear has no attention weights" in refused(lambda: track_heads(nn.Linear(2, 2)))
    assert "expected a torch.nn.Module" in refused(lambda: track_heads("gpt2"))  # type: ignore[arg-type]
    flex = build("llama", "flex_attention")
    assert "by flex_attention, whose weights are not known" in refused(lambda: track_heads(flex))


def test_attention_that_is_no_softmax_of_queries_and_keys() -> None:
    """Its output is compared with that of the weights: here values are scaled by the function that computes it."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    sdpa, model = ALL_ATTENTION_FUNCTIONS["sdpa"], build("llama", "sdpa")

    def other(*given: Any, **named: Any) -> Any:
        out, none = sdpa(*given, **named)
        return out * 1.01, none

    ALL_ATTENTION_FUNCTIONS["sdpa"] = other
    try:
        said = refused_while(track_heads(model), lambda: model(tokens()))
        assert "computes something else than softmax attention" in said
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


def test_a_failed_call_leaves_nothing_to_read() -> None:
    model = build("llama")
    with track_heads(model) as heads, torch.no_grad():
        model(tokens())
    assert heads.mean("first")[0].shape == (4,)
    hook = model.model.layers[1].register_forward_pre_hook(lambda *_: 1 / 0)
    again = track_heads(model)
    with pytest.raises(ZeroDivisionError), again, torch.no_grad():
        model(tokens())
    hook.remove()
    assert "measuring stopped halfway" in refused(lambda: again.mean("first"))


def test_a_cache_that_was_filled_before() -> None:
    model, ids = build("llama"), tokens()
    with torch.no_grad():
        cache = model(ids, use_cache=True).past_key_values
    said = refused_while(track_heads(model), lambda: model(ids[:, :1], past_key_values=cache))
    assert "reads 12 tokens of a cache and 0 of them were seen here" in said


def test_beams_change_the_cache() -> None:
    model = build("llama")
    beams = {"num_beams": 2, "max_new_tokens": 4, "pad_token_id": 0}
    assert "beam search" in refused_while(track_heads(model), lambda: model.generate(tokens(2, 4), **beams))


def test_delimiters_need_ids() -> None:
    model = build("llama")
    embedded = model.get_input_embeddings()(tokens()).detach()
    said = refused_while(track_heads(model, [5]), lambda: model(inputs_embeds=embedded))
    assert "does not tell the ids of its 3 × 12 tokens" in said
    with track_heads(model, [5]) as heads, torch.no_grad():
        heads.ids = tokens()
        model(inputs_embeds=embedded)
    with track_heads(model, [5]) as expected, torch.no_grad():
        model(tokens())
    np.testing.assert_array_equal(heads.mean("delimiter"), expected.mean("delimiter"))


def test_layers_of_other_heads_have_no_dataset_together() -> None:
    model = build("llama")
    with track_heads(model) as heads, torch.no_grad():
        model(tokens())
    assert heads.layers[0] is not None
    heads.layers[0].heads = 3
    assert "different numbers of heads (3, 4)" in refused(heads.dataset)


def test_dropout_is_left_to_the_model() -> None:
    """In training the output is not that of the weights; these are still those of queries and keys."""
    model = build("llama", "sdpa")
    model.config.attention_dropout = 0.5
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    with track_heads(model) as still, torch.no_grad():
        model(tokens())
    model.train()
    with track_heads(model) as heads:
        model(tokens()).logits.sum().backward()
    np.testing.assert_allclose(heads.mean("first")[0], still.mean("first")[0], rtol=0, atol=1e-12)


def test_an_encoder_decoder_of_transformers() -> None:
    """Attention to the encoder is left out; the encoder's and the decoder's own are read."""
    torch.manual_seed(0)
    config = t.BartConfig(
        vocab_size=99, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
    )  # fmt: skip
    config._attn_implementation = "eager"
    model, ids, made = t.BartModel(config).eval(), tokens(2, 9), tokens(2, 5, seed=1)
    with track_heads(model, range(3, 30)) as heads, torch.no_grad():
        out = model(input_ids=ids, decoder_input_ids=made, output_attentions=True)
    assert heads.names == ["encoder.layers.0.self_attn", "decoder.layers.0.self_attn"]
    for use, each, read in zip(
        heads.uses(), (out.encoder_attentions, out.decoder_attentions), (ids, made), strict=True
    ):
        whole = [sequence.double().numpy() for sequence in each[0]]
        assert_same(use, statistics(whole, np.ones(read.shape, bool), np.isin(read, range(3, 30))), 1e-6)


@pytest.mark.parametrize("how", ["eager", "sdpa"])
def test_a_model_that_hears(how: str) -> None:
    """Whisper: its encoder reads frames, its decoder tokens; two frames are one position."""
    config = t.WhisperConfig(
        vocab_size=99, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_mel_bins=8, max_source_positions=20,
        max_target_positions=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model, made = t.WhisperForConditionalGeneration(config).eval(), tokens(2, 5)
    sounds = torch.randn(2, 8, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = model(input_features=sounds, decoder_input_ids=made, output_attentions=True)
        model.set_attn_implementation(how)
        with track_heads(model) as heads:
            model(input_features=sounds, decoder_input_ids=made)
    assert [use.queries for use in heads.uses()] == [2 * 20, 2 * 5]
    for use, each in zip(heads.uses(), (out.encoder_attentions, out.decoder_attentions), strict=True):
        whole = [sequence.double().numpy() for sequence in each[0]]
        assert_same(use, statistics(whole, np.ones((2, whole[0].shape[1]), bool)), 1e-6)


def test_one_layer_run_several_times() -> None:
    config = t.AlbertConfig(**SMALL | {"num_hidden_layers": 3, "embedding_size": 16})
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = t.AlbertModel(config).eval()
    with track_heads(model) as heads, torch.no_grad():
        model(tokens())
    (use,) = heads.uses()
    assert use.queries == 3 * 36
    means = [statistics(layer, np.ones((3, 12), bool))["first"] for layer in weights(model, tokens())]
    np.testing.assert_allclose(use.mean("first"), np.mean(means, axis=0), rtol=0, atol=1e-6)


def test_an_encoder_decoder_of_ours() -> None:
    torch.manual_seed(0)
    config = EncoderDecoderConfig(
        n_encoder_layers=1, n_decoder_layers=1, d_model=16, n_heads=2, d_ff=16, vocab_size=99, seq_len=8, target_len=4
    )
    model, read, made, kept = EncoderDecoder(config), tokens(2, 8), tokens(2, 4), []
    own = model.blocks[0].attention
    handles = [part.register_forward_hook(lambda _, __, out: kept.append(out)) for part in (own.query, own.key)]
    with track_heads(model, range(3, 30)) as heads, torch.no_grad():
        model(read, made)
    for handle in handles:
        handle.remove()
    q, k = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in kept)
    assert heads.names == ["blocks.0.attention", "blocks.1.attention"]
    with torch.no_grad():
        scores = Scores(scale=1.0, causal=False, bias=model.encoder_positions(8))
    whole = [matrix(q[s], k[s], scores) for s in range(2)]
    assert_same(heads.uses()[0], statistics(whole, np.ones((2, 8), bool), np.isin(read, range(3, 30))), 1e-6)
    assert heads.uses()[1].mean("next") == pytest.approx([0, 0], abs=1e-12)


def test_heads_and_units_are_counted_in_one_run() -> None:
    model = build("llama")
    with track(model) as use, track_heads(model) as heads, torch.inference_mode():
        model(tokens())
    assert use.counts()[0].tokens == heads.uses()[0].queries == 36
