"""A trained model at inference with all its units and without those that are silent: tokens per second, and bytes.

    python benchmarks/pruned_inference.py              # a minute on 2 cores, if the run is there; a GPU is used
    python benchmarks/pruned_inference.py --pairs 5    # a look
    python benchmarks/pruned_inference.py --run runs/run-3f2a91c0d8e7b654

Without --run, the run of Laptop with seed 0 that Part I of the book shows. Silent are the units that fire at no token
of its final held-out sets. Both models read the same held-out sequences in turns, call by call (A B, B A, A B …), in
one process; there is no cache of keys and values, so that a call reads whole sequences. The ratio is the median over
pairs, with a bootstrap interval. That their logits agree is checked.
"""

import argparse
import gc
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from support import machine
from torch import Tensor

from relusparsity import arithmetic, corpora, distributed, interventions, scales, train
from relusparsity.chapters.ch10_pruning_while_training import bound
from relusparsity.config import RunConfig, from_dict
from relusparsity.models import Model
from relusparsity.store import sealed

BATCHES = (1, 32)
"""Sequences a call reads."""
WARM_UP = 10


def finished(given: Path | None) -> train.Run:
    """The run of that directory, or Part I's, trained if need be."""
    if given is None:
        return train.run(scales.base("laptop"))
    return train.Run(given, from_dict(RunConfig, sealed.read_json(given / "config.json", "train the run again")))


def seconds(model: Model, tokens: Tensor) -> float:
    """Of one call."""
    start = perf_counter()
    model(tokens)
    if tokens.device.type == "cuda":
        torch.cuda.synchronize(tokens.device)
    return perf_counter() - start


@torch.no_grad()
def compare(dense: Model, pruned: Model, tokens: Tensor, pairs: int) -> dict[str, Any]:
    """Tokens per second of both on these token ids (sequence, position), and how many times as fast the second is."""
    whole, fewer = dense(tokens), pruned(tokens)
    apart, largest = float((whole - fewer).abs().max()), float(whole.abs().max())
    if apart > 1e-4 * largest:
        raise AssertionError(f"the models do not say the same: a logit differs by {apart:g}")
    taken = np.zeros((pairs, 2))
    for pair in range(-WARM_UP, pairs):
        order = (0, 1) if pair % 2 else (1, 0)
        found = {which: seconds((dense, pruned)[which], tokens) for which in order}
        if pair >= 0:
            taken[pair] = found[0], found[1]
    ratio = taken[:, 0] / taken[:, 1]
    draws = np.random.Generator(np.random.PCG64(0)).choice(ratio, (2000, pairs))
    per_second = tokens.numel() / np.median(taken, axis=0)
    return {
        "sequences": len(tokens),
        "tokens_per_second_dense": round(float(per_second[0])),
        "tokens_per_second_pruned": round(float(per_second[1])),
        "times_as_fast": round(float(np.median(ratio)), 4),
        "times_as_fast_95": [round(float(q), 4) for q in np.quantile(np.median(draws, axis=1), (0.025, 0.975))],
        "largest_difference_of_a_logit": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="pairs of calls (default: %(default)s)")
    parser.add_argument("--run", type=Path, help="directory of a finished run, all of whose layers have one width")
    arguments = parser.parse_args()
    run, device = finished(arguments.run), distributed.device()
    here = machine.describe("torch", "numpy") | {"threads": torch.get_num_threads(), "device": str(device)}
    model = run.config.model
    silent = run.dataset["final_firing_count"].transpose("layer", "unit").values == 0
    dense = run.model(device)
    pruned = interventions.remove(dense, silent).to(device).eval()
    sizes = [sum(p.numel() * p.element_size() for p in each.parameters()) for each in (dense, pruned)]
    sequences = corpora.heldout_sequences(corpora.load(run.config.corpus).heldout, model.seq_len)[: max(BATCHES), :-1]
    tokens = torch.from_numpy(sequences.astype(np.int64)).to(device)
    found, rows = {}, [("sequences per call", "all units", "without silent", "times as fast", "95 % interval")]
    gc.disable()
    with arithmetic.float32("ieee"):
        for batch in BATCHES:
            found[str(batch)] = one = compare(dense, pruned, tokens[:batch], arguments.pairs)
            low, high = one["times_as_fast_95"]
            speeds = (f"{one[f'tokens_per_second_{which}']:,} tokens/s" for which in ("dense", "pruned"))
            rows.append((str(batch), *speeds, f"{one['times_as_fast']:.3f}", f"{low:.3f} to {high:.3f}"))
    gc.enable()
    share = float(silent.mean())
    most = 1 / (1 - bound.mlp_share(model) * share)
    result = {
        "run": run.path.name,
        "silent_share": round(share, 4),
        "units_left": pruned.widths(),
        "bytes_dense": sizes[0],
        "bytes_pruned": sizes[1],
        "at_most_times_as_fast": round(most, 4),
        "batches": found,
    }
    left = ", ".join(f"{width:,}" for width in pruned.widths())
    weights = f"{sizes[0] / 1e6:.2f} MB and {sizes[1] / 1e6:.2f} MB, {sizes[0] / sizes[1]:.3f} times as many"
    text = (
        f"{machine.table(rows)}\n\n{100 * share:.1f} % of the units of {model.n_layers} × {model.width:,} are silent; "
        f"left are {left}. Weights in float32: {weights}. By operations at most {most:.3f} times as fast. "
        f"{arguments.pairs} pairs of calls of sequences of {model.seq_len} tokens; {here['device']}, {here['threads']} "
        "threads."
    )
    machine.publish("pruned_inference", here, result, text)


if __name__ == "__main__":
    main()
