"""An activation is known by what it does to numbers, and trying it leaves no trace."""

import pytest
import torch
from torch import nn

from relusparsity.anymodel.curve import curve
from test_attach import Factorized, JumpReLU, NonLinearity

CPU = torch.device("cpu")


class Shift(nn.Module):
    """Each position gets the one before: the shape stays, and no unit meets another."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.roll(1, -2)


class Codes(nn.Module):
    """Holds codes, and takes harm if it is called when nobody asked."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.arange(9, dtype=torch.uint8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise AssertionError("called")


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (nn.ReLU(inplace=True), "relu"),
        (nn.ReLU6(), "relu"),
        ("relu2", "relu"),
        (NonLinearity(), "relu"),
        (JumpReLU(torch.tensor([0.1, 0.0, 30.0])), "relu"),
        (JumpReLU(torch.tensor([0.1, -0.2])), "smooth"),  # one unit passes on what is below zero
        (nn.GELU(), "smooth"),
        (nn.PReLU(16), "smooth"),
        (nn.LeakyReLU(), "smooth"),
        (nn.Hardshrink(), "smooth"),
        (nn.RReLU(), "smooth"),
        *((name, "smooth") for name in ("gelu_new", "gelu_10", "quick_gelu", "silu", "mish", "xielu")),
        (nn.Sigmoid(), "gate"),
        (nn.Tanh(), "gate"),
        (nn.Dropout(0.5), "straight"),
        (nn.Identity(), "straight"),
        (nn.BatchNorm1d(5), "straight"),
        ("linear", "straight"),
        (Factorized(), None),
        (type("Interaction", (Factorized,), {})(), None),
        (nn.Linear(3, 3), None),
        (nn.LayerNorm(8), None),
        (nn.RMSNorm(8), None),
        (nn.Softmax(-1), None),
        (nn.GLU(), None),
        (nn.Embedding(9, 4), None),
        (Shift(), None),
        (Codes(), None),
        (nn.Sequential(nn.ReLU()), None),
        (nn.LazyLinear(3), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_known_by_what_they_do(module: nn.Module | str, kind: str | None, dtype: torch.dtype) -> None:
    if isinstance(module, str):  # of transformers, which takes two seconds to import
        from transformers.activations import ACT2FN

        module = ACT2FN[module]
    assert curve(module.to(dtype), CPU) == kind


def test_trying_leaves_no_trace() -> None:
    """Neither statistics, nor random numbers, nor modes, nor what a module remembers of its inputs."""

    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            self.register_buffer("last", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.last = x.sum()
            self.last += 1
            return nn.functional.dropout(x, training=self.training).relu()

    torch.manual_seed(0)
    norm, remembers = nn.BatchNorm1d(6).train(), Remembers().train()
    expected = torch.random.get_rng_state()
    with torch.device("meta"):  # whatever device new tensors come on
        assert curve(norm, CPU) == "straight" and curve(remembers, CPU) == "relu"
    assert torch.equal(torch.random.get_rng_state(), expected) and norm.training and remembers.training
    assert int(norm.num_batches_tracked) == 0 and remembers.calls == 0 and float(remembers.last) == 0
