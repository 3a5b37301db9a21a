"""Self-attention and its arms: what stands beside softmax, or in its place, as `ModelConfig.attention` says.

Softmax shares out all of a head's attention, so that a head with nothing to do leaves it at some token, a sink. Each
arm is another way out of that. A learned sink, key or value begins so that little is changed; see `decoder.initialise`.

Shapes: B sequences, T positions, H heads, D = d_model / H, C = d_model.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..model_config import BaseModelConfig


def angles(seq_len: int, width: int) -> Tensor:
    """Angles (T, width / 2) shared by rotary and sinusoidal positions (base 10,000)."""
    frequency = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    return torch.outer(torch.arange(seq_len, dtype=torch.float32), frequency)


class Softmax(nn.Module):
    """Weights exp(x_j) / Σ exp(x) of the logits x_j = q · k_j / √D, times the values; all (B, H, T, D)."""

    def __init__(self, config: BaseModelConfig, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)

    def beside(self, q: Tensor, k: Tensor, v: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
        """Softmax over one key more, (H, D) with its value, which every query sees.

        It stands before the others. So does a query, whose output is left out: with it the mask is PyTorch's own causal
        one, and its kernels need no other, of T² numbers.
        """
        one = (len(k), -1, 1, -1)
        k = torch.cat((key.to(k.dtype)[:, None].expand(*one), k), dim=2)
        v = torch.cat((value.to(v.dtype)[:, None].expand(*one), v), dim=2)
        q = F.pad(q, (0, 0, 1, 0))
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, scale=scale)[:, :, 1:]


class OffByOne(Softmax):
    """Weights exp(x_j) / (1 + Σ exp(x)): a key and a value of zeros (Miller 2023, *Attention Is Off By One*)."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        none = q.new_zeros(q.shape[1], q.shape[3])
        return self.beside(q, k, v, none, none)


class KeyAndValue(Softmax):
    """A learned key and value of each head, which is no token's and has no position (Sun et al., arXiv 2402.17762)."""

    def __init__(self, config: BaseModelConfig, causal: bool) -> None:
        super().__init__(config, causal)
        shape = config.n_heads, config.d_model // config.n_heads
        self.key, self.value = nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(shape))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.beside(q, k, v, self.key, self.value)


class Sink(Softmax):
    """Weights exp(x_j) / (exp(s) + Σ exp(x)), s a learned logit of each head (gpt-oss, arXiv 2508.10925).

    Queries have one number more, a 1, which meets s in the added key and 0 in the others.
    """

    def __init__(self, config: BaseModelConfig, causal: bool) -> None:
        super().__init__(config, causal)
        self.logit = nn.Parameter(torch.zeros(config.n_heads))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        D = q.shape[-1]
        key = F.pad(self.logit[:, None] * math.sqrt(D), (D, 0))
        q, k, v = F.pad(q, (0, 1), value=1.0), F.pad(k, (0, 1)), F.pad(v, (0, 1))
        return self.beside(q, k, v, key, torch.zeros_like(key), scale=D**-0.5)[..., :D]


class Sigmoid(Softmax):
    """Weights σ(x_j + b), not normalised, with b = −log(seq_len) (Ramapuram et al., arXiv 2409.04431).

    So those of a query on all keys begin with a sum near 1. b is fixed: the arm has softmax's parameters and no other,
    and a token's weights do not depend on how many follow it. PyTorch has no kernel of it: T² weights are held.
    """

    def __init__(self, config: BaseModelConfig, causal: bool) -> None:
        super().__init__(config, causal)
        self.bias = -math.log(config.seq_len)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = torch.sigmoid(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + self.bias)
        return (weights.tril() if self.causal else weights) @ v


ARMS: dict[str, type[Softmax]] = {
    "softmax": Softmax,
    "off_by_one": OffByOne,
    "sink": Sink,
    "sigmoid": Sigmoid,
    "gate": Softmax,
    "kv_bias": KeyAndValue,
}
"""Name → what makes outputs of queries, keys and values; a gate comes after that."""


class Attention(nn.Module):
    """Self-attention, causal or not; with rotary positions, halves of each head are rotated (GPT-NeoX's order).

    A gate multiplies each number that the heads put out with σ of a linear function of the layer's input, before the
    output projection (Qiu et al., arXiv 2505.06708: elementwise, a head's own).
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: BaseModelConfig, causal: bool = True, arm: str = "softmax") -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=config.bias)
        self.arm = ARMS[arm](config, causal)
        self.gate = nn.Linear(config.d_model, config.d_model, bias=False) if arm == "gate" else None
        self.out = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.rotary = config.positions == "rotary"
        if self.rotary:
            both = angles(config.seq_len, config.d_model // config.n_heads).repeat(1, 2)
            self.register_buffer("cos", both.cos(), persistent=False)
            self.register_buffer("sin", both.sin(), persistent=False)

    def _rotate(self, x: Tensor) -> Tensor:
        T = x.shape[2]
        a, b = x.chunk(2, dim=-1)
        turned = torch.cat((-b, a), dim=-1)
        return (x * self.cos[:T] + turned * self.sin[:T]).to(x.dtype)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        if self.rotary:
            q, k = self._rotate(q), self._rotate(k)
        y = self.arm(q, k, v).transpose(1, 2).reshape(B, T, C)
        return self.out(y if self.gate is None else y * torch.sigmoid(self.gate(x)))
