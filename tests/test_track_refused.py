"""Which layers `track` takes, and what it refuses in a sentence."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import relusparsity
from any_models import build, inputs, names
from relusparsity.anymodel import above
from relusparsity.errors import UserError
from relusparsity.measure.measure import Options


def test_choices_by_pattern_by_function_and_by_input() -> None:
    model = build("llama_relu")
    with relusparsity.track(model, "*.mlp.act_fn") as one, relusparsity.track(model, lambda n, m: "act" in n) as two:
        model(**inputs("llama_relu"))
    assert [p.name for p in one.places] == [p.name for p in two.places] == names("llama_relu")
    with relusparsity.track(build("opt"), "*.fc2", of="input") as use:
        use.model(**inputs("opt"))
    with relusparsity.track(build("opt")) as same:
        same.model(**inputs("opt"))
    assert [torch.equal(a.unit_tokens, b.unit_tokens) for a, b in zip(use.counts(), same.counts(), strict=True)]


class Poisoned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float("nan")


def test_bad_input_is_one_clear_sentence() -> None:
    opt = build("opt")
    bad: list[tuple[nn.Module, dict[str, Any], str]] = [
        (nn.Linear(2, 2), {}, "has no MLP"),
        (opt, {"layers": "*.mlp.act"}, "matches no module"),
        (opt, {"layers": "*"}, "matches too much"),
        (opt, {"layers": 3}, "expected a pattern or a function"),
        (opt, {"of": "inside"}, "expected 'output', 'input'"),
        (opt, {"rule": above(0.1, 5)}, "thresholds for 5 layers, the model has 2"),
    ]
    for model, options, sentence in bad:
        with pytest.raises(UserError, match=sentence):
            relusparsity.track(model, **options)
    with pytest.raises(UserError, match="expected a number above 0"):
        above(-1.0, 2)
    with relusparsity.track(opt) as use, pytest.raises(UserError, match="has seen no token"):
        use.token_use()
    with relusparsity.track(opt) as use, pytest.raises(UserError, match="running already"), use:
        pass
    with relusparsity.track(opt) as use, pytest.raises(UserError, match="does not tell padding"):
        opt(**inputs("opt"), attention_mask=torch.ones(3, 1, 7, 8))


def test_a_layer_without_tokens_says_why() -> None:
    class Fused(nn.Module):
        """Computes its activation without the module, as fast kernels do."""

        def __init__(self) -> None:
            super().__init__()
            self.up, self.act, self.down = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)

        def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
            return self.down(self.up(inputs_embeds).relu())

    model, x = Fused(), torch.randn(2, 3, 8)
    use, read = (relusparsity.track(model, layers=layer) for layer in ("act", "up"))
    with pytest.raises(UserError, match="act has seen no token: run the model inside"):
        use.counts()
    with use, read:
        model(x, torch.zeros(2, 3))
    with pytest.raises(UserError, match="act has seen no token: the model ran, but not this layer"):
        use.counts()
    with pytest.raises(UserError, match="up has seen no token: every position was padding"):
        read.counts()


def test_thresholds_that_are_zero_in_float32_or_no_plain_number_are_refused() -> None:
    for value in (1e-50, 1e-46, 7e-46, np.float64(1e-300)):
        with pytest.raises(UserError, match=r"epsilon = .*above 0 that float32 can hold"):
            above(value, 2)
    assert above(1e-45, 2).thresholds == (float(np.float32(1e-45)),) * 2
    kindly = ("epsilon=1_0", "epsilon= 0.1", "epsilon=0.1\n", "epsilon=0.1 ", "quantile=\u0660.5", "cett=.", "cett=1e")
    for rule in kindly:
        with pytest.raises(UserError, match=r"rule = .*: expected one like"):
            Options(rule=rule)
    for number, value in (("0.1", 0.1), (".5", 0.5), ("1.", 1.0), ("1e-3", 1e-3), ("2E+1", 20.0)):
        assert Options(rule=f"epsilon={number}").threshold() == ("epsilon", value)


def test_not_a_number_is_an_error_and_nothing_is_reported() -> None:
    model = nn.Sequential(nn.Linear(2, 3), Poisoned(), nn.ReLU(), nn.Linear(3, 2))
    tracker = relusparsity.track(model)
    with pytest.raises(FloatingPointError, match="is NaN"), tracker:
        model(torch.ones(1, 4, 2))
    with pytest.raises(FloatingPointError, match="is NaN"):
        tracker.token_use()


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.inside(inputs_embeds)


def test_not_a_number_at_padding_does_not_count_and_infinities_are_numbers() -> None:
    model, mask = Padded(), torch.tensor([[1, 1, 0]])
    given = torch.ones(1, 3, 2)
    given[0, 2] = float("nan")
    with relusparsity.track(model) as use:
        model(given, attention_mask=mask)
    assert use.counts()[0].tokens == 2
    with pytest.raises(FloatingPointError, match="is NaN"), relusparsity.track(model):
        model(given)
    layer = nn.Sequential(nn.Identity(), nn.Linear(2, 2))
    with relusparsity.track(layer, "0") as use:
        layer(torch.tensor([[[float("inf"), -float("inf")]]]))
    assert use.counts()[0].unit_tokens.tolist() == [1, 0]
