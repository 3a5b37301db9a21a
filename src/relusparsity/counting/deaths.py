"""Deaths and revivals in the training stream, step by step: exact integers, memory independent of the tokens seen."""

import torch
from jaxtyping import Int
from torch import Tensor


class DeathTracker:
    """Who died and who came back in the training stream, unit by unit; time is counted in training tokens.

    A unit is dead(n) once it has not fired in the last n tokens; its onset is its last firing. Its resolution
    is one global step: a firing is dated to the end of its step.
    """

    def __init__(self, n_layers: int, d_ff: int, dead_after: int, device: str | torch.device = "cpu") -> None:
        self.dead_after = dead_after

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(n_layers, *shape, dtype=dtype, device=device)

        self.last_fired = zeros(d_ff)  # stream position in tokens; 0: never yet
        self.onset = zeros(d_ff) - 1  # onset of the first death; -1: never dead
        self.dead = zeros(d_ff, dtype=torch.bool)
        self.deaths = zeros(d_ff, dtype=torch.int32)
        self.revivals = zeros(d_ff, dtype=torch.int32)
        self.stream_firings = zeros()  # unit firings over all tokens seen
        self.stream_sequence_units = zeros()  # units firing at least once, summed over sequences

    def update(
        self,
        unit_tokens: Int[Tensor, "layer unit"],
        firings: Int[Tensor, "layer"],
        sequence_units: Int[Tensor, "layer"],
        tokens: int,
    ) -> None:
        """Add one global step that ends `tokens` tokens into the stream.

        Parameters
        ----------
        unit_tokens : (layer, unit)
            Tokens of the step at which each unit fired, over all processes.
        firings, sequence_units : (layer)
            Their sum, and the sum over sequences of the units that fired in them.
        """
        fired = unit_tokens > 0
        self.last_fired.masked_fill_(fired, tokens)
        silent_for = tokens - self.last_fired
        dead = (silent_for >= self.dead_after) & (tokens >= self.dead_after)
        died = dead & ~self.dead
        self.onset = torch.where(died & (self.onset < 0), self.last_fired, self.onset)
        self.deaths += died
        self.revivals += self.dead & fired
        self.dead = dead
        self.stream_firings += firings
        self.stream_sequence_units += sequence_units

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the tracker by name; `load` takes it back."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])
