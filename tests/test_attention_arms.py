"""Arms of attention: each is its plain definition, begins as softmax does, and is seen with the weights that it has."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attention_made import assert_same, statistics
from fixtures_core import runs_in, tiny_corpus, tiny_run
from model_made import SHAPE, shaken, tokens
from relusparsity import train
from relusparsity.anymodel.circuits import copying_scores
from relusparsity.anymodel.heads import track_heads
from relusparsity.config import ModelConfig
from relusparsity.errors import UserError
from relusparsity.models import Decoder, build, count_parameters
from relusparsity.models.attention import ARMS, Attention, KeyAndValue, Softmax

ADDED = {"sink": ["arm.logit"], "gate": ["gate.weight"], "kv_bias": ["arm.key", "arm.value"]}
"""Arm → what it adds to a layer's attention."""
DELIMITERS = range(10)


def config(arm: str, **fields: Any) -> ModelConfig:
    return ModelConfig(**SHAPE | fields, attention=arm)  # type: ignore[arg-type]


def attentions(model: nn.Module) -> list[Attention]:
    return [each for each in model.modules() if isinstance(each, Attention)]


def rows(attention: Attention, x: Tensor, arm: str, seq_len: int) -> tuple[Tensor, list[list[list[Tensor]]]]:
    """Outputs (sequence, position, width) before the output projection, and the weights of each query, one by one."""
    sequences, length, width = x.shape
    size = width // attention.n_heads
    parts = attention.qkv(x).view(sequences, length, 3, attention.n_heads, size)
    q, k, v = (parts[:, :, each].transpose(1, 2) for each in range(3))
    if attention.rotary:
        q, k = attention._rotate(q), attention._rotate(k)
    out, weights = [], []
    for b in range(sequences):
        heads, of_heads = [], []
        for h in range(attention.n_heads):
            made, of_rows = [], []
            for i in range(length):
                logits = torch.stack([q[b, h, i] @ k[b, h, j] for j in range(i + 1)]) / math.sqrt(size)
                total, more = logits.exp().sum(), torch.zeros(size, dtype=x.dtype)
                if arm == "off_by_one":
                    total = total + 1
                if arm == "sink":
                    total = total + attention.arm.logit[h].exp()
                if arm == "kv_bias":
                    own = (q[b, h, i] @ attention.arm.key[h] / math.sqrt(size)).exp()
                    total, more = total + own, own / (total + own) * attention.arm.value[h]
                share = logits.exp() / total
                if arm == "sigmoid":
                    share = 1 / (1 + (math.log(seq_len) - logits).exp())
                made.append(sum(share[j] * v[b, h, j] for j in range(i + 1)) + more)
                of_rows.append(share)
            heads.append(torch.stack(made))
            of_heads.append(of_rows)
        out.append(torch.cat(heads, dim=1))
        weights.append(of_heads)
    y = torch.stack(out)
    return (y / (1 + (-(x @ attention.gate.weight.T)).exp()) if arm == "gate" else y), weights


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("arm", ARMS)
def test_outputs_and_gradients_are_those_of_the_definition(arm: str, positions: str) -> None:
    made = config(arm, n_layers=1, positions=positions, seq_len=9)
    attention = attentions(shaken(made).double())[0]
    x = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    pull = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ours, theirs = attention(x), attention.out(rows(attention, x, arm, seq_len=9)[0])
    assert float(theirs.detach().abs().max()) > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    by = [x, *attention.parameters()]
    for one, two in zip(*(torch.autograd.grad((y * pull).sum(), by) for y in (ours, theirs)), strict=True):
        assert float(two.abs().max()) > 1e-3, "a gradient of 0 would agree by chance"
        torch.testing.assert_close(one, two, rtol=0, atol=1e-9)
    torch.testing.assert_close(attention.float()(x.float()).double(), ours, rtol=0, atol=5e-6)


