"""Chapter 19: small decoders trained on tokens that come again, measured on the way: where induction heads are born.

A sequence is random tokens, all different, that come again and again: the first reading cannot be predicted, every
other can. A head that finds what followed the last time (an induction head) takes two layers in the account of Elhage
et al. (2021) and Olsson et al. (2022): one tells each token which came before it, the next one looks for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from ...anymodel import interface
from ...anymodel.circuits import copying_scores
from ...anymodel.headless import mean_outputs, without_heads
from ...anymodel.heads import track_heads
from ...attention import induction
from ...model_config import ModelConfig
from ...models import Decoder
from ...models.decoder import initialise

SHORTEST = 4
"""Tokens that come again, at least; at most half a sequence."""
HELD_OUT, DRAWS = 256, 20
"""Sequences that the loss is read on, and of the test of induction."""
SHOWN = 12
"""Tokens that come twice in the sequence whose weights of attention are kept."""
BATCH, RATE, WARMUP = 64, 3e-3, 20
"""Sequences a step, the learning rate, and steps over which it rises."""
BETAS, DECAY, CLIP = (0.9, 0.99), 0.01, 1.0
"""Of AdamW, and the largest norm of a gradient."""


@dataclass(frozen=True)
class Arm:
    """What a decoder is, and what it reads."""

    layers: int = 2
    ordered: bool = True
    """Whether tokens come again in the same order; else each reading has an order of its own."""


def model(arm: Arm) -> ModelConfig:
    """The decoder of an arm: 64 numbers a token, 4 heads and 128 ReLU units a layer; 64 tokens of 64 types a sequence.

    Embeddings of scale 1, so that a block does not drown in its first steps what token it is at.
    """
    return ModelConfig(
        n_layers=arm.layers,
        d_model=64,
        d_ff=128,
        n_heads=4,
        seq_len=64,
        vocab_size=64,
        init="fan_in",
        embedding_std=1.0,
        tied=False,
    )


def sequences(
    arm: Arm, number: int, draw: torch.Generator
) -> tuple[Int[Tensor, "sequence position"], Bool[Tensor, "sequence position"]]:
    """Sequences of one token more than a model reads, and at which of its positions the next token can be known.

    Known is the next token where an earlier reading has shown what follows: from the second reading on.
    """
    of = model(arm)
    longest, positions = of.seq_len // 2, torch.arange(of.seq_len + 1)
    period = torch.randint(SHORTEST, longest, (number, 1), generator=draw)
    order = torch.rand(number, of.vocab_size, generator=draw).argsort(1)[:, :longest]
    reading, place = positions // period, positions % period
    if not arm.ordered:  # each reading has the places in an order of its own
        keys = torch.rand(number, of.seq_len + 1, generator=draw) + reading
        place = place.gather(1, keys.argsort(1))
    return order.gather(1, place), (positions >= period)[:, :-1]


MEASURED = {
    "prefix_matching": (("step", "layer", "head"), "1", "prefix-matching score: attention to what followed before"),
    "previous": (("step", "layer", "head"), "1", "mean attention to the previous token"),
    "copying": (("step", "layer", "head"), "1", "copying score: eigenvalues' sum over the sum of their sizes"),
    "known_loss": (("step",), "nats per token", "loss where an earlier reading has shown what follows"),
    "new_loss": (("step",), "nats per token", "loss at the first reading"),
    "in_context": (("step",), "nats per token", "loss of the last eighth of the positions less that of the second"),
    "attention": (("step", "layer", "head", "query", "key"), "1", "weights on tokens that come twice; 255 is 1"),
    "without_loss": (("layer", "head"), "nats per token", "known_loss at the end without a head (its mean instead)"),
    "without_matching": (("layer", "head"), "1", "best prefix-matching score at the end without a head"),
}
"""What is told of a decoder: name → dimensions, units, meaning."""


def probe(of: ModelConfig, period: int, draws: int = DRAWS) -> Int[Tensor, "sequence position"]:
    """What every model is tested on: different tokens, so many, that come twice."""
    return induction.repeated(torch.arange(of.vocab_size), torch.empty(0, dtype=torch.int64), period, draws=draws)


@torch.no_grad()
def prefix_matching(decoder: Decoder) -> np.ndarray:
    """The score of every head: (layer, head)."""
    period = decoder.config.seq_len // 2
    with track_heads(decoder, period=period) as heads:
        decoder(probe(decoder.config, period))
    return np.stack(heads.prefix_matching())


@torch.no_grad()
def attention(decoder: Decoder, tokens: Int[Tensor, "1 position"]) -> UInt8[np.ndarray, "layer head query key"]:
    """Weights of every head on one sequence, 255 being 1."""
    found = interface.weights([each for _, each in interface.attentions(decoder)], lambda: decoder(tokens))
    return (255 * torch.cat(found)).round().to(torch.uint8).numpy()


@torch.no_grad()
def losses(
    decoder: Decoder, tokens: Int[Tensor, "sequence position"], known: Bool[Tensor, "sequence position"]
) -> tuple[float, float, float]:
    """`known_loss`, `new_loss` and `in_context` of `MEASURED`."""
    logits, targets = decoder.predict(tokens)
    each = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    part = each.shape[1] // 8
    late, early = each[:, -part:].mean(), each[:, part : 2 * part].mean()
    return float(each[known].mean()), float(each[~known].mean()), float(late - early)


def train(arm: Arm, seed: int, told: Sequence[int]) -> xr.Dataset:
    """Train a decoder and read it at the steps `told`, the last of which ends the run: `MEASURED`; half a minute.

    Raises
    ------
    FloatingPointError
        If it diverges.
    """
    decoder = initialise(Decoder(model(arm)), seed)
    draw = torch.Generator().manual_seed(seed)
    held = sequences(arm, HELD_OUT, torch.Generator().manual_seed(-1 - seed))  # what no step reads
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=RATE, betas=BETAS, weight_decay=DECAY)
    rows = []
    for step in range(told[-1] + 1):
        if step in told:
            rows.append(_read(decoder, *held))
        if step == told[-1]:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP)
        tokens, _ = sequences(arm, BATCH, draw)
        logits, targets = decoder.predict(tokens)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), CLIP)
        optimizer.step()
    values = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    if not np.isfinite(values["known_loss"]).all():
        raise FloatingPointError(f"a decoder of {arm.layers} layers diverges with seed {seed}; lower RATE")
    values |= _without(decoder, *held)
    made = xr.Dataset({name: (MEASURED[name][0], of) for name, of in values.items()})
    return made.assign_coords(step=list(told), layer=range(arm.layers), head=range(decoder.config.n_heads))


def _read(decoder: Decoder, tokens: Tensor, known: Tensor) -> dict[str, Any]:
    with track_heads(decoder) as heads, torch.no_grad():
        decoder(tokens[:, :-1])
    loss = dict(zip(("known_loss", "new_loss", "in_context"), losses(decoder, tokens, known), strict=True))
    return loss | {
        "prefix_matching": prefix_matching(decoder),
        "previous": np.stack(heads.mean("previous")),
        "copying": np.stack(copying_scores(decoder)),
        "attention": attention(decoder, probe(decoder.config, SHOWN, draws=1)),
    }


def _without(decoder: Decoder, tokens: Tensor, known: Tensor) -> dict[str, np.ndarray]:
    """What each head is worth at the end, taken away alone."""
    with mean_outputs(decoder) as usual, torch.no_grad():
        decoder(tokens[:, :-1])
    with mean_outputs(decoder) as on_probe, torch.no_grad():
        decoder(probe(decoder.config, decoder.config.seq_len // 2))
    shape = decoder.config.n_layers, decoder.config.n_heads
    loss, matching = np.empty(shape), np.empty(shape)
    for layer, head in product(range(shape[0]), range(shape[1])):
        with without_heads(decoder, [(layer, head)], usual):
            loss[layer, head] = losses(decoder, tokens, known)[0]
        with without_heads(decoder, [(layer, head)], on_probe):
            matching[layer, head] = prefix_matching(decoder).max()
    return {"without_loss": loss, "without_matching": matching}
