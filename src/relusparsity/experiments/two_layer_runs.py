"""Chapter 12: networks of two layers, trained on the same samples at every step, and how far pre-activations move.

f = V relu(W x + b), b = 0 at first, by gradient descent or Adam (Kingma & Ba 2015, without decay). Samples stand still,
so the mean pre-activation moves by W and b alone, and by as much as both parts together. A step is linear in the
gradients, for Adam once its denominators are given. So the theorem's gradient (see `theory`), with the activations and
the variance of V as they are at each step, is put through the same steps: what it comes to, and the rest, make up the
motion.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .. import corpora, theory
from ..corpora import tasks
from ..errors import UserError
from ..scales import pictures
from ..theory import Drawn, TwoLayers

INPUTS, POOLED = 64, 4
"""Numbers of a sample; of digits, the mean pixels of squares with this side."""

RATES = {
    ("SGD", "cross_entropy"): 0.1,
    ("SGD", "squared"): 0.05,
    ("Adam", "cross_entropy"): 1e-3,
    ("Adam", "squared"): 1e-3,
}
"""Optimiser and loss → learning rate."""
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Of Adam."""


@dataclass(frozen=True)
class Arm:
    """What a network trains on, and whether all of it trains."""

    digits: bool = False
    """Whether samples are digits, and labels that are not the network's own, theirs."""
    shuffled: bool = False
    """digits: whether their labels are drawn anew, once."""
    anew: bool = False
    """Whether labels are made anew for every step: drawn, or what the network guesses by then."""
    frozen: bool = False
    """Whether V stays as it is drawn."""


MEASURED = {
    "positive": ("1", "share of pre-activations above 0"),
    "loss": ("loss", "mean loss of a sample"),
    "gradient": ("loss per unit of p", "mean ∂loss/∂p over the pre-activations above 0"),
    "theorem": ("loss per unit of p", "the same by the theorem, with the activations and V's variance of this step"),
    "moved": ("units of p", "how far the mean pre-activation has moved since step 0"),
    "moved_by_weights": ("units of p", "what W's steps have moved it"),
    "moved_by_bias": ("units of p", "what b's steps have moved it"),
    "theorem_moved": ("units of p", "what the steps would have moved it with the theorem's gradient alone"),
}
"""What is told of a step → its units and meaning."""


def start(network: TwoLayers, arm: Arm, seed: int) -> Drawn:
    """Network and samples of a seed, float32, each sample with a last number 1, whose weight b is 0."""
    x, w, v, targets = theory.draw(network, seed)
    if arm.digits:
        run = pictures("digits")
        pixels, labels = tasks.of(run, corpora.load(run.corpus)).batch(network.samples, seed, 0)
        x = F.avg_pool2d(torch.from_numpy(pixels), POOLED).flatten(1).double()
        if network.labels == "own":
            targets = theory.own_labels((x @ w.T).relu() @ v.T)
        elif not arm.shuffled:
            targets = F.one_hot(torch.from_numpy(labels), network.classes).double()
    one, none = x.new_ones(len(x), 1), w.new_zeros(len(w), 1)
    return Drawn(*(each.float() for each in (torch.cat((x, one), 1), torch.cat((w, none), 1), v, targets)))


@torch.no_grad()
def train(
    network: TwoLayers, arm: Arm, optimizer: str, seeds: tuple[int, ...], told: list[int], name: str = "the run"
) -> np.ndarray:
    """`MEASURED` by (variable, seed, step) at the steps `told`, of which the last ends the run."""
    x, w, v, targets = (torch.stack(each) for each in zip(*(start(network, arm, seed) for seed in seeds), strict=True))
    draws = [torch.Generator().manual_seed(-1 - seed) for seed in seeds]  # others than network and samples are of
    rate = RATES[optimizer, network.loss]
    step_of_w, step_of_v = (adam(rate) if optimizer == "Adam" else sgd(rate) for _ in range(2))
    middle = x.mean(1, keepdim=True)  # the mean pre-activation is the mean of W's units on the mean sample
    by_weights, by_bias, by_theorem = (x.new_zeros(len(seeds)) for _ in range(3))
    rows = []
    for step in range(told[-1] + 1):
        p = x @ w.mT
        above, a = (p > 0).to(p.dtype), p.relu()  # numbers: a mask of booleans costs ten times as much here
        f = a @ v.mT
        if arm.anew and step:
            targets = theory.own_labels(f) if network.labels == "own" else _labels(network, draws)
        error = theory.error(network, f, targets)
        gradient = (error @ v) * above
        predicted = theory.first_order(network, a, _variance(network, v), v.mean((1, 2), keepdim=True)) * above
        if step in told:
            count = above.sum((1, 2))
            if not step:
                first = p.mean((1, 2))
            rows.append(
                [
                    count / above[0].numel(),
                    _loss(network, f, targets),
                    gradient.sum((1, 2)) / count,
                    predicted.sum((1, 2)) / count,
                    p.mean((1, 2)) - first,
                    by_weights.clone(),
                    by_bias.clone(),
                    by_theorem.clone(),
                ]
            )
        both = step_of_w(*(each.mT @ x / network.samples for each in (gradient, predicted)))
        w = w + both[0]
        moves = [(each * middle).mean(1) for each in both]  # (seed, input and bias)
        by_weights += moves[0][:, :-1].sum(1)
        by_bias += moves[0][:, -1]
        by_theorem += moves[1].sum(1)
        if not arm.frozen:
            v = v + step_of_v(error.mT @ a / network.samples)[0]
    made = torch.stack([torch.stack(row) for row in rows], -1)
    if not made.isfinite().all():
        raise UserError(f"{name} diverges with {optimizer} at a learning rate of {rate:g}; give a smaller std.")
    return made.double().numpy()


def sgd(rate: float) -> Callable[..., list[Tensor]]:
    """What gradient descent adds to a matrix, given its gradient, and would add with others in its place."""
    return lambda *gradients: [-rate * each for each in gradients]


def adam(rate: float) -> Callable[..., list[Tensor]]:
    """The same of Adam, whose denominators are those of the first gradient."""
    means: list[Tensor] = []
    square, done = torch.zeros(()), 0

    def step(*gradients: Tensor) -> list[Tensor]:
        nonlocal square, done
        done += 1
        means[:] = means or [torch.zeros_like(each) for each in gradients]
        means[:] = [BETA1 * mean + (1 - BETA1) * each for mean, each in zip(means, gradients, strict=True)]
        square = BETA2 * square + (1 - BETA2) * gradients[0].square()
        below = (square / (1 - BETA2**done)).sqrt() + EPSILON
        return [-rate * mean / (1 - BETA1**done) / below for mean in means]

    return step


def _variance(network: TwoLayers, v: Tensor) -> Tensor:
    """Of V's entries, (seed, 1, 1): for cross-entropy over the classes of a unit, since a unit's mean is not seen."""
    if network.loss == "squared":
        return v.var((1, 2), keepdim=True)
    return (v - v.mean(1, keepdim=True)).square().mean((1, 2), keepdim=True) / (1 - 1 / network.classes)


def _labels(network: TwoLayers, draws: list[torch.Generator]) -> Tensor:
    """Random ones (seed, sample, class)."""
    drawn = [torch.randint(network.classes, (network.samples,), generator=each) for each in draws]
    return F.one_hot(torch.stack(drawn), network.classes).float()


def _loss(network: TwoLayers, f: Tensor, targets: Tensor) -> Tensor:
    """Mean over the samples, (seed)."""
    if network.loss == "squared":
        return (f - targets).square().sum(2).mean(1) / 2
    return -(f.log_softmax(2) * targets).sum(2).mean(1)
