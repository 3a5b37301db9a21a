"""Which model is made of a configuration; a variant is a file with its class, and a line here."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..encoder_decoder_config import EncoderDecoderConfig
from ..errors import UserError
from ..model_config import BaseModelConfig, ModelConfig
from ..vit_config import VitConfig
from . import decoder, encoder_decoder, vit
from .protocol import Model

KINDS: Mapping[type, tuple[Callable[[Any], Model], Callable[[Any, int], Model]]] = {
    ModelConfig: (decoder.Decoder, decoder.initialise),
    EncoderDecoderConfig: (encoder_decoder.EncoderDecoder, encoder_decoder.initialise),
    VitConfig: (vit.Vit, vit.initialise),
}
"""Class of a configuration → class of its model, and what sets all its parameters from a seed."""


def bare(config: BaseModelConfig) -> Model:
    """A model for weights that are about to be loaded; its own are drawn by torch and stand for nothing.

    Raises
    ------
    UserError
        For a class of configurations that has no line in `KINDS`, or one whose model is no `Model`.
    """
    made_by, _ = _kind(config)
    model = made_by(config)
    if not isinstance(model, Model):
        raise UserError(f"{_named(made_by)} makes a {type(model).__name__}: expected a class of models.Model.")
    return model


def _kind(config: Any) -> tuple[Callable[[Any], Model], Callable[[Any, int], Model]]:
    if type(config) not in KINDS:
        known = ", ".join(kind.__name__ for kind in KINDS)
        raise UserError(f"no model is made of a {type(config).__name__}; models/kinds.py has {known}: add a line.")
    kind = KINDS[type(config)]
    if lacking := sorted(getattr(kind[0], "__abstractmethods__", ())):
        raise UserError(f"{_named(kind[0])} lacks {' and '.join(lacking)}, which models.Model asks for; write them.")
    return kind


def _named(made_by: Any) -> str:
    return str(getattr(made_by, "__name__", made_by))


def build(config: BaseModelConfig, seed: int, device: str | torch.device = "cpu") -> Model:
    """A freshly initialised model on a device.

    Examples
    --------
    >>> model = build(ModelConfig(n_layers=2, d_model=8, d_ff=32, n_heads=2, seq_len=16, vocab_size=64), seed=0)
    >>> model.widths()
    [32, 32]
    """
    return _kind(config)[1](bare(config), seed).to(device)
