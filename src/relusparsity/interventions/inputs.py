"""What is done to the common direction of one layer's MLP input, in training and when read: see `InterventionConfig`.

The common direction is the mean μ of the MLP's input over tokens; ‖σ‖, the norm of its standard deviation by feature,
is the yardstick. Both are of the untreated input, after the norm. They are buffers, so that states and saved weights
hold them: they move in training mode alone, and reading uses what the last step left.

A step uses what the steps before it left. So the first one, before which nothing was measured, is untreated, and so is
what is read at step 0.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import UserError
from ..intervention_config import InterventionConfig
from ..models import Decoder, Model

DECAY = 0.99
"""Of the running mean, a training step; the first 1 / (1 − DECAY) steps count alike, or the first would count most."""
EVERY = 50
"""Steps between two measurements of ‖σ‖, the first of which is of step 0; it is held between."""

_MASK = 0xFFFF_FFFF
_Number = TypeVar("_Number", int, Tensor)
M = TypeVar("M", bound=Model)


def mixed(x: _Number) -> _Number:
    """A hash of whole numbers below 2³² to the same; no product of it leaves 63 bits.

    Source: a permutation found by TheIronBorn with hash-prospector (Wellons 2018), its bias 0.107.
    """
    x = x ^ (x >> 16)
    x = (x * 0x21F0_AAAD) & _MASK
    x = x ^ (x >> 15)
    x = (x * 0x735A_2D97) & _MASK
    return x ^ (x >> 15)


class Intervention(nn.Module):
    """Treats the input of one MLP; inert until a training step has been measured.

    Buffers: `mean` (d_model), the running mean of the untreated input; `spread`, ‖σ‖ of a batch; `step`, the training
    steps measured.
    """

    mean: Tensor
    spread: Tensor
    step: Tensor
    drawn: Tensor

    def __init__(self, config: InterventionConfig, d_model: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(d_model))
        self.register_buffer("spread", torch.zeros(()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        generator = torch.Generator().manual_seed(config.seed)
        self.register_buffer("drawn", torch.randn(d_model, generator=generator), persistent=False)

    def forward(
        self, x: Float[Tensor, "sequence position d_model"], tokens: Int[Tensor, "sequence position"]
    ) -> Float[Tensor, "sequence position d_model"]:
        """What the MLP is given in place of `x`."""
        shift = self.shift()
        if self.config.placebo:
            shift = self.signs(tokens)[..., None] * shift
        if self.training:
            self._measure(x)
        return (x + shift).to(x.dtype)

    def shift(self) -> Float[Tensor, " d_model"]:
        """What is added to the input of a token, but for the placebo's sign: −μ, or c·‖σ‖·e."""
        if self.config.kind == "centre":
            return -self.mean
        return self.config.strength * self.spread * self.direction()

    def direction(self) -> Float[Tensor, " d_model"]:
        """The unit vector e: along the running mean (0 while that is 0), or the drawn one with that taken out."""
        # sums of products, for autocast would round a dot product's factors to bf16
        along = _unit(self.mean)
        if self.config.direction == "along":
            return along
        return _unit(self.drawn - (self.drawn * along).sum() * along)

    def signs(self, tokens: Int[Tensor, "sequence position"]) -> Float[Tensor, "sequence position"]:
        """+1 or −1 for each token: in training by step and place in the batch, in reading by token id and position.

        So what is read does not depend on how it is split into batches.
        """
        seed = mixed((self.config.seed ^ self.config.seed >> 32) & _MASK)
        if self.training:
            place = torch.arange(tokens.numel(), device=tokens.device).view(tokens.shape)
            drawn = mixed(mixed(self.step ^ seed) ^ place)
        else:
            position = torch.arange(tokens.shape[1], device=tokens.device)
            drawn = mixed(mixed(tokens.long() ^ seed) ^ position)
        return (1 - 2 * (drawn >> 31)).to(self.mean.dtype)

    @torch.no_grad()
    def _measure(self, x: Tensor) -> None:
        seen = x.detach().flatten(0, 1).to(self.mean.dtype)
        rate = (1 / (self.step + 1).to(self.mean.dtype)).clamp(min=1 - DECAY)
        self.mean.lerp_(seen.mean(0), rate)
        now = _norm(seen.std(0, unbiased=False))
        self.spread.copy_(torch.where(self.step % EVERY == 0, now, self.spread))
        self.step.add_(1)


def treat(model: M, config: InterventionConfig) -> M:
    """The model, in which the input of one layer's MLP is treated from now on; without an intervention, as it is.

    Raises
    ------
    UserError
        If it has no such layer, or is no decoder, or the direction has no place in it.
    """
    if config.kind == "none":
        return model
    if not isinstance(model, Decoder):
        raise UserError(f"an intervention is into the blocks of a decoder, and {type(model).__name__} is none.")
    config.check(len(model.blocks), model.config.d_model)
    block: Any = model.blocks[config.layer]
    block.intervention = Intervention(config, model.config.d_model).to(next(model.parameters()).device)
    return model


def _norm(x: Tensor) -> Tensor:
    return x.square().sum().sqrt()


def _unit(x: Tensor) -> Tensor:
    return x / _norm(x).clamp(min=torch.finfo(x.dtype).tiny)


@contextmanager
def reading(model: nn.Module) -> Iterator[None]:
    """Within, the model is in evaluation mode, so that what it reads moves no buffer."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters (tied ones once) and the buffers that belong to the weights, by name."""
    kept = model.state_dict().keys()
    return {**dict(model.named_parameters()), **{n: b for n, b in model.named_buffers() if n in kept}}
