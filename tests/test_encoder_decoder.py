"""The encoder-decoder against an independent T5 with the same weights; what it sees, what is counted, how it starts."""

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers.models.t5.modeling_t5 import T5Attention

from model_made import assert_same_logits, shaken
from relusparsity.encoder_decoder_config import EncoderDecoderConfig
from relusparsity.errors import UserError
from relusparsity.models import EncoderDecoder, build, checked
from relusparsity.models.encoder_decoder import bucket

SMALL = EncoderDecoderConfig(
    n_encoder_layers=2, n_decoder_layers=3, d_model=24, d_ff=40, n_heads=4, seq_len=160, target_len=50, vocab_size=70
)


def batch(config: EncoderDecoderConfig = SMALL, sequences: int = 3) -> tuple[torch.Tensor, ...]:
    """Ids that are read, ids that are predicted from, and targets; of no meaning."""
    lengths = (config.seq_len, config.target_len, config.target_len)
    return tuple(
        torch.randint(config.vocab_size, (sequences, length), generator=torch.Generator().manual_seed(seed))
        for seed, length in enumerate(lengths)
    )


def t5(ours: EncoderDecoder) -> transformers.T5ForConditionalGeneration:
    """That of transformers, with the same weights; one that is left over on either side is an error."""
    config = ours.config
    theirs = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=config.vocab_size,
            d_model=config.d_model,
            d_kv=config.d_model // config.n_heads,
            d_ff=config.d_ff,
            num_layers=config.n_encoder_layers,
            num_decoder_layers=config.n_decoder_layers,
            num_heads=config.n_heads,
            feed_forward_proj=config.activation,
            dropout_rate=0.0,
        )
    ).eval()
    target = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, value in ours.named_parameters():
            target.pop(their_name(name, config)).copy_(value)
    assert not target
    return theirs


def their_name(name: str, config: EncoderDecoderConfig) -> str:
    for side in ("encoder", "decoder"):
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        name = name.replace(f"{side}_positions.by_bucket.weight", bias)
        name = name.replace(f"{side}_norm.", f"{side}.final_layer_norm.")
    if not (found := re.match(r"blocks\.(\d+)\.(\w+)\.(.+)", name)):
        return name.replace("embedding", "shared")
    layer, part, rest = int(found[1]), found[2], found[3]
    decodes = layer >= config.n_encoder_layers
    block = f"decoder.block.{layer - config.n_encoder_layers}" if decodes else f"encoder.block.{layer}"
    place = {"attention": 0, "cross": 1, "mlp": 1 + decodes}[part.removesuffix("_norm")]
    if part.endswith("_norm"):
        return f"{block}.layer.{place}.layer_norm.{rest}"
    kind = {"attention": "SelfAttention", "cross": "EncDecAttention", "mlp": "DenseReluDense"}[part]
    short = {"query": "q", "key": "k", "value": "v", "out": "o", "fc_in": "wi", "fc_out": "wo"}
    matrix, _, end = rest.partition(".")
    return f"{block}.layer.{place}.{kind}.{short[matrix]}.{end}"


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_logits_loss_and_gradients_equal_those_of_transformers(activation: Any) -> None:
    ours = shaken(replace(SMALL, activation=activation))
    theirs = t5(ours)
    inputs, before, targets = batch()
    logits, asked = ours.predict(inputs, before, targets)
    out = theirs(input_ids=inputs, decoder_input_ids=before, labels=targets)
    assert torch.equal(asked, targets)
    assert_same_logits(logits, out.logits.detach())
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, out.loss)
    loss.backward()
    out.loss.backward()
    their = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        gradient = their[their_name(name, SMALL)].grad
        assert gradient is not None and parameter.grad is not None and gradient.abs().max() > 1e-5, name
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_shorter_sequences_equal_those_of_transformers() -> None:
    ours = shaken(SMALL)
    inputs, before, _ = (part[:, :7] for part in batch())
    with torch.no_grad():
        assert_same_logits(ours(inputs, before), t5(ours)(input_ids=inputs, decoder_input_ids=before).logits)


@pytest.mark.parametrize("causal", [False, True])
def test_ranges_of_distances_equal_those_of_transformers(causal: bool) -> None:
    ahead = torch.arange(-3000, 3001)
    theirs = T5Attention._relative_position_bucket(ahead, bidirectional=not causal)
    assert torch.equal(bucket(ahead, causal), theirs) and len(theirs.unique()) == 32 - (not causal)


# What sees what


def changed(part: torch.Tensor, at: int) -> torch.Tensor:
    other = part.clone()
    other[:, at] = (other[:, at] + 1) % SMALL.vocab_size
    return other


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, SMALL.target_len - 1), st.integers(0, SMALL.seq_len - 1))
@torch.no_grad()
def test_the_decoder_sees_nothing_later_and_all_that_is_read(late: int, anywhere: int) -> None:
    model, (inputs, before, targets) = shaken(SMALL), batch(sequences=1)
    logits, _ = model.predict(inputs, before, targets)
    later, _ = model.predict(inputs, changed(before, late), targets)
    torch.testing.assert_close(later[:, :late], logits[:, :late], rtol=1e-5, atol=1e-5)
    assert ((later - logits)[:, late:].abs().amax(-1) > 1e-4).all()
    other, _ = model.predict(changed(inputs, anywhere), before, targets)
    assert ((other - logits).abs().amax(-1) > 1e-4).all(), "every position sees the whole of what is read"


