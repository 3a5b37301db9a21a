# ruff: noqa
"""PYTHONPATH=src python .gpu_check.py : kernels against the definition, and what counting costs a layer.

Part 1 runs the comparison of tests/test_gpu_counts.py without pytest; part 2 times with CUDA events. Needs
torch + triton + the package's imports only (numpy, jaxtyping, xarray, ...).
"""

import random
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent / "tests"))
from relusparsity.anymodel import gpu
from relusparsity.anymodel.calls import Call
from relusparsity.anymodel.count import LayerUse

AT = "cuda"
assert gpu.HAS_TRITON, "no CUDA device or no Triton"
import triton  # noqa: E402

print(torch.__version__, triton.__version__, torch.cuda.get_device_name())


def assert_same(use, definition, what):
    ours, theirs = use.state(), definition.state()
    for level in range(20):
        if not definition.tokens >> level & 1:
            ours["pending"][level] = theirs["pending"][level] = False
    for name, value in theirs.items():
        if not torch.equal(ours[name], value):
            wrong = (ours[name] != value).nonzero()[:6].tolist()
            raise SystemExit(f"FAILED {what}: {name} differs at {wrong}: {ours[name].flatten()[:8]} {value.flatten()[:8]}")
    assert torch.equal(use.open.fired, definition.open.fired), (what, "open.fired")
    assert torch.equal(use.open.lengths, definition.open.lengths), (what, "open.lengths")


def both(units, calls, rule, padded, continues, before, what):
    generator = torch.Generator().manual_seed(before)
    threshold = {"above zero": None, "not zero": 0.0, "a threshold": 0.5}.get(rule, torch.rand(units).to(AT))
    use, definition = LayerUse(units, AT), LayerUse(units, AT)
    for each in (use, definition):
        each.tokens = before
        each.pending.copy_(torch.rand(20, units, generator=torch.Generator().manual_seed(1)) < 0.5)
    for number, a in enumerate(calls):
        a = a.to(AT)
        real = (torch.rand(a.shape[:2], generator=generator) < 0.7).to(AT) if padded else None
        lengths = None if real is None else real.sum(1).cpu()
        fired = a > 0 if threshold is None else a.abs().float() > threshold
        call = Call((a.shape[0], a.shape[1]), real, lengths, continues and number > 0)
        definition.update(fired, real, call.continues, lengths)
        gpu.update(use, a, threshold, call)
        assert_same(use, definition, (what, number))


started, cases = time.time(), 0
for seed in range(150):
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    units, sequences, continues = rng.choice((1, 5, 32, 33, 100, 1030, 2048)), rng.randint(1, 40), rng.random() < 0.4
    dtype = rng.choice((torch.float32, torch.bfloat16, torch.float16))
    calls = []
    for _ in range(rng.randint(1, 4)):
        shape = (sequences if continues else rng.randint(1, 40), rng.choice((1, 2, 31, 32, 33, 64, 100, 700)), units)
        spread = torch.rand(units, generator=generator)
        calls.append(((torch.randn(shape, generator=generator) - rng.choice((0, 1, 3))) * spread).to(dtype))
    before = rng.choice((0, 0, 5, 31, 1000, 1024, 2**15 - 3, 2**20 - 1, 2**20 - 70, 2**21 + 77))
    rule = rng.choice(("above zero", "not zero", "a threshold", "one a unit"))
    padded = rng.random() < 0.4
    both(units, calls, rule, padded, continues, before, (seed, units, dtype, rule, padded, continues, before))
    cases += len(calls)
rare = torch.tensor([0.0, 3.0, 4.0, 9.0])
for tokens in (2**20 + 2**15 + 3, 2**15, 16_384):
    both(4, [torch.randn(1, tokens, 4) - rare for _ in range(2)], "above zero", False, False, 77, ("long", tokens))
    cases += 2
for units in (3072, 8192, 32768):
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        a = [(torch.randn(8, 512, units, device=AT) - 0.5).to(dtype) for _ in range(3)]
        both(units, a, "above zero", False, False, 0, ("wide", units, dtype))
        cases += 3
a = torch.ones(2, 40, 1500, device=AT)
a[1, 39, 1499], a[0, 0, 0], a[0, 0, 1] = float("nan"), float("inf"), float("-inf")
use = LayerUse(1500, AT)
gpu.update(use, a[:1], None, Call((1, 40)))
assert not use.not_a_number
gpu.update(use, a, None, Call((2, 40)))
assert use.not_a_number
for dtype in (torch.bfloat16, torch.float16):
    use = LayerUse(1500, AT)
    gpu.update(use, a.to(dtype), None, Call((2, 40)))
    assert use.not_a_number
print(f"{cases} calls exact, NaN found; {time.time() - started:.0f} s")


def timed(function, n=50):
    for _ in range(5):
        function()
    torch.cuda.synchronize()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    host = time.perf_counter()
    begin.record()
    for _ in range(n):
        function()
    end.record()
    host = (time.perf_counter() - host) / n
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / n * 1000, host * 1e6


def on_gpu(function, n=20):
    """Microseconds of GPU time by kernel, launch gaps left out."""
    from torch.profiler import ProfilerActivity, profile

    function()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(n):
            function()
        torch.cuda.synchronize()
    rows = [(e.key, e.self_device_time_total / n) for e in found.key_averages()]
    return ", ".join(f"{k[:24]} {t:.1f}" for k, t in sorted(rows, key=lambda r: -r[1]) if t > 0.3)


print("bf16, 32 sequences of 512      us a call   host us   of one read (amax)   kernels")
for units in (3072, 8192):
    # several activations, so that none is in the cache when it is read again
    some = [(torch.randn(32, 512, units, device=AT)).to(torch.bfloat16).relu() for _ in range(8)]
    use, call, at = LayerUse(units, AT), Call((32, 512)), [0]

    def kernels(use=use, call=call, some=some, at=at):
        at[0] += 1
        gpu.update(use, some[at[0] % 8], None, call)

    def same_again(use=use, call=call, some=some):
        gpu.update(use, some[0], None, call)

    def one_read(some=some, at=at):
        at[0] += 1
        some[at[0] % 8].sum(dtype=torch.float32)

    old = LayerUse(units, AT)

    def definition(some=some, old=old):
        old.update(some[0] > 0)

    us, host = timed(kernels)
    print(f"  {units:6} kernels, cold          {us:8.1f} {host:9.1f}   {timed(one_read)[0]:8.1f}             {on_gpu(kernels)}")
    us, host = timed(same_again)
    print(f"  {units:6} kernels, just written  {us:8.1f} {host:9.1f}")
    us, host = timed(definition, 10)
    print(f"  {units:6} definition             {us:8.1f} {host:9.1f}")
    print(f"         floor at 4.3 TB/s: {some[0].nbytes / 4.3e6:.1f} us; budget (5 % of a layer): 38 us at 3072, 160 us at 8192")
