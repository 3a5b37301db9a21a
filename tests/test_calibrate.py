"""Thresholds for smooth activations: each rule does what it says, recomputed from stored activations."""

import math

import numpy as np
import pytest
import torch

import relusparsity
from any_models import build, inputs, names, stored
from relusparsity.anymodel import above, calibrate
from relusparsity.errors import UserError

KINDS = ("gpt2", "llama", "bert")


def batches(kind: str) -> list[dict[str, torch.Tensor]]:
    return [inputs(kind, seed=seed) for seed in (1, 2)]


@pytest.mark.parametrize("kind", [*KINDS, "opt", "t5_gated"])
def test_quantiles_hold_exactly_in_every_layer(kind: str) -> None:
    model = build(kind)
    rule = calibrate.quantile(model, batches(kind), 0.8)
    with stored(model, names(kind)) as kept, relusparsity.track(model, rule=rule) as use:
        for batch in batches(kind):
            model(**batch)
    assert "80 % quantile" in repr(use)
    for layer, (counted, activations) in enumerate(zip(use.counts(), kept, strict=True)):
        sizes = np.abs(np.concatenate([a.reshape(-1, a.shape[-1]) for a in activations]))
        below = float((sizes <= rule.thresholds[layer]).mean())
        assert below == pytest.approx(1 - counted.token_use(), abs=1e-12) == rule.facts[f"share_below_{layer}"]
        assert below >= 0.8 and (sizes < rule.thresholds[layer] / 1.01).mean() <= 0.8


def test_bins_are_exact_for_bfloat16() -> None:
    values = torch.tensor([0.0, 0.01, 1.0, -3.0, 1e30]).bfloat16()
    for value, at in zip(values, calibrate.bins(values).tolist(), strict=True):
        edge = calibrate.upper_edge(at)
        assert value.abs().float() <= edge < float(torch.nextafter(value.abs(), torch.tensor(torch.inf).bfloat16()))


@pytest.mark.parametrize("kind", [*KINDS, "opt"])
def test_cett_is_the_error_of_leaving_out_the_tail(kind: str) -> None:
    model = build(kind)
    rule = calibrate.cett(model, batches(kind), 0.2)
    found = [rule.facts[f"cett_{layer}"] for layer in range(2)]
    assert all(0.17 < error <= 0.2 for error in found)
    use = relusparsity.track(model, rule=rule)
    down = [place.name for place in use.places]
    read: list[list[torch.Tensor]] = [[] for _ in down]
    for at, name in enumerate(down):
        model.get_submodule(name).register_forward_pre_hook(lambda _, args, at=at: read[at].append(args[0].detach()))
    with use:
        for batch in batches(kind):
            model(**batch)
    for layer, name in enumerate(down):
        hidden = torch.cat([a.reshape(-1, a.shape[-1]) for a in read[layer]])
        weight = model.get_submodule(name).weight.detach()
        weight = weight if kind == "gpt2" else weight.T
        outputs = hidden[..., None] * weight  # (token, unit, output)
        small = outputs.norm(dim=-1) <= rule.thresholds[layer] * weight.norm(dim=1)
        tail = (outputs * small[..., None]).sum(1).norm(dim=-1)
        assert float((tail / outputs.sum(1).norm(dim=-1)).mean()) == pytest.approx(found[layer], rel=1e-3)
        assert use.counts()[layer].token_use() == pytest.approx(1 - float(small.float().mean()), abs=2e-3)


def test_cett_at_a_perplexity() -> None:
    model, texts = build("gpt2"), batches("gpt2")
    rule = calibrate.cett_at_perplexity(model, texts, 1.0)
    whole, cut = calibrate.loss(model, texts), calibrate.loss(model, texts, rule)
    assert rule.facts["perplexity"] == pytest.approx(math.exp(whole))
    assert whole < cut <= whole + math.log(1.01) and rule.facts["perplexity_with_rule"] == pytest.approx(math.exp(cut))
    assert calibrate.loss(model, texts) == whole and "CETT-PPL-1 %" in rule.name


def test_bad_targets_are_one_sentence() -> None:
    model = build("gpt2")
    for call, sentence in [
        (lambda: calibrate.quantile(model, batches("gpt2"), 1.0), "between 0 and 1"),
        (lambda: calibrate.quantile(model, [], 0.5), "calibration text is empty"),
        (lambda: calibrate.cett(model, batches("gpt2"), 0.0), "between 0 and 1"),
        (lambda: calibrate.cett(model, batches("gpt2"), 1e-9), "below that of the smallest"),
        (lambda: calibrate.cett_at_perplexity(model, batches("gpt2"), -1), "above 0"),
        (lambda: calibrate.loss(build("vit"), [inputs("vit")]), "input_ids"),
        (lambda: above(float("nan"), 2), "above 0"),
    ]:
        with pytest.raises(UserError, match=sentence):
            call()
