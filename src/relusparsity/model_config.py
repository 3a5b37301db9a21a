"""The shape of a model and its switches, as frozen data; `models` builds it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from . import checks
from .checks import Checked
from .errors import UserError


class BaseModelConfig(Checked):
    """What a run asks of the configuration of any kind of model; the fields themselves are those of each kind.

    All kinds have MLPs of two layers, and attention of `n_heads` heads, around a residual stream of `d_model` numbers.
    """

    n_layers: int
    d_model: int
    d_ff: int | tuple[int, ...]
    n_heads: int
    seq_len: int
    activation: str
    top_k: int | None
    bias: bool
    positions: str

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).__name__
        if isinstance(self.d_ff, tuple):
            if len(self.d_ff) != self.n_layers:
                raise UserError(
                    f"{kind}.d_ff = {checks.shown(list(self.d_ff))}: expected a width for each of the "
                    f"{self.n_layers} layers, or a single number for all."
                )
            if len(set(self.d_ff)) == 1:  # one shape has one spelling, and so one name
                object.__setattr__(self, "d_ff", self.d_ff[0])
        if self.d_model % self.n_heads:
            raise UserError(f"n_heads = {self.n_heads} does not divide d_model = {self.d_model}; choose one that does.")
        if self.activation != "topk" and self.top_k is not None:
            raise UserError(
                f"{kind}.top_k = {self.top_k} is not read by activation = {self.activation}; leave it out or choose "
                "topk."
            )
        if self.activation == "topk" and (self.top_k is None or self.top_k > min(self.widths)):
            raise UserError(
                f"{kind}.top_k = {self.top_k} with activation = topk: expected how many units stay at a token, from 1 "
                f"to the {min(self.widths):,} of the narrowest layer."
            )

    @property
    def draws(self) -> bool:
        """Whether a training step draws random numbers of its own, as dropout does."""
        return False

    @property
    def widths(self) -> tuple[int, ...]:
        """Hidden units of each layer, from 0.

        >>> ModelConfig(n_layers=2, d_ff=8).widths, ModelConfig(n_layers=2, d_ff=(8, 16)).widths
        ((8, 8), (8, 16))
        """
        return self.d_ff if isinstance(self.d_ff, tuple) else (self.d_ff,) * self.n_layers

    @property
    def is_stacked(self) -> bool:
        """Whether its layers are of several stacks, whose names and tokens of a sequence a dataset has to say."""
        return False

    @property
    def layer_positions(self) -> tuple[int, ...]:
        """Positions of a sequence at which each layer is computed: its own tokens of a sequence."""
        return (self.seq_len,) * self.n_layers

    @property
    def layer_names(self) -> tuple[str, ...]:
        """What each layer of hidden units is called, in their order: of one stack, by its number alone."""
        return tuple(map(str, range(self.n_layers)))

    @property
    def is_uneven(self) -> bool:
        """Whether its layers differ in width."""
        return isinstance(self.d_ff, tuple)

    @property
    def width(self) -> int:
        """Hidden units of every layer.

        Raises
        ------
        UserError
            If the layers differ.
        """
        if isinstance(self.d_ff, tuple):
            raise UserError(
                f"the layers have {checks.in_words(self.d_ff)} hidden units, where one width of all is read; give d_ff "
                "as a single number."
            )
        return self.d_ff


@dataclass(frozen=True)
class ModelConfig(BaseModelConfig):
    """A decoder-only Transformer with two-layer, non-gated MLPs (the paper's section on its model)."""

    n_layers: Annotated[int, checks.whole(1, 1024)] = 6
    """Blocks, each attention and MLP (paper: 6)."""
    d_model: checks.Size = 64
    """Width of the residual stream, in numbers a token."""
    d_ff: checks.Sizes = 1024
    """Hidden units of each MLP: a number for all layers (paper: 32,768), or a list of one for each."""
    n_heads: checks.Size = 4
    """Attention heads; must divide d_model."""
    seq_len: checks.Size = 64
    """Tokens of one packed sequence."""
    vocab_size: checks.Size = 4096
    """Token types, `<eos>` included."""
    activation: Literal["relu", "gelu", "topk"] = "relu"
    """Nonlinearity of the MLP; gelu (exact, erf) is the baseline that has no zeros; topk: see `top_k`."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    """Kind of every normalisation."""
    norm_place: Literal["pre", "post", "parallel"] = "pre"
    """Before each sublayer, after each residual sum, or before attention and MLP side by side."""
    embedding_norm: bool = False
    """Whether the embedded tokens are normalised before the first block."""
    positions: Literal["learned", "rotary", "sinusoidal", "none"] = "rotary"
    """How a token's place in its sequence is told to the model."""
    bias: bool = True
    """Whether linear layers and LayerNorms have biases (the output layer never has)."""
    tied: bool = True
    """Whether the output layer is the embedding matrix."""
    embedding_std: checks.Factor = 0.02
    """Standard deviation of the initial embeddings."""
    position_std: checks.Factor = 0.02
    """Standard deviation of the initial learned positions."""
    init: Literal["normal", "xavier", "fan_in"] = "normal"
    """Initial matrices: N(0, 0.02²), Xavier uniform, or N(0, 1/fan_in)."""
    mlp_std: checks.FactorOrNone = 0.0
    """Standard deviation of the initial matrices of the MLPs, whatever their size; 0: as `init` has it."""
    logit_scale: checks.Factor = 1.0
    """Factor on the logits; tied embeddings of scale 1 need d_model**-0.5 (as in T5)."""
    top_k: checks.Size | None = None
    """topk alone: k, the units of a layer that stay at a token, those largest after ReLU, in training and when read."""
    attention: Literal["softmax", "off_by_one", "sink", "sigmoid", "gate", "kv_bias"] = "softmax"
    """What makes the weights of attention, or stands beside them; what each does is said in `models/attention.py`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positions == "rotary" and (head := self.d_model // self.n_heads) % 2:
            raise UserError(
                f"rotary positions need an even head size, but d_model / n_heads = {head}; change n_heads or positions."
            )
