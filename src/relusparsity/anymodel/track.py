"""`track`: count which hidden units of any model fire, while it runs as it always does."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from .. import distributed
from ..counting import gpu, metrics
from ..counting.call import Call
from ..counting.layer import LayerUse
from ..counting.use import Layers
from ..errors import UserError
from ..store import results
from ..store.schema import UNITS
from .attach import Choice, Side
from .place import Place
from .ruled import LAYER_NAME, Ruled, not_a_number, one_width, same_layer
from .rules import Rule


class Use(Ruled, Layers):
    """What was counted; filled while its `with` block runs, read at any time.

    Attributes
    ----------
    places : the layers attached to, in order; `print(use)` shows them.
    not_counted : what was left out of a mixture of experts, in words; empty for other models.
    layers : their counts, `LayerUse` each; None where a layer has not run.
    rule : when a unit counts as firing.
    """

    def __init__(
        self,
        model: nn.Module,
        choose: Choice | None = None,
        of: Side | None = None,
        rule: Rule | None = None,
    ) -> None:
        super().__init__(model, choose, of, rule)
        self.layers: list[LayerUse | None] = [None] * len(self.places)
        self._thresholds: dict[int, Tensor] = {}  # those of units, on the device of their layer

    def flags(self) -> Iterator[tuple[Place, Tensor]]:
        for place, use in zip(self.places, self.layers, strict=True):
            if use is not None:
                yield place, use.not_a_number

    def observe(self, layer: int, activation: Tensor, call: Call) -> None:
        place = self.places[layer]
        use = self.layers[layer]
        if use is None:
            self.rule.check_width(layer, place, activation.shape[-1])
            use = self.layers[layer] = LayerUse(activation.shape[-1], activation.device)
        else:
            same_layer(place, activation, use.units, use.unit_tokens.device)
        sequences = self._calls.mine.sequences
        if use.open is not sequences.get(layer):  # another thread's call came between
            use.open = sequences.get(layer)
            use.mixed |= call.continues
        if gpu.takes(activation):
            threshold = self.rule.threshold(layer, place)
            if isinstance(threshold, Tensor):
                if layer not in self._thresholds:
                    self._thresholds[layer] = threshold.to(activation.device, torch.float32)
                threshold = self._thresholds[layer]
            gpu.update(use, activation, threshold, call)
        else:
            use.not_a_number |= not_a_number(activation, call)
            use.update(self.rule.fired(layer, place, activation), call.real, call.continues, call.lengths)
        assert use.open is not None
        sequences[layer] = use.open
        self.also(layer, activation, call)

    def also(self, layer: int, activation: Tensor, call: Call) -> None:
        """For those who want more than counts of what a layer does (sequence, position, unit)."""

    def counts(self) -> list[LayerUse]:
        """The counts of every layer.

        Raises
        ------
        UserError
            If a layer saw no token.
        """
        self.check()
        for place, use in zip(self.places, self.layers, strict=True):
            if use is None or not use.tokens:
                why = "run the model inside the with block first"
                if use is not None:
                    why = "every position was padding"
                elif self._calls.made:
                    why = "the model ran, but not this layer; choose layers that its calls run"
                raise UserError(f"{place.name} has seen no token: {why}.")
        return [use for use in self.layers if use is not None]

    def gather(self) -> "Use":
        """Add up the counts of all processes (torch.distributed), on every one; once, after the block."""
        everyone = distributed.gather([(use.units, use.state()) for use in self.counts()])
        for layer, use in enumerate(self.counts()):
            merged = LayerUse(use.units, use.unit_tokens.device)
            for counted in everyone:
                theirs = LayerUse(counted[layer][0], use.unit_tokens.device)
                theirs.load(counted[layer][1])
                merged.merge(theirs)
            self.layers[layer] = merged
        return self

    def firing_rate(self) -> list[np.ndarray]:
        """Share of tokens at which each unit fired, layer by layer: (unit)."""
        return [use.unit_tokens.cpu().numpy() / use.tokens for use in self.counts()]

    def dataset(self) -> xr.Dataset:
        """Every statistic under the names that the book's figures read; `seed` has length one, layers equal width.

        Raises
        ------
        UserError
            If layers differ in width; read `layers` one by one then.
        """
        uses = self.counts()
        width = one_width([use.units for use in uses], "use.layers")
        by_layer = ("seed", "layer")
        shown = max(int(use.window_count.count_nonzero()) for use in uses)
        sizes = uses[0].windows[:shown]
        columns: dict[str, tuple[tuple[str, ...], Sequence[Any]]] = {
            "final_token_use": ((), [use.token_use() for use in uses]),
            "final_sequence_use": ((), [use.sequence_use() for use in uses]),
            "final_window_use": (("window",), [use.window_use()[:shown] for use in uses]),
            "final_rarefied_use": (("window",), [use.rarefied_use(sizes) for use in uses]),
            "token_use_percentiles": (("percentile",), [use.token_use_percentiles() for use in uses]),
            "sequence_use_percentiles": (("percentile",), [use.sequence_use_percentiles() for use in uses]),
            "firing_rate_percentiles": (("percentile",), [use.firing_rate_percentiles() for use in uses]),
            "silent_units": ((), [use.silent_units() for use in uses]),
            "final_firing_count": (("unit",), [use.unit_tokens.cpu().numpy() for use in uses]),
            "final_sequences_fired": (("unit",), [use.unit_sequences.cpu().numpy() for use in uses]),
            "layer_name": ((), [place.name for place in self.places]),
            "layer_tokens": ((), [use.tokens for use in uses]),
            "layer_sequences": ((), [use.sequences for use in uses]),
        }
        values: dict[str, tuple[tuple[str, ...], Any]] = {
            name: ((*by_layer, *dims), np.stack(value)[None]) for name, (dims, value) in columns.items()
        }
        values["layer_name"] = (("layer",), [place.name for place in self.places])
        values |= {
            "seed": (("seed",), [0]),
            "layer": (("layer",), np.arange(len(uses))),
            "window": (("window",), sizes),
            "percentile": (("percentile",), list(metrics.PERCENTILES)),
        }
        dataset = results.described(values, UNITS | ADDED)
        dataset = dataset.set_coords(["seed", "layer", "window", "percentile", "layer_name"])
        dataset.attrs |= {
            "d_ff": width,
            "final_sample_tokens": max(use.tokens for use in uses),
            "rule": self.rule.name,
        }
        return dataset

    def __repr__(self) -> str:
        lines = [f"{type(self.model).__name__}, {len(self.places)} layers; a unit fires where: {self.rule.name}"]
        if any(place.kind == "smooth" for place in self.places) and self.rule.thresholds is None:
            lines.append("smooth activations are hardly ever exactly zero: give a rule with thresholds to see sparsity")
        for place, use in zip(self.places, self.layers, strict=True):
            seen = "not run yet"
            if use is not None and use.tokens:
                seen = (
                    f"{use.units:,} units, {use.tokens:,} tokens, {100 * use.token_use():.3g} % fire at a token, "
                    f"{use.silent_units():,} silent"
                )
            lines.append(f"  {place}: {seen}")
        lines += self._rest()
        return "\n".join(lines)


ADDED = LAYER_NAME | {
    "layer_tokens": ("tokens", "tokens that the layer has seen, padding left out"),
    "layer_sequences": ("sequences", "sequences that the layer has seen"),
}


def track(
    model: nn.Module,
    layers: Choice | None = None,
    *,
    of: Side | None = None,
    rule: Rule | None = None,
) -> Use:
    """Count, exactly, which hidden units of a model's MLPs fire while it runs; the model is left as it was.

    Parameters
    ----------
    model
        Any module: Hugging Face models of the usual kinds are recognised, also wrapped in DistributedDataParallel
        or compiled (inside the block a compiled model runs uncompiled, or it could not be watched).
    layers
        None to find them; else a pattern of module names (``"*.mlp.act"``) or a function of name and module.
    of
        "output" (default) or "input": which side of a chosen module is the hidden activation. "product": what the
        layer after it reads, act(gate) · up in gated MLPs; where the model was found by itself.
    rule
        None: exactly above zero (smooth activations, and whatever a layer reads: not exactly zero); else see `above`
        and `calibrate`.

    Returns
    -------
    Use
        To be used with ``with``. Padding, as the mask of the model's own call says it, does not count; without a mask
        every position does. The class token of this package's ViT does not count, that of any other model does, as a
        position. In audio models, frames count as far as the model says how many there are. Decoding with a cache
        continues its sequences if the last call left that cache; with any other, such as the copy of a prompt's, new
        ones begin, and one that was changed since, as beam search does, is refused. Layers recomputed in the backward
        pass count once. Every thread's calls are told apart, and what vmap runs together are sequences. A module that
        runs several times in one call, as ALBERT's, counts every time; an activation object that several layers share
        counts for each, and is refused where one call of the module around it runs it again.

    Raises
    ------
    UserError
        If no such layers are found, or the choice matches none or too much. In a call of the model: if what it was
        given does not tell which tokens a layer sees.
    FloatingPointError
        At the end of the block or at the first reading, on every device, if an activation was NaN.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> with track(model) as use:
    ...     _ = model(torch.ones(4, 5, 2))
    >>> use.layers[0].tokens
    20
    """
    return Use(model, layers, of, rule)
