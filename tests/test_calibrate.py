"""Thresholds for smooth activations: each rule does what it says, recomputed from stored activations."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import relusparsity
from any_models import build, inputs, names, stored
from relusparsity.anymodel import Rule, above, calibrate, find, weights
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


@pytest.mark.parametrize("kind", ["llama", "llama_relu"])
def test_quantiles_of_an_input_are_taken_from_the_input(kind: str) -> None:
    model, read = build(kind), [[], []]  # type: tuple[nn.Module, list[list[torch.Tensor]]]
    rule = calibrate.quantile(model, batches(kind), 0.9, "*.down_proj", of="input")
    for at, kept in enumerate(read):
        down = model.get_submodule(f"model.layers.{at}.mlp.down_proj")
        down.register_forward_pre_hook(lambda _, given, kept=kept: kept.append(given[0].detach().abs()))
    with relusparsity.track(model, "*.down_proj", rule=rule) as use:  # the rule knows its side
        for batch in batches(kind):
            model(**batch)
    for layer, (counted, kept) in enumerate(zip(use.counts(), read, strict=True)):
        above_it = float((torch.cat(kept) > rule.thresholds[layer]).double().mean())
        assert counted.token_use() == pytest.approx(above_it, abs=1e-12) and 0.08 < above_it <= 0.1


def test_thresholds_are_for_the_layers_that_they_were_found_on() -> None:
    model = build("llama")
    given = batches("llama")
    of_gate, of_input = (
        calibrate.quantile(model, given, 0.5),
        calibrate.quantile(model, given, 0.5, "*.down_proj", "input"),
    )
    of_output = calibrate.cett(model, given, 0.5)
    for rule, layers, of in (
        (of_gate, "*.up_proj", None),
        (of_gate, "*.down_proj", "input"),
        (of_input, "*.down_proj", "output"),
        (of_output, None, "output"),
    ):
        with pytest.raises(UserError, match="has a threshold for the "):
            relusparsity.track(model, layers, of=of, rule=rule)
    assert relusparsity.track(model, of="product", rule=of_input).rule is of_input, "the same side of the same layers"
    assert relusparsity.track(model, "*.down_proj", of="input", rule=of_output).rule is of_output
    wrapped = nn.ModuleDict({"inner": model})
    assert relusparsity.track(wrapped, rule=of_gate).rule is of_gate
    with (
        pytest.raises(UserError, match="one a unit"),
        relusparsity.track(model, rule=Rule("mine", (torch.ones(3),) * 2)),
    ):
        model(**given[0])


class Coded(nn.Module):
    """8-bit codes with a scale a row, as quantised layers keep them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.weight = nn.Parameter((linear.weight / scale).round().to(torch.int8), requires_grad=False)
        self.scale = scale

    def full(self) -> torch.Tensor:
        return self.weight.float() * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.full().T


class PackedLinear(Coded):
    """Codes in another order and shape than the matrix."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.shape, self.weight = self.weight.shape, nn.Parameter(self.weight.reshape(-1, 1), requires_grad=False)

    def full(self) -> torch.Tensor:
        return self.weight.float().reshape(self.shape) * self.scale


class AdaptedLinear(nn.Module):
    """A matrix and, beside it, what was learnt later; `weight` is the first alone."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.base, self.dropout = linear, nn.Dropout(0.5)
        self.a, self.b = torch.randn(2, linear.in_features), torch.randn(linear.out_features, 2)

    @property
    def weight(self) -> torch.Tensor:
        return self.base.weight

    def full(self) -> torch.Tensor:
        return self.base.weight + self.b @ self.a

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.dropout(x) @ self.a.T @ self.b.T


