"""`track` on models of every kind: counts equal those recomputed from stored activations."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import relusparsity
from any_models import DECODERS, GATED, KINDS, SMOOTH, build, inputs, names, stored
from relusparsity.anymodel import above
from relusparsity.errors import UserError
from track_made import assert_counts, shaped


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_from_disk(kind: str, tmp_path: Path) -> None:
    model = build(kind, tmp_path)
    before = {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()}
    bare = model(**inputs(kind)).logits
    with stored(model, names(kind)) as kept, relusparsity.track(model) as use:
        watched = model(**inputs(kind)).logits
    assert torch.equal(bare, watched)
    assert before == {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()}
    assert [place.name for place in use.places] == names(kind)
    assert {place.kind for place in use.places} == {"smooth" if kind in SMOOTH else "relu"}
    assert {place.gated for place in use.places} == {kind in GATED}
    assert ("not exactly zero" in repr(use)) == (kind in SMOOTH)
    for layer, activations in zip(use.layers, kept, strict=True):
        a = shaped(activations, 3)
        assert layer is not None and a.size > 0
        assert_counts(layer, a != 0 if kind in SMOOTH else a > 0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["opt", "llama_relu", "bert", "t5"])
def test_padding_does_not_count(kind: str, side: str) -> None:
    model, given = build(kind), inputs(kind, 4)
    real = np.arange(8) < np.array([[8], [3], [0], [5]])  # one row is padding only
    real = real[:, ::-1].copy() if side == "left" else real
    given["attention_mask"] = torch.from_numpy(real).long()
    masks = [real, real]
    if kind == "t5":
        short = real[:, :4] if side == "right" else real[:, 4:]
        given["decoder_attention_mask"] = torch.from_numpy(short.copy()).long()
        masks += [short, short]
    with stored(model, names(kind)) as kept, relusparsity.track(model, rule=above(0.02, len(names(kind)))) as use:
        model(**given)
    for layer, activations, mask in zip(use.layers, kept, masks, strict=True):
        assert layer is not None and layer.tokens == mask.sum() < mask.size
        assert_counts(layer, np.abs(shaped(activations, 4)) > np.float32(0.02), mask)


@pytest.mark.parametrize("kind", DECODERS)
def test_decoding_with_a_cache_is_one_sequence(kind: str) -> None:
    """A prompt and then one token at a time gives the counts of one sequence, also with padding on the left."""
    model, ids = build(kind), inputs(kind, 2)["input_ids"]
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    with stored(model, names(kind)) as kept, relusparsity.track(model, rule=above(0.02, 2)) as use, torch.no_grad():
        past = model(input_ids=ids[:, :5], attention_mask=mask[:, :5], use_cache=True).past_key_values
        for at in range(5, 8):
            model(input_ids=ids[:, at : at + 1], attention_mask=mask[:, : at + 1], past_key_values=past, use_cache=True)
    for layer, activations in zip(use.layers, kept, strict=True):
        assert layer is not None and (layer.tokens, layer.sequences) == (13, 2)
        assert_counts(layer, np.abs(shaped(activations, 2)) > np.float32(0.02), mask.bool().numpy(), windows=False)
        # tokens of the two came by turns, which is no running text
        assert np.isfinite(layer.window_use()[0]) and np.isnan(layer.window_use()[1:]).all()


def test_another_cache_begins_other_sequences() -> None:
    """Copies of a prompt's cache are as many sequences; two caches that go on by turns do not run into each other."""
    model, ids = build("opt"), inputs("opt", 3)["input_ids"]
    with torch.no_grad():
        prompt = model(input_ids=ids[:1, :5], use_cache=True).past_key_values
        with relusparsity.track(model) as use:
            for row in range(3):
                model(input_ids=ids[row : row + 1, 5:7], past_key_values=copy.deepcopy(prompt))
        assert [(each.tokens, each.sequences) for each in use.counts()] == [(6, 3)] * 2
        with relusparsity.track(model) as use:
            one, other = copy.deepcopy(prompt), copy.deepcopy(prompt)
            for cache in (one, other, one):
                model(input_ids=ids[:1, 5:6], past_key_values=cache)
        assert [each.sequences for each in use.counts()] == [3] * 2, "a cache taken up again begins anew as well"


def test_a_sequence_goes_on_in_a_later_block() -> None:
    model, ids = build("opt"), inputs("opt", 1)["input_ids"]
    use = relusparsity.track(model)
    with torch.no_grad(), use:
        cache = model(input_ids=ids[:, :5], use_cache=True).past_key_values
    with torch.no_grad(), use:
        model(input_ids=ids[:, 5:6], past_key_values=cache)
    assert [(each.tokens, each.sequences) for each in use.counts()] == [(6, 1)] * 2


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected a torch\.nn\.Module"):
        relusparsity.track("facebook/opt-125m")  # type: ignore[arg-type]


def test_generation_of_one_text_has_windows() -> None:
    model, ids = build("opt"), inputs("opt", 1)["input_ids"]
    with stored(model, names("opt")) as kept, relusparsity.track(model) as use:
        model.generate(ids, max_new_tokens=7, min_new_tokens=7, do_sample=False)
    for layer, activations in zip(use.layers, kept, strict=True):
        assert layer is not None and (layer.tokens, layer.sequences) == (14, 1)  # the last token is never read
        assert_counts(layer, shaped(activations, 1) > 0)


def test_generation_with_an_encoder_called_by_itself() -> None:
    model, ids = build("t5"), inputs("t5")["input_ids"]
    with relusparsity.track(model) as use:
        model.generate(input_ids=ids, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert [layer.tokens for layer in use.counts()] == [24, 24, 12, 12]
    assert [layer.sequences for layer in use.counts()] == [3, 3, 3, 3]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_counts_its_own_zeros(dtype: torch.dtype) -> None:
    model = build("opt").to(dtype)
    with stored(model, names("opt")) as kept, relusparsity.track(model) as use, torch.inference_mode():
        model(**inputs("opt"))
    with relusparsity.track(model) as again:
        model(**inputs("opt"))
    for layer, same, activations in zip(use.counts(), again.counts(), kept, strict=True):
        assert_counts(layer, shaped(activations, 3) > 0)
        assert torch.equal(layer.unit_tokens, same.unit_tokens)
