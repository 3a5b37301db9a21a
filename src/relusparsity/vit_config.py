"""The shape of a vision Transformer and its switches, as frozen data; `models.vit` builds it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from . import checks
from .errors import UserError
from .model_config import BaseModelConfig


@dataclass(frozen=True)
class VitConfig(BaseModelConfig):
    """A vision Transformer (Dosovitskiy et al. 2021): pre-norm blocks with two-layer, non-gated MLPs, with biases.

    A picture is a sequence and its patches are the tokens that count; the class token beside them never does.
    """

    n_layers: Annotated[int, checks.whole(1, 1024)] = 6
    """Blocks, each attention and MLP."""
    d_model: checks.Size = 64
    """Width of the residual stream, in numbers a patch."""
    d_ff: checks.Sizes = 256
    """Hidden units of each MLP: a number for all layers, or a list of one for each."""
    n_heads: checks.Size = 4
    """Attention heads; must divide d_model."""
    image_size: Annotated[int, checks.whole(1, 2**14)] = 32
    """Pixels of a picture's side; pictures are square and gray."""
    patch_size: Annotated[int, checks.whole(1, 2**14)] = 4
    """Pixels of a patch's side; must divide image_size."""
    classes: checks.Size = 10
    """Classes that it tells apart."""
    activation: Literal["relu", "gelu", "topk"] = "relu"
    """Nonlinearity of the MLP; gelu (exact, erf) is the baseline that has no zeros; topk: see `top_k`."""
    top_k: checks.Size | None = None
    """topk alone: k, the units of a layer that stay at a token, those largest after ReLU, in training and when read."""
    dropout: checks.ShareOrNone = 0.0
    """Share of the numbers dropped in training, of the embedded patches and of what each sublayer adds; 0: none."""

    positions: ClassVar[str] = "learned"
    """How a patch's place is told to the model; not to be chosen."""
    bias: ClassVar[bool] = True
    """Whether linear layers and norms have biases; not to be chosen."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % self.patch_size:
            raise UserError(
                f"VitConfig.patch_size = {self.patch_size} does not divide image_size = {self.image_size}: patches "
                "tile a picture without a rest; choose one that does, or pad the pictures."
            )
        if self.seq_len & (self.seq_len - 1):
            raise UserError(
                f"VitConfig.patch_size = {self.patch_size} makes {self.seq_len} patches of a picture of image_size = "
                f"{self.image_size}: expected a power of two, so that windows nest; choose another, or pad them."
            )

    @property
    def seq_len(self) -> int:  # type: ignore[override]
        """Patches of a picture: the positions of its sequence that count.

        >>> VitConfig(image_size=32, patch_size=4).seq_len
        64
        """
        return (self.image_size // self.patch_size) ** 2

    @property
    def draws(self) -> bool:
        """Whether a training step draws random numbers of its own: what is dropped."""
        return self.dropout > 0
