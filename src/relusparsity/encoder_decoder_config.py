"""The shape of an encoder-decoder, as frozen data; `models.encoder_decoder` builds it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from . import checks
from .checks import Checked
from .errors import UserError


@dataclass(frozen=True)
class EncoderDecoderConfig(Checked):
    """A Transformer that reads one sequence and predicts another (Raffel et al. 2020, section 2.1); sizes of T5-small.

    Its layers of hidden units are the encoder's, then the decoder's.
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
    activation: Literal["relu", "gelu"] = "relu"
    """Nonlinearity of the MLPs; gelu (exact, erf) is the baseline that has no zeros."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.d_ff, tuple):
            if len(self.d_ff) != self.n_layers:
                raise UserError(
                    f"EncoderDecoderConfig.d_ff = {checks.shown(list(self.d_ff))}: expected a width for each of the "
                    f"{self.n_layers} layers, the encoder's first, or a single number for all."
                )
            if len(set(self.d_ff)) == 1:  # one shape has one spelling, and so one name
                object.__setattr__(self, "d_ff", self.d_ff[0])
        if self.d_model % self.n_heads:
            raise UserError(f"n_heads = {self.n_heads} does not divide d_model = {self.d_model}; choose one that does.")

    @property
    def n_layers(self) -> int:
        """Layers of hidden units of both."""
        return self.n_encoder_layers + self.n_decoder_layers

    @property
    def layer_names(self) -> tuple[str, ...]:
        """What each layer of hidden units is called, in their order.

        >>> EncoderDecoderConfig(n_encoder_layers=2, n_decoder_layers=1).layer_names
        ('encoder 0', 'encoder 1', 'decoder 0')
        """
        sides = {"encoder": self.n_encoder_layers, "decoder": self.n_decoder_layers}
        return tuple(f"{side} {layer}" for side, layers in sides.items() for layer in range(layers))

    @property
    def widths(self) -> tuple[int, ...]:
        """Hidden units of each layer, the encoder's first."""
        return self.d_ff if isinstance(self.d_ff, tuple) else (self.d_ff,) * self.n_layers

    @property
    def layer_positions(self) -> tuple[int, ...]:
        """Positions of a sequence at which each layer is computed."""
        return (self.seq_len,) * self.n_encoder_layers + (self.target_len,) * self.n_decoder_layers
