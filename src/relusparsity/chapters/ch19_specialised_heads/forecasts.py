"""What was written before heads were taken away in SmolLM2, and what came.

Written on `DATE`, before any head of it was taken away, any text was read twice, or its heads were watched under random
weights or on shuffled text. Known, and so no forecast: head 18.6 (the seventh of layer 18) matches prefixes at 0.74 to
0.92, from draw to draw; its first token is a sink in 72.7 % of sequences and heads; its massive entry is in dimension
507. We expect several heads to do what the top does, so that the rest repeats most of it without them.
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ...experiments import forked
from . import rows

DATE = "2026-12-01"

CHANCES = {
    "row 44, first part: the top 2 % remove half of the gain or more (English, mean in their place)": 0.3,
    "the top 2 % remove 15 to 60 % of it": 0.6,
    "row 44, second part: random heads of the same layers remove 10 % of it or less, mean of 20 draws": 0.9,
    "so does each of the 20 draws": 0.6,
    "the intact model gains 2 to 3.5 nats per token of English": 0.65,
    "of random tokens the top removes more of the gain than of English": 0.65,
    "with zero in their place the top removes more than with the mean (English)": 0.6,
    "8 to 30 heads have a prefix-matching score above 0.5": 0.6,
    "with random weights no head has a score of 0.1": 0.9,
    "with random weights the first token gets 6 % of the attention or less, mean of all heads": 0.85,
    "with random weights the first token is a sink (Sink%) in less than 5 % of sequences and heads": 0.9,
    "in shuffled text the first token's share changes by less than 10 points": 0.85,
    "in shuffled text some head still gives the previous token half of its attention": 0.7,
    "all of the top 2 % have a copying score above 0": 0.7,
}
"""Sentence → the chance written for it; see `sentences`."""


def sentences(dataset: xr.Dataset) -> pd.DataFrame:
    """`CHANCES` against the measurements of `public`."""
    english, zero = rows.removed(dataset), rows.removed(dataset, way=rows.ZERO)
    top, by_zero = (float(each.sel(evaluation=rows.TOP)) for each in (english, zero))
    of_random = float(rows.removed(dataset, rows.RANDOM_TOKENS).sel(evaluation=rows.TOP))
    drawn = english.sel(evaluation=list(rows.DRAWN)).values
    saved = float(rows.gain(dataset).sel(evaluation=rows.NONE))
    scores = rows.scores(dataset)
    matching = int((scores > 0.5).sum())
    random = float(dataset["prefix_matching"].sel(weights="random").mean("draw").max())
    first = 100 * dataset["attention_first"].astype(float).mean(("layer", "head"))
    sinks = 100 * float(dataset["sink_rate"].sel(reading="random weights").astype(float).mean())
    text, shuffled, untrained = (float(first.sel(reading=each)) for each in dataset["reading"].values)
    previous = float(dataset["attention_previous"].sel(reading="shuffled").max())
    copying = dataset["copying"].sel(weights=rows.TRAINED).values[rows.top(scores)]
    came: list[tuple[str, Any]] = [
        (f"{top:.1f} %", top >= rows.LEAST),
        (f"{top:.1f} %", 15 <= top <= 60),
        (f"{drawn.mean():.1f} %", bool(drawn.mean() <= rows.MOST)),
        (f"at most {drawn.max():.1f} %", bool(drawn.max() <= rows.MOST)),
        (f"{saved:.2f} nats per token", 2 <= saved <= 3.5),
        (f"{of_random:.1f} % and {top:.1f} %", of_random > top),
        (f"{by_zero:.1f} % and {top:.1f} %", by_zero > top),
        (f"{matching} heads", 8 <= matching <= 30),
        (f"{random:.3f}", random < 0.1),
        (f"{untrained:.1f} %", untrained <= 6),
        (f"{sinks:.1f} %", sinks < 5),
        (f"{text:.1f} % and {shuffled:.1f} %", abs(text - shuffled) < 10),
        (f"{previous:.2f}", previous >= 0.5),
        (f"at least {np.min(copying):.2f}", bool((copying > 0).all())),
    ]
    return forked.said(CHANCES, came)
