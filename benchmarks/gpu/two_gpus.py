"""Training on two GPUs against one: tokens a second, memory, the same counts, and a state that either takes up.

    python benchmarks/gpu/two_gpus.py                # about 5 minutes on two H200
    python benchmarks/gpu/two_gpus.py --scale smoke  # a look, also on two CPU processes

One process, two that share the batch (DDP), and two that share the parameters too (FSDP2), each started as a reader
would start it, by torchrun. *Same batch* gives two GPUs half of it each, *same share* gives each the whole.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import machine

from relusparsity import corpora, distributed, scales
from relusparsity.config import replace
from relusparsity.models import build
from relusparsity.train import Trainer, evaluate, resuming

CASES = {  # processes, whether the parameters are shared out, batches of the scale a step
    "1 GPU": (1, False, 1),
    "2 GPUs, same batch, DDP": (2, False, 1),
    "2 GPUs, same batch, FSDP2": (2, True, 1),
    "2 GPUs, same share, DDP": (2, False, 2),
    "2 GPUs, same share, FSDP2": (2, True, 2),
}


def made_up(vocabulary: int, tokens: int) -> np.ndarray:
    """Tokens after Zipf's law."""
    frequency = 1 / np.arange(1, vocabulary + 1)
    return np.random.Generator(np.random.PCG64(0)).choice(vocabulary, tokens, p=frequency / frequency.sum())


def trainer_of(scale: str, shard: bool, batches: int, **changes: Any) -> Trainer:
    config = scales.base(scale)
    changes |= {"train.shard": shard, "train.batch_tokens": batches * config.train.batch_tokens}
    config = replace(config, **changes)
    text = made_up(config.model.vocab_size, 2_000_000).astype(np.int32)
    return Trainer(config, SimpleNamespace(train=text), distributed.device())  # type: ignore[arg-type]


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    distributed.barrier()


def speed(scale: str, shard: bool, batches: int, steps: int) -> dict[str, float]:
    """Tokens a second over the last of three stretches, and the peak of memory of this process."""
    trainer = trainer_of(scale, shard, batches)
    for _ in range(3):
        wait()
        start = perf_counter()
        for _ in range(steps):
            loss, _norm = trainer.advance()
        wait()
        seconds = perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else float("nan")
    return {"rate": steps * trainer.config.train.batch_tokens / seconds, "peak_GB": peak, "loss": float(loss)}


def counted(scale: str) -> dict[str, str]:
    """Digest of every count that evaluation makes on frozen weights; the processes share the text among them."""
    config = scales.base(scale)
    model = build(config.model, 0, distributed.device())
    each = config.measure.set_tokens // config.model.seq_len
    text = made_up(config.model.vocab_size, 8 * config.measure.set_tokens + 1)
    use = evaluate.measure(model, corpora.heldout_sequences(text, config.model.seq_len), each).use
    states = [layer.state() for layer in use.layers]
    counts = {name: np.stack([state[name].cpu() for state in states]) for name in states[0] if name != "pending"}
    return {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in counts.items()}


def resumed(scale: str, folder: Path, steps: int) -> dict[str, float]:
    """Take up the state in the folder, if there is one; train on; leave a state. The last loss, and the step."""
    trainer = trainer_of(scale, False, 1, **{"train.compile": False})
    resuming.restore(trainer, folder)
    for _ in range(steps):
        loss, _norm = trainer.advance()
    resuming.save(trainer, folder, "")
    distributed.barrier()
    return {"step": trainer.step, "loss": float(loss)}


def start(processes: int, *arguments: object) -> dict[str, Any]:
    """What the first of so many processes answers."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    command = [sys.executable, *(torchrun if processes > 1 else ()), __file__, "--answer", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def answer(what: str, scale: str, *rest: str) -> None:
    """One measurement, in one of the processes."""
    distributed.join()
    if what == "speed":
        found = speed(scale, rest[0] == "True", int(rest[1]), int(rest[2]))
    elif what == "counted":
        found = counted(scale)
    else:
        found = resumed(scale, Path(rest[0]), int(rest[1]))
    if distributed.rank() == 0:
        print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="wide", help="scale whose shape is timed (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="steps a stretch (default: %(default)s)")
    parser.add_argument("--answer", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        answer(*arguments.answer)
        return
    if torch.cuda.is_available() and torch.cuda.device_count() < 2:
        raise SystemExit("this machine has one GPU; two are needed.")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    here = machine.describe("torch", "numpy") | {"gpu": gpu}
    found = {
        name: start(processes, "speed", arguments.scale, shard, batches, arguments.steps)
        for name, (processes, shard, batches) in CASES.items()
    }
    rows = [("case", "tokens/s", "of one GPU", "efficiency", "peak a GPU")]
    for name, one in found.items():
        ratio = one["rate"] / found["1 GPU"]["rate"]
        rows.append(
            (name, f"{one['rate']:,.0f}", f"{ratio:.2f}", f"{ratio / CASES[name][0]:.0%}", f"{one['peak_GB']:.1f} GB")
        )
    small = "mid" if arguments.scale == "wide" else arguments.scale  # a state of Wide is 5.5 GB
    alone, both = (start(processes, "counted", small) for processes in (1, 2))
    if alone != both:
        raise AssertionError(f"two processes counted otherwise than one: {both}, not {alone}")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        steps = [start(processes, "resumed", small, one, 10) for processes in (2, 1, 2)]
        whole = start(1, "resumed", small, other, 30)
    if [state["step"] for state in steps] != [10, 20, 30]:
        raise AssertionError(f"the state was not taken up: {steps}")
    lines = (
        f"Counts on frozen weights, scale {small}: identical with one process and with two ({len(alone)} arrays).",
        f"Ten steps each with two processes, one and two, from state to state, scale {small}: loss "
        f"{steps[-1]['loss']:.4f}; thirty steps of one process: {whole['loss']:.4f}.",
        f"{arguments.steps} steps a stretch, the last of three; {gpu}.",
    )
    report = "\n\n".join((machine.table(rows), *lines))
    if arguments.scale == "wide":
        machine.publish("two_gpus", here, {"cases": found, "counts": alone, "resumed": [*steps, whole]}, report)
    else:
        print(report)


if __name__ == "__main__":
    main()
