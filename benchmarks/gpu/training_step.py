"""The training step of Wide on one GPU: ours with its counts, without them, and the same model of others.

    python benchmarks/gpu/training_step.py                # about 4 minutes on an H200
    python benchmarks/gpu/training_step.py --scale smoke  # a look, also on a CPU

All are compiled, read the same tokens from the same order, run in bf16 over float32 weights, clip gradients and step
with the same AdamW; they take turns in one process, block by block. A way whose package is missing is named and left
out. nanoGPT is no package: its architecture is written here (pre-LayerNorm, learned positions, biases, one matrix for
queries, keys and values, tied output), with the ReLU of ours in place of GELU.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import machine

from relusparsity import corpora, distributed, scales
from relusparsity.config import ModelConfig, RunConfig, replace
from relusparsity.train import Trainer, evaluate

OURS = "ours, counting"


class GPTBlock(nn.Module):
    """A layer as nanoGPT writes it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.n_heads = config.n_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc_in, self.fc_out = nn.Linear(width, config.d_ff), nn.Linear(config.d_ff, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = (t.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for t in self.qkv(self.norms[0](x)).chunk(3, -1))
        attended = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.project(attended)
        return x + self.fc_out(F.relu(self.fc_in(self.norms[1](x))))


class GPT(nn.Module):
    """nanoGPT's architecture: tokens (sequence, position) → logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokens, self.positions = (nn.Embedding(n, config.d_model) for n in (config.vocab_size, config.seq_len))
        self.blocks = nn.Sequential(*(GPTBlock(config) for _ in range(config.n_layers)))
        self.norm = nn.LayerNorm(config.d_model)
        for name, value in self.named_parameters():
            if value.ndim > 1:
                depth = math.sqrt(2 * config.n_layers) if name.endswith(("project.weight", "fc_out.weight")) else 1
                nn.init.normal_(value, std=0.02 / depth)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


def hugging_face(config: ModelConfig) -> nn.Module:
    """OPT of `transformers`, its nearest architecture."""
    from transformers import OPTConfig, OPTForCausalLM

    opt = OPTConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.d_model,
        word_embed_proj_dim=config.d_model,
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads,
        ffn_dim=config.d_ff,
        max_position_embeddings=config.seq_len,
        dropout=0.0,
        attention_dropout=0.0,
        use_cache=False,
    )
    return OPTForCausalLM._from_config(opt, attn_implementation="sdpa")


def litgpt(config: ModelConfig) -> nn.Module:
    """GPT-NeoX's layers of litgpt, its nearest architecture: GELU, output matrix of its own, rotary positions."""
    from litgpt import GPT as LitGPT
    from litgpt import Config

    return LitGPT(
        Config(
            block_size=config.seq_len,
            vocab_size=config.vocab_size,
            padded_vocab_size=config.vocab_size,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            n_embd=config.d_model,
            intermediate_size=config.d_ff,
            parallel_residual=False,
            bias=True,
        )
    )


class Loss(nn.Module):
    """A model of logits and its loss, as one module to compile."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(inputs)
        logits = getattr(logits, "logits", logits)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def others(model: nn.Module, config: RunConfig, text: np.ndarray, device: torch.device) -> Callable[[], Tensor]:
    """One step after another of a model that is not ours, in the loop that ours has, without the counts."""
    model.to(device)
    train = config.train
    loss_of: Any = torch.compile(Loss(model)) if train.compile else Loss(model)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=train.lr / 10,  # without the warm-up that ours begins with
        betas=(train.beta1, train.beta2),
        weight_decay=train.weight_decay,
        fused=device.type == "cuda",
    )
    step = 0

    def advance() -> Tensor:
        nonlocal step
        rows = train.batch_tokens // config.model.seq_len
        tokens = torch.from_numpy(corpora.batch(text, config.model.seq_len, rows, config.seed, step))
        tokens = (tokens.pin_memory() if device.type == "cuda" else tokens).to(device, non_blocking=True)
        with evaluate.autocast(device, train.precision):
            loss = loss_of(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), train.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        return loss.detach()

    return advance


def ours(config: RunConfig, text: np.ndarray, device: torch.device) -> Callable[[], Tensor]:
    """The training loop's own step: a trainer reads nothing of a corpus but its text."""
    trainer = Trainer(config, SimpleNamespace(train=text), device)  # type: ignore[arg-type]
    return lambda: trainer.advance()[0]


def build(config: RunConfig, text: np.ndarray, device: torch.device) -> dict[str, Callable[[], Tensor]]:
    """Every way that can run here, and a line about every other."""
    made: dict[str, Callable[[], nn.Module]] = {
        "ours, not counting": lambda: Trainer(config, SimpleNamespace(train=text), device).model,  # type: ignore
        "nanoGPT's architecture": lambda: GPT(config.model),
        "transformers, OPT": lambda: hugging_face(config.model),
        "litgpt, GPT-NeoX": lambda: litgpt(config.model),
    }
    ways = {OURS: ours(config, text, device)}
    for name, make in made.items():
        try:
            ways[name] = others(make(), config, text, device)
        except ImportError as error:
            print(f"{name}: left out, {error}", flush=True)
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="wide", help="scale whose shape is timed (default: %(default)s)")
    parser.add_argument("--blocks", type=int, default=7, help="turns of each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=25, help="steps a turn (default: %(default)s)")
    arguments = parser.parse_args()
    device, config = distributed.device(), scales.base(arguments.scale)
    if arguments.scale == "wide":
        config = replace(config, **{"model.init": "normal", "train.weight_decay": 0.1})  # as the others
    vocabulary = config.model.vocab_size
    frequency = 1 / np.arange(1, vocabulary + 1)  # Zipf's law: there is something to learn
    text = np.random.Generator(np.random.PCG64(0)).choice(vocabulary, 2_000_000, p=frequency / frequency.sum())
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    rates: dict[str, list[float]] = {}
    losses = dict[str, float]()
    ways = build(config, text.astype(np.int32), device)
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU"
    here = machine.describe("torch", "numpy") | {"gpu": gpu}
    for block in range(-1, arguments.blocks):  # the first compiles and warms up
        for name, advance in ways.items():
            wait()
            start = perf_counter()
            for _ in range(arguments.steps):
                loss = advance()
            wait()
            seconds = perf_counter() - start
            losses[name] = float(loss)
            if block >= 0:
                rates.setdefault(name, []).append(arguments.steps * config.train.batch_tokens / seconds)
    for name, loss in losses.items():
        if not 0 < loss < math.log(vocabulary):
            raise AssertionError(f"{name}: its loss is {loss}, not below that of guessing")
    middle = {name: float(np.median(values)) for name, values in rates.items()}
    rows = [("way", "tokens/s, median", "range", "of ours", "loss")]
    for name, rate in middle.items():
        spread = f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}"
        rows.append((name, f"{rate:,.0f}", spread, f"{rate / middle[OURS]:.3f}", f"{losses[name]:.2f}"))
    how = f"{arguments.blocks} turns of {arguments.steps} steps of {config.train.batch_tokens:,} tokens; {gpu}."
    found = {"shape": vars(config.model), "tokens_per_second": rates, "losses": losses}
    report = f"{machine.table(rows)}\n\n{how}"
    if arguments.scale == "wide":
        machine.publish("training_step", here, found, report)
    else:
        print(report)


if __name__ == "__main__":
    main()
