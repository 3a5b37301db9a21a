"""Deaths and revivals in the training stream, step by step: exact integers, memory independent of the tokens seen."""

from collections.abc import Sequence

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

OF_UNITS = ("last_fired", "onset", "dead", "deaths", "revivals")
"""What a tracker knows of each unit."""


def waits(dead_after: int, seq_len: int, positions: Sequence[int]) -> int | list[int]:
    """n of each layer's own tokens as tokens of the training stream, of which a sequence has `seq_len`; rounded up.

    One number where all layers have as many.

    Parameters
    ----------
    positions : (layer)
        Own tokens of a sequence.

    Examples
    --------
    >>> waits(1024, seq_len=512, positions=[512, 128])
    [1024, 4096]
    >>> waits(1024, seq_len=512, positions=[512, 512])
    1024
    """
    found = [-(-dead_after * seq_len // own) for own in positions]
    return found[0] if len(set(found)) == 1 else found


class DeathTracker:
    """Who died and who came back in the training stream, unit by unit; time is counted in training tokens.

    A unit is dead(n) once it has not fired in the last n tokens; its onset is its last firing. Its resolution
    is one global step: a firing is dated to the end of its step.

    Parameters
    ----------
    widths : (layer)
        Units of each layer.
    dead_after
        n, in training tokens: of all layers, or one for each (see `waits`).
    """

    def __init__(
        self, widths: Sequence[int], dead_after: int | Sequence[int], device: str | torch.device = "cpu"
    ) -> None:
        self.widths, self._device = list(widths), device
        self.dead_after = dead_after
        units = sum(self.widths)  # those of all layers stand in one row: as many launches for one layer as for twelve

        def zeros(length: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(length, dtype=dtype, device=device)

        self.last_fired = zeros(units)  # stream position in tokens; 0: never yet
        self.onset = zeros(units) - 1  # onset of the first death; -1: never dead
        self.dead = zeros(units, torch.bool)
        self.deaths = zeros(units, torch.int32)
        self.revivals = zeros(units, torch.int32)
        self.stream_firings = zeros(len(self.widths))  # unit firings over all tokens seen
        self.stream_sequence_units = zeros(len(self.widths))  # units firing at least once, summed over sequences
        self._set_n()

    def _set_n(self) -> None:
        """n of every unit: one number where all layers have the same."""
        widths = torch.tensor(self.widths, device=self._device)
        self._n: int | Tensor = (
            torch.tensor(self.dead_after, device=self._device).repeat_interleave(widths)
            if isinstance(self.dead_after, Sequence)
            else self.dead_after
        )

    def update(
        self,
        unit_tokens: Int[Tensor, " unit"],
        firings: Int[Tensor, "layer"],
        sequence_units: Int[Tensor, "layer"],
        tokens: int,
    ) -> None:
        """Add one global step that ends `tokens` tokens into the stream.

        Parameters
        ----------
        unit_tokens : (unit)
            Tokens of the step at which each unit fired, layer after layer, over all processes.
        firings, sequence_units : (layer)
            Their sum, and the sum over sequences of the units that fired in them.
        """
        fired = unit_tokens > 0
        self.last_fired.masked_fill_(fired, tokens)
        silent_for = tokens - self.last_fired
        dead = silent_for >= self._n  # n of dead(n): before n tokens nobody has been silent for n
        died = dead & ~self.dead
        self.onset = torch.where(died & (self.onset < 0), self.last_fired, self.onset)
        self.deaths += died
        self.revivals += self.dead & fired
        self.dead = dead
        self.stream_firings += firings
        self.stream_sequence_units += sequence_units

    def keep(self, kept: Sequence[Int[Tensor, "_"]]) -> None:
        """Follow these units of each layer alone, in this order; of the others nothing is left here but the sums.

        Parameters
        ----------
        kept
            Of each layer: its units that stay, as it counts them now.
        """
        for name in OF_UNITS:
            rows = zip(self.rows(getattr(self, name)), kept, strict=True)
            setattr(self, name, torch.cat([row[units] for row, units in rows]))
        self.widths = [len(units) for units in kept]
        self._set_n()

    def state(self) -> dict[str, Tensor]:
        """What it has counted, by name; `load` takes it back."""
        return {name: getattr(self, name) for name in (*OF_UNITS, "stream_firings", "stream_sequence_units")}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name].view_as(value))  # layers in rows, in states of before

    def rows(self, values: Shaped[Tensor, " unit"]) -> list[Tensor]:
        """A tensor of all units, such as `last_fired`, layer by layer."""
        return list(values.split(self.widths))
