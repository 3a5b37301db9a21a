"""The counts of the kernels against their plain definition, wherever there is a GPU: equal to the last bit."""

import random

import pytest
import torch
from torch import Tensor, nn

import relusparsity
from relusparsity.anymodel import gpu
from relusparsity.anymodel.calls import Call
from relusparsity.anymodel.count import LayerUse

pytestmark = pytest.mark.skipif(not gpu.HAS_TRITON, reason="the kernels need an NVIDIA GPU and Triton")
AT = "cuda"
RULES = ("above zero", "not zero", "a threshold", "one a unit")


def assert_same(use: LayerUse, definition: LayerUse) -> None:
    ours, theirs = use.state(), definition.state()
    for level in range(20):  # what is left of unions that wait for nothing is no count
        if not definition.tokens >> level & 1:
            ours["pending"][level] = theirs["pending"][level] = False
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    assert use.open is not None and definition.open is not None
    assert torch.equal(use.open.fired, definition.open.fired)
    assert torch.equal(use.open.lengths, definition.open.lengths)


def both(units: int, activations: list[Tensor], rule: str, padded: bool, continues: bool, before: int = 0) -> None:
    """Count every call in both ways, after a stream of so many tokens, and compare after each."""
    generator = torch.Generator().manual_seed(before)
    threshold = {"above zero": None, "not zero": 0.0, "a threshold": 0.5}.get(rule, torch.rand(units).to(AT))
    use, definition = LayerUse(units, AT), LayerUse(units, AT)
    for each in (use, definition):
        each.tokens = before
        each.pending.copy_(torch.rand(20, units, generator=torch.Generator().manual_seed(1)) < 0.5)
    for number, activation in enumerate(activations):
        a = activation.to(AT)
        real = (torch.rand(a.shape[:2], generator=generator) < 0.7).to(AT) if padded else None
        lengths = None if real is None else real.sum(1).cpu()
        fired = a > 0 if threshold is None else a.abs().float() > threshold
        call = Call((a.shape[0], a.shape[1]), real, lengths, continues and number > 0)
        definition.update(fired, real, call.continues, lengths)
        gpu.update(use, a, threshold, call)
        assert_same(use, definition)


@pytest.mark.parametrize("seed", range(60))
def test_the_kernels_are_the_definition(seed: int) -> None:
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    units, sequences, continues = rng.choice((1, 5, 32, 33, 100, 1030, 2048)), rng.randint(1, 40), rng.random() < 0.4
    dtype = rng.choice((torch.float32, torch.bfloat16, torch.float16))
    calls = []
    for _ in range(rng.randint(1, 4)):
        shape = (sequences if continues else rng.randint(1, 40), rng.choice((1, 2, 31, 32, 33, 64, 100, 700)), units)
        spread = torch.rand(units, generator=generator)
        calls.append(((torch.randn(shape, generator=generator) - rng.choice((0, 1, 3))) * spread).to(dtype))
    before = rng.choice((0, 0, 5, 31, 1000, 1024, 2**15 - 3, 2**20 - 1, 2**20 - 70, 2**21 + 77))
    both(units, calls, rng.choice(RULES), rng.random() < 0.4, continues, before)


def test_a_call_of_a_million_tokens_and_odd_ends() -> None:
    generator = torch.Generator().manual_seed(0)
    rare = torch.tensor([0.0, 3.0, 4.0, 9.0])  # units from one in two tokens to none
    for tokens in (2**20 + 2**15 + 3, 2**15, 16_384):
        calls = [torch.randn(1, tokens, 4, generator=generator) - rare for _ in range(2)]
        both(4, calls, "above zero", False, False, 77)


def test_a_kernel_compiled_for_one_call_serves_only_its_like() -> None:
    """Calls by turns that differ in what a kernel is compiled for: addresses, thresholds, padding, types."""
    generator = torch.Generator().manual_seed(0)
    for units in (16, 17):
        flat = torch.randn(3 * 40 * units + 3, generator=generator).to(AT)
        use, definition = LayerUse(units, AT), LayerUse(units, AT)
        real = torch.rand(3, 40, generator=generator) < 0.7
        for number in range(24):
            a = flat[number % 4 :][: 3 * 40 * units].view(3, 40, units)
            if number % 3 == 2:
                a = a.to(torch.bfloat16)
            size = (None, 0.5, 1, 2, torch.rand(units + 1).to(AT)[number % 2 :][:units])[number % 5]
            padding = real.to(AT) if number % 7 > 4 else None
            call = Call((3, 40), padding, None if padding is None else real.sum(1), number % 2 == 1)
            definition.update(a > 0 if size is None else a.abs().float() > size, padding, call.continues, call.lengths)
            gpu.update(use, a, size, call)
            assert_same(use, definition)


def test_not_a_number_is_found_without_waiting_and_padding_may_be() -> None:
    a = torch.ones(2, 40, 1500, device=AT)
    a[1, 39, 1499] = float("nan")
    a[0, 0, 0], a[0, 0, 1] = float("inf"), float("-inf")
    real = torch.ones(2, 40, dtype=torch.bool, device=AT)
    use = LayerUse(1500, AT)
    gpu.update(use, a[:1], None, Call((1, 40)))
    assert not use.not_a_number
    real[1, 39] = False
    gpu.update(use, a, None, Call((2, 40), real, real.sum(1).cpu()))
    assert not use.not_a_number
    gpu.update(use, a, None, Call((2, 40)))
    assert use.not_a_number


def test_track_waits_for_nothing() -> None:
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 8)).to(AT)
    given = torch.randn(4, 32, 8, device=AT)
    with relusparsity.track(model) as use:
        model(given)
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(given)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(use.counts()[0].unit_tokens, 2 * (model[:2](given) > 0).sum((0, 1)))
