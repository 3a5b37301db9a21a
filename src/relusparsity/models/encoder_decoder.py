"""The encoder-decoder, read in one sitting: T5 (Raffel et al. 2020, section 2.1) with two-layer, non-gated MLPs.

No biases; normalised by RMSNorm before each sublayer; positions told by a learned number for each head and range of
distances. Left out: dropout, and padding, since its batches have none (see `corpora.spans`).

Shapes: B sequences, S positions of the encoder, T of the decoder (or of whatever asks), C = d_model, F = d_ff (of the
layer), H heads, V = vocab_size.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoder_decoder_config import EncoderDecoderConfig
from .feedforward import MLP
from .protocol import Count, Hidden, Model, Observe

BUCKETS = 32
"""Ranges of distances that the heads tell apart, each of which adds a number to their scores."""
FARTHEST = 128
"""Distance from which on all are one range."""


def bucket(ahead: Int[Tensor, "*any"], causal: bool) -> Int[Tensor, "*any"]:
    """Range of each distance, from 0: half of them are single distances, the others grow by a constant factor.

    Parameters
    ----------
    ahead
        Positions from the token that asks to the one that is asked; negative: before it.
    causal
        Whether tokens ahead are not seen, so that all ranges are of those before; else each direction has half.

    Source: Raffel et al. 2020, section 2.1; rounded in float32, as in the paper's program.
    """
    ranges = BUCKETS if causal else BUCKETS // 2
    distance = -ahead.clamp(max=0) if causal else ahead.abs()
    single = ranges // 2
    growing = torch.log(distance.clamp(min=1).float() / single) / math.log(FARTHEST / single) * (ranges - single)
    far = (single + growing.long()).clamp(max=ranges - 1)
    found = torch.where(distance < single, distance, far)
    return found if causal else found + ranges * (ahead > 0)


class Positions(nn.Module):
    """What all layers of a stack add to the scores of their self-attention; −∞ where nothing is to be seen."""

    buckets: Tensor
    hidden: Tensor

    def __init__(self, n_heads: int, positions: int, causal: bool) -> None:
        super().__init__()
        at = torch.arange(positions)
        ahead = at[None] - at[:, None]  # (asking position, asked position)
        self.by_bucket = nn.Embedding(BUCKETS, n_heads)
        self.register_buffer("buckets", bucket(ahead, causal), persistent=False)
        self.register_buffer("hidden", (ahead > 0) & causal, persistent=False)

    def forward(self, T: int) -> Float[Tensor, "1 H T T"]:
        bias = self.by_bucket(self.buckets[:T, :T]).permute(2, 0, 1)
        return bias.masked_fill(self.hidden[:T, :T], -math.inf)[None]


class Attention(nn.Module):
    """Of a sequence to itself or to another; scores are not divided by √(C/H), initial queries are small instead."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.query, self.key, self.value, self.out = (
            nn.Linear(config.d_model, config.d_model, bias=False) for _ in range(4)
        )

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        seen: Float[Tensor, "B S C"],
        bias: Float[Tensor, "1 H T S"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        def heads(part: Tensor) -> Tensor:
            return part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, H, T or S, C/H)

        q, k, v = heads(self.query(x)), heads(self.key(seen)), heads(self.value(seen))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.out(y.transpose(1, 2).flatten(2))


def _norm(config: EncoderDecoderConfig) -> nn.Module:
    return nn.RMSNorm(config.d_model, eps=1e-6)


class Block(nn.Module):
    """Attention, in the decoder also to what the encoder read, and MLP, each with its norm and residual sum."""

    def __init__(self, config: EncoderDecoderConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = _norm(config), Attention(config)
        self.decodes = layer >= config.n_encoder_layers
        if self.decodes:
            self.cross_norm, self.cross = _norm(config), Attention(config)
        self.mlp_norm, self.mlp = _norm(config), MLP(config, layer)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        bias: Float[Tensor, "1 H T T"],
        read: Float[Tensor, "B S C"] | None = None,
        observe: Observe | None = None,
        count: Count | None = None,
    ) -> Float[Tensor, "B T C"]:
        normed = self.attention_norm(x)
        x = x + self.attention(normed, normed, bias)
        if self.decodes:
            assert read is not None
            x = x + self.cross(self.cross_norm(x), read)
        return x + self.mlp(self.mlp_norm(x), observe, count)


class EncoderDecoder(Model):
    """Token ids (sequence, position) of what is read and of what is predicted so far → logits.

    `observe` and `count` are called as by `Decoder`, for the encoder's layers, then for the decoder's, which have other
    positions; `config.layer_names` says what they are called.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder_positions = Positions(config.n_heads, config.seq_len, causal=False)
        self.decoder_positions = Positions(config.n_heads, config.target_len, causal=True)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.encoder_norm, self.decoder_norm = _norm(config), _norm(config)

    def mlps(self) -> list[Hidden]:
        """The MLP of every layer, the encoder's first."""
        return [module for module in self.modules() if isinstance(module, MLP)]

    def positions(self) -> list[int]:
        """Of each layer: as many as the encoder reads, or as the decoder predicts."""
        return list(self.config.layer_positions)

    def predict(
        self, *batch: Tensor, observe: Observe | None = None, count: Count | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (sequence, position, vocabulary) of the targets, and these.

        Parameters
        ----------
        batch
            What the encoder reads (sequence, position); what the decoder does, which are the targets one position
            later; the targets (sequence, position).
        """
        inputs, before, targets = batch
        return self(inputs, before, observe, count), targets

    def forward(
        self,
        inputs: Int[Tensor, "B S"],
        before: Int[Tensor, "B T"],
        observe: Observe | None = None,
        count: Count | None = None,
    ) -> Float[Tensor, "B T V"]:
        encoding = self.config.n_encoder_layers
        x, bias = self.embedding(inputs), self.encoder_positions(inputs.shape[1])
        for block in self.blocks[:encoding]:
            x = block(x, bias, None, observe, count)
        read = self.encoder_norm(x)
        x, bias = self.embedding(before), self.decoder_positions(before.shape[1])
        for block in self.blocks[encoding:]:
            x = block(x, bias, read, observe, count)
        # the embeddings, of scale 1, are the output layer too
        return F.linear(self.decoder_norm(x) * self.config.d_model**-0.5, self.embedding.weight)


@torch.no_grad()
def initialise(model: EncoderDecoder, seed: int) -> EncoderDecoder:
    """Set every parameter from the seed alone; the same numbers on every device (drawn on the CPU).

    As T5 (its program; the paper does not say): embeddings N(0, 1), the numbers of distances N(0, 1/C), matrices
    N(0, 1/fan_in), but queries N(0, 1/(C·C/H)), gains 1.
    """
    generator = torch.Generator().manual_seed(seed)
    head = model.config.d_model // model.config.n_heads
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.Linear):
            std = 1.0 if name == "embedding" else module.weight.shape[1] ** -0.5
            if name.endswith("by_bucket"):
                std = model.config.d_model**-0.5
            if name.endswith("query"):
                std *= head**-0.5
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * std)
    return model
