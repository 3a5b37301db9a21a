"""What single units fire on, collected while counting: strongest tokens of every unit, token types of some."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from ..anymodel.track import Use
from ..counting.call import Call
from ..counting.layer import LayerUse

CONTEXTS = 3


class Detailed(Use):
    """A tracker that also keeps, for every unit, where it was strongest, and for some, what token types it fires on.

    Set `ids` (sequence, position) and `first`, the index of their first sequence, before every call. Memory does not
    grow with the tokens: (layer, contexts, unit) and, for `followed` units a layer, (layer, token type, unit).
    """

    ids: Tensor
    first: int = 0

    def prepare(self, vocabulary: int, followed: int, left_out: Iterable[int] = ()) -> None:
        """Say how many token types there are, how many evenly spaced units of a layer are followed, what counts not.

        Parameters
        ----------
        left_out
            Token types at which nothing is counted, though the model reads them.
        """
        self.vocabulary, self.follow = vocabulary, followed
        self.left_out = torch.tensor(sorted(left_out), dtype=torch.int64)
        self._counted: tuple[Call, Call] | None = None  # a call, and the same without what is left out
        self.strongest: dict[int, Tensor] = {}  # (context, unit): activation
        self.at: dict[int, Tensor] = {}  # (context, unit): token, counted from the start of the text
        self.types: dict[int, Tensor] = {}  # (token type, followed unit): firings

    def units(self, width: int) -> Tensor:
        """The followed units of a layer of this width."""
        return torch.linspace(0, width - 1, min(self.follow, width), dtype=torch.float64).round().long()

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        super().observe(layer, activation, self._without(call) if len(self.left_out) else call)

    def _without(self, call: Call) -> Call:
        """The call with what is left out as padding; the same object for all layers."""
        if self._counted is None or self._counted[0] is not call:
            real = torch.isin(self.ids, self.left_out.to(self.ids.device), invert=True)
            real = real if call.real is None else real & call.real
            self._counted = call, replace(call, real=real, lengths=real.sum(1).cpu())
        return self._counted[1]

    def also(self, layer: int, activation: Tensor, call: Call) -> None:
        sequences, positions, width = activation.shape
        if layer not in self.types:
            device = activation.device
            self.strongest[layer] = torch.zeros(CONTEXTS, width, device=device)
            self.at[layer] = torch.full((CONTEXTS, width), -1, dtype=torch.int64, device=device)
            self.types[layer] = torch.zeros(self.vocabulary, min(self.follow, width), dtype=torch.int32, device=device)
        chosen = self.units(width).to(activation.device)
        ids = self.ids.to(activation.device).flatten()
        if call.real is not None:
            activation = activation * call.real[..., None].to(activation.device)
        fired = self.rule.fired(layer, self.places[layer], activation)[..., chosen]
        self.types[layer].index_add_(0, ids, fired.flatten(0, 1).int())
        by_size = self.rule.threshold(layer, self.places[layer]) is not None
        size = activation.abs() if by_size else activation
        peak, place = size.max(dim=1)  # one context a sequence
        place = place + (self.first + torch.arange(sequences, device=activation.device))[:, None] * positions
        every, where = torch.cat((self.strongest[layer], peak.float())), torch.cat((self.at[layer], place))
        # equal ones in order of the text, on every device
        order = torch.sort(every, dim=0, descending=True, stable=True).indices[:CONTEXTS]
        self.strongest[layer], self.at[layer] = every.gather(0, order), where.gather(0, order)

    def state(self) -> dict[str, Tensor]:
        """Everything that is counted, by name; `load` takes it back before the first call."""
        state = {f"use.{i}.{name}": v for i, use in enumerate(self.counts()) for name, v in use.state().items()}
        for name in ("strongest", "at", "types"):
            state |= {f"{name}.{layer}": value for layer, value in getattr(self, name).items()}
        return state

    def load(self, state: dict[str, Tensor], device: torch.device) -> None:
        for i in range(len(self.places)):
            counts = {name.split(".", 2)[2]: v for name, v in state.items() if name.startswith(f"use.{i}.")}
            self.layers[i] = use = LayerUse(len(counts["unit_tokens"]), device)
            use.load(counts)
            for name in ("strongest", "at", "types"):
                getattr(self, name)[i] = state[f"{name}.{i}"].to(device)