class Ternary(nn.Linear):
    """Computes with other weights than it keeps."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features)
        self.load_state_dict(linear.state_dict() | {"bias": torch.ones(linear.out_features)})

    def full(self) -> torch.Tensor:
        return self.weight.sign() * self.weight.abs().mean()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.full(), self.bias)


@pytest.mark.parametrize("kind", [Coded, PackedLinear, AdaptedLinear, Ternary])
def test_cett_of_weights_that_are_no_plain_numbers(kind: Any) -> None:
    """As of the same weights as plain ones."""
    stored, plain = build("llama"), build("llama")
    torch.manual_seed(0)
    with torch.no_grad():
        for one, other in zip(stored.model.layers, plain.model.layers, strict=True):
            one.mlp.down_proj.weight[0] *= 60  # a row with a scale of its own
            one.mlp.down_proj = kind(one.mlp.down_proj)
            other.mlp.down_proj.weight.copy_(one.mlp.down_proj.full())
            if kind is Ternary:
                other.mlp.down_proj.bias = one.mlp.down_proj.bias
    found, expected = (calibrate.cett(model.eval(), batches("llama"), 0.3) for model in (stored, plain))
    for ours, theirs in zip(found.thresholds, expected.thresholds, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0)
    if kind is AdaptedLinear:  # what is dropped in training is not dropped here, and training goes on
        weights.check(
            find(stored.train(), of="product")[0], torch.zeros(1, 32), stored.model.layers[0].mlp.down_proj.full().T
        )
        assert all(module.training for module in stored.modules())


def test_cett_of_what_has_no_output_weights_is_one_sentence() -> None:
    class BentLinear(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).relu()

    class LostLinear(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no kernel for this machine")

    for kind, why in ((BentLinear, "is not the sum"), (LostLinear, "no kernel")):
        model = build("llama")
        model.model.layers[1].mlp.down_proj = kind(32, 16)
        with pytest.raises(UserError, match=f"cannot be found .*{why}"):
            calibrate.cett(model, batches("llama"), 0.3)


def test_a_text_that_gives_no_threshold_is_one_sentence() -> None:
    encoder_only = [{"input_ids": inputs("t5")["input_ids"]}]
    model = build("t5")
    model.forward = model.encoder.forward
    with pytest.raises(UserError, match="has seen no token of the calibration text"):
        calibrate.quantile(model, encoder_only, 0.5)
    huge = build("opt")
    huge.model.decoder.layers[1].fc1.bias.data[:] = math.inf
    with pytest.raises(UserError, match="are infinite"):
        calibrate.quantile(huge, batches("opt"), 0.9)
    with pytest.raises(UserError, match="infinite or NaN"):
        calibrate.cett(huge, batches("opt"), 0.5)
    with pytest.raises(UserError, match="arguments of a call, by name"):
        calibrate.quantile(huge, batches("opt")[0], 0.9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", ["x", None, [1.0], {}, 1j, math.nan, math.inf, -1, 0, 10**400, True, np.array([1.0, 2.0])]
)
def test_thresholds_are_numbers(bad: Any) -> None:
    model = nn.Sequential(nn.Linear(2, 2))  # is not looked at
    for call in (
        lambda: above(bad, 2),
        lambda: calibrate.quantile(model, [], bad),
        lambda: calibrate.cett(model, [], bad),
        lambda: calibrate.cett_at_perplexity(model, [], bad),
    ):
        with pytest.raises(UserError, match="expected a"):
            call()
    if bad is not None and not (isinstance(bad, int) and bad is not True and bad == 0):
        for thresholds in ((bad, 0.1), bad):
            with pytest.raises(UserError, match="expected a tuple with one a layer"):
                relusparsity.track(build("opt"), rule=Rule("mine", thresholds))


def test_other_arguments_of_rules() -> None:
    for layers in ("2", 0, -1, 2.0, None, True):
        with pytest.raises(UserError, match="how many layers"):
            above(0.1, layers)  # type: ignore[arg-type]
    for rule in ("exact", 0.1, Rule):
        with pytest.raises(UserError, match="expected a Rule"):
            relusparsity.track(build("opt"), rule=rule)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="expected 'output'"):
        relusparsity.track(build("opt"), of="")  # type: ignore[arg-type]
    accepted = [
        above(value, np.int64(2)).thresholds for value in (0.5, np.float32(0.5), torch.tensor(0.5), Fraction(1, 2))
    ]
    assert accepted == [(0.5, 0.5)] * 4
    assert len({above(value, 1).name for value in (0.1, 0.1000001, 0.10000001)}) == 3, "another number, another name"


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
