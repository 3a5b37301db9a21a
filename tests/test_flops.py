"""Operations of training, of every kind of model, against those that PyTorch counts as it multiplies."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model_made import SHAPE
from relusparsity.config import ModelConfig
from relusparsity.encoder_decoder_config import EncoderDecoderConfig
from relusparsity.errors import UserError
from relusparsity.model_config import BaseModelConfig
from relusparsity.models import blocks, build, kinds, training_flops
from relusparsity.models.attention import ARMS
from relusparsity.vit_config import VitConfig

SMALL: dict[str, Any] = {"d_model": 16, "n_heads": 4}
BOTH = {"n_encoder_layers": 2, "n_decoder_layers": 1, "seq_len": 12, "target_len": 7, "vocab_size": 50}


def batch(config: Any) -> tuple[torch.Tensor, ...]:
    """Two sequences, as `predict` is given them."""
    if isinstance(config, VitConfig):
        return torch.rand(2, config.image_size, config.image_size), torch.zeros(2, dtype=torch.int64)
    if isinstance(config, EncoderDecoderConfig):
        read, predicted = (torch.ones(2, size, dtype=torch.int64) for size in (config.seq_len, config.target_len))
        return read, predicted, predicted
    return (torch.ones(2, config.seq_len + 1, dtype=torch.int64),)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(**SHAPE),
        ModelConfig(**SHAPE | {"d_ff": (40, 24, 8)}),
        *(ModelConfig(**SHAPE, attention=arm) for arm in ARMS),  # type: ignore[arg-type]
        VitConfig(**SMALL, n_layers=3, d_ff=(40, 24, 8), image_size=12, patch_size=3, classes=7),
        EncoderDecoderConfig(**SMALL, **BOTH, d_ff=(40, 24, 8)),
    ],
)
def test_they_are_those_that_torch_counts(config: BaseModelConfig) -> None:
    model = build(config, seed=0)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.predict(*batch(config))[0].sum().backward()
    # what lies before the first layer still needs its gradient: embeddings are trained
    assert counter.get_total_flops() / (2 * config.seq_len) == pytest.approx(training_flops(config), rel=1e-12)


def test_blocks_are_those_that_a_batch_goes_through() -> None:
    both = {"n_encoder_layers": 2, "n_decoder_layers": 3}
    assert [blocks(ModelConfig()), blocks(VitConfig(n_layers=4)), blocks(EncoderDecoderConfig(**both))] == [12, 8, 13]


def test_every_kind_has_them_and_what_is_none_is_refused() -> None:
    assert all(training_flops(kind()) > 0 for kind in kinds.KINDS)
    with pytest.raises(UserError, match=r"no operations are counted of a int; models/flops.py says those of each kind"):
        training_flops(3)
