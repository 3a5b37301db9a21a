"""What `relusparsity.track` costs on models of real shapes, and what keeping activations costs instead.

    python benchmarks/any_model_cost.py                                    # half an hour on 2 cores
    python benchmarks/any_model_cost.py --shapes tiny --tokens 2048        # a look
    python benchmarks/any_model_cost.py --device cuda --dtype bfloat16 --tokens 1048576

OPT-125m and OPT-1.3b with random weights, which cost what trained ones cost. Each way has a process of its own, in
which bare and counting forward passes take turns over the text. TransformerLens comes from an environment of its own,
_build/transformer-lens; where it cannot be installed, its rows are reported missing. On a CPU, Linux only (peaks of
resident memory come from /proc); on a GPU, peaks are those of PyTorch's allocator.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch
from support import machine
from support.lens import LENS, ROOT, lens_python

VOCABULARY = {"vocab_size": 50_272, "max_position_embeddings": 2048}
SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"num_hidden_layers": 2, "hidden_size": 64, "ffn_dim": 256, "num_attention_heads": 4} | VOCABULARY,
    "opt-125m": {"num_hidden_layers": 12, "hidden_size": 768, "ffn_dim": 3072, "num_attention_heads": 12} | VOCABULARY,
    "opt-1.3b": {"num_hidden_layers": 24, "hidden_size": 2048, "ffn_dim": 8192, "num_attention_heads": 32} | VOCABULARY,
}
CPU = {"tiny": (8192, 2048), "opt-125m": (16_384, 2048), "opt-1.3b": (4096, 512)}  # tokens, of a forward pass
CUDA = (1 << 20, 1 << 14)
TURN_ON_GPU = 8  # forward passes of a turn: there, coming and going would be a part of one that is so short
WAYS = {
    "track": "relusparsity.track",
    "hooks all": "hooks, all text kept",
    "hooks chunk": "hooks, chunk by chunk",
    "filter all": "run_with_cache, names_filter, all text kept",
    "filter chunk": "run_with_cache, names_filter, chunk by chunk",
    "everything chunk": "run_with_cache, everything, chunk by chunk",
}
FEWER = ("track", "hooks all", "filter all", "everything chunk")  # of the large shape on a CPU, where all take hours


def measured(python: Path, job: dict[str, Any]) -> dict[str, Any]:
    """What one way took, in a process of its own."""
    script = ROOT / "benchmarks" / "support" / "any_model_worker.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    # memory of a tensor goes back to the system at once, or peaks would be those of glibc's leftovers
    environment["MALLOC_MMAP_THRESHOLD_"] = str(1 << 20)
    done = subprocess.run([python, script, json.dumps(job)], capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"it was ended ({done.returncode})"])[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "bare_s" not in answer:
        return answer
    bare, way = sum(answer["bare_s"]), sum(answer["way_s"])
    extra = [w / b - 1 for b, w in zip(answer["bare_s"], answer["way_s"], strict=False)]
    return {
        "forward_s": round(bare, 3),
        "above_forward_s": round(way - bare, 3),
        "of_which_counting_s": round(answer["counting_s"], 3),
        "extra_share": round(way / bare - 1, 4),
        "extra_share_of_median_turn": round(median(extra), 4),
        "extra_share_of_turns": [round(share, 4) for share in extra],
        "forward_MB": round(answer["forward_B"] / 1e6, 1),
        "above_forward_MB": {tokens: round(size / 1e6, 1) for tokens, size in answer["above_forward_B"].items()},
        "firings": answer["firings"],
    }


def one_shape(job: dict[str, Any], pythons: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Every way, and by how many firings its counts differ from the tracker's (other kernels, other last bits)."""
    found: dict[str, Any] = {}
    for way, python in pythons.items():
        path = folder / f"{way}.pt"
        found[way] = measured(python, job | {"way": way, "save": str(path)})
        print(f"  {way}: {found[way]}", file=sys.stderr, flush=True)
        if path.exists() and (folder / "track.pt").exists():
            ours, theirs = (torch.load(each, weights_only=True) for each in (folder / "track.pt", path))
            found[way]["firings_counted_otherwise"] = int((ours - theirs).abs().sum())
    return found


