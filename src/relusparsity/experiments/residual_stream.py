"""Chapter 06: residual streams of several widths below the same layers; is it the stream that fills the last one?

Exploration, one seed. At one stream, of 512 numbers a token, the share of units that the last layer uses falls as the
layers widen (`capacity`: 100, 100, 97, 83 and 65 % at 4, 8, 16, 32 and 64 units a number of the stream). The paper's
stream is not known to us; ours at the paper's width has 32 units a number. Two readings made different predictions,
written before the runs:

1. The share goes by units *a number of the stream*. Then, at scale factorial, 8,192 units on 256 numbers keep what
   16,384 on 512 do, 83 %; 8,192 on 1,024 keep all; 16,384 on 1,024 keep 97 and 16,384 on 256 keep 65 %: each within 5
   points, and at the paper's width layer 5 rises with every step from 512 to 2,048 numbers, by at least 10 points from
   1,024 to 2,048; layer 0 ends under 20 % on each.
2. The share goes by the units alone. Then 8,192 keep 97 on every stream (five seeds on 512: 95 to 97) and 16,384 keep
   83 %, within 5 points, and at the paper's width the stream does not matter.

Of these, streams of 512 and 2,048 at the paper's width have no result, for want of time, nor have 32,768 units on 1,024
at scale factorial (83 % by the first reading, 65 % by the second).
"""

from typing import Any

import xarray as xr

from ..config import replace
from ..scales import SEARCH_SEEDS, SEEDS, base
from . import shared, variants
from .exploration import Config

SHAPES = {
    "smoke": ((16, 64), (8, 64), (32, 64)),
    "laptop": ((64, 1024), (16, 1024), (32, 1024), (128, 1024)),
    "factorial": ((512, 8192), (256, 8192), (1024, 8192), (256, 16_384), (1024, 16_384)),
    "paper_first": ((1024, 32_768), (1536, 32_768)),
}
"""Numbers of the residual stream and hidden units a layer of each run; that of the scale comes first."""

RECIPE = {"train.lr": 3e-4, "train.weight_decay": 3.5}
"""What is changed at scale paper_first besides: the sum of decay that had emptied layer 0 as far as the paper's
(`stronger_decay`), over as many tokens as that scale's runs read. The other scales keep their recipe."""

RECORDED = ("factorial", "paper_first")
"""Scales whose dataset is committed."""


def changes(scale: str) -> dict[str, dict[str, Any]]:
    """Name of a shape → what it changes of the scale's run; heads keep their size."""
    run = base(scale)
    head, recipe = run.model.d_model // run.model.n_heads, RECIPE if scale == "paper_first" else {}
    return {
        f"stream {d_model:,}, {d_ff:,} units": recipe
        | {"model.d_model": d_model, "model.d_ff": d_ff, "model.n_heads": d_model // head}
        for d_model, d_ff in shared.setting(SHAPES, scale, "shapes to compare")
    }


def config(scale: str) -> Config:
    """The shapes at a scale: one seed, at scale factorial that of `capacity`, so that both read the text in one order.

    Raises
    ------
    UserError
        For a scale that does not exist or has no shapes to compare (paper).
    """
    shapes = changes(scale)
    run = base(scale, (SEARCH_SEEDS if scale == "paper_first" else SEEDS)[scale][0])
    return Config(scale, tuple(replace(run, **fields) for fields in shapes.values()))


def run(config: Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer), a recipe being a shape. See `variants.stack`."""
    return variants.stacked("residual_stream", config, changes(config.scale), __name__)
