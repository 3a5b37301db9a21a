"""The counts of the kernels against their plain definition: equal to the last bit.

On an NVIDIA GPU; elsewhere by Triton's interpreter, which takes a second for what takes a GPU microseconds, on smaller
cases of fewer units at a time. What is about the GPU itself is skipped there.
"""

import random

import pytest
import torch
from torch import Tensor, nn

import relusparsity
from any_models import build, inputs
from relusparsity.anymodel.rules import Rule
from relusparsity.counting import gpu
from relusparsity.counting.call import Call
from relusparsity.counting.fused import INTERPRETED
from relusparsity.counting.layer import LayerUse

pytestmark = pytest.mark.skipif(not gpu.HAS_TRITON, reason="the kernels need Triton, for Linux on x86-64")
AT = "cpu" if INTERPRETED else "cuda"
RULES = ("above zero", "not zero", "a threshold", "one a unit")


@pytest.fixture(autouse=True)
def _columns(interpreter: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if INTERPRETED:
        monkeypatch.setattr(gpu, "COLUMNS", 16)  # no more units at a time than a small case has


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


@pytest.mark.parametrize("seed", range(16 if INTERPRETED else 60))
def test_the_kernels_are_the_definition(seed: int) -> None:
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    widths, lengths, most = (1, 5, 32, 33, 100, 1030, 2048), (1, 2, 31, 32, 33, 64, 100, 700), 40
    if INTERPRETED:
        widths, lengths, most = (1, 5, 16, 33), (1, 2, 15, 31, 33), 3
    units, sequences, continues = rng.choice(widths), rng.randint(1, most), rng.random() < 0.4
    dtype = rng.choice((torch.float32, torch.bfloat16, torch.float16))
    calls = []
    for _ in range(rng.randint(1, 2 if INTERPRETED else 4)):
        shape = (sequences if continues else rng.randint(1, most), rng.choice(lengths), units)
        spread = torch.rand(units, generator=generator)
        calls.append(((torch.randn(shape, generator=generator) - rng.choice((0, 1, 3))) * spread).to(dtype))
    before = rng.choice((0, 0, 5, 31, 1000, 1024, 2**15 - 3, 2**20 - 1, 2**20 - 70, 2**21 + 77))
    both(units, calls, rng.choice(RULES), rng.random() < 0.4, continues, before)


def test_a_call_of_a_million_tokens_and_odd_ends() -> None:
    generator = torch.Generator().manual_seed(0)
    rare = torch.tensor([0.0, 3.0, 4.0, 9.0])  # units from one in two tokens to none
    if INTERPRETED:  # which takes hours for a million: they end a few tokens after the call begins
        both(4, [torch.randn(1, 70, 4, generator=generator) - rare], "above zero", False, False, 2**20 - 40)
        return
    for tokens in (2**20 + 2**15 + 3, 2**15, 16_384):
        calls = [torch.randn(1, tokens, 4, generator=generator) - rare for _ in range(2)]
        both(4, calls, "above zero", False, False, 77)


def test_a_kernel_compiled_for_one_call_serves_only_its_like() -> None:
    """Calls by turns that differ in what a kernel is compiled for: addresses, thresholds, padding, types."""
    if INTERPRETED:
        pytest.skip("what Triton interprets it does not compile: this needs an NVIDIA GPU")
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
    positions, units = (5, 20) if INTERPRETED else (40, 1500)
    a = torch.ones(2, positions, units, device=AT)
    a[1, -1, -1] = float("nan")
    a[0, 0, 0], a[0, 0, 1] = float("inf"), float("-inf")
    real = torch.ones(2, positions, dtype=torch.bool, device=AT)
    use = LayerUse(units, AT)
    gpu.update(use, a[:1], None, Call((1, positions)))
    assert not use.not_a_number
    real[1, -1] = False
    gpu.update(use, a, None, Call((2, positions), real, real.sum(1).cpu()))
    assert not use.not_a_number
    gpu.update(use, a, None, Call((2, positions)))
    assert use.not_a_number


def test_a_whole_model_counts_by_the_kernels_as_by_their_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts with padding, decoding, thresholds of units: what `track` hands to the kernels."""
    model, given = build("opt").to(AT), inputs("opt", 2)["input_ids"].to(AT)
    mask = torch.ones_like(given)
    mask[1, :3] = 0
    rule = Rule("some", tuple(torch.rand(32) for _ in range(2)))
    found = []
    for takes in (gpu.DTYPES, ()):
        monkeypatch.setattr(gpu, "takes", lambda activation, takes=takes: activation.dtype in takes)
        with relusparsity.track(model, rule=rule) as use, torch.inference_mode():
            cache = model(input_ids=given, attention_mask=mask).past_key_values
            model(
                input_ids=given[:, :1], attention_mask=nn.functional.pad(mask, (0, 1), value=1), past_key_values=cache
            )
        found.append(use.counts())
    for kernels, definition in zip(*found, strict=True):
        assert_same(kernels, definition)
        assert definition.tokens == 15


@pytest.mark.skipif(INTERPRETED, reason="waiting shows on an NVIDIA GPU alone")
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