def described(name: str, job: dict[str, Any], found: dict[str, Any]) -> str:
    ours = found["track"]
    rows = [("way", "time above the forward pass", "share of it", "×", "peak above the forward pass", "×")]
    for way, row in found.items():
        if "forward_s" not in row:
            what = row.get("failed") or f"out of memory after {row['out_of_memory_after_tokens']:,} tokens"
            rows.append((WAYS[way], what[:80], "", "", "", ""))
            continue
        peak, least = list(row["above_forward_MB"].values())[-1], list(ours["above_forward_MB"].values())[-1]
        times = row["above_forward_s"] / ours["above_forward_s"] if ours["above_forward_s"] > 0 else float("nan")
        memory = peak / least if least > 0 else float("nan")  # a difference may be nothing: then no ratio stands
        rows.append(
            (
                WAYS[way],
                f"{row['above_forward_s']:.2f} s",
                f"{row['extra_share']:.1%}",
                "–" if times != times else f"{times:.1f}",
                f"{peak:,.0f} MB",
                "–" if memory != memory else f"{memory:.1f}",
            )
        )
    flat = ", ".join(f"{size:,.0f} MB after {int(n):,}" for n, size in ours["above_forward_MB"].items())
    turns = ours["extra_share_of_turns"]
    return (
        f"**{name}**, {job['dtype']}: {job['tokens']:,} tokens in sequences of {job['seq_len']}, "
        f"{job['chunk_tokens']:,} tokens a forward pass; the bare passes take {ours['forward_s']:.1f} s and "
        f"{ours['forward_MB']:,.0f} MB above the model.\n\n{machine.table(rows)}\n\n"
        f"The tracker turn by turn ({len(turns)}): {ours['extra_share_of_median_turn']:.1%} of the forward pass in the "
        f"median, {min(turns):.1%} to {max(turns):.1%}. Its peak by tokens read: {flat}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["opt-125m", "opt-1.3b"])
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16 (default: %(default)s)")
    parser.add_argument("--tokens", type=int, help="length of the text; a power of two")
    parser.add_argument("--seq-len", type=int, default=512, help="tokens of a sequence (default: %(default)s)")
    parser.add_argument("--chunk-tokens", type=int, help="tokens of a forward pass; a power of two")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="default: all; of the large shape on a CPU four")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    arguments = parser.parse_args()
    cuda = arguments.device.startswith("cuda")
    lens, why_not = lens_python()
    here = machine.describe("torch", "numpy", "transformers") | {"threads": arguments.threads}
    here["versions"]["transformer-lens"] = LENS.partition("==")[2] if lens else f"missing: {why_not}"
    if cuda:
        here["processor"] = f"{torch.cuda.get_device_name(arguments.device)} beside {here['processor']}"
    pythons = {way: lens if way.startswith(("filter", "everything")) else Path(sys.executable) for way in WAYS}
    result: dict[str, Any] = {"shapes": {}}
    parts = []
    for name in arguments.shapes:
        tokens, chunk = CUDA if cuda else CPU[name]
        tokens = arguments.tokens or tokens
        job = {
            "shape": SHAPES[name],
            "device": arguments.device,
            "dtype": arguments.dtype,
            "threads": arguments.threads,
            "tokens": tokens,
            "seq_len": arguments.seq_len,
            "chunk_tokens": min(arguments.chunk_tokens or chunk, tokens),
            "turn": TURN_ON_GPU if cuda else 1,
        }
        ways = {"track", *(arguments.ways or (FEWER if name == "opt-1.3b" and not cuda else WAYS))}
        there = {way: python for way, python in pythons.items() if python and way in ways}
        with tempfile.TemporaryDirectory() as folder:
            found = one_shape(job, there, Path(folder))
        result["shapes"][name] = {"job": job, "load_after": machine.load(), "ways": found}
        parts.append(described(name, job, found))
    if not lens:
        parts.append(f"{LENS} is missing: {why_not}")
    if "tiny" in arguments.shapes:
        print("\n\n".join(parts))  # a look: nothing is recorded
        return
    aims = "extra_share ≤ 0.05 on a GPU and ≤ 0.1 on a CPU; others: ≥ 10 times the time, ≥ 100 times the memory at 1 M"
    which = "any_model_cost_gpu" if cuda else "any_model_cost"
    machine.publish(which, here, result | {"aims": aims}, "\n\n".join(parts), "any_model_cost")


if __name__ == "__main__":
    main()
