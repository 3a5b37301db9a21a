"""What a fork changes of its parent's training: what stands still, who is not decayed, what moves nothing.

See `ForkConfig`, whose fields say what is asked for.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from ..counting.deaths import DeathTracker
from ..errors import UserError
from ..fork_config import ForkConfig
from ..models import Decoder, Model

BIAS = "mlp.fc_in.bias"
"""End of the name of a parameter: the biases of an MLP's hidden units."""
OF_UNITS = ("mlp.fc_in.weight", BIAS, "mlp.fc_out.weight")
"""Ends of the names of what belongs to single hidden units: rows of the first two, columns of the last."""


LEFT_OUT = 0.01
"""Share of its batches that a fork leaves out; one at least."""
BLOCK = 100
"""Steps whose median a gradient's norm is compared with."""


def still(model: Model, fork: ForkConfig) -> set[str]:
    """Names of the parameters that stand still in a fork: no update, no decay, and moments that nobody reads.

    They get no optimiser, rather than none of their gradient: the compiled step and the norm that clipping looks at are
    then those of the fork in which all trains, and no arithmetic touches what stands still.

    Raises
    ------
    UserError
        If a layer's upstream is to be frozen and the model is no decoder.
    """
    mlps = model.mlps()
    own = {
        id(getattr(mlps[layer].fc_in, part))
        for part, layer in (("weight", fork.freeze_input_weights), ("bias", fork.freeze_input_biases))
        if layer is not None
    }
    return upstream(model, fork.freeze_before) | {name for name, of in model.named_parameters() if id(of) in own}


def upstream(model: nn.Module, layer: int | None) -> set[str]:
    """Names of the parameters that the input of this layer's MLP is computed with; none for None.

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


def left_out(norms: Float[np.ndarray, " step"], fork: ForkConfig, seed: int) -> set[int]:
    """Which of a fork's steps move nothing, counted from its first: no weight, no moment, no decay.

    Their batches pass through the model as always, so that deaths are followed in the same text.

    Parameters
    ----------
    norms
        Norms of the gradient in the parent, before clipping, at the steps that the fork takes. The largest are those
        that are so many times the median of their `BLOCK` steps: a trend of the norm would choose the batches of one
        end.
    seed
        The run's: which batches are drawn.
    """
    count = max(1, round(LEFT_OUT * len(norms)))
    if fork.leave_out == "drawn":
        ranked = np.argsort(np.random.PCG64([seed, BLOCK]).random_raw(len(norms)))
    else:
        blocks = np.split(norms, range(BLOCK, len(norms), BLOCK))
        ranked = np.argsort(-np.concatenate([block / np.median(block) for block in blocks]), kind="stable")
    return set(ranked[:count].tolist())


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
