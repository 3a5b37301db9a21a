"""A model under frozen weights on held-out sequences: loss, use, drift, and what each unit fires on."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from .. import arithmetic, distributed
from ..counting import falls, metrics
from ..counting.use import UseTracker
from ..interventions.inputs import reading
from ..models import Model, Observe
from ..store.schema import HISTORY


def autocast(device: str | torch.device, precision: str) -> AbstractContextManager:
    """The precision that the model runs in: bf16 autocast over float32 weights, or plain float32."""
    if precision == "bf16":
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
    return nullcontext()


@dataclass
class Score:
    """Sums over predicted tokens, divided only when read."""

    nats: float = 0.0
    correct: int = 0
    tokens: int = 0

    @property
    def loss(self) -> float:
        """Cross-entropy in nats per token."""
        return self.nats / self.tokens

    @property
    def accuracy(self) -> float:
        """Share of tokens predicted first."""
        return self.correct / self.tokens

    def bits_per_byte(self, tokens_per_byte: float) -> float:
        """Cross-entropy in bits a byte of text."""
        return self.loss / math.log(2) * tokens_per_byte

    def merge(self, other: "Score") -> None:
        self.nats += other.nats
        self.correct += other.correct
        self.tokens += other.tokens

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Add logits (…, class) against targets (…): token types at positions, say."""
        flat = logits.flatten(0, -2).float()
        self.nats += float(F.cross_entropy(flat, targets.flatten(), reduction="sum"))
        self.correct += int((flat.argmax(-1) == targets.flatten()).sum())
        self.tokens += targets.numel()


Sequences = np.ndarray | tuple[np.ndarray, ...]
"""Packed text (sequence, position + 1), or the arrays that `predict` is given, a row of each a sequence."""


def some(sequences: Sequences, start: int, stop: int) -> tuple[np.ndarray, ...]:
    """Those of a range."""
    arrays = sequences if isinstance(sequences, tuple) else (sequences,)
    return tuple(each[start:stop] for each in arrays)