@torch.no_grad()
def test_every_position_of_the_encoder_sees_every_other_and_nothing_of_the_decoder() -> None:
    model, (inputs, before, targets) = shaken(SMALL), batch(sequences=1)

    def seen(*given: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        model.predict(*given, observe=lambda _layer, x, _z, _a: kept.append(x))
        return kept[SMALL.n_encoder_layers - 1]

    whole = seen(inputs, before, targets)
    for at in (0, 80, SMALL.seq_len - 1):
        assert ((seen(changed(inputs, at), before, targets) - whole).abs().amax(-1) > 1e-5).all()
    assert torch.equal(seen(inputs, changed(before, 0), targets), whole)


# What is counted


@pytest.mark.parametrize("d_ff", [40, (40, 24, 8, 16, 40)])
@torch.no_grad()
def test_counts_are_those_of_brute_force_encoder_first(d_ff: Any) -> None:
    config = replace(SMALL, d_ff=d_ff)
    model, given = shaken(config), batch(config)
    hidden: list[torch.Tensor] = []
    for mlp in model.mlps():
        mlp.fc_out.register_forward_pre_hook(lambda _, x: hidden.append(x[0]))
    counted: list[tuple[int, torch.Tensor]] = []
    model.predict(*given, count=lambda *row: counted.append(row))
    assert [layer for layer, _ in counted] == [0, 1, 2, 3, 4]
    places = [(160, "encoder 0"), (160, "encoder 1"), (50, "decoder 0"), (50, "decoder 1"), (50, "decoder 2")]
    assert list(zip(model.positions(), config.layer_names, strict=True)) == places
    assert model.widths() == list(config.widths)
    for (positions, _), (_, per_unit), layer in zip(places, counted, hidden, strict=True):
        by_hand = [
            [sum(float(layer[b, t, unit]) > 0 for t in range(positions)) for unit in range(layer.shape[2])]
            for b in range(3)
        ]
        assert per_unit.tolist() == by_hand and 0 < per_unit.sum() < per_unit.numel() * positions


def test_it_is_what_is_asked_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = build(SMALL, 0), batch()
    assert isinstance(model, EncoderDecoder) and len(model.blocks) == 5
    checked.check(model, *given)
    with pytest.raises(UserError, match=r"layer 2, observes the shapes .* expected \[\(3, 50, 24\)"):
        checked.check(model, given[0], *(part[:, :30] for part in given[1:]))
    monkeypatch.setattr(EncoderDecoder, "positions", lambda _: [160, 50])
    with pytest.raises(
        UserError, match=r"EncoderDecoder\.positions gives 2 numbers for 5 layers: expected one for each"
    ):
        checked.check_layers(model)


def test_reading_in_bf16_keeps_the_mask() -> None:
    model, (inputs, before, targets) = shaken(SMALL), batch()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits, later = (model.predict(inputs, each, targets)[0] for each in (before, changed(before, 30)))
    assert torch.equal(logits[:, :30], later[:, :30]) and not torch.equal(logits[:, 30:], later[:, 30:])


# How it starts


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    first = dict(build(SMALL, seed=3).named_parameters())
    torch.manual_seed(2)
    again, other = dict(build(SMALL, seed=3).named_parameters()), dict(build(SMALL, seed=4).named_parameters())
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if not torch.equal(first[name], other[name])]
    assert drawn == [name for name in first if "norm" not in name]


def test_initial_scales_are_those_of_transformers() -> None:
    config = replace(SMALL, d_model=256, d_ff=1024, n_heads=8, vocab_size=500)
    ours = build(config, seed=0)
    torch.manual_seed(0)
    theirs = transformers.T5ForConditionalGeneration(t5(ours).config)  # type: ignore[arg-type]
    their = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        other = their[their_name(name, config)]
        if "norm" in name:
            assert torch.equal(parameter, other), name
        else:
            near = 0.2 if "by_bucket" in name else 0.02  # of 256 numbers, and of 65,536 or more
            assert float(parameter.detach().std()) == pytest.approx(float(other.detach().std()), rel=near), name


WRONG = [
    ({"n_heads": 5}, "n_heads = 5 does not divide d_model = 24; choose one that does."),
    ({"d_ff": (8, 8)}, "d_ff = [8, 8]: expected a width for each of the 5 layers, or a single"),
    ({"target_len": 0}, "EncoderDecoderConfig.target_len = 0: expected a number above 0"),
    ({"activation": "swish"}, "EncoderDecoderConfig.activation = 'swish': expected one of relu, gelu"),
]


@pytest.mark.parametrize(("changes", "says"), WRONG)
def test_a_shape_that_is_none_is_refused_in_a_sentence(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as refused:
        replace(SMALL, **changes)
    assert "\n" not in str(refused.value)


def test_one_shape_has_one_spelling() -> None:
    assert replace(SMALL, d_ff=(40,) * 5) == SMALL
