"""Units of chapter 09 from birth to death, read from the weights that their run kept: counts, and what moved them.

A unit's pre-activation at a token is z = w · x + b, x being the MLP's input there. Over some fixed held-out text its
mean is w · m + b, m being the mean input. From one kept step to the next, three causes move it, and their parts add up:

- **decay**: what weight decay took off w (and off b, if it is decayed), times the mean of the two m;
- **data**: what else became of w and b: the optimiser's updates, which the training data drive;
- **input**: the change of m, made by all that stands before the MLP, times the mean of the two w.

Decay takes learning rate · weight decay of w at every step. Between two kept steps w is taken to move evenly; the split
between data and decay alone rests on that, and a test holds it against the sum over all steps.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ... import arithmetic, corpora, distributed
from ...config import RunConfig
from ...models import Model
from ...train import Run, evaluate
from ...train.step import learning_rate

CHOSEN = ("first", "middle", "last")
"""Of a layer's units that died once and for good, in the order of their last firing: which are followed."""
CAUSES = ("data", "decay", "input")
BINS = 48

# name: (dims after `seed`, units, long name)
ADDED: dict[str, tuple[tuple[str, ...], str, str]] = {
    "life_unit": (("layer", "chosen"), "1", "the unit's index (-1: no unit of the layer died once and for good)"),
    "life_onset": (("layer", "chosen"), "tokens", "the unit's last firing (missing: no unit)"),
    "life_edges": (
        ("layer", "chosen", "edge"),
        "1",
        "edges of the bins of the unit's pre-activation (missing: no unit)",
    ),
    "life_histogram": (
        ("layer", "chosen", "life_step", "bin"),
        "tokens",
        "held-out tokens by pre-activation: above a bin's lower edge, up to its upper one",
    ),
    "life_mean": (("layer", "chosen", "life_step"), "1", "mean pre-activation (missing: no unit)"),
    "life_change": (
        ("layer", "chosen", "life_step", "cause"),
        "1",
        "change of the mean pre-activation since the step before, by its cause (missing: no unit)",
    ),
}
COORDINATES = {
    "chosen": ("1", "place among the layer's units that died once and for good, by their last firing"),
    "edge": ("1", "edge of a bin, from the lowest"),
    "life_step": ("optimiser steps", "steps taken when the weights were kept"),
    "life_tokens": ("tokens", "training tokens seen when the weights were kept"),
    "bin": ("1", "bin, from the lowest"),
    "cause": ("1", "what moves the mean pre-activation"),
}


def choose(run: Run) -> np.ndarray:
    """Those followed of each layer, −1 where there is none: (layer, chosen).

    Once and for good: one death, no revival. Of few units, some are chosen twice; units with one last firing come in
    the order of their index.
    """
    data = run.dataset
    onset, deaths, revivals = (
        data[name].transpose("layer", "unit").values for name in ("death_onset", "death_count", "revival_count")
    )
    found = np.full((len(onset), len(CHOSEN)), -1)
    for layer in range(len(onset)):
        died = np.flatnonzero((deaths[layer] == 1) & (revivals[layer] == 0))
        if len(died):
            in_order = died[np.argsort(onset[layer, died], kind="stable")]
            found[layer] = in_order[np.linspace(0, len(died) - 1, len(CHOSEN)).round().astype(int)]
    return found


