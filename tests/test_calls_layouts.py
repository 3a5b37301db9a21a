"""Whose tokens a layer sees: layouts, padding and caches of a call."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as t
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

import relusparsity
from any_models import build, inputs
from calls_made import counted, counts, mlp, stack, tokens
from relusparsity.errors import UserError


def test_encoders_with_positions_first() -> None:
    x, pad = torch.randn(3, 7, 8), torch.arange(7) >= torch.tensor([[7], [4], [6]])
    reads: dict[str, Any] = {"layers": "layers.*.linear2", "of": "input"}
    for nested in (False, True):
        found = []
        for first in (False, True):
            torch.manual_seed(0)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=first)
            model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).eval()
            given = x if first else x.transpose(0, 1)
            with torch.no_grad():
                found.append(counted(model, lambda m=model, g=given: m(g, src_key_padding_mask=pad), **reads))
        for one, other in zip(*found, strict=True):
            assert (one["tokens"], one["sequences"]) == (other["tokens"], other["sequences"]) == (17, 3)
            assert len(one["unit_tokens"]) == 16

    class Around(nn.Module):
        """Attention with positions first, in a block that has them so or not."""

        def __init__(self, turned: bool) -> None:
            super().__init__()
            self.turned, self.attention, self.mlp = turned, nn.MultiheadAttention(8, 2), mlp()

        def forward(self, x: Tensor) -> Tensor:
            y = x if self.turned else x.transpose(0, 1)
            y = self.attention(y, y, y)[0]
            return self.mlp(y if self.turned else y.transpose(0, 1))

    for turned in (False, True):
        blocks = nn.Sequential(Around(turned))
        given = x.transpose(0, 1) if turned else x
        assert tokens(counted(blocks, lambda m=blocks, g=given: m(g))) == [(21, 3)]
        with pytest.raises(UserError, match="sequences or positions first"), relusparsity.track(blocks):
            blocks(torch.randn(5, 5, 8))


def test_positions_first_by_the_shape_of_the_call() -> None:
    config = t.XLNetConfig(vocab_size=50, d_model=16, n_layer=2, n_head=2, d_inner=32, ff_activation="relu")
    model, ids = t.XLNetModel(config).eval(), torch.randint(3, 50, (3, 7))
    mask = torch.arange(7) >= torch.tensor([[3], [0], [6]])
    with torch.no_grad():
        found = counted(model, lambda: model(ids, attention_mask=mask.long()))
        one_by_one = counted(model, lambda: [model(row[m][None]) for row, m in zip(ids, mask, strict=True)])
    assert tokens(found) == tokens(one_by_one) == [(12, 3)] * 2
    with torch.no_grad(), pytest.raises(UserError, match="the wrong way"), relusparsity.track(model):
        model(ids[:, :3])
        model(ids)


def test_frames_of_sound_are_counted_where_the_model_tells_their_padding() -> None:
    wave = t.Wav2Vec2Model(t.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8),
        conv_stride=(5, 2), conv_kernel=(10, 3), num_feat_extract_layers=2, num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, feat_extract_norm="layer", do_stable_layer_norm=True,
    )).eval()  # fmt: skip
    whisper = t.WhisperModel(t.WhisperConfig(
        vocab_size=99, num_mel_bins=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, d_model=16, max_source_positions=20,
        max_target_positions=20, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )).eval()  # fmt: skip
    samples, mel = torch.arange(400) < torch.tensor([[400], [200]]), torch.arange(40) < torch.tensor([[40], [17]])
    frames = wave._get_feat_extract_output_lengths(samples.sum(1))
    with torch.no_grad():
        found = counted(wave, lambda: wave(torch.randn(2, 400), attention_mask=samples.long()))
        assert tokens(found) == [(int(frames.sum()), 2)] * 2 and 0 < frames[1] < frames[0]
        given = {"input_features": torch.randn(2, 8, 40), "decoder_input_ids": torch.randint(3, 99, (2, 6))}
        assert tokens(counted(whisper, lambda: whisper(**given, attention_mask=mel.long()))) == [(20 + 9, 2), (12, 2)]
        with pytest.raises(UserError, match="attention_mask has 40 positions"), relusparsity.track(whisper):
            whisper(**given, attention_mask=mel.flip(1).long())


@pytest.mark.parametrize("kind", ["SEW", "SEWD"])
@pytest.mark.parametrize("squeeze", [2, 3])
def test_frames_that_are_squeezed(kind: str, squeeze: int) -> None:
    """Those that count are those that the model's own attention does not mask."""
    torch.manual_seed(0)
    config = getattr(t, f"{kind}Config")(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8),
        conv_stride=(5, 2), conv_kernel=(10, 3), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        squeeze_factor=squeeze, hidden_act="relu",
    )  # fmt: skip
    model, samples = getattr(t, f"{kind}Model")(config).eval(), torch.arange(400) < torch.tensor([[400], [215], [88]])
    pooled: list[Tensor] = []
    pool = nn.functional.max_pool1d
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(nn.functional, "max_pool1d", lambda *a, **k: pooled.append(pool(*a, **k)) or pooled[-1])
        found = counted(model, lambda: model(torch.randn(3, 400), attention_mask=samples.long()))
    assert tokens(found) == [(int(pooled[0].sum()), 3)] and 0 < pooled[0].mean() < 1


