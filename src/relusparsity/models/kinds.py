"""Which model is made of a configuration; a variant is a file with its class, and a line here."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..config import ModelConfig
from .decoder import Decoder, initialise
from .protocol import Model

KINDS: Mapping[type, tuple[Callable[[Any], Model], Callable[[Any, int], Model]]] = {ModelConfig: (Decoder, initialise)}
"""Class of a configuration → class of its model, and what sets all its parameters from a seed."""


def bare(config: ModelConfig) -> Model:
    """A model for weights that are about to be loaded; its own are drawn by torch and stand for nothing."""
    return KINDS[type(config)][0](config)


def build(config: ModelConfig, seed: int, device: str | torch.device = "cpu") -> Model:
    """A freshly initialised model on a device.

    Examples
    --------
    >>> model = build(ModelConfig(n_layers=2, d_model=8, d_ff=32, n_heads=2, seq_len=16, vocab_size=64), seed=0)
    >>> model.widths()
    [32, 32]
    """
    return KINDS[type(config)][1](bare(config), seed).to(device)
