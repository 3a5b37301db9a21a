"""What training, measuring and cutting ask of a model; a variant is a file with a class that gives it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

# observe(layer, MLP input (B, T, C), pre-activation (B, T, F), activation (B, T, F)), T the layer's positions
Observe = Callable[[int, Tensor, Tensor, Tensor], None]
# count(layer, tokens of each sequence at which each unit fires (B, F)), taken while the ReLU is computed
Count = Callable[[int, Tensor], None]


class Hidden(nn.Module):
    """A layer of hidden units: two matrices with an activation between them, as many units as `fc_in` gives."""

    fc_in: nn.Linear
    fc_out: nn.Linear
    uncounted: int = 0
    """First positions of each sequence that never count, and are told to nobody."""


class Model(nn.Module, ABC):
    """A model that can be trained, measured and cut; layers of hidden units are numbered from 0 through all of it.

    Its class is called with its configuration alone, which it keeps as `config`; see `kinds.KINDS`.
    """

    config: Any
    blocks: nn.ModuleList
    """The parts that many processes share out among them, one after the other."""

    @abstractmethod
    def mlps(self) -> list[Hidden]:
        """Its layers of hidden units, which may differ in width; those of a run's dataset, (layer, unit), have one."""

    @abstractmethod
    def predict(
        self, *batch: Tensor, observe: Observe | None = None, count: Count | None = None
    ) -> tuple[Tensor, Tensor]:
        """What it makes of a batch, and what it should be; their cross-entropy is the loss.

        Parameters
        ----------
        batch
            The tensors that the corpus of its task gives for some sequences.
        observe, count
            Called once a layer of hidden units.

        Returns
        -------
        logits, targets : (…, class), (…)
            Scores of the classes, token types say, at each place where something is predicted; which it is.
        """

    def positions(self) -> list[int]:
        """Positions of a sequence at which each layer is computed; a class whose layers differ says its own."""
        return [self.config.seq_len] * len(self.mlps())

    def widths(self) -> list[int]:
        """Hidden units of each layer."""
        return [mlp.fc_in.out_features for mlp in self.mlps()]