@pytest.mark.parametrize("arm", ARMS)
def test_no_token_hears_of_those_after_it(arm: str) -> None:
    model = shaken(config(arm))
    ids = tokens(config(arm))
    with torch.no_grad():
        whole, beginning = model(ids), model(ids[:, :5])
    torch.testing.assert_close(beginning, whole[:, :5], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("init", ["normal", "xavier", "fan_in"])
@pytest.mark.parametrize("arm", ARMS)
def test_all_but_what_it_adds_begins_as_with_softmax(arm: str, init: str) -> None:
    fields: dict[str, Any] = {"init": init, "positions": "learned", "tied": False}
    plain, made = (dict(build(config(each, **fields), 5).named_parameters()) for each in ("softmax", arm))
    torch.manual_seed(1)
    again, other = (dict(build(config(arm, **fields), seed).named_parameters()) for seed in (5, 6))
    added = [f"blocks.{layer}.attention.{name}" for layer in range(3) for name in ADDED.get(arm, ())]
    assert sorted(set(made) - set(plain)) == sorted(added)
    assert all(torch.equal(made[name], plain[name]) for name in plain)
    assert all(torch.equal(made[name], again[name]) for name in made)
    assert all(torch.equal(made[name], other[name]) == (arm == "sink") for name in added)


def test_what_is_added_begins_at_the_size_that_is_said() -> None:
    fields = {"n_layers": 1, "d_model": 128, "init": "fan_in"}
    arms = [attentions(build(config(arm, **fields), 0))[0] for arm in ("sink", "kv_bias", "gate")]
    sink, both, gated = arms
    assert not sink.arm.logit.any() and isinstance(both.arm, KeyAndValue) and gated.gate is not None
    for drawn, size in ((both.arm.key, 0.02), (both.arm.value, 0.02), (gated.gate.weight, 128**-0.5)):
        assert float(drawn.detach().std()) == pytest.approx(size, rel=0.15)


def test_a_sink_begins_as_softmax_and_one() -> None:
    ids = tokens(config("sink"))
    with torch.no_grad():
        one, two = (build(config(arm, init="fan_in"), 0)(ids) for arm in ("sink", "off_by_one"))
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arm", ARMS)
def test_parameters_of_an_arm_count_as_attention(arm: str) -> None:
    more = {"sink": 4, "gate": 16 * 16, "kv_bias": 2 * 16}.get(arm, 0)
    plain, made = count_parameters(config("softmax")), count_parameters(config(arm))
    assert made == plain | {"attention": plain["attention"] + 3 * more, "total": plain["total"] + 3 * more}


@pytest.mark.parametrize("arm", ADDED)
def test_what_is_added_is_trained_and_loaded_with_the_weights(
    arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_in(tmp_path, monkeypatch)
    run = train.run(tiny_run(**{"model.attention": arm}), tiny_corpus())
    begun, ended = (dict(model.named_parameters()) for model in (build(run.config.model, run.config.seed), run.model()))
    for name in ADDED[arm]:
        moved = ended[f"blocks.1.attention.{name}"] - begun[f"blocks.1.attention.{name}"]
        assert float(moved.detach().abs().min()) > 0, "and not one number of it is left where it was"


def watched(model: Decoder, ids: Tensor) -> tuple[Any, list[list[np.ndarray]]]:
    """Heads of a model as they are tracked, and (layer)(sequence)(head, query, key) by the definition."""
    inputs: list[Tensor] = []
    handles = [each.register_forward_pre_hook(lambda _, given: inputs.append(given[0])) for each in attentions(model)]
    with torch.no_grad():
        before = model(ids)
        inputs.clear()
        with track_heads(model, DELIMITERS) as heads:
            after = model(ids)
    assert torch.equal(before, after)
    for handle in handles:
        handle.remove()
    found, length = [], ids.shape[1]
    for attention, x in zip(attentions(model), inputs, strict=True):
        _, weights = rows(attention, x, model.config.attention, model.config.seq_len)
        padded = [[[nn.functional.pad(r, (0, length - len(r))) for r in head] for head in each] for each in weights]
        found.append([torch.stack([torch.stack(h) for h in each]).detach().double().numpy() for each in padded])
    return heads, found


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("arm", ARMS)
def test_heads_are_tracked_by_the_weights_that_they_have(arm: str, positions: str) -> None:
    made = config(arm, positions=positions, n_layers=2, seq_len=66)  # a sink is told by 64 tokens
    model, ids = shaken(made).double(), tokens(made, sequences=1)
    heads, expected = watched(model, ids)
    flags = np.isin(ids.numpy(), DELIMITERS)
    for use, whole in zip(heads.uses(), expected, strict=True):
        assert_same(use, statistics(whole, np.ones(ids.shape, bool), flags, shared_out=arm != "sigmoid"), 1e-6)
        taken = use.mean("learned_sink")
        if arm == "sigmoid":
            assert np.isnan(taken).all()
        elif arm in ("softmax", "gate"):
            np.testing.assert_allclose(taken, 0, atol=1e-12)
        else:
            assert taken.min() > 1e-4
    assert set(heads.dataset().sizes) == {"seed", "layer", "head"}


def test_an_arm_that_does_something_else_is_refused() -> None:
    class Half(Softmax):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return super().forward(q, k, v) / 2

    model = shaken(config("softmax"))
    attentions(model)[1].arm = Half(model.config, causal=True)
    with pytest.raises(UserError, match="computes something else than") as refused, track_heads(model):
        model(tokens(model.config))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("arm", ARMS)
def test_copying_is_that_of_values_and_outputs_unless_a_gate_stands_between(arm: str) -> None:
    model = shaken(config(arm))
    if arm == "gate":
        with pytest.raises(UserError, match="has no copying scores: a gate multiplies"):
            copying_scores(model)
        return
    plain = shaken(config("softmax"))
    plain.load_state_dict(model.state_dict(), strict=False)
    np.testing.assert_allclose(copying_scores(model), copying_scores(plain), rtol=0, atol=1e-12)
