"""What chapter 1 found."""

import xarray as xr

from ... import store
from ...claims.short import Short, between, spread
from ...claims.table import number


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    wide, mid, laptop = (store.recorded("layer_patterns", name) for name in ("wide", "mid", "laptop"))
    at_token = 100 * wide["token_use"].mean("seed")
    begun = 100 * wide["batch_use"].isel(step=0)
    return Short(
        f"With random weights half of each layer's units fire at a token ({between(at_token.isel(step=0))} %); after "
        f"training {between(at_token.isel(step=-1))} % do, in Wide.",
        (
            f"Wide (6 × 32,768 units, {_read(wide)} tokens, {wide.sizes['seed']} seeds): {_learned(wide)}.",
            f"Mid (6 × 8,192, {_read(mid)} tokens): {_learned(mid)}. Laptop (6 × 1,024, {_read(laptop)} "
            f"tokens, on a CPU): {_learned(laptop)}.",
            f"No layer of Wide is sparse over 8,192 tokens before training: each uses {between(begun)} % of its units.",
        ),
    )


def _read(dataset: xr.Dataset) -> str:
    tokens = int(dataset["tokens"][-1])
    return f"{tokens / 1e6:.0f} million" if tokens >= 1e7 else f"{tokens:,}"


def _learned(dataset: xr.Dataset) -> str:
    begun, ended = dataset["heldout_loss"].isel(step=0).astype(float), dataset["final_loss"].astype(float)
    return f"held-out loss {number(float(begun.mean()))} → {spread(ended.values.tolist())} nats per token"
