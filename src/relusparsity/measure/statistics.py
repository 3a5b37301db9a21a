"""Counts → what the report says beyond use: how certain silence is, how specific units are, where they peak."""

from typing import Any

import numpy as np
import torch
import xarray as xr

from ..anymodel.track import ADDED
from ..claims.statistics import poisson_upper
from ..counting import metrics
from ..store.schema import REMOVAL, SPECIFICITY, UNITS
from .details import Detailed

LEAST = 100  # firings below which a unit has no specificity

DESCRIBED: dict[str, tuple[str, str]] = {
    **UNITS,
    **ADDED,
    **{name: (units, text) for name, (_, units, text) in SPECIFICITY.items()},
    **REMOVAL,
    "good_turing_expected": (
        "units",
        "silent units expected to fire in as much text again (Good–Turing, sequences as draws)",
    ),
    "good_turing_upper": ("units", "upper 95 % bound of good_turing_expected"),
    "silent_if_resampled": ("units", "units expected to be silent if as many sequences are drawn from these again"),
    "silent_sequence_bound": ("1", "upper 95 % bound on the share of sequences in which a silent unit fires"),
    "silent_token_bound": (
        "1",
        "the same as a share of tokens, if it fires in no more of a sequence than the rarest units that fired do",
    ),
    "context": ("1", "from the strongest activation"),
    "strongest_activation": ("1", "strongest activations of the unit, at most one a sequence"),
    "strongest_token": ("tokens", "where they were: token of the measured text, from 0 (-1: none)"),
}


def silent(dataset: xr.Dataset) -> dict[str, Any]:
    """How certain it is that silent units are silent; sequences are the draws, because firing clusters in them."""
    fired, hit = (dataset[name].values[0] for name in ("final_firing_count", "final_sequences_fired"))
    sequences = int(dataset["layer_sequences"].values.max())
    length = int(dataset["layer_tokens"].values.max()) / sequences
    once = (hit == 1).sum(axis=1)
    bound = 1 - 0.05 ** (1 / sequences)  # Clopper and Pearson's, which has a closed form where nothing was seen
    within = np.where((hit > 0) & (hit <= 5), fired / (np.maximum(hit, 1) * length), 0.0).max(axis=1)
    by_layer = ("seed", "layer")
    return {
        "good_turing_expected": (by_layer, once[None]),
        "good_turing_upper": (by_layer, poisson_upper(once)[None]),
        "silent_if_resampled": (by_layer, ((1 - hit / sequences) ** sequences).sum(axis=1)[None]),
        "silent_sequence_bound": (by_layer, np.full((1, len(hit)), bound)),
        "silent_token_bound": (by_layer, bound * np.where(within > 0, within, 1.0)[None]),
    }


def specificity(use: Detailed, ids: np.ndarray) -> dict[str, Any]:
    """Both measures of chapter 04 for each unit; token selectivity for the followed units only."""
    counts = use.counts()
    fired = np.stack([layer.unit_tokens.cpu().numpy() for layer in counts])
    hit = np.stack([layer.unit_sequences.cpu().numpy() for layer in counts])
    length = round(counts[0].tokens / counts[0].sequences)
    rates = [
        metrics.within_sequence_rate(k, s, counts[0].sequences, length, LEAST) for k, s in zip(fired, hit, strict=True)
    ]
    totals = np.bincount(ids.ravel(), minlength=use.vocabulary)
    totals[use.left_out.numpy()] = 0
    totals *= counts[0].tokens // totals.sum()  # a layer that runs several times in a call counts every time
    occur = np.flatnonzero(totals)  # no other type can be drawn, and most of a large vocabulary are not in a short text
    selectivity = np.full(fired.shape, np.nan)
    for layer, row in enumerate(selectivity):
        types = use.types[layer][torch.from_numpy(occur).to(use.types[layer].device)]
        row[use.units(len(row)).numpy()] = metrics.token_selectivity(types, totals[occur], LEAST)
    by_unit = ("seed", "layer", "unit")
    return {
        "firing_count": (by_unit, fired[None]),
        "within_sequence_rate": (by_unit, np.stack([observed for observed, _ in rates])[None]),
        "within_sequence_rate_random": (by_unit, np.stack([random for _, random in rates])[None]),
        "token_selectivity": (by_unit, selectivity[None]),
    }


def strongest(use: Detailed) -> dict[str, Any]:
    """The strongest activations of every unit, and the tokens of the text where they are."""
    layers, dims = range(len(use.places)), ("seed", "layer", "context", "unit")
    sizes = np.stack([use.strongest[i].cpu().numpy() for i in layers])
    return {
        "context": (("context",), np.arange(1, sizes.shape[1] + 1)),
        "strongest_activation": (dims, sizes[None]),
        "strongest_token": (dims, np.stack([use.at[i].cpu().numpy() for i in layers])[None]),
    }
