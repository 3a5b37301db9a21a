"""One training step: the model's loss and firing counts, the optimiser, and what moves them."""

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import distributed
from ..config import RunConfig, TrainConfig
from ..corpora import tasks
from ..counting.deaths import DeathTracker, waits
from ..counting.falls import FallTracker
from ..counting.hazard import HazardTracker
from ..errors import UserError
from ..fork_config import ForkConfig
from ..interventions import forks, treat, updates
from ..models import Model, build, checked
from . import evaluate, shrinking
from .axis import COUNTERS, UnitAxis
from .laps import Laps


class Objective(nn.Module):
    """The training step's forward pass: loss and the firing counts, taken while the activations are at hand."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean loss; (unit) tokens fired; (layer) their sum; (layer) units fired, summed over sequences."""
        unit_tokens, sequence_units = [], []

        def count(_layer: int, per_unit: Tensor) -> None:
            unit_tokens.append(per_unit.sum(dim=0))
            sequence_units.append((per_unit > 0).sum())

        # a NaN activation does not fire, but makes the loss NaN, and that stops the run
        logits, targets = self.model.predict(*batch, count=count)
        loss = F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten())
        firings = torch.stack([counts.sum() for counts in unit_tokens])
        return loss, torch.cat(unit_tokens), firings, torch.stack(sequence_units)


RATES = {
    "position_embedding.weight": "position_rate",
    "embedding.weight": "embedding_rate",
    "mlp.fc_out.weight": "fc_out_rate",
}
"""End of a parameter's name → the field that says its learning rate, in lr; of the others it is 1."""


def learning_rate(config: TrainConfig, tokens: int) -> float:
    """Learning rate of the step that begins after `tokens` training tokens."""
    done = tokens + config.batch_tokens
    if done <= config.warmup:
        return config.lr * done / config.warmup
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "rsqrt":
        return config.lr * math.sqrt(max(config.warmup, config.batch_tokens) / done)
    progress = (done - config.warmup) / max(1, config.tokens - config.warmup)
    return config.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def _groups(model: Model, config: TrainConfig, fork: ForkConfig) -> list[dict[str, Any]]:
    """Parameters by their rate (in lr) and decay, matrices first; `decay` is such that a step's is lr's own.

    `weight_decay` is the same under the name that the optimisers read. Of a fork: those that train. Where decay spares
    the dead units, those of the MLPs have theirs as `living_decay`.
    """
    still = forks.still(model, fork)
    groups: dict[tuple[bool, float, float, bool], dict[str, Any]] = {}
    for matrices in (True, False):
        for name, parameter in model.named_parameters():
            if (parameter.ndim >= 2) == matrices and name not in still:
                rate = next((getattr(config, field) for end, field in RATES.items() if name.endswith(end)), 1.0)
                decayed = matrices or config.decay_vectors or (fork.decay_input_biases and name.endswith(forks.BIAS))
                decay = config.weight_decay / rate if decayed else 0.0
                spares = not fork.decay_dead and name.endswith(forks.OF_UNITS)
                every, living = (0.0, {"living_decay": decay}) if spares else (decay, {})
                own = {"rate": rate, "decay": every, "weight_decay": every, **living}
                group = groups.setdefault((matrices, rate, decay, spares), {"params": []} | own)
                group["params"].append(parameter)
    return list(groups.values())


def _optimizer(model: Model, config: TrainConfig, device: torch.device, fork: ForkConfig) -> torch.optim.Optimizer:
    groups = _groups(model, config, fork)
    if config.optimizer == "adafactor":
        return torch.optim.Adafactor(groups, lr=config.lr)
    if config.optimizer == "sgd":
        # PyTorch's own decay would go into the gradient, and so through the momentum
        sgd = torch.optim.SGD([group | {"weight_decay": 0.0} for group in groups], lr=config.lr, momentum=config.beta1)

        @torch.no_grad()
        def decay(*_: Any) -> None:
            for group in sgd.param_groups:
                if group["decay"]:
                    for weight in group["params"]:
                        weight.mul_(1 - group["lr"] * group["decay"])

        sgd.register_step_pre_hook(decay)
        return sgd
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), fused=device.type == "cuda")


