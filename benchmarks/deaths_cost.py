"""Cost of `track_deaths` as a share of the training step of a plain PyTorch loop: with it against without it.

    python benchmarks/deaths_cost.py            # 3 minutes on 2 cores
    python benchmarks/deaths_cost.py --pairs 5  # a look

Both models start from the same weights, see the same random tokens and take turns, step by step (A B, B A …), in one
process. That their losses and weights stay bitwise equal is checked: counting changes nothing but time. Run it on a GPU
too: `--device cuda --layers 12 --d_model 2048 --d_ff 8192 --batch 8 --seq_len 1024` is a step that a GPU is busy with.
"""

import argparse
import gc
from time import perf_counter
from typing import Any

import numpy as np
import torch
from support import machine
from torch import Tensor, nn
from torch.nn import functional as F

from relusparsity import track_deaths
from relusparsity.config import ModelConfig
from relusparsity.models import build

WARM_UP = 5  # steps of each before the clock starts
SHAPES = {"laptop": {"d_model": 64, "d_ff": 1024}, "d_ff 4096": {"d_model": 128, "d_ff": 4096}}


class Loop:
    """A training loop as anyone writes it."""

    def __init__(self, config: ModelConfig, device: torch.device, dead_after: int | None) -> None:
        self.model: nn.Module = build(config, seed=0, device=device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=device.type == "cuda")
        self.deaths = None if dead_after is None else track_deaths(self.model, dead_after).start()
        self.device = device

    def step(self, tokens: Tensor) -> tuple[float, Tensor]:
        """Seconds and loss of one step."""
        self._wait()
        start = perf_counter()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.model(tokens[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.deaths is not None:
            self.deaths.step()
        self._wait()
        return perf_counter() - start, loss.detach()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure(config: ModelConfig, device: torch.device, sequences: int, pairs: int) -> dict[str, Any]:
    """Median steps, and the median over pairs of the tracked step's extra time as a share of the other."""
    tracked, bare = Loop(config, device, 10 * sequences * config.seq_len), Loop(config, device, None)
    generator = torch.Generator().manual_seed(0)
    seconds = np.zeros((pairs, 2))
    gc.disable()
    for pair in range(-WARM_UP, pairs):
        tokens = torch.randint(config.vocab_size, (sequences, config.seq_len + 1), generator=generator).to(device)
        order = (tracked, bare) if pair % 2 else (bare, tracked)
        found = {loop: loop.step(tokens) for loop in order}
        if not torch.equal(found[tracked][1], found[bare][1]):
            raise AssertionError(f"tracking changed the loss in pair {pair}")
        if pair >= 0:
            seconds[pair] = found[tracked][0], found[bare][0]
    gc.enable()
    assert tracked.deaths is not None
    tracked.deaths.stop()
    for one, other in zip(tracked.model.parameters(), bare.model.parameters(), strict=True):
        if not torch.equal(one, other):
            raise AssertionError("tracking changed the weights")
    extra = seconds[:, 0] / seconds[:, 1] - 1
    generator_of_pairs = np.random.Generator(np.random.PCG64(0))
    resampled = np.median(generator_of_pairs.choice(extra, (2000, pairs)), axis=1)
    state = [value for value in tracked.deaths.state_dict().values() if isinstance(value, Tensor)]
    return {
        "shape": {name: getattr(config, name) for name in ("n_layers", "d_model", "d_ff", "seq_len", "vocab_size")},
        "batch_tokens": sequences * config.seq_len,
        "pairs": pairs,
        "step_tracked_ms": round(1e3 * float(np.median(seconds[:, 0])), 3),
        "step_bare_ms": round(1e3 * float(np.median(seconds[:, 1])), 3),
        "extra_share": round(float(np.median(extra)), 4),
        "extra_share_95": [round(float(q), 4) for q in np.quantile(resampled, (0.025, 0.975))],
        "state_MB": round(sum(each.numel() * each.element_size() for each in state) / 1e6, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, help="pairs of steps (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="where the model trains (default: %(default)s)")
    for name, default in (("layers", 6), ("seq_len", 64), ("batch", 16), ("d_model", 0), ("d_ff", 0)):
        parser.add_argument(f"--{name}", type=int, default=default, help="of one other shape" if not default else None)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    here = machine.describe("torch", "numpy") | {"threads": torch.get_num_threads()}
    if device.type == "cuda":
        here["gpu"] = torch.cuda.get_device_name()
    shapes = {f"d_ff {asked.d_ff}": {"d_model": asked.d_model, "d_ff": asked.d_ff}} if asked.d_ff else SHAPES
    found, rows = {}, [("shape", "tracked", "not tracked", "extra", "95 % interval", "state")]
    for name, shape in shapes.items():
        config = ModelConfig(
            n_layers=asked.layers, n_heads=max(1, shape["d_model"] // 64), seq_len=asked.seq_len, **shape
        )
        found[name] = one = measure(config, device, asked.batch, asked.pairs)
        low, high = one["extra_share_95"]
        times = (f"{one['step_tracked_ms']:.1f} ms", f"{one['step_bare_ms']:.1f} ms")
        rows.append(
            (name, *times, f"{one['extra_share']:.1%}", f"{low:.1%} to {high:.1%}", f"{one['state_MB']:.1f} MB")
        )
    where = here.get("gpu", f"{here['threads']} threads of a processor")
    text = f"{machine.table(rows)}\n\n{asked.pairs} pairs of steps of {asked.batch * asked.seq_len} tokens; {where}."
    machine.publish("deaths_cost" if device.type == "cpu" else "deaths_cost_gpu", here, {"shapes": found}, text)


if __name__ == "__main__":
    main()
