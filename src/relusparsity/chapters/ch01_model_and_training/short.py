"""What chapter 1 found."""

import xarray as xr

from ... import store
from ...claims.short import Short
from . import words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    wide, mid, laptop = (store.recorded("layer_patterns", name) for name in ("wide", "mid", "laptop"))
    begun = 100 * wide["batch_use"].isel(step=0).astype(float).mean("seed").values
    return Short(
        f"The models learn, and become sparse: with random weights half of each layer's units fire at a token "
        f"({words.shares(words.before(wide))} %), after training {words.shares(words.after(wide))} % do (Wide).",
        (
            f"Wide (6 × 32,768 units, {_read(wide)} tokens, {wide.sizes['seed']} seeds): {_learned(wide)}.",
            f"Mid (6 × 8,192, {_read(mid)} tokens): {_learned(mid)}. Laptop (6 × 1,024, {_read(laptop)} tokens of "
            f"another text): {_learned(laptop)}.",
            f"Over 8,192 tokens no layer of Wide is sparse before training: each uses {words.shares(begun)} % of its "
            "units.",
        ),
    )


def _read(dataset: xr.Dataset) -> str:
    tokens = int(dataset["tokens"][-1])
    return f"{tokens / 1e6:.0f} million" if tokens >= 1e7 else f"{tokens:,}"


def _learned(dataset: xr.Dataset) -> str:
    begun = float(dataset["heldout_loss"].isel(step=0).astype(float).mean())
    return f"held-out loss {begun:.2f} → {words.losses(words.ended(dataset))} nats per token"
