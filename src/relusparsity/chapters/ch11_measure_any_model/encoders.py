"""Two trained encoders whose hidden units are ReLUs: their structure, written from what their weights say, and loading.

Nothing of their packages is run. The weights are PyTorch's pickles, which `weights_only` reads as tensors; NanoGuard's
tokenizer is a pickle too, of which `_Plain` lets one class through, and that as an empty shell.
"""

import json
import pickle
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F

from ... import packages


class SquaredReLU(nn.Module):
    """max(0, x)²: zero where ReLU is zero."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


class _Attention(nn.Module):
    """Every token reads all tokens; rotary positions, queries and keys of one length."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.c_q, self.c_k, self.c_v, self.c_proj = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        q, k, v = (each(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for each in (self.c_q, self.c_k, self.c_v))
        q, k = (_unit(_turned(each, cosine, sine)) for each in (q, k))
        return self.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def _turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    one, other = x.chunk(2, dim=-1)
    return torch.cat((one * cosine + other * sine, other * cosine - one * sine), dim=-1)


def _unit(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],))


class _MLP(nn.Module):
    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.c_fc, self.act = nn.Linear(d_model, 4 * d_model, bias=False), SquaredReLU()
        self.c_proj = nn.Linear(4 * d_model, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.act(self.c_fc(x)))


class _Block(nn.Module):
    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.attn, self.mlp = _Attention(d_model, n_heads), _MLP(d_model)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + self.attn(_unit(x), cosine, sine)
        return x + self.mlp(_unit(x))


class _Trunk(nn.Module):
    """The names that NanoGuard's weights have."""

    def __init__(self, vocabulary: int, d_model: int, layers: int, n_heads: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, d_model)
        self.h = nn.ModuleList(_Block(d_model, n_heads) for _ in range(layers))


class NanoGuard(nn.Module):
    """A classifier of prompts, 4 × 2,048 units of squared ReLU: is an instruction smuggled in? Ids → two logits."""

    cosine: Tensor
    sine: Tensor
    main_input_name = "input_ids"

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        d_model, layers, heads = config["n_embd"], config["n_layer"], config["n_head"]
        self.config = SimpleNamespace(vocab_size=config["vocab_size"], max_position_embeddings=config["sequence_len"])
        self.transformer = _Trunk(config["vocab_size"], d_model, layers, heads)
        self.resid_lambdas, self.x0_lambdas = nn.Parameter(torch.ones(layers)), nn.Parameter(torch.zeros(layers))
        self.cls_norm, self.cls_head = nn.LayerNorm(d_model), nn.Linear(d_model, config["num_classes"])
        half = d_model // heads // 2
        angles = torch.outer(torch.arange(config["sequence_len"]).float(), 10_000.0 ** -(torch.arange(half) / half))
        # it was trained with these rounded to bfloat16
        self.register_buffer("cosine", angles.cos().bfloat16().float(), persistent=False)
        self.register_buffer("sine", angles.sin().bfloat16().float(), persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = first = _unit(self.transformer.wte(input_ids))
        cosine, sine = self.cosine[: input_ids.shape[1]], self.sine[: input_ids.shape[1]]
        for at, block in enumerate(self.transformer.h):
            x = block(self.resid_lambdas[at] * x + self.x0_lambdas[at] * first, cosine, sine)
        return self.cls_head(self.cls_norm(_unit(x).mean(dim=1)))


def nanoguard() -> tuple[NanoGuard, Tokenizer]:
    """The trained classifier and its tokenizer, in float32.

    Raises
    ------
    UserError
        If the package was not fetched.
    """
    found = torch.load(packages.path("nanoguard", "model.pt"), map_location="cpu", weights_only=True)
    model = NanoGuard(found["config"])
    model.load_state_dict(found["model_state_dict"])
    return model.float().eval(), _tokenizer(packages.path("nanoguard", "tokenizer.pkl"))


class _Shell:
    """What stands for the one class that the tokenizer's pickle names."""


class _Plain(pickle.Unpickler):
    """Reads plain values, and of classes that shell."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) != ("tiktoken.core", "Encoding"):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not looked up")
        return _Shell


def _tokenizer(path: Path) -> Tokenizer:
    """Byte-level BPE of a pickle with the ranks of its tokens, as tiktoken keeps them."""
    with open(path, "rb") as file:
        facts = vars(_Plain(file).load())
    ranks: dict[bytes, int] = facts["mergeable_ranks"]
    letters = _letters()
    spelt = {token: "".join(letters[byte] for byte in token) for token in ranks}
    pairs = [_parts(token, ranks) for token in ranks if len(token) > 1]
    merges = [(spelt[one], spelt[other]) for one, other in pairs]
    made = Tokenizer(models.BPE({spelt[token]: rank for token, rank in ranks.items()}, merges))
    split = pre_tokenizers.Split(Regex(facts["pat_str"]), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(sorted(facts["special_tokens"], key=facts["special_tokens"].__getitem__))
    return made


def _letters() -> list[str]:
    """The letter that stands for each byte in `tokenizers`: its own where it can be printed, one from 256 on else."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printed else chr(next(others)) for byte in range(256)]


def _parts(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens that a token is merged from: those left when only smaller ranks are merged."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [ranks.get(one + other, len(ranks)) for one, other in pairwise(parts)]
        at = int(np.argmin(pairs))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    one, other = parts
    return one, other


class _Positions(nn.Module):
    pe: Tensor

    def __init__(self, longest: int, d_model: int) -> None:
        super().__init__()
        self.register_buffer("pe", torch.zeros(1, longest, d_model))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]]


class Uzmorph(nn.Module):
    """A tagger of Uzbek word forms, letter by letter, 3 × 256 units of ReLU: (word, letter) ids → logits of tags."""

    main_input_name = "src"

    def __init__(self, letters: int, tags: int, d_model: int = 128, longest: int = 50) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(d_model, 8, 2 * d_model, activation=nn.ReLU(), batch_first=True)
        self.embedding = nn.Embedding(letters, d_model)
        self.pos_encoder = _Positions(longest, d_model)
        self.transformer_encoder = nn.TransformerEncoder(layer, 3)
        self.decoder = nn.Linear(d_model, tags)

    def forward(self, src: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The mask is for who counts: the model reads the padding after a word too, as it was trained."""
        return self.decoder(self.transformer_encoder(self.pos_encoder(self.embedding(src))))


def uzmorph() -> tuple[Uzmorph, dict[str, int], list[str]]:
    """The trained tagger, the number of each letter that it knows, and the names of its tags in their order.

    Raises
    ------
    UserError
        If the package was not fetched.
    """
    letters, tags = (json.loads(packages.path("uzmorph", f"{name}_vocab.json").read_text()) for name in ("char", "tag"))
    found = torch.load(packages.path("uzmorph", ".pth"), map_location="cpu", weights_only=True)
    model = Uzmorph(*(len(found[f"{name}.weight"]) for name in ("embedding", "decoder")))
    model.load_state_dict(found)
    return model.eval(), letters, sorted(tags, key=tags.__getitem__)
