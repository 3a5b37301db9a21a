"""How likely a unit is to fire again, by how long it has been silent: exact counts in the training stream."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from .deaths import DeathTracker


class HazardTracker:
    """Unit-steps at risk of a firing, and those with one, by layer and by the silent steps before; from now on.

    Bin 0: the unit fired in the step before; bin i from 1 on: it was silent in the last 2^(i−1) to 2^i − 1 steps. Of a
    unit that never fired, all steps since the start of training were silent. The hazard of a bin is fired / at_risk.
    Where n of dead(n) is 2^k steps, the firings in bins k + 1 and above are the revivals that the death tracker counts.
    """

    def __init__(self, deaths: DeathTracker, steps: int) -> None:
        """Of a run of so many steps, whose last firings are those of the tracker."""
        self.deaths, device = deaths, deaths.last_fired.device
        bins, layers = (steps - 1).bit_length() + 1, len(deaths.widths)
        self.bounds = 2 ** torch.arange(bins - 1, device=device)
        self.before = torch.zeros_like(deaths.last_fired)  # last firing, as of deaths.last_fired, when it began
        self.at_risk = torch.zeros(layers * bins, dtype=torch.int64, device=device)
        self.fired = torch.zeros_like(self.at_risk)
        widths = torch.tensor(deaths.widths, device=device)
        self._first_bin = torch.arange(layers, device=device).repeat_interleave(widths) * bins  # of each unit's layer

    def begin(self) -> None:
        """Keep the last firings of now."""
        self.before.copy_(self.deaths.last_fired)

    def update(self, unit_tokens: Int[Tensor, " unit"], step: int, batch_tokens: int) -> None:
        """Add a step, before the death tracker does.

        Parameters
        ----------
        unit_tokens : (unit)
            Tokens of the step at which each unit fired.
        step
            Its number, from 1.
        batch_tokens
            Tokens of a step.
        """
        silent = (step - 1) - self.deaths.last_fired // batch_tokens
        bins = self._first_bin + torch.bucketize(silent, self.bounds, right=True)
        fired = (unit_tokens > 0).long()
        self.at_risk.index_add_(0, bins, torch.ones_like(fired))
        self.fired.index_add_(0, bins, fired)

    def keep(self, kept: Sequence[Int[Tensor, "_"]]) -> None:
        """Count these units of each layer alone from now on, before the death tracker leaves out the others.

        Who has gone is no longer at risk; `before` has all units still.
        """
        rows = zip(self.deaths.rows(self._first_bin), kept, strict=True)
        self._first_bin = torch.cat([row[units] for row, units in rows])

    def arrays(self) -> dict[str, np.ndarray]:
        """What `schema.ASKED_FOR` names, but of single units."""
        layers = len(self.deaths.widths)
        return {
            "silent_steps": np.r_[0, self.bounds.cpu().numpy()],
            "silent_at_risk": self.at_risk.view(layers, -1).cpu().numpy(),
            "silent_fired": self.fired.view(layers, -1).cpu().numpy(),
        }

    def state(self) -> dict[str, Tensor]:
        """What is to be kept, by name; `load` takes it back."""
        return {name: getattr(self, name) for name in ("before", "at_risk", "fired")}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])
