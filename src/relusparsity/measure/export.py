"""A decoder of ours as a folder that transformers loads, where one of its architectures is the same function.

Three of them have our parts, the MLP without a gate before all:

- OPT: learned, sinusoidal or no positions (a table, or one of zeros), LayerNorm before or after the sublayers;
- GPT-NeoX: rotary positions, LayerNorm before them or side by side;
- Arcee: rotary positions, RMSNorm before them.

With biases or without, tied or not, ReLU or GELU. A bias that an architecture always has and the model has not is 0.
None of them has layers of unlike widths, a norm on the embeddings, a factor on the logits or Top-k.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from .. import paths
from ..checks import in_words
from ..config import ModelConfig
from ..corpora import bpe
from ..errors import UserError
from ..models import Decoder, Model
from . import runs

FILES = ("config.json", "model.safetensors", "tokenizer.json")
"""What is written, with the settings of generation and of the tokenizer beside."""
CLOSE = 1e-4
"""Largest difference of a logit from ours, as a share of the largest; float32 in another order."""

Tables = Mapping[str, Tensor]
"""Parameters by their names in an architecture."""


def export(given: str, out: str) -> None:
    """Write the model that a path names, a run's folder or one of its weights, and its tokenizer.

    Raises
    ------
    UserError
        If it names none, transformers has no architecture of that function, naming the field by which it has none, or
        the folder is not empty or cannot be written.
    """
    found = runs.find(given)
    if found is None:
        raise UserError(f"{paths.shown(given)} is no training run; give a run's folder or one of its weights.")
    kind = found.run.config.intervention.kind
    if kind != "none":
        raise UserError(f"intervention.kind = {kind} acts in the model's forward pass, which transformers has not.")
    save(found.run.model(step=found.step), found.tokenizer(), out)


def save(model: Model, tokenizer: Tokenizer, out: str) -> None:
    """Write a model and its tokenizer into a new folder, which is whole or absent; see `export`."""
    folder = paths.path(out).absolute()
    paths.writable(folder, FILES)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; name another folder with --out.")
    made = converted(model)
    import transformers

    made.config.eos_token_id = made.generation_config.eos_token_id = bpe.eos(tokenizer)
    read: Any = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=bpe.EOS)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".relusparsity-", dir=folder.parent) as given:
        temporary = Path(given, folder.name)
        made.save_pretrained(temporary)
        read.save_pretrained(temporary)
        os.replace(temporary, folder)


def converted(model: Model) -> Any:
    """The same function as a model of transformers, in evaluation mode, in float32 on the CPU.

    Raises
    ------
    UserError
        If transformers is not there, or has no architecture of that function.
    """
    if not isinstance(model, Decoder):
        raise UserError(f"a {type(model).__name__} cannot be exported: expected a Decoder.")
    config = model.config
    if len(set(widths := model.widths())) > 1:
        raise UserError(
            f"model.d_ff: the layers have {in_words(widths)} hidden units, and no architecture of transformers with "
            "such MLPs has unlike layers; export a model whose layers have one width."
        )
    for name in ("embedding_norm", "logit_scale", "top_k", "attention"):
        if (value := getattr(config, name)) != getattr(ModelConfig, name):
            raise UserError(f"model.{name} = {value}: no architecture of transformers with such MLPs has it.")
    table = "table" if config.positions != "rotary" else "rotary"
    if (made_by := KINDS.get((table, config.norm, config.norm_place))) is None:
        raise UserError(
            f"model.norm_place = {config.norm_place} with norm = {config.norm} and positions = {config.positions}: no "
            "architecture of transformers with such MLPs has these together; measure the run itself."
        )
    try:
        import transformers
    except ImportError:
        raise UserError("exporting a model needs transformers; install it with: pip install transformers") from None
    theirs, tables = made_by(transformers, model, widths[0])
    _fill(theirs, tables, model)
    _check(model, theirs)
    return theirs


def _opt(transformers: Any, model: Decoder, width: int) -> tuple[Any, Tables]:
    c, mine = model.config, _mine(model)
    theirs = transformers.OPTForCausalLM(
        transformers.OPTConfig(
            **_shared(c),
            ffn_dim=width,
            word_embed_proj_dim=c.d_model,
            activation_function=c.activation,
            do_layer_norm_before=c.norm_place == "pre",
            enable_bias=c.bias,
            dropout=0.0,
        )
    )
    positions = {"learned": "position_embedding.weight", "sinusoidal": "position_table"}
    blank = mine["embedding.weight"].new_zeros(c.seq_len, c.d_model)
    places = mine[positions[c.positions]] if c.positions in positions else blank
    start = "model.decoder."
    tables = {f"{start}embed_positions.weight": torch.cat((blank[:1], blank[:1], places))}  # its first two are unused
    tables |= _kinds(f"{start}final_layer_norm", mine, "final_norm")
    for layer in range(c.n_layers):
        a, b = f"{start}layers.{layer}.", f"blocks.{layer}."
        for kind, whole in _kinds("", mine, f"{b}attention.qkv").items():
            tables |= {f"{a}self_attn.{n}_proj{kind}": part for n, part in zip("qkv", whole.chunk(3), strict=True)}
        names = {"self_attn.out_proj": "attention.out", "self_attn_layer_norm": "attention_norm", "fc1": "mlp.fc_in"}
        for its, ours in (names | {"fc2": "mlp.fc_out", "final_layer_norm": "mlp_norm"}).items():
            tables |= _kinds(a + its, mine, b + ours)
    return theirs, tables


def _neox(transformers: Any, model: Decoder, width: int) -> tuple[Any, Tables]:
    c, mine = model.config, _mine(model)
    theirs = transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(
            **_shared(c),
            intermediate_size=width,
            hidden_act=c.activation,
            attention_bias=c.bias,
            layer_norm_eps=1e-5,
            use_parallel_residual=c.norm_place == "parallel",
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
        )
    )
    tables = _kinds("gpt_neox.final_layer_norm", mine, "final_norm")
    for layer in range(c.n_layers):
        a, b = f"gpt_neox.layers.{layer}.", f"blocks.{layer}."
        for kind, whole in _kinds("", mine, f"{b}attention.qkv").items():
            # ours: all queries, all keys, all values; NeoX: query, key, value of head 0, of head 1, …
            by_head = whole.unflatten(0, (3, c.n_heads, c.d_model // c.n_heads)).transpose(0, 1).flatten(0, 2)
            tables[f"{a}attention.query_key_value{kind}"] = by_head
        names = {"attention.dense": "attention.out", "input_layernorm": "attention_norm"}
        names |= {"mlp.dense_h_to_4h": "mlp.fc_in", "mlp.dense_4h_to_h": "mlp.fc_out"}
        for its, ours in (names | {"post_attention_layernorm": "mlp_norm"}).items():
            tables |= _kinds(a + its, mine, b + ours)
    return theirs, tables


def _arcee(transformers: Any, model: Decoder, width: int) -> tuple[Any, Tables]:
    c, mine = model.config, _mine(model)
    theirs = transformers.ArceeForCausalLM(
        transformers.ArceeConfig(
            **_shared(c),
            intermediate_size=width,
            hidden_act=c.activation,
            attention_bias=c.bias,
            mlp_bias=c.bias,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        )
    )
    tables = _kinds("model.norm", mine, "final_norm")
    for layer in range(c.n_layers):
        a, b = f"model.layers.{layer}.", f"blocks.{layer}."
        for kind, whole in _kinds("", mine, f"{b}attention.qkv").items():
            tables |= {f"{a}self_attn.{n}_proj{kind}": part for n, part in zip("qkv", whole.chunk(3), strict=True)}
        names = {"self_attn.o_proj": "attention.out", "input_layernorm": "attention_norm"}
        names |= {"mlp.up_proj": "mlp.fc_in", "mlp.down_proj": "mlp.fc_out"}
        for its, ours in (names | {"post_attention_layernorm": "mlp_norm"}).items():
            tables |= _kinds(a + its, mine, b + ours)
    return theirs, tables


KINDS: Mapping[tuple[str, str, str], Callable[[Any, Decoder, int], tuple[Any, Tables]]] = {
    ("table", "layernorm", "pre"): _opt,
    ("table", "layernorm", "post"): _opt,
    ("rotary", "layernorm", "pre"): _neox,
    ("rotary", "layernorm", "parallel"): _neox,
    ("rotary", "rmsnorm", "pre"): _arcee,
}
"""Positions, norm and its place → what makes the model of transformers, and the values of its parameters."""


def _shared(config: ModelConfig) -> dict[str, Any]:
    """What the configurations of all three call alike."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "max_position_embeddings": config.seq_len,
        "tie_word_embeddings": config.tied,
        "bos_token_id": None,
        "eos_token_id": None,  # the tokenizer's, once it is known
        "pad_token_id": None,
    }