def followed(run: Run, corpus: corpora.Corpus) -> dict[str, np.ndarray]:
    """What `ADDED` names of a run's units, and the kept steps as `life_step`, on its first held-out set."""
    config, units, steps = run.config, choose(run), run.snapshots()
    sequences = corpora.heldout_sequences(corpus.heldout, config.model.seq_len)
    few = sequences[: config.measure.set_tokens // config.model.seq_len]
    onset = run.dataset["death_onset"].transpose("layer", "unit").values
    values: dict[str, np.ndarray] = {
        "life_step": np.array(steps),
        "life_unit": units,
        "life_onset": np.where(units < 0, np.nan, np.take_along_axis(onset, np.maximum(units, 0), 1)),
    }
    read = [_at(run.model(distributed.device(), step), few, units) for step in steps]
    z = np.stack([each[0] for each in read])  # (life_step, layer, chosen, token)
    inputs, weights, biases = (np.stack([each[part] for each in read]) for part in (1, 2, 3))
    values["life_edges"], values["life_histogram"] = histograms(z.transpose(1, 2, 0, 3))
    values["life_mean"] = z.astype(np.float64).mean(-1).transpose(1, 2, 0)
    values["life_change"] = changes(config, steps, inputs, weights, biases)
    for name in ("life_edges", "life_mean", "life_change"):
        values[name][units < 0] = np.nan
    values["life_histogram"][units < 0] = 0
    return values


@arithmetic.float32("tf32")
@torch.no_grad()
def _at(model: Model, sequences: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pre-activations (layer, chosen, token), mean inputs (layer, d_model), weights and biases of the chosen."""
    model.output = torch.nn.Identity()  # type: ignore[assignment]  # no logits are read
    device, index = next(model.parameters()).device, torch.from_numpy(np.maximum(units, 0))
    sums: list[Float[Tensor, " d_model"]] = [torch.zeros(())] * len(units)
    seen: list[list[Tensor]] = [[] for _ in units]

    def observe(layer: int, x: Tensor, preactivation: Tensor, _activation: Tensor) -> None:
        seen[layer].append(preactivation.flatten(0, 1)[:, index[layer].to(device)].cpu())
        sums[layer] = sums[layer] + x.double().sum((0, 1)).cpu()

    size = evaluate.batch_size(model, device)
    for start in range(0, len(sequences), size):
        model(torch.from_numpy(sequences[start : start + size, :-1].astype(np.int64)).to(device), observe)
    tokens = sequences[:, :-1].size
    rows = [(mlp.fc_in.weight.cpu(), mlp.fc_in.bias) for mlp in model.mlps()]
    weights = [weight[of].double().numpy() for (weight, _), of in zip(rows, index, strict=True)]
    biases = [
        np.zeros(len(of)) if bias is None else bias.cpu()[of].double().numpy()
        for (_, bias), of in zip(rows, index, strict=True)
    ]
    z = [torch.cat(parts).T.numpy() for parts in seen]
    return np.stack(z), np.stack([total.numpy() / tokens for total in sums]), np.stack(weights), np.stack(biases)


def histograms(z: Float[np.ndarray, "layer chosen life_step token"]) -> tuple[np.ndarray, np.ndarray]:
    """Edges (layer, chosen, edge), which have 0 among them where it is in reach, and counts (…, life_step, bin).

    A unit's bins are equally wide and hold all its values at all steps. A bin has its upper edge and not its lower one:
    those above 0 hold exactly the tokens at which the unit fires.
    """
    shape = z.shape[:2]
    edges, counts = np.zeros((*shape, BINS + 1)), np.zeros((*shape, z.shape[2], BINS), dtype=np.int32)
    for at in np.ndindex(*shape):
        low, high = float(z[at].min()), float(z[at].max())
        width = (high - low) / (BINS - 2) or 1.0
        edges[at] = width * (np.ceil(low / width) - 1 + np.arange(BINS + 1))
        for step, values in enumerate(z[at]):
            counts[(*at, step)] = np.bincount(np.searchsorted(edges[at], values) - 1, minlength=BINS)
    return edges, counts


def changes(
    config: RunConfig,
    steps: Sequence[int],
    inputs: Float[np.ndarray, "life_step layer d_model"],
    weights: Float[np.ndarray, "life_step layer chosen d_model"],
    biases: Float[np.ndarray, "life_step layer chosen"],
) -> Float[np.ndarray, "layer chosen life_step cause"]:
    """How far each cause moved the mean pre-activation since the kept step before; 0 at the first."""
    out = np.zeros((*biases.shape[1:], len(steps), len(CAUSES)))
    for place in range(1, len(steps)):
        first, last = steps[place - 1], steps[place]
        w, b, m = ((of[place - 1], of[place]) for of in (weights, biases, inputs))
        middle = (m[0] + m[1])[:, None] / 2
        off_w = _decayed(config, first, last, *w)
        off_b = _decayed(config, first, last, *b) if config.train.decay_vectors else np.zeros_like(b[0])
        decay = (off_w * middle).sum(-1) + off_b
        own = ((w[1] - w[0]) * middle).sum(-1) + b[1] - b[0]
        moved = ((w[0] + w[1]) / 2 * (m[1] - m[0])[:, None]).sum(-1)
        out[:, :, place] = np.stack([own - decay, decay, moved], -1)
    return out


def _decayed(config: RunConfig, first: int, last: int, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What decay took off numbers that moved evenly from one step to another: below 0 where they are above it."""
    train, batch = config.train, config.train.batch_tokens
    rates = np.array([learning_rate(train, step * batch) for step in range(first, last)]) * train.weight_decay
    way = np.arange(last - first) / (last - first)
    return -(rates.sum() - (rates * way).sum()) * before - (rates * way).sum() * after
