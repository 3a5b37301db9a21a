"""The shape of an encoder-decoder, as frozen data; `models.encoder_decoder` builds it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from . import checks
from .model_config import BaseModelConfig


@dataclass(frozen=True)
class EncoderDecoderConfig(BaseModelConfig):
    """A Transformer that reads one sequence and predicts another (Raffel et al. 2020, section 2.1); sizes of T5-small.

    Its layers of hidden units are the encoder's, then the decoder's. Where a run counts in tokens (`train.tokens`,
    `train.batch_tokens`, `measure.set_tokens`), they are those that the encoder reads, `seq_len` of a sequence.
    """

    n_encoder_layers: Annotated[int, checks.whole(1, 1024)] = 6
    """Blocks of the encoder, each attention and MLP."""
    n_decoder_layers: Annotated[int, checks.whole(1, 1024)] = 6
    """Blocks of the decoder, each attention, attention to what the encoder read, and MLP."""
    d_model: checks.Size = 512
    """Width of both residual streams, in numbers a token."""
    d_ff: checks.Sizes = 2048
    """Hidden units of each MLP: a number for all, or a list of one for each layer, the encoder's first."""
    n_heads: checks.Size = 8
    """Attention heads; must divide d_model."""
    seq_len: checks.Size = 512
    """Tokens of one sequence that the encoder reads."""
    target_len: checks.Size = 114
    """Tokens of one sequence that the decoder predicts; of spans cut out of a text, `SpanConfig.lengths` says how many.
    """
    vocab_size: checks.Size = 32_101
    """Token types, `<eos>`, the sentinels and the decoder's first token included."""
    activation: Literal["relu", "gelu", "topk"] = "relu"
    """Nonlinearity of the MLPs; gelu (exact, erf) is the baseline that has no zeros; topk: see `top_k`."""
    top_k: checks.Size | None = None
    """topk alone: k, the units of a layer that stay at a token, those largest after ReLU, in training and when read."""

    positions: ClassVar[str] = "relative"
    """How a token's place is told to the model; not to be chosen."""
    bias: ClassVar[bool] = False
    """Whether linear layers have biases; not to be chosen."""

    @property
    def n_layers(self) -> int:  # type: ignore[override]
        """Layers of hidden units of both."""
        return self.n_encoder_layers + self.n_decoder_layers

    @property
    def is_stacked(self) -> bool:
        """True: the layers are of two stacks."""
        return True

    @property
    def layer_names(self) -> tuple[str, ...]:
        """What each layer of hidden units is called, in their order.

        >>> EncoderDecoderConfig(n_encoder_layers=2, n_decoder_layers=1).layer_names
        ('encoder 0', 'encoder 1', 'decoder 0')
        """
        sides = {"encoder": self.n_encoder_layers, "decoder": self.n_decoder_layers}
        return tuple(f"{side} {layer}" for side, layers in sides.items() for layer in range(layers))

    @property
    def layer_positions(self) -> tuple[int, ...]:
        """Positions of a sequence at which each layer is computed."""
        return (self.seq_len,) * self.n_encoder_layers + (self.target_len,) * self.n_decoder_layers
