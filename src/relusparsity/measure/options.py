"""What can be asked of a measurement, checked before anything is read."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..anymodel.attach import Side
from ..checks import Batch, Checked, Size, Tokens, TokensOrNone
from ..errors import UserError
from ..paths import shown

KINDS = ("epsilon", "quantile", "cett", "cett-ppl")
NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
RULES = "exact, epsilon=0.1, quantile=0.9, cett=0.2, cett-ppl=1"


@dataclass(frozen=True)
class Options(Checked):
    """What is measured of a model, and on how much text."""

    tokens: Tokens = 1_000_000
    """Tokens to count on."""
    seq_len: Size | None = None
    """Tokens of a sequence, a power of two; None: 512, or as many as the model can read."""
    batch_size: Batch | None = None
    """Sequences read at a time; None: chosen by the device's memory."""
    rule: str = "exact"
    """When a unit fires: exact, epsilon=0.1, quantile=0.9, cett=0.2 or cett-ppl=1."""
    layers: str | None = None
    """Pattern of module names; None: found by structure."""
    of: Side = "output"
    """Side of the modules that is the hidden activation."""
    followed: TokensOrNone = 32
    """Units a layer whose token types are counted."""
    loss_tokens: TokensOrNone = 16_384
    """Tokens kept apart, for thresholds and for the loss without units; at most an eighth of the text."""
    removal: bool = True
    """Whether the loss without units is measured, on the tokens kept apart."""
    attention: bool = False
    """Whether heads of attention, sinks and massive activations are measured, on at most 65,536 tokens of the text."""
    special_tokens: Literal["counted", "left_out"] = "counted"
    """Whether firings at special tokens (BOS, end of text) count; the model reads them either way."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.threshold()
        if self.of == "product":
            raise UserError("of = 'product' is for track; measure reads the 'output' or 'input' of modules.")

    def threshold(self) -> tuple[str, float | None]:
        """Kind of the rule and its number."""
        kind, _, number = str(self.rule).partition("=")
        if self.rule == "exact":
            return kind, None
        # of what `float` reads besides, spaces, 1_0 and digits of other scripts are slips of the pen
        value = float(number) if NUMBER.fullmatch(number) else float("nan")
        if kind not in KINDS or not abs(value) <= float(np.finfo(np.float32).max):
            raise UserError(f"rule = {shown(self.rule)!r}: expected one like {RULES}.")
        return kind, value
