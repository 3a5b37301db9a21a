"""Theorem 3.1 of Li et al. (2022, arXiv 2210.06313), measured: at the start, a step lowers the activations that fire.

Two layers, f = V relu(p) with p = W x. Where p_i > 0, the cross-entropy's ∂loss/∂p_i is Σ_k (softmax(f)_k − y_k) V_ki.
Over draws of V of mean 0 the labels' part is 0, if labels do not depend on V, while softmax(f)_k rises with V_ki: the
mean is positive. To first order in f it is a_i · Var(V) · (1 − 1/K) for the activation a_i and K classes. (Of normal V
it is a_i · Var(V) · (1 − Σ_k softmax(f)_k²), by Stein's lemma: less, where the network is already sure.)

Controls: a mean that all entries of V share changes nothing, since softmax does not see it; labels that are the
network's own guess depend on V and turn the sign; so do, of the squared error, targets whose mean is large beside V's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from . import checks
from .checks import Checked
from .errors import UserError

_Mean = Annotated[float, checks.real(-1e6, 1e6)]

Moment = float | Float[Tensor, "*seed 1 1"]
"""A moment of V's entries: one for all, or of each seed its own."""


@dataclass(frozen=True)
class TwoLayers(Checked):
    """The network, what it is shown, and its loss, which is that of one sample."""

    units: checks.Size = 1024
    """Hidden units."""
    classes: Annotated[int, checks.whole(2, 2**24)] = 100
    """K: rows of V, numbers that come out."""
    inputs: checks.Size = 64
    """Numbers of a sample x, which are N(0, 1); W's are N(0, 1 / inputs), so that p is of variance 1."""
    samples: checks.Size = 4096
    """Drawn for each seed."""
    std: checks.Factor = 0.02
    """Standard deviation of V's entries, which are normal."""
    mean: _Mean = 0.0
    """Their mean."""
    loss: Literal["cross_entropy", "squared"] = "cross_entropy"
    """squared: half the sum over the K numbers of (f − target)²."""
    labels: Literal["random", "own"] = "random"
    """cross_entropy: uniform over the classes, or the argmax of f."""
    target_mean: _Mean = 0.0
    """squared: mean of the targets, which are normal, of variance 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        name = "labels" if self.loss == "squared" else "target_mean"
        if (given := getattr(self, name)) != getattr(type(self), name):
            raise UserError(
                f"TwoLayers.{name} = {checks.shown(given)} is not read by loss = {self.loss}; leave it out."
            )


class Drawn(NamedTuple):
    """One draw of the network and its samples, float64; of several seeds, these are the first dimension."""

    x: Float[Tensor, "*seed sample input"]
    """Samples."""
    w: Float[Tensor, "*seed unit input"]
    """The first layer."""
    v: Float[Tensor, "*seed class unit"]
    """The last layer."""
    targets: Float[Tensor, "*seed sample class"]
    """What f should be: of labels, 1 for the class and 0 for the others."""

    @property
    def p(self) -> Float[Tensor, "*seed sample unit"]:
        """Pre-activations."""
        return self.x @ self.w.mT


class Pull(NamedTuple):
    """What the loss asks of the pre-activations that are above 0, in its units; `(seed)` each.

    A positive mean: a step of gradient descent lowers them.
    """

    mean: np.ndarray
    """Mean of ∂loss/∂p over them, all samples and units together."""
    theorem: np.ndarray
    """The same as the theorem has it, to first order, for labels or targets that do not depend on V."""
    std: np.ndarray
    """Standard deviation of one ∂loss/∂p among them: how much of a single one the mean is."""


def draw(network: TwoLayers, seed: int) -> Drawn:
    """A network and its samples, from the seed alone (on the CPU)."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    w = normal(network.units, network.inputs) * network.inputs**-0.5
    v = normal(network.classes, network.units) * network.std + network.mean
    x = normal(network.samples, network.inputs)
    if network.loss == "squared":
        return Drawn(x, w, v, normal(network.samples, network.classes) + network.target_mean)
    if network.labels == "own":
        return Drawn(x, w, v, own_labels((x @ w.T).relu() @ v.T))
    labels = torch.randint(network.classes, (network.samples,), generator=generator)
    return Drawn(x, w, v, F.one_hot(labels, network.classes).double())


def own_labels(f: Float[Tensor, "*seed sample class"]) -> Float[Tensor, "*seed sample class"]:
    """Targets that are the network's own guess: 1 for the argmax of what comes out, 0 for the others."""
    return F.one_hot(f.argmax(-1), f.shape[-1]).to(f.dtype)


def gradient(network: TwoLayers, drawn: Drawn) -> Float[Tensor, "sample unit"]:
    """∂loss/∂p of each sample's own loss; 0 where p is not above 0."""
    return (error(network, drawn.p.relu() @ drawn.v.T, drawn.targets) @ drawn.v) * (drawn.p > 0)


def error(
    network: TwoLayers, f: Float[Tensor, "*seed sample class"], targets: Float[Tensor, "*seed sample class"]
) -> Float[Tensor, "*seed sample class"]:
    """∂loss/∂f of each sample's own loss."""
    return (f.softmax(-1) if network.loss == "cross_entropy" else f) - targets


def expected(network: TwoLayers, drawn: Drawn) -> Float[Tensor, "sample unit"]:
    """Mean of `gradient` over draws of V where p is above 0, for targets that do not depend on V: `first_order`."""
    return first_order(network, drawn.p.relu(), network.std**2, network.mean)


def first_order(
    network: TwoLayers, a: Float[Tensor, "*seed sample unit"], variance: Moment, mean: Moment
) -> Float[Tensor, "*seed sample unit"]:
    """The same for activations a, where V's entries are drawn with this variance and mean.

    Exact for the squared error: K · (a · Var(V) + mean · (mean · Σ_j a_j − target)).
    """
    if network.loss == "cross_entropy":
        return a * variance * (1 - 1 / network.classes)
    common = mean * (mean * a.sum(-1, keepdim=True) - network.target_mean)
    return network.classes * (a * variance + common)


def measure(network: TwoLayers, seeds: Sequence[int]) -> Pull:
    """What the first step asks, of a network and samples drawn for each seed; less than a second a seed.

    The theorem is about the mean over draws of V, and so over seeds; a single one is 9 % off as a rule, by default.

    Raises
    ------
    UserError
        If no pre-activation is above 0.

    Examples
    --------
    >>> pull = measure(TwoLayers(units=256, samples=1024), seeds=range(20))
    >>> bool(abs(pull.mean.mean() / pull.theorem.mean() - 1) < 0.1)
    True
    """
    rows = []
    for seed in seeds:
        drawn = draw(network, seed)
        fires = drawn.p > 0
        if not fires.any():
            raise UserError(f"no unit of seed {seed} fires at any of {network.samples} samples; give more of either.")
        found = gradient(network, drawn)[fires]
        rows.append((found.mean(), expected(network, drawn)[fires].mean(), found.std(correction=0)))
    return Pull(*np.array(rows, dtype=float).reshape(-1, 3).T)
