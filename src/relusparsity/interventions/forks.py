"""What a fork changes of its parent's training: what stands still, which units are not decayed; see `ForkConfig`."""

from typing import Any

import torch
from torch import nn

from ..counting.deaths import DeathTracker
from ..errors import UserError
from ..models import Decoder, Model

BIAS = "mlp.fc_in.bias"
"""End of the name of a parameter: the biases of an MLP's hidden units."""
OF_UNITS = ("mlp.fc_in.weight", BIAS, "mlp.fc_out.weight")
"""Ends of the names of what belongs to single hidden units: rows of the first two, columns of the last."""


def upstream(model: nn.Module, layer: int | None) -> set[str]:
    """Names of the parameters that the input of this layer's MLP is computed with; none for None.

    They get no optimiser, rather than none of their gradient: the compiled step and the norm that clipping looks at are
    then those of the fork in which all trains, and no arithmetic touches what stands still.

    Raises
    ------
    UserError
        If the model is no decoder.
    """
    if layer is None:
        return set()
    if not isinstance(model, Decoder):
        raise UserError(f"freeze_before is about the blocks of a decoder, and {type(model).__name__} has none.")
    own = ["attention_norm.", "attention."]  # in place of pre
    if model.config.norm_place == "pre":
        own.append("mlp_norm.")
    if model.config.norm_place == "parallel":  # its attention stands beside the MLP
        own = ["mlp_norm."]
    first = ["embedding.", "position_embedding.", "embedding_norm.", *(f"blocks.{below}." for below in range(layer))]
    starts = (*first, *(f"blocks.{layer}.{part}" for part in own))
    return {name for name, _ in model.named_parameters() if name.startswith(starts)}


def spare_the_dead(optimizer: torch.optim.Optimizer, model: Model, deaths: DeathTracker) -> None:
    """From now on a step decays the MLPs' `living_decay` of living units alone, before it does anything else.

    A weight of a unit that was dead when the step began is multiplied by 1: without gradient and moments it keeps every
    bit. Others are decayed as AdamW and SGD do it; Adafactor takes the scale of its step from weights decayed already.

    Parameters
    ----------
    deaths
        Who is dead is asked of it at every step.
    """
    layer_of = {
        parameter: (layer, place)
        for layer, mlp in enumerate(model.mlps())
        for parameter, place in ((mlp.fc_in.weight, 0), (mlp.fc_in.bias, 0), (mlp.fc_out.weight, 1))
        if parameter is not None
    }

    @torch.no_grad()
    def decay(*_: Any) -> None:
        dead = deaths.rows(deaths.dead)
        for group in optimizer.param_groups:
            if not group.get("living_decay"):
                continue
            kept = 1 - group["lr"] * group["living_decay"]
            for weight in group["params"]:
                layer, place = layer_of[weight]
                factor = torch.where(dead[layer], 1.0, kept).to(weight.dtype)
                weight.mul_(factor if place or weight.ndim == 1 else factor[:, None])

    optimizer.register_step_pre_hook(decay)