def test_images_beside_a_text_have_no_part_in_its_padding() -> None:
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = layers | {"vocab_size": 99, "max_position_embeddings": 16}
    config = t.CLIPConfig(text_config=text, vision_config=layers | {"image_size": 16, "patch_size": 8})
    model, mask = t.CLIPModel(config).eval(), torch.arange(7) < torch.tensor([[7], [4]])
    given = {"input_ids": torch.randint(3, 99, (2, 7)), "pixel_values": torch.randn(3, 3, 16, 16)}
    with torch.no_grad():
        assert tokens(counted(model, lambda: model(**given, attention_mask=mask.long()))) == [(11, 2), (15, 3)]


@pytest.mark.parametrize("window", [None, 4])
def test_static_caches_count_as_others_do(window: int | None) -> None:
    """Their masks say which position attends to which, and a window's cache forgets the earliest."""
    torch.manual_seed(0)
    config = t.MistralConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, hidden_act="relu", pad_token_id=0, eos_token_id=None, sliding_window=window,
    )  # fmt: skip
    model, ids = t.MistralForCausalLM(config).eval(), torch.randint(3, 60, (3, 6))
    mask = (torch.arange(6) >= torch.tensor([[3], [1], [0]])).long()
    length: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    for given in (mask, torch.ones_like(mask)):
        with torch.no_grad():
            plain = counted(model, lambda given=given: model.generate(ids, attention_mask=given, **length))
            kinds: dict[str, Any] = {"cache_implementation": "static"}
            static = counted(
                model, lambda given=given, k=kinds: model.generate(ids, attention_mask=given, **length, **k)
            )
        assert static == plain and tokens(plain) == [(int(given.sum()) + 15, 3)] * 2


def test_masks_that_are_longer_than_the_call_begin_at_its_cache() -> None:
    """The model gives the same logits with a mask that is cut at its last position, and is counted as the same."""
    torch.manual_seed(0)
    small: dict[str, Any] = dict(vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64)  # fmt: skip
    llama = t.LlamaForCausalLM(t.LlamaConfig(**small)).eval()
    gemma = t.Gemma3ForCausalLM(t.Gemma3TextConfig(**small, head_dim=8, sliding_window=4)).eval()
    ids, mask = torch.randint(3, 60, (2, 9)), torch.ones(2, 16, dtype=torch.long)
    mask[0, :2] = mask[1, 7] = mask[1, 12] = 0

    def read(model: nn.Module, cache: Any, width: int | None) -> list[Tensor]:
        found = []
        for first, last in ((0, 6), (6, 8), (8, 9)):
            step = mask[:, : width or last]
            begin = 0 if cache is None else first
            given = {"attention_mask": step, "past_key_values": cache}
            found.append(model(input_ids=ids[:, begin:last], **given, use_cache=True).logits[:, -1])
        return found

    for model in (llama, gemma):
        for kind in (lambda c: t.StaticCache(c, max_cache_len=16), lambda c: t.DynamicCache(config=c), lambda c: None):
            results = []
            for width in (None, 16):
                with torch.no_grad(), relusparsity.track(model) as use:
                    logits = read(model, kind(model.config), width)
                results.append((counts(use), logits))
            (short, logits), (long, others) = results
            assert long == short and tokens(short)[0][0] == (15 if kind(model.config) is not None else 10 + 13 + 15)
            for one, other in zip(logits, others, strict=True):
                torch.testing.assert_close(one, other)


def test_masks_of_recurrent_models_end_with_the_call() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = stack()

        def forward(self, inputs_embeds: Tensor, attention_mask: Tensor, cache_params: Any = None) -> Tensor:
            return self.inner(inputs_embeds)

    model, mask = Recurrent(), torch.arange(7) >= torch.tensor([[2], [0]])
    for state, expected in ((object(), 6), (None, 4)):
        found = counted(model, lambda state=state: model(torch.randn(2, 3, 8), mask, state))
        assert tokens(found) == [(expected, 2)] * 2


def test_masks_of_other_kinds() -> None:
    """What is added to the scores, one row for all, and those that do not fit."""
    model, ids = stack(), torch.randn(3, 7, 8)

    class Taking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, inputs_embeds: Tensor, attention_mask: Tensor) -> Tensor:
            return self.inner(inputs_embeds)

    taking, real = Taking(), torch.arange(7) < torch.tensor([[5], [7], [6]])
    added = torch.zeros(3, 7).masked_fill(~real, float("-inf"))
    square = real[:, None, None, :] & torch.ones(7, 7, dtype=torch.bool).tril()
    expected = counted(taking, lambda: taking(ids, real))
    assert tokens(expected) == [(18, 3)] * 2
    for mask in (real.long(), real.float(), added, square, square[:, 0], {"full_attention": square}):
        assert counted(taking, lambda mask=mask: taking(ids, mask)) == expected
    assert tokens(counted(taking, lambda: taking(ids, real[:1]))) == [(15, 3)] * 2
    for mask in (real[:2], real[:, :5], square[:, :, :5], "full"):
        with pytest.raises(UserError, match="does not tell padding"), relusparsity.track(taking):
            taking(ids, mask)


