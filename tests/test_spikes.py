"""Sizes of the residual stream, against all of its entries at once; massive activations that are put there."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from any_models import build as any_model
from any_models import inputs
from attention_made import drawn
from heads_made import build, padding, tokens
from relusparsity.anymodel.spikes import blocks, track_spikes
from relusparsity.attention.massive import StreamUse
from relusparsity.errors import UserError


@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 5), st.integers(0, 99), st.floats(1e-20, 1e20))
@settings(max_examples=60, deadline=None)
def test_median_and_peaks_are_those_of_all_entries(
    sequences: int, positions: int, width: int, seed: int, size: float
) -> None:
    stream = drawn(sequences, positions, width, seed=seed) ** 3 * size
    real = torch.rand(sequences, positions, generator=torch.Generator().manual_seed(seed)) < 0.8
    real[0, 0] = True
    whole, parts = StreamUse(width), StreamUse(width)
    whole.update(stream, real)
    for s in range(sequences):  # sequences apart, each as if it were generated
        part = StreamUse(width)
        for at in range(positions):
            part.update(stream[s : s + 1, at : at + 1], real[s : s + 1, at : at + 1], continues=at > 0)
        parts.append(part)
    kept = stream[real].abs().double()
    middle = kept.flatten().sort().values[(kept.numel() - 1) // 2]
    assert whole.median() == pytest.approx(float(middle), rel=2**-8, abs=1e-37)
    assert whole.entries == kept.numel()
    assert torch.equal(whole.histogram, parts.histogram)
    assert torch.equal(whole.peak, parts.peak)
    assert torch.equal(whole.peak.abs().double(), kept.max(0).values)
    for dimension, (sequence, token) in enumerate(whole.at.tolist()):
        start = int(real[sequence].long().argmax())
        assert stream[sequence, start + token, dimension] == whole.peak[dimension]
    if bool((whole.peak.abs().double() == kept.max(0).values).all()) and len(kept) == len(kept.unique(dim=0)):
        assert torch.equal(whole.at, parts.at)


def test_what_is_massive_by_both_rules() -> None:
    use = StreamUse(4)
    stream = torch.full((2, 3, 4), 0.05)
    stream[1, 2] = torch.tensor([99.0, 101.0, -150.0, 1.0])
    use.update(stream)
    assert use.massive() == [2, 1]  # 99 is no more than 100, though 1,980 times the median
    assert use.largest() == (-150.0, 1, 2, 2)
    large = StreamUse(4)
    large.update(stream.clamp(min=0.2))  # 101 is 505 times the median
    assert large.massive() == []
    assert np.isnan(StreamUse(4).median())


def test_what_is_no_number_is_an_error() -> None:
    use = StreamUse(2)
    use.update(torch.tensor([[[1.0, torch.nan]]]))
    with pytest.raises(FloatingPointError, match="not finite"):
        use.massive()
    with pytest.raises(ValueError, match="expected 2"):
        use.update(torch.zeros(1, 1, 3))
    with pytest.raises(ValueError, match="continue none"):
        use.update(torch.zeros(2, 1, 2), continues=True)
    with pytest.raises(ValueError, match="cannot be put together"):
        use.append(StreamUse(3))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt", "gpt_neox", "gemma3", "gpt_oss", "bert"])
@pytest.mark.parametrize("left", [False, True])
def test_the_stream_is_the_models_hidden_states(kind: str, left: bool) -> None:
    model, ids = build(kind), tokens()
    mask = padding(*ids.shape, left=left)
    with track_spikes(model) as spikes, torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    states = out.hidden_states[1:]
    assert len(spikes.layers) == len(states) == 2
    for layer, (use, state) in enumerate(zip(spikes.uses(), states, strict=True)):
        if layer == 0 or kind == "bert":  # the last one of decoders has gone through the final norm
            value, sequence, token, dimension = use.largest()
            assert value == state[sequence, int(mask[sequence].argmax()) + token, dimension]
            assert abs(value) == state[mask.bool()].abs().max()
        assert use.entries == mask.sum() * state.shape[2]


def test_a_massive_activation_is_found_where_it_is_written() -> None:
    """A bias of one dimension in the second block, which the model then generates with."""
    model = build("gpt2")
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.bias[5] = -5000.0
    with track_spikes(model) as spikes, torch.no_grad():
        model.generate(tokens(2, 4), max_new_tokens=4, do_sample=False, pad_token_id=0)
    data = spikes.dataset()
    assert data["massive_dimensions"].values.tolist() == [[0, 1]]
    assert data["spike_dimension"].values[0, 1] == 5
    assert data["spike"].values[0, 1] == pytest.approx(-5000, abs=5)
    assert spikes.uses()[0].entries == 2 * (4 + 3) * 16
    assert data["stream_name"].values.tolist() == ["transformer.h.0", "transformer.h.1"]


def test_blocks_hold_attention_and_mlp() -> None:
    assert blocks(any_model("t5")) == [f"{side}.block.{i}" for side in ("encoder", "decoder") for i in range(2)]
    assert blocks(any_model("bert")) == ["bert.encoder.layer.0", "bert.encoder.layer.1"]
    model = any_model("t5")
    with track_spikes(model) as spikes, torch.no_grad():
        model(**inputs("t5"))
    assert [use.entries for use in spikes.uses()] == [3 * 8 * 16] * 2 + [3 * 4 * 16] * 2


def refused(call: Any) -> str:
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_followed_is_refused() -> None:
    assert "its residual stream is not known" in refused(lambda: track_spikes(nn.Linear(2, 2)))
    assert "expected a torch.nn.Module" in refused(lambda: track_spikes("gpt2"))  # type: ignore[arg-type]
    spikes = track_spikes(build("gpt2"))
    with spikes:
        pass
    assert "transformer.h.0 has seen no token" in refused(spikes.dataset)
