"""One way to count, in a process of its own, so that its peak memory is its own.

Run by tracker_against_hooks.py with this environment's Python or that of TransformerLens. It answers each line on
stdin with a line of JSON: `bare` (the forward pass alone) and `count` with their seconds, `memory` with bytes at rest
and at the peak so far, `save PATH` after writing the last counts.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import machine
import numpy as np
import plain
import torch
from safetensors.torch import load_model
from torch import Tensor, nn

from relusparsity.config import ModelConfig, from_dict
from relusparsity.counting.metrics import fires
from relusparsity.counting.use import UseTracker
from relusparsity.models import Decoder

BY_LAYER = ("unit_tokens", "unit_sequences", "token_histogram", "sequence_histogram", "window_units")
COUNTED = (*BY_LAYER, "position_units")


def bare(model: Decoder, chunks: list[Tensor]) -> None:
    """The forward pass alone."""
    for chunk in chunks:
        model(chunk)


def tracked(model: Decoder, chunks: list[Tensor]) -> plain.Counts:
    """The library's tracker, through the model's observer."""
    use = UseTracker(model.widths(), model.config.seq_len)
    for chunk in chunks:
        model(chunk, lambda layer, _inputs, _pre, activation: use.update(layer, fires(activation)))
    return whole(use)


def whole(use: UseTracker) -> plain.Counts:
    """The tracker's counts, without the window sizes that the text is too short for."""
    fitting = sum(size <= use.tokens for size in use.windows)
    counts = {name: torch.stack([getattr(layer, name) for layer in use.layers]) for name in BY_LAYER}
    return counts | {"window_units": counts["window_units"][:, :fitting], "position_units": use.position_units}


def with_hooks(model: Decoder, chunk: Tensor) -> list[Tensor]:
    """Every MLP's activation, kept by forward hooks."""
    kept: list[Tensor] = []
    hooks = [mlp.fc_out.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0])) for mlp in model.mlps()]
    model(chunk)
    for hook in hooks:
        hook.remove()
    return kept


def with_cache(model: Decoder) -> Callable[[Tensor], list[Tensor]]:
    """Every MLP's activation, kept by TransformerLens' run_with_cache with hook points put into the same model."""
    from transformer_lens import HookedRootModule
    from transformer_lens.hook_points import HookPoint

    class Hooked(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = model
            for mlp in model.mlps():
                mlp.activation = nn.Sequential(nn.ReLU(), HookPoint())
            self.setup()

        def forward(self, chunk: Tensor) -> Tensor:
            return self.decoder(chunk)

    hooked = Hooked()
    names = [f"decoder.blocks.{layer}.mlp.activation.1" for layer in range(model.config.n_layers)]

    def read(chunk: Tensor) -> list[Tensor]:
        _, cache = hooked.run_with_cache(chunk, names_filter=names)
        return [cache[name] for name in names]

    return read


def counted(read: Callable[[Tensor], list[Tensor]], chunks: list[Tensor], keep: str) -> plain.Counts:
    """Counts from kept activations: keep "all" of the text's and then count, or one "chunk" at a time."""
    if keep == "all":
        activations = [read(chunk) for chunk in chunks]
        return plain.together([plain.of_chunk(layers) for layers in activations])
    return plain.together([plain.of_chunk(read(chunk)) for chunk in chunks])


def agree_on_the_same_tensors(read: Callable[[Tensor], list[Tensor]], chunks: list[Tensor], model: Decoder) -> None:
    """Feed the very tensors that were kept to both ways of counting."""
    use = UseTracker(model.widths(), model.config.seq_len)
    rows = []
    for chunk in chunks:
        layers = read(chunk)
        rows.append(plain.of_chunk(layers))
        for layer, activation in enumerate(layers):
            use.update(layer, fires(activation))
    ours, theirs = whole(use), plain.together(rows)
    if wrong := [name for name in COUNTED if not torch.equal(ours[name], theirs[name])]:
        raise AssertionError(f"the tracker and the plain code disagree on the same tensors: {wrong}")


def main() -> None:
    job: dict[str, Any] = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    torch.set_grad_enabled(False)
    model = Decoder(from_dict(ModelConfig, job["model"]))
    load_model(model, job["weights"])
    tokens = torch.from_numpy(np.load(job["tokens"]))  # (sequence, position)
    chunks = list(tokens.split(job["chunk_tokens"] // tokens.shape[1]))
    source, _, keep = job["way"].partition(" ")
    read = with_cache(model) if source == "cache" else partial(with_hooks, model)
    ways: dict[str, Callable[[list[Tensor]], Any]] = {
        "bare": partial(bare, model),
        "count": partial(tracked, model) if source == "tracker" else partial(counted, read, keep=keep),
    }
    for way in ways.values():  # what PyTorch loads once is no part of the comparison
        way([chunks[0][:1]])
    rest = machine.resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here, not at the imports
    counts: plain.Counts = {}
    for line in sys.stdin:
        command, _, path = line.strip().partition(" ")
        answer: dict[str, Any] = {}
        if command in ways:
            start = perf_counter()
            counts = ways[command](chunks) or counts
            answer = {"seconds": perf_counter() - start}
        elif command == "memory":
            answer = {"rest": rest, "peak": machine.resident("VmHWM")}
        elif command == "save":
            if source != "tracker":
                agree_on_the_same_tensors(read, chunks, model)
            np.savez(path, **{name: counts[name].numpy() for name in COUNTED})
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
