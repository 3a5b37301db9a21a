"""How a run goes on from another's state, changed, as frozen data; `train.forking` and `interventions.forks` do it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from . import checks
from .checks import Checked
from .errors import UserError

OF_FORKS = ("control", "fork", "prune")
"""Fields of a run that its parent has at their defaults."""


@dataclass(frozen=True)
class ForkConfig(Checked):
    """Where a run leaves its parent, and what changes of its updates from there on.

    The parent is the same configuration without the fork. Its model, optimiser, death tracker and place in the text go
    on, and so do the numbers of its steps, its schedule and its seed: a fork that changes nothing is its parent's twin,
    on a CPU to the bit.
    """

    tokens: checks.TokensOrNone = 0
    """Training tokens after which it leaves its parent, which must keep its state there (fork_states); 0: no fork."""
    steps: Annotated[int, checks.whole(0, 10**8)] = 0
    """Optimiser steps that it goes on; 0: to its parent's end. The schedule stays the parent's."""
    zero_moments: bool = False
    """Whether the optimiser begins anew at the fork: moments and step counts are 0."""
    freeze_before: Annotated[int, checks.whole(0, 1023)] | None = None
    """A layer: what its MLP's input is computed with stands still (embeddings too, an output layer tied to them)."""
    freeze_input_weights: Annotated[int, checks.whole(0, 1023)] | None = None
    """A layer: the input weights of its hidden units stand still."""
    freeze_input_biases: Annotated[int, checks.whole(0, 1023)] | None = None
    """A layer: the biases of its hidden units stand still."""
    clip: checks.RateOrNone | None = None
    """Largest norm of the whole gradient from the fork on; 0 switches clipping off, None leaves the parent's."""
    leave_out: Literal["none", "largest", "drawn"] = "none"
    """Batches that move nothing, a hundredth: with the largest gradients in the parent, or drawn; see `left_out`."""
    decay_input_biases: bool = False
    """Whether the biases of the MLPs' hidden units are decayed too, as matrices are."""
    decay_dead: bool = True
    """Whether decay acts on units that are dead(n) before a step: input weights, bias (if decayed), output weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in checks.hints(type(self)):  # type: ignore[arg-type]
            if not self.tokens and (given := getattr(self, name)) != getattr(type(self), name):
                raise UserError(
                    f"ForkConfig.{name} = {given} is not read without a fork; give fork.tokens, or leave it out."
                )

    @property
    def frozen(self) -> dict[str, int]:
        """Fields by which something stands still → the layer."""
        names = ("freeze_before", "freeze_input_weights", "freeze_input_biases")
        return {name: layer for name in names if (layer := getattr(self, name)) is not None}

    def check(self, tokens: int, batch_tokens: int, n_layers: int) -> None:
        """Refuse what a parent of so many tokens, a step and in all, and layers has no place for.

        Raises
        ------
        UserError
            For a point that is no step of the parent's before its last, more steps than are left, or a layer that the
            model does not have.
        """
        if self.tokens % batch_tokens or not self.tokens < tokens:
            raise UserError(
                f"ForkConfig.tokens = {self.tokens}: expected a multiple of batch_tokens = {batch_tokens} below the "
                f"parent's tokens = {tokens}."
            )
        if self.steps > (left := (tokens - self.tokens) // batch_tokens):
            raise UserError(
                f"ForkConfig.steps = {self.steps}: after {self.tokens} of its {tokens} tokens the parent goes on for "
                f"{left} steps; give as many at most, or 0 for all of them."
            )
        for name, layer in self.frozen.items():
            if layer >= n_layers:
                raise UserError(
                    f"ForkConfig.{name} = {layer}, but the model has {n_layers} layers, counted from 0; choose one of "
                    f"0 to {n_layers - 1}."
                )

    def check_changes(self, weight_decay: float, bias: bool, decay_vectors: bool, clip: float) -> None:
        """Refuse a change of decay, biases or clipping where there is none to change.

        Raises
        ------
        UserError
            Without decay or biases, where biases are decayed already, or for the parent's own clip.
        """
        if self.clip == clip:
            raise UserError(f"ForkConfig.clip = {self.clip} is the parent's own; leave it out, or give another.")
        if self.freeze_input_biases is not None and not bias:
            raise UserError("ForkConfig.freeze_input_biases with bias = False, which leaves none; leave it out.")
        if not weight_decay and (self.decay_input_biases or not self.decay_dead):
            name = "decay_dead" if not self.decay_dead else "decay_input_biases"
            raise UserError(f"ForkConfig.{name} changes nothing with weight_decay = 0; leave it out, or decay weights.")
        if self.decay_input_biases and (decay_vectors or not bias):
            why = "decay_vectors = True decays them already" if bias else "bias = False leaves none"
            raise UserError(f"ForkConfig.decay_input_biases = True, but {why}; leave it out.")

    def check_control(self, kind: str) -> None:
        """Refuse a control on updates of this kind beside a change that keeps some of them from decay.

        Raises
        ------
        UserError
            With something of a layer frozen, or the dead not decayed.
        """
        if kind != "none" and (self.frozen or not self.decay_dead):
            name = next(iter(self.frozen), "decay_dead = False")
            raise UserError(
                f"ForkConfig.{name} with a control of kind = {kind}: a control tells decay from what the data did in "
                "all layers alike; leave out one of the two."
            )
