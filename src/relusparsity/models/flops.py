"""Floating-point operations of training, a token that counts, and blocks one after the other, by kind of model.

6 a parameter of a matrix and a position that it is multiplied at, plus 12 · layers · positions · width for the scores
of attention: the count of PaLM (Chowdhery et al. 2022, appendix B), of whose scores Kaplan et al. (2020, section 2.1)
count half. With the output layer, without a look-up in a table.
"""

from functools import singledispatch

from ..encoder_decoder_config import EncoderDecoderConfig
from ..errors import UserError
from ..model_config import BaseModelConfig, ModelConfig
from ..vit_config import VitConfig

BESIDE = ("off_by_one", "sink", "kv_bias")
"""Arms of attention with a key more, and a query more, as `models.attention` computes them."""


@singledispatch
def training_flops(config: BaseModelConfig) -> float:
    """Floating-point operations a training token, of which a sequence has `config.seq_len`; see the module.

    Raises
    ------
    UserError
        For a kind of model that has no count here.
    """
    raise UserError(f"no operations are counted of a {type(config).__name__}; models/flops.py says those of each kind.")


@singledispatch
def blocks(config: BaseModelConfig) -> int:
    """Blocks that a batch goes through one after the other: attention, or an MLP."""
    return 2 * config.n_layers


@blocks.register
def _(config: EncoderDecoderConfig) -> int:
    return 2 * config.n_encoder_layers + 3 * config.n_decoder_layers  # a decoder's reads what the encoder says, too


@training_flops.register
def _(config: ModelConfig) -> float:
    C, T, arm = config.d_model, config.seq_len, config.attention
    squares = 5 if arm == "gate" else 4
    matrices = config.n_layers * squares * C * C + 2 * C * sum(config.widths) + C * config.vocab_size
    scores = (T + 1) ** 2 / T if arm in BESIDE else T
    width = C + config.n_heads if arm == "sink" else C  # a number more of each head
    return 6.0 * matrices + 12.0 * config.n_layers * scores * width


@training_flops.register
def _(config: VitConfig) -> float:
    C, T = config.d_model, config.seq_len
    blocks = config.n_layers * 4 * C * C + 2 * C * sum(config.widths)
    # pictures need no gradient: 4 a parameter, not 6
    patches, output = 4.0 * config.patch_size**2 * C, 6.0 * C * config.classes / T
    positions = T + 1  # the class token's too
    return patches + output + positions / T * (6.0 * blocks + 12.0 * config.n_layers * positions * C)


@training_flops.register
def _(config: EncoderDecoderConfig) -> float:
    C, S, T, encoders = config.d_model, config.seq_len, config.target_len, config.n_encoder_layers
    decoders, widths = config.n_decoder_layers, config.widths
    read = encoders * 4 * C * C + 2 * C * sum(widths[:encoders]) + decoders * 2 * C * C  # keys and values for the other
    predicted = decoders * 6 * C * C + 2 * C * sum(widths[encoders:]) + C * config.vocab_size
    scores = encoders * S * S + decoders * T * (T + S)
    return (6.0 * (S * read + T * predicted) + 12.0 * C * scores) / S
