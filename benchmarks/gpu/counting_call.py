"""What counting costs on a GPU: one call of one layer, by the kernels of `relusparsity.track` and by their definition,
and forward passes of whole models that count, against those that do not.

    PYTHONPATH=src python benchmarks/gpu/counting_call.py    # about a minute on an H200

Microseconds, in bf16, of 32 sequences of 512 tokens, medians of turns; that the counts are equal is for
tests/test_gpu_counts.py. *Host* is the processor's part, until a call returns: it lies beside the GPU's work as long as
the processor runs ahead of it.
"""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import cycle
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from any_model_cost import SHAPES
from any_model_worker import build

import relusparsity
from relusparsity.counting import gpu
from relusparsity.counting.call import Call
from relusparsity.counting.layer import LayerUse

AT = "cuda"
SEQUENCES, POSITIONS = 32, 512
TURNS, PASSES = 9, 8  # turns, and forward passes of one


def timed(function: Callable[[], object], calls: int) -> tuple[float, float]:
    """Microseconds of a call from start to end, and until it returns; of calls one after the other."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    host = time.perf_counter() - start
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls * 1e6, host / calls * 1e6


def on_gpu(function: Callable[[], object], calls: int = 20) -> str:
    """Microseconds of each GPU kernel, the gaps between them left out."""
    function()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(calls):
            function()
        torch.cuda.synchronize()
    kernels = sorted(((e.self_device_time_total / calls, e.key) for e in found.key_averages()), reverse=True)
    return ", ".join(f"{name[:24]} {time:.1f}" for time, name in kernels if time > 0.3)


def one_call(units: int) -> None:
    # several activations in turn, so that none is in the cache when it is read again
    some = cycle([torch.randn(SEQUENCES, POSITIONS, units, device=AT).to(torch.bfloat16).relu() for _ in range(8)])
    ours, definition, call = LayerUse(units, AT), LayerUse(units, AT), Call((SEQUENCES, POSITIONS))
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "kernels": (lambda: gpu.update(ours, next(some), None, call), 50),
        "definition": (lambda: definition.update(next(some) > 0), 10),
        "one read": (lambda: next(some).sum(dtype=torch.float32), 50),
    }
    for name, (way, calls) in ways.items():
        timed(way, 5)
        wall, host = (median(each) for each in zip(*(timed(way, calls) for _ in range(TURNS)), strict=True))
        kernels = on_gpu(way) if name == "kernels" else ""
        print(f"{units:6} units, {name:10} {wall:8.1f}, host {host:8.1f}   {kernels}", flush=True)


@torch.no_grad()
def forward_passes(name: str) -> None:
    """Bare and counting forward passes in turns."""
    shape = SHAPES[name]
    model = build({"shape": shape, "device": AT, "dtype": "bfloat16"})
    layers = shape["num_hidden_layers"]
    ids = torch.randint(4, shape["vocab_size"], (SEQUENCES, POSITIONS), device=AT)
    use = relusparsity.track(model)

    def turn(counting: bool) -> tuple[float, float]:
        """Microseconds of a forward pass, coming and going included, and of the host in one that starts from rest."""

        def passes() -> None:
            with use if counting else nullcontext():
                for _ in range(PASSES):
                    model(input_ids=ids, use_cache=False)

        wall, _ = timed(passes, 1)
        with use if counting else nullcontext():
            _, host = timed(lambda: model(input_ids=ids, use_cache=False), 1)
        return wall / PASSES, host

    for counting in (False, True):
        turn(counting)
    turns = []
    for at in range(TURNS):
        order = (False, True) if at % 2 else (True, False)
        found = {counting: turn(counting) for counting in order}
        turns.append((*found[False], *found[True]))
    bare, bare_host, ours, ours_host = (median(each) for each in zip(*turns, strict=True))
    shares = sorted(100 * (each[2] / each[0] - 1) for each in turns)
    print(
        f"{name}: a layer of the bare forward pass {bare / layers:.0f}, host {bare_host / layers:.0f}; counting adds "
        f"{(ours - bare) / layers:.1f}, host {(ours_host - bare_host) / layers:.1f}: {median(shares):.1f} % of the "
        f"forward pass in the median of {TURNS} turns, {shares[0]:.1f} to {shares[-1]:.1f} %",
        flush=True,
    )


def main() -> None:
    if not (gpu.HAS_TRITON and torch.cuda.is_available()):
        raise SystemExit("the kernels need an NVIDIA GPU and Triton; there is none here.")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; microseconds of a call")
    for units in (3072, 8192):
        one_call(units)
    for name in ("opt-125m", "opt-1.3b"):
        forward_passes(name)


if __name__ == "__main__":
    main()
