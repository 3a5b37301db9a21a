"""The tracker against hooks that keep activations: time above the bare forward pass, peak memory above the model.

    python benchmarks/tracker_against_hooks.py                    # 5 minutes on 2 cores, after the corpus is made
    python benchmarks/tracker_against_hooks.py --tokens 8192 --rounds 2  # a look

Every way counts the same things on the same held-out text, with the same weights, in float32 and chunks of 8,192
tokens, in a process of its own that first loads the model. Processes take turns; in each turn one reads the text
bare and counting, in alternating order. TransformerLens is installed into an environment of its own,
_build/transformer-lens; where that fails, its rows are reported missing. Linux only (peaks come from /proc).
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

import numpy as np
import torch
from safetensors.torch import save_model
from support import machine
from support.lens import LENS, lens_python

from relusparsity import corpora, scales
from relusparsity.config import to_dict
from relusparsity.models import build

ROOT = Path(__file__).resolve().parents[1]
WAYS = {
    "tracker": "tracker (this library)",
    "hooks all": "hooks, all text kept",
    "hooks chunk": "hooks, chunk by chunk",
    "cache all": "run_with_cache, all text kept",
    "cache chunk": "run_with_cache, chunk by chunk",
}


class Worker:
    """A process that counts in one way when told to."""

    def __init__(self, python: Path, job: dict[str, Any]) -> None:
        script = ROOT / "benchmarks" / "support" / "worker.py"
        self.process = subprocess.Popen(
            [python, script, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        )

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"a worker ended while it was asked to {command}; its message is above")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(pythons: dict[str, Path], job: dict[str, Any], rounds: int, folder: Path) -> dict[str, Any]:
    """Time and memory of every way, and that all counts are equal."""
    still = Worker(Path(sys.executable), job | {"way": "tracker"})  # reads bare only: the forward pass's own peak
    still.ask("bare")
    forward = still.ask("memory")
    still.close()
    workers = {way: Worker(python, job | {"way": way}) for way, python in pythons.items()}
    seconds: dict[str, list[dict[str, float]]] = {way: [] for way in workers}
    for turn in range(-1, rounds):  # the first turn warms up
        for way, worker in workers.items():
            order = ("bare", "count") if turn % 2 else ("count", "bare")
            took = {command: worker.ask(command)["seconds"] for command in order}
            if turn >= 0:
                seconds[way].append(took)
    found, first = {}, None
    for way, worker in workers.items():
        used = worker.ask("memory")
        path = folder / f"{way}.npz"
        worker.ask(f"save {path}")
        worker.close()
        with np.load(path) as saved:
            counts = dict(saved)
        first = counts if first is None else first
        if wrong := [name for name in first if not np.array_equal(first[name], counts[name])]:
            raise AssertionError(f"{way} counts otherwise than {next(iter(workers))}: {wrong}")
        found[way] = {
            "forward_s": round(median(took["bare"] for took in seconds[way]), 4),
            "above_forward_s": round(median(took["count"] - took["bare"] for took in seconds[way]), 4),
            "above_forward_s_all": [round(took["count"] - took["bare"], 4) for took in seconds[way]],
            "above_model_MB": round((used["peak"] - used["rest"]) / 1e6, 1),
        }
        found[way]["above_forward_MB"] = round(found[way]["above_model_MB"] - peak(forward), 1)
    assert first is not None
    return {
        "forward_above_model_MB": round(peak(forward), 1),
        "counts_identical": True,  # else the comparison has stopped above
        "unit_firings_counted": int(first["unit_tokens"].sum()),
        "ways": found,
    }


def peak(used: dict[str, int]) -> float:
    return (used["peak"] - used["rest"]) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[8192, 65_536], help="lengths of the text")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every way (default: %(default)s)")
    parser.add_argument("--scale", default="laptop", help="scale of the model (default: %(default)s)")
    parser.add_argument("--chunk-tokens", type=int, default=8192, help="tokens a forward pass (default: %(default)s)")
    arguments = parser.parse_args()
    config = scales.base(arguments.scale)
    text = corpora.heldout_sequences(corpora.load(config.corpus).heldout, config.model.seq_len)[:, :-1]
    lens, why_not = lens_python()
    here = machine.describe("torch", "numpy") | {"threads": torch.get_num_threads()}
    here["versions"]["transformer-lens"] = LENS.partition("==")[2] if lens else f"missing: {why_not}"
    mine = Path(sys.executable)
    pythons = {way: lens if way.startswith("cache") else mine for way in WAYS}
    result: dict[str, Any] = {"chunk_tokens": arguments.chunk_tokens, "rounds": arguments.rounds, "texts": {}}
    parts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(build(config.model, seed=0), str(folder / "weights.safetensors"))
        for tokens in arguments.tokens:
            np.save(folder / "tokens.npy", text[: tokens // config.model.seq_len])
            job = {
                "model": to_dict(config.model),
                "weights": str(folder / "weights.safetensors"),
                "tokens": str(folder / "tokens.npy"),
                "chunk_tokens": arguments.chunk_tokens,
                "threads": torch.get_num_threads(),
            }
            there = {way: python for way, python in pythons.items() if python}
            result["texts"][str(tokens)] = one = compare(there, job, arguments.rounds, folder)
            parts.append(described(tokens, one))
    parts.append(
        f"Medians of {arguments.rounds} turns; chunks of {arguments.chunk_tokens:,} tokens, float32, {arguments.scale} "
        "model at its initial weights. All counts identical."
    )
    if not lens:
        parts.append(f"{LENS} is missing: {why_not}")
    aims = "time above the forward pass ≥ 5 times, memory ≥ 50 times the tracker's"
    machine.publish("tracker_against_hooks", here, result | {"aims": aims}, "\n\n".join(parts))


def described(tokens: int, one: dict[str, Any]) -> str:
    """The ways in a table, and how many times the tracker's time and memory each takes."""
    ways, ours = one["ways"], one["ways"]["tracker"]
    measures = {"above_forward_s": "s", "above_model_MB": "MB", "above_forward_MB": "MB"}
    rows = [
        ("way", "time above the forward pass", "×", "peak above the model", "×", "peak above the forward pass", "×")
    ]
    for way, row in ways.items():
        cells = []
        for name, unit in measures.items():
            digits = 3 if unit == "s" else 0
            # a difference of two peaks may be nothing, and then no ratio stands
            ratio = f"{row[name] / ours[name]:.1f}" if ours[name] > 0 else "–"
            cells += [f"{row[name]:.{digits}f} {unit}", ratio]
        rows.append((WAYS[way], *cells))
    forward = f"{ours['forward_s']:.2f} s and {one['forward_above_model_MB']:.0f} MB above the model"
    return f"{tokens:,} tokens; the forward pass alone takes {forward}.\n\n{machine.table(rows)}"


if __name__ == "__main__":
    main()
