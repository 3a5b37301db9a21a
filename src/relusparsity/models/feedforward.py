"""The MLP of every kind of model, whose hidden units are counted while it computes them.

Shapes: B sequences, T positions, C = d_model, F = hidden units of the layer.
"""

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..counting import fused, metrics
from ..model_config import BaseModelConfig
from .protocol import Count, Hidden, Observe


def top_k(preactivation: Float[Tensor, "B T F"], k: int) -> Float[Tensor, "B T F"]:
    """ReLU, of which each token's k largest stay and the others are 0; of equal ones, those of lower index stay.

    What stays and is 0 does not fire. Gradients reach what stays alone. A layer of no more than k units is plain ReLU.
    Source: Li et al. 2022 (arXiv 2210.06313), the Top-k Transformer; the order of equal ones is ours.
    """
    activation = F.relu(preactivation)
    if k >= activation.shape[-1]:
        return activation
    seen = activation.detach()
    # torch.topk promises nothing about equal ones, of which bf16 has many: only the least value that stays is its
    least = seen.topk(k, sorted=False).values.amin(-1, keepdim=True)
    ties, room = seen == least, k - (seen > least).sum(-1, keepdim=True)
    beyond = ties & (ties.cumsum(-1, dtype=room.dtype) > room)
    return activation.masked_fill((seen < least) | beyond, 0)  # a NaN is neither, and stays to be seen


def _activation(config: BaseModelConfig) -> Callable[[Tensor], Tensor]:
    if config.activation == "topk" and config.top_k is not None:
        return partial(top_k, k=config.top_k)
    return F.relu if config.activation == "relu" else F.gelu


class MLP(Hidden):
    """Two-layer, non-gated: activation(x W_in + b_in) W_out + b_out.

    The first `uncounted` positions of each sequence are told to nobody: not to `observe`, not to `count`.
    """

    def __init__(self, config: BaseModelConfig, layer: int, uncounted: int = 0) -> None:
        super().__init__()
        self.layer, self.uncounted = layer, uncounted
        self.fc_in = nn.Linear(config.d_model, config.widths[layer], bias=config.bias)
        self.fc_out = nn.Linear(config.widths[layer], config.d_model, bias=config.bias)
        self.top_k = config.top_k
        self.activation = _activation(config)

    def forward(
        self, x: Float[Tensor, "B T C"], observe: Observe | None = None, count: Count | None = None
    ) -> Float[Tensor, "B T C"]:
        preactivation, first = self.fc_in(x), self.uncounted  # (B, T, F)
        if count is not None and self.activation is F.relu:
            activation, per_unit = fused.relu_and_count(preactivation)
            if first:  # the kernel counts all positions while it passes them
                per_unit = per_unit - (activation[:, :first].detach() > 0).sum(1, dtype=per_unit.dtype)
            count(self.layer, per_unit)
        else:
            activation = self.activation(preactivation)
            if count is not None:
                count(self.layer, metrics.unit_counts(activation[:, first:].detach() > 0))
        if observe is not None:
            observe(self.layer, x[:, first:], preactivation[:, first:], activation[:, first:])
        return self.fc_out(activation)
