"""The decoder, read in one sitting; every recipe is a switch of `ModelConfig`.

Shapes: B sequences, T positions, C = d_model, F = d_ff (of the layer), V = vocab_size.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..model_config import ModelConfig
from .attention import Attention, KeyAndValue, angles
from .feedforward import MLP
from .protocol import Count, Hidden, Model, Observe


def _norm(config: ModelConfig) -> nn.Module:
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.d_model, eps=1e-5)
    return nn.LayerNorm(config.d_model, eps=1e-5, bias=config.bias)


class Block(nn.Module):
    """Attention and MLP with their residual sums, in the order that `norm_place` says."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.norm_place = config.norm_place
        self.attention_norm = _norm(config)
        self.attention = Attention(config, arm=config.attention)
        self.mlp_norm = _norm(config)
        self.mlp = MLP(config, layer)
        # what an intervention makes of the MLP's input (B, T, C) and the tokens (B, T); see `interventions.treat`
        self.intervention: nn.Module | None = None

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        tokens: Int[Tensor, "B T"],
        observe: Observe | None = None,
        count: Count | None = None,
    ) -> Float[Tensor, "B T C"]:
        def mlp(normed: Tensor) -> Tensor:
            treated = normed if self.intervention is None else self.intervention(normed, tokens)
            return self.mlp(treated, observe, count)

        if self.norm_place == "post":
            x = self.attention_norm(x + self.attention(x))
            return self.mlp_norm(x + mlp(x))
        if self.norm_place == "parallel":
            return x + self.attention(self.attention_norm(x)) + mlp(self.mlp_norm(x))
        x = x + self.attention(self.attention_norm(x))
        return x + mlp(self.mlp_norm(x))


class Decoder(Model):
    """Decoder-only language model: tokens (sequence, position) → logits (sequence, position, vocabulary).

    `observe`, if given, is called once a layer with its MLP's input, pre-activation and activation; `count` with the
    tokens of each sequence at which each unit fires, at no read of the activations beyond the ReLU's own. An MLP's
    input is what it is given: after the norm, and after the intervention, if the layer has one.
    """

    position_table: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.seq_len, config.d_model)
        elif config.positions == "sinusoidal":
            turns = angles(config.seq_len, config.d_model)
            table = torch.stack((turns.sin(), turns.cos()), dim=-1).flatten(1)[:, : config.d_model]
            self.register_buffer("position_table", table, persistent=False)
        self.embedding_norm = _norm(config) if config.embedding_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        # after post-norm blocks the stream is normalised already
        self.final_norm = nn.Identity() if config.norm_place == "post" else _norm(config)
        self.output = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied:
            self.output.weight = self.embedding.weight

    def mlps(self) -> list[Hidden]:
        """The MLP of every layer, from 0."""
        return [module for module in self.modules() if isinstance(module, MLP)]

    def predict(
        self, *batch: Tensor, observe: Observe | None = None, count: Count | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (sequence, position, vocabulary) of the next tokens of (sequence, position + 1), and these tokens."""
        (tokens,) = batch
        return self(tokens[:, :-1], observe, count), tokens[:, 1:]

    def forward(
        self, tokens: Int[Tensor, "B T"], observe: Observe | None = None, count: Count | None = None
    ) -> Float[Tensor, "B T V"]:
        x = self.embedding(tokens)
        if self.config.positions == "learned":
            x = x + self.position_embedding.weight[: tokens.shape[1]]
        elif self.config.positions == "sinusoidal":
            x = x + self.position_table[: tokens.shape[1]]
        x = self.embedding_norm(x)
        for block in self.blocks:
            x = block(x, tokens, observe, count)
        logits = self.output(self.final_norm(x))
        # skipped at 1: a pass over (B, T, V) is not free
        return logits if self.config.logit_scale == 1 else logits * self.config.logit_scale


@torch.no_grad()
def initialise(model: Decoder, seed: int) -> Decoder:
    """Set every parameter from the seed alone; the same numbers on every device (drawn on the CPU).

    What an arm of attention adds is drawn last, so that all else begins as without it: gates as `init` has matrices,
    keys and values from N(0, 0.02²), as their source has them, and sinks at 0, which is softmax + 1.
    """
    generator = torch.Generator().manual_seed(seed)
    config = model.config

    def normal(weight: Tensor, std: float) -> None:
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)

    def linear(module: nn.Linear, std: float = 0.0) -> None:
        fan_out, fan_in = module.weight.shape
        if config.init == "xavier":
            bound = math.sqrt(3) * std if std else math.sqrt(6 / (fan_in + fan_out))
            module.weight.copy_((torch.rand(fan_out, fan_in, generator=generator) * 2 - 1) * bound)
        else:
            normal(module.weight, std or (0.02 if config.init == "normal" else fan_in**-0.5))
        if module.bias is not None:
            module.bias.zero_()

    normal(model.embedding.weight, config.embedding_std)
    for name, module in model.named_modules():
        set_elsewhere = name.endswith(".gate") or (config.tied and name == "output")
        if isinstance(module, nn.Linear) and not set_elsewhere:
            linear(module, config.mlp_std if ".mlp." in name else 0.0)
    if config.positions == "learned":
        normal(model.position_embedding.weight, config.position_std)
    for module in model.modules():
        if isinstance(module, Attention):
            if module.gate is not None:
                linear(module.gate)
            if isinstance(module.arm, KeyAndValue):
                normal(module.arm.key, 0.02)
                normal(module.arm.value, 0.02)
    return model


def count_parameters(config: ModelConfig) -> dict[str, int]:
    """Numbers of parameters by part: embedding, attention, mlp, other; and their sum, total.

    Counted on a model without storage, so any size is free.
    """
    with torch.device("meta"):
        model = Decoder(config)
    parts = {"embedding": 0, "attention": 0, "mlp": 0, "other": 0}
    for name, parameter in model.named_parameters():
        kind = next((part for part in ("attention.", "mlp.", "embedding.", "output.") if part in name), "other")
        parts["embedding" if kind == "output." else kind.rstrip(".")] += parameter.numel()
    return parts | {"total": sum(parts.values())}
