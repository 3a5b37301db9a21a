"""What is an activation, which of its values fire, and what is proposed instead of what cannot be counted."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from torch import nn

import relusparsity
from any_models import KV, T5, build, inputs
from relusparsity.anymodel import rules
from relusparsity.errors import UserError
from relusparsity.measure import details, removal


class Factorized(nn.Module):
    """A linear layer of two matrices, under names that sound like activations."""

    def __init__(self, units: int = 7) -> None:
        super().__init__()
        self.u, self.v = nn.Parameter(torch.randn(units, 4)), nn.Parameter(torch.randn(4, units))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.u @ self.v


class NonLinearity(nn.Module):
    """An activation, though "Linear" is in its name."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp_min(0)


class JumpReLU(nn.Module):
    def __init__(self, threshold: torch.Tensor) -> None:
        super().__init__()
        self.threshold = nn.Parameter(threshold)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (x > self.threshold)


@pytest.mark.parametrize("name", ["Factorized", "FactorizedLinear", "Interaction", "ReLUishProjection"])
def test_what_only_sounds_like_an_activation_is_not_counted(name: str) -> None:
    kind = type(name, (Factorized,), {})

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = kind(), nn.Linear(7, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.down(torch.relu(self.up(x)))

    with pytest.raises(UserError, match="has no MLP with an activation module"):
        relusparsity.track(nn.Sequential(Block(), Block()))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (JumpReLU(torch.linspace(0, 0.5, 16)), (4, 5, 8)),
        (JumpReLU(torch.linspace(0, 0.5, 16)), (20, 8)),
        (nn.PReLU(16), (20, 8)),  # PyTorch takes the second dimension for the units
        (NonLinearity(), (4, 5, 8)),
    ],
)
@pytest.mark.parametrize("choose", [None, "0.1"])
def test_a_parameter_a_unit(module: nn.Module, shape: tuple[int, ...], choose: str | None) -> None:
    torch.manual_seed(0)
    up, x = nn.Linear(8, 16), torch.randn(shape)
    model = nn.Sequential(nn.Sequential(up, module, nn.Linear(16, 8)))
    with relusparsity.track(model, choose) as use, torch.no_grad():
        model(x)
    out = module(up(x))
    assert torch.equal(use.counts()[0].unit_tokens, (out != 0).reshape(-1, 16).sum(0))


# made when asked for: see any_models.KINDS
GATED: dict[str, Callable[[], tuple[Any, Any, str]]] = {
    "llama": lambda: (t.LlamaForCausalLM, t.LlamaConfig(**KV, hidden_act="relu"), "*.down_proj"),
    "phi3": lambda: (t.Phi3ForCausalLM, t.Phi3Config(**KV, hidden_act="relu"), "*.down_proj"),
    "t5": lambda: (
        t.T5ForConditionalGeneration,
        t.T5Config(**T5, decoder_start_token_id=0, feed_forward_proj="gated-relu"),
        "*.wo",
    ),
    "t5 dropout": lambda: (*GATED["t5"]()[:2], "*.DenseReluDense.dropout"),
}


@pytest.mark.parametrize("kind", GATED)
def test_a_product_fires_where_it_is_not_zero(kind: str) -> None:
    """act(gate) · up has the sign of up; what is below zero drives the next layer as well."""
    make, config, pattern = GATED[kind]()
    torch.manual_seed(0)
    model, read = make(config).eval(), []
    chosen = [m for name, m in model.named_modules() if re.fullmatch(pattern.replace("*", ".*"), name)]
    for module in chosen:
        module.register_forward_pre_hook(lambda _, given: read.append(given[0].detach()))
    tracked = [relusparsity.track(model, pattern, of="output" if "dropout" in kind else "input")]
    tracked += [relusparsity.track(model, of="product")] if "dropout" not in kind else []
    for use in tracked:
        read.clear()
        with use, torch.no_grad():
            model(**inputs("t5" if "t5" in kind else "llama"))
        assert len(read) == len(use.places) >= 2 and "not exactly zero" in repr(use)
        for layer, product in zip(use.counts(), read, strict=True):
            assert torch.equal(layer.unit_tokens, (product != 0).sum((0, 1)))
            assert (product < 0).sum() > 0.2 * (product != 0).sum()


class Multiply(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * b


class Halves(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = x.chunk(2, -1)
        return gate.relu() * up


def test_a_product_that_is_a_module() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w1, self.w2, self.w3 = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 16)
            self.act, self.times = nn.ReLU(), Multiply()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.w2(self.times(self.act(self.w1(x)), self.w3(x)))

    x = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    for model, pattern in ((nn.Sequential(Gated()), "*.times"), (nn.Sequential(nn.Linear(8, 16), Halves()), "1")):
        kept: list[torch.Tensor] = []
        model.get_submodule(pattern.replace("*", "0")).register_forward_hook(lambda _, __, out, to=kept: to.append(out))
        with relusparsity.track(model, pattern) as use, torch.no_grad():
            model(x)
        assert torch.equal(use.counts()[0].unit_tokens, (kept[0] != 0).sum((0, 1))) and (kept[0] < 0).any()


def test_what_an_activation_reads_is_asked_for_its_sign() -> None:
    """Before a ReLU, above zero: the same units as after it."""
    model = build("opt")
    uses = [relusparsity.track(model, *given) for given in ((), ("*.activation_fn",), ("*.fc1",))]
    uses.append(relusparsity.track(model, "*.activation_fn", of="input"))
    for use in uses:
        with use, torch.no_grad():
            model(**inputs("opt"))
        assert use.rule.name == "above zero"
        np.testing.assert_array_equal(use.firing_rate(), uses[0].firing_rate())


def test_an_input_given_by_name() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.act, self.down = nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.down(input=self.act(input=self.up(x)))

    model, x = nn.Sequential(Named()), torch.randn(2, 4, 3)
    with relusparsity.track(model, "0.down", of="input") as use, relusparsity.track(model) as same:
        model(x)
    assert torch.equal(use.counts()[0].unit_tokens, same.counts()[0].unit_tokens)
    gone = np.array([[True, False, False, True, False]])
    with removal.Without(model, gone, "0.down", "input"), torch.no_grad():
        without = model(x)
    model[0].down.weight.data[:, torch.from_numpy(gone[0])] = 0
    torch.testing.assert_close(without, model(x))


def test_the_strongest_of_a_product_are_the_largest_of_either_sign() -> None:
    make, config, pattern = GATED["llama"]()
    torch.manual_seed(0)
    model, ids, read = make(config).eval(), inputs("llama")["input_ids"], []
    places = relusparsity.anymodel.find(model, pattern, "input")
    use = details.Detailed(model, pattern, "input", rules.exact(places))
    use.prepare(99, 4)
    use.ids = ids
    places[0].module.register_forward_pre_hook(lambda _, given: read.append(given[0].detach()))
    with use, torch.no_grad():
        model(input_ids=ids)
    assert torch.equal(use.strongest[0], read[0].abs().amax(1).sort(dim=0, descending=True).values[: details.CONTEXTS])
