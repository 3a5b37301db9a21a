"""Models: `build` makes one of its configuration; each kind is a file, and gives what `Model` asks for."""

from .decoder import Decoder, count_parameters
from .encoder_decoder import EncoderDecoder
from .flops import blocks, training_flops
from .kinds import bare, build
from .protocol import Count, Hidden, Model, Observe
from .vit import Vit

__all__ = [
    "Count",
    "Decoder",
    "EncoderDecoder",
    "Hidden",
    "Model",
    "Observe",
    "Vit",
    "bare",
    "blocks",
    "build",
    "count_parameters",
    "training_flops",
]