def _mine(model: Decoder) -> Tables:
    """The model's parameters and tables, by name, on the CPU in float32."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: value.detach().float().cpu() for name, value in named.items()}


def _kinds(its: str, mine: Tables, ours: str) -> dict[str, Tensor]:
    """Weight and bias of one of our parts, as far as it has them, by the names of theirs."""
    return {f"{its}.{kind}": mine[f"{ours}.{kind}"] for kind in ("weight", "bias") if f"{ours}.{kind}" in mine}


@torch.no_grad()
def _fill(theirs: Any, tables: Tables, model: Decoder) -> None:
    """Put the values in, embedding and output layer too; biases that ours has not are 0, and nothing else is left."""
    parameters: dict[str, nn.Parameter] = dict(theirs.named_parameters())
    for name, value in tables.items():
        parameters.pop(name).copy_(value)
    for name, parameter in parameters.items():
        if name.endswith(".bias"):
            parameter.zero_()
    theirs.get_input_embeddings().weight.copy_(model.embedding.weight)
    theirs.get_output_embeddings().weight.copy_(model.output.weight)
    theirs.eval()


@torch.no_grad()
def _check(model: Decoder, theirs: Any) -> None:
    """Compare logits, so that nothing else than our function is written.

    Raises
    ------
    UserError
        If this version of transformers computes something else.
    """
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.config.vocab_size, (2, model.config.seq_len), generator=draw)
    ours = model.eval()(tokens.to(model.embedding.weight.device)).float().cpu()
    apart = float((theirs(tokens, use_cache=False).logits - ours).abs().max())
    if not apart <= CLOSE * float(ours.abs().max()):
        import transformers

        raise UserError(
            f"transformers {transformers.__version__} computes something else than this model (a logit differs by "
            f"{apart:.2g}); export with version 5.23, with which this was tested."
        )
