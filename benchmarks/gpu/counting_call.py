"""What counting one call of one layer costs on a GPU: the two kernels of `relusparsity.track` against their definition.

    PYTHONPATH=src python benchmarks/gpu/counting_call.py

Microseconds a call, in bf16, of 32 sequences of 512 tokens; that the counts are equal is for tests/test_gpu_counts.py.
"""

import time
from collections.abc import Callable
from itertools import cycle

import torch
from torch.profiler import ProfilerActivity, profile

from relusparsity.anymodel import gpu
from relusparsity.anymodel.calls import Call
from relusparsity.anymodel.count import LayerUse

AT = "cuda"


def timed(function: Callable[[], object], calls: int = 50) -> str:
    """Microseconds of a call, and how many of them the processor was busy with it."""
    for _ in range(5):
        function()
    torch.cuda.synchronize()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    host = time.perf_counter()
    begin.record()
    for _ in range(calls):
        function()
    end.record()
    host = (time.perf_counter() - host) / calls
    torch.cuda.synchronize()
    return f"{begin.elapsed_time(end) / calls * 1000:8.1f} {host * 1e6:8.1f}"


def on_gpu(function: Callable[[], object], calls: int = 20) -> str:
    """Microseconds of each GPU kernel, the gaps between them left out."""
    function()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(calls):
            function()
        torch.cuda.synchronize()
    kernels = sorted(((e.self_device_time_total / calls, e.key) for e in found.key_averages()), reverse=True)
    return ", ".join(f"{name[:24]} {time:.1f}" for time, name in kernels if time > 0.3)


def main() -> None:
    if not gpu.HAS_TRITON:
        raise SystemExit("the kernels need an NVIDIA GPU and Triton; there is none here.")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; a call, of it the processor")
    for units in (3072, 8192):
        # several activations in turn, so that none is in the cache when it is read again
        some = cycle([torch.randn(32, 512, units, device=AT).to(torch.bfloat16).relu() for _ in range(8)])
        ours, definition, call = LayerUse(units, AT), LayerUse(units, AT), Call((32, 512))
        ways: dict[str, Callable[[], object]] = {
            "kernels": lambda ours=ours, some=some, call=call: gpu.update(ours, next(some), None, call),
            "definition": lambda definition=definition, some=some: definition.update(next(some) > 0),
            "one read": lambda some=some: next(some).sum(dtype=torch.float32),
        }
        for name, way in ways.items():
            print(f"{units:6} units, {name:10} {timed(way)}   {on_gpu(way) if name == 'kernels' else ''}")


if __name__ == "__main__":
    main()