def _fall_tracker(config: RunConfig, model: Model, deaths: DeathTracker) -> FallTracker | None:
    if not config.control.follow_falls:
        return None
    begin, batch = config.begin_step, config.train.batch_tokens
    return FallTracker(deaths, begin, config.end_step - begin, batch, model.mlps()[0].fc_in.in_features)


class Trainer:
    """Model, optimiser and death tracker of one run, and the step that moves them."""

    def __init__(self, config: RunConfig, corpus: Any, device: torch.device) -> None:
        """`corpus`: what `corpora.load` gives."""
        self.config, self.corpus, self.device = config, corpus, device
        self.task = tasks.of(config, corpus)
        self.laps = Laps(device)
        self.rank, self.world = distributed.rank(), distributed.world()
        model = build(config.model, config.seed, device)
        few = evaluate.on(device, self.task.batch(2, config.seed, 0))
        checked.check(model, *few)  # before it is treated, shared out or compiled
        self.model = treat(model, config.intervention)
        if config.train.shard and self.world > 1:
            distributed.shard(self.model, self.model.blocks)
        self.control = updates.Control(config.control, self.model)
        wait = waits(config.train.dead_after, config.model.seq_len, self.model.positions())
        self.deaths = DeathTracker(self.model.widths(), wait, device)
        self.hazard = HazardTracker(self.deaths, config.train.steps) if config.fork.tokens else None
        self.falls = _fall_tracker(config, self.model, self.deaths)
        self.left_out: set[int] = set()
        """Steps, by the number of those before, that move nothing; see `forking.left_out`."""
        self.axis = UnitAxis(self.model.widths())
        self._removed_after = -1
        self._set_up()
        self.step = 0
        sequences = config.train.batch_tokens // config.model.seq_len
        if sequences % self.world:
            raise UserError(
                f"{self.world} processes cannot share {sequences} sequences a step evenly; "
                "change batch_tokens or the number of processes."
            )
        self.sequences = sequences

    def _set_up(self) -> None:
        """Make what is made of the model as it is: its optimiser and the objective that is compiled."""
        train, fork = self.config.train, self.config.fork
        self.optimizer = _optimizer(self.model, train, self.device, fork)
        self.numbered = [p for group in _groups(self.model, train, ForkConfig()) for p in group["params"]]
        """Parameters in the order by which states number them: a fork's as its parent's, whatever its optimiser has."""
        if not fork.decay_dead:
            forks.spare_the_dead(self.optimizer, self.model, self.deaths)
        objective: nn.Module = Objective(self.model)
        if self.world > 1 and not train.shard:
            objective = nn.parallel.DistributedDataParallel(objective)
        if train.compile:  # a process that trains many models would run into the compiler's limit of eight
            torch.compiler.reset()
        self.objective: Callable[..., Any] = torch.compile(objective) if train.compile else objective
        self._first = True

    @property
    def tokens(self) -> int:
        """Training tokens seen."""
        return self.step * self.config.train.batch_tokens

    @property
    def followed(self) -> dict[str, HazardTracker | FallTracker]:
        """What it follows from its own first step on, and takes up of no parent, by name."""
        found = {"hazard": self.hazard, "falls": self.falls}
        return {name: tracker for name, tracker in found.items() if tracker}

    def _batch(self, step: int) -> tuple[Tensor, ...]:
        """What this process reads, as `predict` is given it, in the step that follows `step` others."""
        read = self.task.batch(self.sequences, self.config.seed, step, self.rank, self.world)
        batch = tuple(torch.from_numpy(each) for each in read)
        if self.device.type == "cuda":  # from pageable memory, the copy would wait until the step before is done
            batch = tuple(each.pin_memory() for each in batch)
        return tuple(each.to(self.device, non_blocking=True) for each in batch)

    def _read(self) -> tuple[Tensor, Tensor]:
        """See `updates.Read`; in the beginning, off the first batches."""
        first = max(0, self.step - updates.READ)
        batches = (self._batch(step) for step in range(first, first + updates.READ))
        return evaluate.means_and_firings(self.model, batches, self.config.train.precision)

    def _probe(self) -> tuple[Tensor, ...]:
        """The first held-out set."""
        sequences = self.config.measure.set_tokens // self.config.model.seq_len
        return evaluate.on(self.device, evaluate.some(self.task.heldout, 0, sequences))

    def _remove_units(self) -> None:
        """Remove the units that are to go at this point of the run."""
        config, self._removed_after = self.config.prune, self.tokens
        places = [torch.from_numpy(units).to(self.device) for units in self.axis.units]
        kept = shrinking.staying(config, config.tokens.index(self.tokens), self.deaths, places)
        if [len(units) for units in kept] != self.model.widths():
            self.keep(kept)

    def keep(self, kept: Sequence[Tensor]) -> None:
        """Go on with these units of each layer, as it counts them now; with the others goes all that is held of them.

        What a dataset says of each unit stays, as of now.
        """
        self.axis.keep(
            [units.cpu().numpy() for units in kept],
            self.tokens,
            {name: [row.cpu().numpy() for row in self.deaths.rows(getattr(self.deaths, name))] for name in COUNTERS},
        )
        moments: dict[Any, dict[str, Any]] = dict(self.optimizer.state)
        for mlp, units in zip(self.model.mlps(), kept, strict=True):
            moments |= shrinking.cut_layer(mlp, units, moments)
        if self.hazard:
            self.hazard.keep(kept)
        self.deaths.keep(kept)
        del self.objective
        if self.world > 1:
            gc.collect()  # what shares gradients among processes hangs on the parameters until it is freed
        self._set_up()
        held = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.optimizer.state.update({parameter: moments[parameter] for parameter in held if parameter in moments})

    def shrink(self, state: Mapping[str, Tensor]) -> None:
        """Leave a model that has all its units those that it had in a state of `axis`."""
        axis = UnitAxis(self.model.widths())
        axis.load(state)
        self.keep([torch.from_numpy(units).to(self.device) for units in axis.units])
        self.axis = axis

    def advance(self) -> tuple[Tensor, Tensor]:
        """One optimiser step, after a removal of units if one is due; its loss and gradient norm, on the device."""
        if self.tokens in self.config.prune.tokens and self._removed_after < self.tokens:
            with self.laps.apart("removing"):
                self._remove_units()
        if not self._first:
            return self._advance()
        with self.laps.apart("first_steps"):
            self._first = False
            return self._advance()

    def _advance(self) -> tuple[Tensor, Tensor]:
        batch = self._batch(self.step)
        if self.config.model.draws:  # of seed and step alone, and of each process its own: resuming needs no state
            drawn = np.random.PCG64([self.config.seed, self.step, self.rank]).random_raw()
            torch.manual_seed(drawn & (2**63 - 1))
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * learning_rate(self.config.train, self.tokens)
        with evaluate.autocast(self.device, self.config.train.precision):
            loss, unit_tokens, firings, sequence_units = self.objective(*batch)
        loss.backward()
        updates.enlarge(self.model.parameters(), self.config.control.outliers, self.step)
        clip = self.config.train.clip if self.config.fork.clip is None else self.config.fork.clip
        norm = distributed.whole(nn.utils.clip_grad_norm_(self.model.parameters(), clip or math.inf))
        if self.falls and self.falls.due(self.step):
            self.falls.begin_block(evaluate.inputs_at_quantile(self.model, self._probe()))
        if self.step not in self.left_out:
            with self.control.acting(self.step, self.optimizer, self._read, self.falls.add if self.falls else None):
                self.optimizer.step()
        self.model.zero_grad(set_to_none=True)  # of what stands still in a fork, which no optimiser has, too
        self.step += 1
        loss = loss.detach() / self.world
        if self.world > 1:
            for sums in (unit_tokens, firings, sequence_units, loss):
                distributed.sum_(sums)
        if self.hazard:
            self.hazard.update(unit_tokens, self.step, self.config.train.batch_tokens)
        self.deaths.update(unit_tokens, firings, sequence_units, self.tokens)
        return loss, norm
