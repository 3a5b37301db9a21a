"""Cost of tracking as a share of the training step: the step that counts against the same step that does not.

    python benchmarks/tracking_cost.py            # 2 minutes on 2 cores, after the corpus is made
    python benchmarks/tracking_cost.py --pairs 5  # a look

Both trainers start from the same weights, see the same batches and take turns, step by step (A B, B A, A B …), in
one process. That their losses and weights stay bitwise equal is checked: counting changes nothing but time.
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

from relusparsity import corpora, scales
from relusparsity.config import RunConfig, replace
from relusparsity.train import Trainer
from relusparsity.train.step import Objective

SHAPES = {
    "laptop": {},
    "d_ff 4096": {"model.d_model": 128, "model.d_ff": 4096},
}
WARM_UP = 10  # steps of each before the clock starts


class LossOnly(Objective):
    """The forward pass without an observer."""

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logits, targets = self.model.predict(*batch)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        nothing = torch.empty(0)
        return loss, nothing, nothing, nothing


class NoDeaths:
    """Stands where the tracker stands and does nothing."""

    def update(self, *_: Any) -> None:
        pass


def without_counts(config: RunConfig, corpus: corpora.Corpus) -> Trainer:
    """A trainer whose step is the same but for the counts."""
    trainer = Trainer(config, corpus, torch.device("cpu"))
    trainer.objective = LossOnly(trainer.model)
    trainer.deaths = NoDeaths()  # type: ignore[assignment]
    return trainer


def timed(trainer: Trainer) -> tuple[float, Tensor]:
    """Seconds and loss of one step."""
    start = perf_counter()
    loss, _ = trainer.advance()
    return perf_counter() - start, loss


def measure(config: RunConfig, corpus: corpora.Corpus, pairs: int) -> dict[str, Any]:
    """Median steps, and the median over pairs of the counting step's extra time as a share of the other."""
    counting, bare = Trainer(config, corpus, torch.device("cpu")), without_counts(config, corpus)
    seconds = np.zeros((pairs, 2))
    gc.disable()
    for pair in range(-WARM_UP, pairs):
        order = (counting, bare) if pair % 2 else (bare, counting)
        results = {trainer: timed(trainer) for trainer in order}
        if not torch.equal(results[counting][1], results[bare][1]):
            raise AssertionError(f"counting changed the loss in pair {pair}")
        if pair >= 0:
            seconds[pair] = results[counting][0], results[bare][0]
    gc.enable()
    for one, other in zip(counting.model.parameters(), bare.model.parameters(), strict=True):
        if not torch.equal(one, other):
            raise AssertionError("counting changed the weights")
    extra = seconds[:, 0] / seconds[:, 1] - 1
    generator = np.random.Generator(np.random.PCG64(0))
    resampled = np.median(generator.choice(extra, (2000, pairs)), axis=1)
    model = config.model
    return {
        "shape": {name: getattr(model, name) for name in ("n_layers", "d_model", "d_ff", "seq_len", "vocab_size")},
        "batch_tokens": config.train.batch_tokens,
        "pairs": pairs,
        "step_with_counts_ms": round(1e3 * float(np.median(seconds[:, 0])), 3),
        "step_without_ms": round(1e3 * float(np.median(seconds[:, 1])), 3),
        "extra_share": round(float(np.median(extra)), 4),
        "extra_share_95": [round(float(q), 4) for q in np.quantile(resampled, (0.025, 0.975))],
        "tracker_MB": round(sum(t.numel() * t.element_size() for t in counting.deaths.state().values()) / 1e6, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=60, help="pairs of steps (default: %(default)s)")
    parser.add_argument("--scale", default="laptop", help="scale that the shapes start from (default: %(default)s)")
    arguments = parser.parse_args()
    base = scales.base(arguments.scale)
    corpus = corpora.load(base.corpus)
    here = machine.describe("torch", "numpy") | {"threads": torch.get_num_threads()}
    found = {}
    rows = [("shape", "with counts", "without", "extra", "95 % interval")]
    for name, changes in SHAPES.items():
        found[name] = one = measure(replace(base, **changes), corpus, arguments.pairs)
        low, high = one["extra_share_95"]
        times = (f"{one['step_with_counts_ms']:.1f} ms", f"{one['step_without_ms']:.1f} ms")
        rows.append((name, *times, f"{one['extra_share']:.1%}", f"{low:.1%} to {high:.1%}"))
    text = f"{machine.table(rows)}\n\n{arguments.pairs} pairs of steps of {base.train.batch_tokens} tokens."
    machine.publish("tracking_cost", here, {"aim": "extra_share ≤ 0.05", "shapes": found}, text)


if __name__ == "__main__":
    main()