def on(device: torch.device, arrays: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    """On a device; what is no real number, such as tokens and labels, as int64."""
    found = [each if each.dtype.kind == "f" else each.astype(np.int64) for each in arrays]
    return tuple(torch.from_numpy(each).to(device) for each in found)


def _count(sequences: Sequences) -> int:
    return len(sequences[0]) if isinstance(sequences, tuple) else len(sequences)


def _batches(sequences: Sequences, size: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """Some at a time."""
    for start in range(0, _count(sequences), size):
        yield on(device, some(sequences, start, start + size))


# float32 on a GPU: matrix products in TF32, whose 10 bits are 3 more than those of the bf16 that the model trained in
@arithmetic.float32("tf32")
@torch.no_grad()
def score(
    model: Model, sequences: Sequences, batch: int, observe: Observe | None = None, precision: str = "float32"
) -> Score:
    """Loss and accuracy on some sequences; `observe` sees every MLP."""
    device = next(model.parameters()).device
    total = Score()
    for read in _batches(sequences, batch, device):
        with autocast(device, precision), reading(model):
            logits, targets = model.predict(*read, observe=observe)
        total.add(logits, targets)
    return total


@torch.no_grad()
def means_and_firings(model: Model, batches: Iterable[tuple[Tensor, ...]], precision: str) -> tuple[Tensor, Tensor]:
    """The mean of each MLP's input (layer, d_model), and the tokens at which each unit fires (layer, unit).

    Parameters
    ----------
    batches
        What `predict` is given.
    """
    sums: dict[int, Tensor] = {}
    firings: dict[int, Tensor] = {}
    tokens: Counter[int] = Counter()

    def observe(layer: int, inputs: Tensor, _preactivation: Tensor, activation: Tensor) -> None:
        tokens[layer] += inputs[..., 0].numel()
        sums[layer] = sums.get(layer, 0) + inputs.flatten(0, 1).sum(0, dtype=torch.float64)
        firings[layer] = firings.get(layer, 0) + metrics.fires(activation).flatten(0, 1).sum(0)

    for batch in batches:
        with autocast(batch[0].device, precision), reading(model):
            model.predict(*batch, observe=observe)
    layers = sorted(sums)
    return torch.stack([sums[each] / tokens[each] for each in layers]), torch.stack([firings[each] for each in layers])


@torch.no_grad()
def inputs_at_quantile(model: Model, batch: tuple[Tensor, ...]) -> list[Tensor]:
    """Each layer's (unit, d_model): what its MLP is given where its units have their high quantile; see `falls`.

    Parameters
    ----------
    batch
        The probe, as `predict` is given it, read at once in float32: in bf16 many tokens are one.
    """
    found: dict[int, Tensor] = {}

    def observe(layer: int, inputs: Tensor, preactivation: Tensor, _activation: Tensor) -> None:
        found[layer] = falls.at_quantile(inputs.flatten(0, 1), preactivation.flatten(0, 1))

    with reading(model):
        model.predict(*batch, observe=observe)
    return [found[layer] for layer in sorted(found)]


class Drift:
    """Where the chosen units' pre-activations lie on one set of tokens; the causes of death are looked for here.

    All of it, gamma too, is of the input that the MLP is really given: after the norm and after an intervention.
    """

    def __init__(self, units: Sequence[Sequence[int] | np.ndarray], device: torch.device) -> None:
        """`units`: of each layer, or empty for none."""
        self.units = [torch.as_tensor(each, dtype=torch.long, device=device) for each in units]
        self.inputs: dict[int, list[Tensor]] = {}
        self.preactivations: dict[int, list[Tensor]] = {}

    def observe(self, layer: int, inputs: Tensor, preactivation: Tensor) -> None:
        """Keep a batch of one layer: its MLP's input (…, d_model) and the chosen units' pre-activation (…, unit)."""
        self.inputs.setdefault(layer, []).append(inputs.flatten(0, 1).float())
        if self.units:
            chosen = preactivation[..., self.units[layer]].flatten(0, 1).float()
            self.preactivations.setdefault(layer, []).append(chosen)

    def arrays(self, model: Model) -> dict[str, list[np.ndarray]]:
        """Layer by layer: gamma and, if units were chosen, what `schema.HISTORY` names, (unit)."""
        rows = [self._layer(model, layer) for layer in sorted(self.inputs)]
        return {name: [row[name].cpu().numpy() for row in rows] for name in rows[0]} if rows else {}

    def _layer(self, model: Model, layer: int) -> dict[str, Tensor]:
        x = torch.cat(self.inputs[layer])
        mean, spread = x.mean(0), x.std(0, unbiased=False)
        row = {"gamma": mean.norm() / spread.norm()}
        if not self.units:
            return row
        z, units = torch.cat(self.preactivations[layer]), self.units[layer]
        if not len(units):  # a layer may have lost all that were chosen
            return row | dict.fromkeys(HISTORY, z[0])
        mlp = model.mlps()[layer]
        w_in = mlp.fc_in.weight[units].float()
        above = len(z) - math.ceil(0.99 * len(z)) + 1  # inverted CDF, counted from the top
        return row | {
            "preactivation_mean": z.mean(0),
            "preactivation_std": z.std(0, unbiased=False),
            "preactivation_p99": z.topk(above, dim=0).values[-1],
            "preactivation_max": z.amax(0),
            "history_firing_rate": (z > 0).float().mean(0),
            "input_weight_norm": w_in.norm(dim=1),
            "output_weight_norm": mlp.fc_out.weight[:, units].float().norm(dim=0),
            "input_bias": torch.zeros_like(w_in[:, 0]) if mlp.fc_in.bias is None else mlp.fc_in.bias[units],
            "input_alignment": F.cosine_similarity(w_in, mean[None], dim=1),
        }


def batch_size(model: Model, device: torch.device) -> int:
    """Sequences evaluated at a time: one layer's activations fit a CPU's cache, or fill a GPU."""
    activations = 2**28 if device.type == "cuda" else 2**20
    sizes = (positions * units for positions, units in zip(model.positions(), model.widths(), strict=True))
    return max(1, activations // max(sizes))


@dataclass
class Measurement:
    """What `measure` saw: exact counts, the sets' batch use (set, layer), the score and the drift."""

    use: UseTracker
    batch_use: np.ndarray
    score: Score
    drift: dict[str, list[np.ndarray]]


@torch.no_grad()
def measure(
    model: Model,
    sequences: Sequences,
    set_sequences: int,
    drift_units: Sequence[Sequence[int] | np.ndarray] = (),
    precision: str = "float32",
    progress: str | None = None,
) -> Measurement:
    """Read whole sets of `set_sequences` sequences, in recorded order.

    `drift_units` are those of each layer whose drift is looked at. Under torch.distributed every process reads its
    own sets and all return the same, exact counts.
    """
    widths, seq_len, device = model.widths(), model.config.seq_len, next(model.parameters()).device
    sets = _count(sequences) // set_sequences
    rank, world = distributed.rank(), distributed.world()
    share = 1 << max(0, math.ceil(sets / world) - 1).bit_length()  # a power of two: window unions can be merged
    mine = range(min(sets, rank * share), min(sets, (rank + 1) * share))

    use = UseTracker(widths, seq_len, device, model.positions())
    drift = Drift(drift_units, device)
    batch = batch_size(model, device)
    set_window = use.windows.index(set_sequences * seq_len)
    total, batch_use = Score(), []
    for index in tqdm(mine, desc=progress, leave=False, disable=None if progress else True):
        before = use.window_units[:, set_window]

        def observe(layer: int, inputs: Tensor, preactivation: Tensor, activation: Tensor, index: int = index) -> None:
            use.update(layer, metrics.fires(activation))
            if index == 0:
                drift.observe(layer, inputs, preactivation)

        chunk = some(sequences, index * set_sequences, (index + 1) * set_sequences)
        part = score(model, chunk, batch, observe, precision)
        total.merge(part)
        batch_use.append((use.window_units[:, set_window] - before).cpu().numpy() / widths)
    here = Measurement(use, np.array(batch_use).reshape(-1, len(widths)), total, drift.arrays(model))
    first, *rest = distributed.gather(here)
    for other in rest:
        first.use.append(other.use)
        first.score.merge(other.score)
        first.batch_use = np.concatenate((first.batch_use, other.batch_use))
    return first


@torch.no_grad()
def firing_counts(model: Model, sequences: Sequences, batch: int, progress: str | None = None) -> UseTracker:
    """Exact counts on some sequences; the last, partial batch counts too."""
    use = UseTracker(model.widths(), model.config.seq_len, next(model.parameters()).device, model.positions())
    starts = range(0, _count(sequences), batch)
    for start in tqdm(starts, desc=progress, leave=False, disable=None if progress else True):
        score(
            model,
            some(sequences, start, start + batch),
            batch,
            lambda layer, _inputs, _pre, activation: use.update(layer, metrics.fires(activation)),
        )
    return use


@arithmetic.float32("tf32")
@torch.no_grad()
def token_type_counts(model: Model, sequences: np.ndarray, layer: int, batch: int) -> tuple[Tensor, np.ndarray]:
    """Firings of one layer's units by token type, (type, unit), and the types' occurrences, (type); exact.

    One layer at a time, and the table (int32) stays on the device: it has vocab_size × d_ff entries.
    """
    device = next(model.parameters()).device
    types = model.config.vocab_size
    table = torch.zeros(types, model.widths()[layer], dtype=torch.int32, device=device)
    for (tokens,) in _batches(sequences, batch, device):

        def observe(
            at: int, _inputs: Tensor, _pre: Tensor, activation: Tensor, inputs: Tensor = tokens[:, :-1]
        ) -> None:
            if at == layer:
                fired = metrics.fires(activation).flatten(0, 1).int()
                table.index_add_(0, inputs.flatten(), fired)

        with reading(model):
            model.predict(tokens, observe=observe)
    totals = np.bincount(sequences[:, :-1].ravel(), minlength=types)
    return table, totals
