"""The vision Transformer: pictures, cut into patches, to classes; its MLPs and attention are the decoder's.

Shapes: B pictures, S = image_size, P = patch_size, T = 1 + (S / P)² positions, C = d_model, K classes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError
from ..vit_config import VitConfig
from .attention import Attention
from .feedforward import MLP
from .protocol import Count, Hidden, Model, Observe

UNCOUNTED = 1
"""Positions of each sequence that never count, observed by nobody: the class token, which is the first."""


class Block(nn.Module):
    """Attention and MLP, each behind its norm, with their residual sums."""

    def __init__(self, config: VitConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model, eps=1e-6)
        self.attention = Attention(config, causal=False)
        self.mlp_norm = nn.LayerNorm(config.d_model, eps=1e-6)
        self.mlp = MLP(config, layer, UNCOUNTED)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "B T C"], observe: Observe | None = None, count: Count | None = None
    ) -> Float[Tensor, "B T C"]:
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.mlp(self.mlp_norm(x), observe, count))


class Vit(Model):
    """Gray pictures (picture, row, column), as real numbers → logits (picture, class), read off the class token.

    `observe` and `count` are told of the patches alone: see `UNCOUNTED`.
    Source: Dosovitskiy et al. 2021 (arXiv 2010.11929), without dropout between the matrices of an MLP.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = nn.Linear(config.patch_size**2, config.d_model)
        self.class_token = nn.Parameter(torch.zeros(config.d_model))
        self.position_embedding = nn.Embedding(UNCOUNTED + config.seq_len, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.final_norm = nn.LayerNorm(config.d_model, eps=1e-6)
        self.output = nn.Linear(config.d_model, config.classes)

    def mlps(self) -> list[Hidden]:
        """The MLP of every layer, from 0."""
        return [block.mlp for block in self.blocks]  # type: ignore[misc]

    def predict(
        self, *batch: Tensor, observe: Observe | None = None, count: Count | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (picture, class) of pictures (picture, row, column), and their labels (picture) as they are given."""
        pictures, labels = batch
        return self(pictures, observe, count), labels

    def patches(self, pictures: Float[Tensor, "B S S"]) -> Float[Tensor, "B patch pixel"]:
        """The patches of each picture, row by row, and the pixels of each, row by row.

        Raises
        ------
        UserError
            For pictures of another size than the model's, or of whole numbers.
        """
        if not pictures.is_floating_point():
            raise UserError(
                f"pictures of {pictures.dtype} are given: expected real numbers, as a rule from −1 to 1; divide those "
                "of bytes by 127.5 and take 1 off."
            )
        size, side = self.config.image_size, self.config.patch_size
        if tuple(pictures.shape[1:]) != (size, size):
            given = " × ".join(map(str, pictures.shape[1:]))
            raise UserError(f"pictures of {given} pixels are given to a model of image_size = {size}; pad or cut them.")
        tiles = pictures.view(-1, size // side, side, size // side, side).transpose(2, 3)
        return tiles.reshape(len(pictures), self.config.seq_len, side * side)

    def forward(
        self, pictures: Float[Tensor, "B S S"], observe: Observe | None = None, count: Count | None = None
    ) -> Float[Tensor, "B K"]:
        x = self.patch_embedding(self.patches(pictures).to(self.class_token.dtype))
        x = torch.cat((self.class_token.to(x.dtype).expand(len(x), 1, -1), x), dim=1)
        x = self.dropout(x + self.position_embedding.weight)
        for block in self.blocks:
            x = block(x, observe, count)
        return self.output(self.final_norm(x[:, 0]))


@torch.no_grad()
def initialise(model: Vit, seed: int) -> Vit:
    """Set every parameter from the seed alone, drawn on the CPU: N(0, 0.02²), biases 0, as `transformers` does."""
    generator = torch.Generator().manual_seed(seed)
    model.class_token.copy_(torch.randn(model.class_token.shape, generator=generator) * 0.02)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * 0.02)
        if isinstance(module, nn.Linear):
            module.bias.zero_()
    return model