def test_caches_that_are_changed_between_calls_are_refused() -> None:
    model, ids = build("llama_relu"), inputs("llama_relu", 1)["input_ids"]
    length: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    for how in ({"num_beams": 2}, {"assistant_model": build("llama_relu", seed=1)}):
        with pytest.raises(UserError, match="the cache was changed"), relusparsity.track(model):
            model.generate(ids, **length, **how)


def test_padding_by_other_arguments_is_refused_and_that_of_the_model_holds_inside() -> None:
    ids, mask = torch.randint(3, 50, (3, 7)), (torch.arange(7) < torch.tensor([[4], [7], [6]])).long()
    xlnet = t.XLNetModel(t.XLNetConfig(vocab_size=50, d_model=16, n_layer=2, n_head=2, d_inner=32)).eval()
    xlm = t.XLMModel(t.XLMConfig(vocab_size=50, emb_dim=16, n_layers=2, n_heads=2, pad_index=0)).eval()
    config = t.FNetConfig(vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2, pad_token_id=0)
    fnet = t.FNetForMaskedLM(config).eval()
    with torch.no_grad():
        for model, name, told, full in (
            (xlnet, "input_mask", 1.0 - mask, torch.zeros(3, 7)),
            (xlm, "lengths", mask.sum(1), torch.full((3,), 7)),
        ):
            with pytest.raises(UserError, match=f"padding by {name}"), relusparsity.track(model):
                model(ids, **{name: told})
            assert tokens(counted(model, lambda m=model, n=name, f=full: m(ids, **{n: f}))) == [(21, 3)] * 2
            assert tokens(counted(model, lambda m=model: m(ids, attention_mask=mask))) == [(17, 3)] * 2
        assert tokens(counted(fnet, lambda: fnet(input_ids=ids, attention_mask=mask))) == [(17, 3)] * 2
        t5 = build("t5")  # whose decoder reads another text of the same shape
        for other in (ids, ids.clone()):
            given = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": other}
            found = tokens(counted(t5, lambda given=given: t5(**given)))
            assert found == [(17, 3)] * 2 + [(21, 3)] * 2


@pytest.mark.parametrize("kind", ["llama_relu", "gpt2", "t5"])
@pytest.mark.parametrize("named", [True, False])
def test_caches_that_a_model_makes_are_told_apart_as_those_it_is_given(kind: str, named: bool) -> None:
    model, ids = build(kind), inputs("llama_relu", 2)["input_ids"]
    key = "decoder_input_ids" if kind == "t5" else "input_ids"
    text = {"encoder_outputs": (torch.zeros(2, 3, 16),)} if kind == "t5" else {}
    layers = "decoder.*.act" if kind == "t5" else None

    def read(given: Tensor, cache: Any = None, use: bool = True) -> Any:
        with torch.no_grad():
            out = model(**{key: given}, **text, past_key_values=cache, use_cache=use, return_dict=named)
        return out.past_key_values if named else out[1] if use else None

    def sequences(call: Callable[[], Any]) -> int:
        return tokens(counted(model, call, layers=layers))[-1][1]

    def by_turns() -> None:
        a, b = read(ids[:, :5]), read(ids[:, :5])
        read(ids[:, 5:6], a)
        read(ids[:, 6:7], a)
        read(ids[:, 5:6], b)

    def copied() -> None:
        read(ids[:, 6:7], copy.deepcopy(read(ids[:, 5:6], read(ids[:, :5]))))

    def reordered() -> None:
        cache = read(ids[:, :5])
        cache.reorder_cache(torch.tensor([1, 1]))
        read(ids[:, 5:6], cache)

    def none_left() -> None:
        read(ids[:, :5], None, False)
        read(ids[:, 5:6], other)

    other = read(ids[:, :5])
    assert sequences(by_turns) == 8 and sequences(copied) == 4
    if named:
        assert sequences(none_left) == 4
    with pytest.raises(UserError, match="the cache was changed"), relusparsity.track(model, layers):
        reordered()


def test_what_is_recorded_and_not_run_is_refused() -> None:
    model, x = stack(), torch.randn(4, 5, 8)
    scripted = torch.jit.script(model)
    for whole, choice in ((scripted, None), (nn.Sequential(scripted), "0.*.1")):
        with pytest.raises(UserError, match="TorchScript"):
            relusparsity.track(whole, choice)
    meta = stack().to("meta")
    with pytest.raises(UserError, match="expected activations"), relusparsity.track(meta):
        meta(x.to("meta"))
    for record in (torch.jit.trace, torch.export.export, lambda model, x: make_fx(model)(*x)):
        with pytest.raises(UserError, match="before the with block"), relusparsity.track(model):
            record(model, (x,))
