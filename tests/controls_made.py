"""Steps of a tiny run whose updates are controlled, each seen before the optimiser, after it and after the control."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fixtures_core import tiny_corpus, tiny_run
from relusparsity.train.step import Trainer

BATCH, EVERY, READ = 64, 4, 8
OPTIMISERS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "sgd": {"train.optimizer": "sgd", "train.weight_decay": 0.5},
    "adafactor": {"train.optimizer": "adafactor", "train.decay_vectors": True},
    "no bias": {"model.bias": False},
}


def controlled(kind: str, **fields: Any) -> dict[str, Any]:
    """8 of 32 units of each of two layers, in blocks of 4 steps."""
    every = {} if kind == "watch" else {"every": EVERY}
    return {f"control.{name}": value for name, value in {"kind": kind, "share": 0.25, **every, **fields}.items()}


def trainer_of(**changes: Any) -> Trainer:
    return Trainer(tiny_run(**changes), tiny_corpus(), torch.device("cpu"))


@dataclass
class Step:
    """Incoming rows and biases (layer, unit, coordinate) of one step, in float64, and what a decayed weight keeps."""

    before: np.ndarray
    optimised: np.ndarray
    after: np.ndarray
    kept: np.ndarray
    others_stand: bool
    """Whether the control left every other parameter as the optimiser made it."""

    @property
    def given(self) -> np.ndarray:
        return self.optimised - self.before * self.kept

    @property
    def taken(self) -> np.ndarray:
        return self.after - self.before * self.kept


def incoming(trainer: Trainer) -> np.ndarray:
    """(layer, unit, coordinate): rows of the first matrix, then the bias if there is one."""
    layers = []
    for mlp in trainer.model.mlps():
        rows = mlp.fc_in.weight.detach().double().numpy()
        bias = [] if mlp.fc_in.bias is None else [mlp.fc_in.bias.detach().double().numpy()[:, None]]
        layers.append(np.concatenate([rows, *bias], axis=1))
    return np.stack(layers)


def run_steps(trainer: Trainer, count: int, before_each: Callable[[int], None] | None = None) -> list[Step]:
    """So many steps, each as it was seen."""
    train, steps = trainer.config.train, []
    optimise = trainer.optimizer.step
    seen: dict[str, Any] = {}

    def spied(*given: Any) -> Any:
        seen["before"] = incoming(trainer)
        done = optimise(*given)
        seen["optimised"] = incoming(trainer)
        seen["others"] = others(trainer)
        return done

    trainer.optimizer.step = spied  # type: ignore[method-assign]
    for _ in range(count):
        if before_each:
            before_each(trainer.step)
        trainer.advance()
        rate = trainer.optimizer.param_groups[0]["lr"]
        kept = np.full(seen["before"].shape[-1], 1 - rate * train.weight_decay)
        if trainer.config.model.bias and not train.decay_vectors:
            kept[-1] = 1.0
        stand = all(torch.equal(now, seen["others"][name]) for name, now in others(trainer).items())
        steps.append(Step(seen["before"], seen["optimised"], incoming(trainer), kept, stand))
    trainer.optimizer.step = optimise  # type: ignore[method-assign]
    return steps


def others(trainer: Trainer) -> dict[str, torch.Tensor]:
    """All parameters that make no unit's pre-activation."""
    return {n: p.detach().clone() for n, p in trainer.model.named_parameters() if ".mlp.fc_in." not in n}


def lengths(updates: np.ndarray) -> np.ndarray:
    return np.sqrt((updates**2).sum(-1))


class Readings:
    """What the MLPs are given and which units fire on the last batches, read by hooks before a block's first step."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.means: list[np.ndarray] = []  # of each block (layer, d_model)
        self.firings: list[np.ndarray] = []  # (layer, unit)

    def __call__(self, step: int) -> None:
        if step % EVERY:
            return
        inputs: list[list[np.ndarray]] = [[], []]
        fired: list[list[np.ndarray]] = [[], []]

        def keep(at: int, x: torch.Tensor, z: torch.Tensor) -> None:
            inputs[at].append(x.detach().double().numpy()[0])
            fired[at].append(z.detach().numpy()[0] > 0)

        hooks = [
            mlp.fc_in.register_forward_hook(lambda _m, x, z, at=at: keep(at, x[0], z))
            for at, mlp in enumerate(self.trainer.model.mlps())
        ]
        first = max(0, step - READ)
        with torch.no_grad():
            for sequence in sequences(self.trainer.corpus.train, first * 8, (first + READ) * 8):
                self.trainer.model(torch.from_numpy(sequence[None, :-1]))
        for hook in hooks:
            hook.remove()
        self.means.append(np.stack([np.concatenate(of_layer).mean(0) for of_layer in inputs]))
        self.firings.append(np.stack([np.concatenate(of_layer).sum(0) for of_layer in fired]))


def sequences(text: np.ndarray, first: int, last: int) -> list[np.ndarray]:
    """Sequences of 8 tokens in the order in which seed 0 shows them, with their last target, within the first epoch."""
    count = (len(text) - 1) // 8
    order = np.argsort(np.random.PCG64([0, 0]).random_raw(count), kind="stable")
    assert last <= count
    return [text[at * 8 : at * 8 + 9].astype(np.int64) for at in order[first:last]]
