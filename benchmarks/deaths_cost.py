"""Cost of `track_deaths` as a share of the training step of a plain PyTorch loop: with it against without it.

    python benchmarks/deaths_cost.py            # 2 minutes on 2 cores
    python benchmarks/deaths_cost.py --pairs 5  # a look

Both models start from the same weights, see the same random tokens and take turns, step by step (A B, B A, A B …), in
one process. That their losses and weights stay bitwise equal is checked: tracking changes nothing but time.
"""

import argparse
import gc
from time import perf_counter
from typing import Any

import numpy as np
import torch
from support import machine
from torch import Tensor
from torch.nn import functional as F

from relusparsity import track_deaths
from relusparsity.config import ModelConfig
from relusparsity.models import build

SHAPES = {"laptop": {"d_model": 64, "d_ff": 1024}, "d_ff 4096": {"d_model": 128, "d_ff": 4096}}
SEQUENCES = 16  # of 64 tokens, a step
WARM_UP = 10  # steps of each before the clock starts


class Loop:
    """A training loop as anyone writes it."""

    def __init__(self, config: ModelConfig, dead_after: int = 0) -> None:
        self.model = build(config, seed=0)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.deaths = track_deaths(self.model, dead_after).start() if dead_after else None

    def step(self, tokens: Tensor) -> tuple[float, Tensor]:
        """Seconds and loss of one step."""
        start = perf_counter()
        logits = self.model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.deaths is not None:
            self.deaths.step()
        return perf_counter() - start, loss.detach()


def measure(config: ModelConfig, pairs: int) -> dict[str, Any]:
    """Median steps, and the median over pairs of the tracked step's extra time as a share of the other."""
    batch_tokens = SEQUENCES * config.seq_len
    tracked, bare = Loop(config, dead_after=10 * batch_tokens), Loop(config)
    generator = torch.Generator().manual_seed(0)
    seconds = np.zeros((pairs, 2))
    gc.disable()
    for pair in range(-WARM_UP, pairs):
        tokens = torch.randint(config.vocab_size, (SEQUENCES, config.seq_len + 1), generator=generator)
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
    draws = np.random.Generator(np.random.PCG64(0)).choice(extra, (2000, pairs))
    state = [value for value in tracked.deaths.state_dict().values() if isinstance(value, Tensor)]
    return {
        "shape": {name: getattr(config, name) for name in ("n_layers", "d_model", "d_ff", "seq_len", "vocab_size")},
        "batch_tokens": batch_tokens,
        "pairs": pairs,
        "step_tracked_ms": round(1e3 * float(np.median(seconds[:, 0])), 3),
        "step_bare_ms": round(1e3 * float(np.median(seconds[:, 1])), 3),
        "extra_share": round(float(np.median(extra)), 4),
        "extra_share_95": [round(float(q), 4) for q in np.quantile(np.median(draws, axis=1), (0.025, 0.975))],
        "state_MB": round(sum(each.numel() * each.element_size() for each in state) / 1e6, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=60, help="pairs of steps (default: %(default)s)")
    arguments = parser.parse_args()
    here = machine.describe("torch", "numpy") | {"threads": torch.get_num_threads()}
    found, rows = {}, [("shape", "tracked", "not tracked", "extra", "95 % interval", "state")]
    for name, shape in SHAPES.items():
        found[name] = one = measure(ModelConfig(seq_len=64, vocab_size=4096, **shape), arguments.pairs)
        low, high = one["extra_share_95"]
        times = (f"{one['step_tracked_ms']:.1f} ms", f"{one['step_bare_ms']:.1f} ms")
        share = (f"{one['extra_share']:.1%}", f"{low:.1%} to {high:.1%}")
        rows.append((name, *times, *share, f"{one['state_MB']:.2f} MB"))
    text = f"{machine.table(rows)}\n\n{arguments.pairs} pairs of steps of {one['batch_tokens']} tokens; "
    text += f"{here['threads']} threads."
    machine.publish("deaths_cost", here, {"shapes": found}, text)


if __name__ == "__main__":
    main()
