"""Firing masks → integer counts, and counts → statistics; pure functions, no state.

A unit fires where its activation is > 0. Counts are exact integers and are divided once, at the end.
The vocabulary is that of the book's glossary: use is a share of units, a rate is a share of tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


def fires(activation: Float[Tensor, "sequence position unit"]) -> Bool[Tensor, "sequence position unit"]:
    """Where units fire: strictly above zero, in the dtype that the model runs in.

    Raises
    ------
    FloatingPointError
        If an activation is NaN; it would silently count as not firing.
    """
    # a sum is NaN if any term is, and needs no mask the size of the activations
    if torch.isnan(activation.sum()) and torch.isnan(activation).any():
        raise FloatingPointError("an activation is NaN; firing is undefined there, so nothing was counted")
    return activation > 0


def unit_counts(fired: Bool[Tensor, "sequence position unit"]) -> Int[Tensor, "sequence unit"]:
    """Tokens at which each unit fires, by sequence (int32)."""
    if torch.compiler.is_compiling():  # one kernel with what says who fires; PyTorch 2.11 compiles no view of a bool
        return fired.sum(dim=1, dtype=torch.int32)
    ones = fired.contiguous().view(torch.uint8)
    if ones.shape[2] % 8:
        return ones.sum(dim=1, dtype=torch.int32)
    # A 64-bit word holds eight units, so one addition advances eight counters (a hundred times as fast on a CPU). Each
    # counter is a byte: at most 255 words are added before it is read.
    parts = ones.view(torch.int64).split(255, dim=1)
    return sum(part.sum(dim=1).view(torch.uint8).int() for part in parts)  # type: ignore[return-value]


def firing_counts(
    fired: Bool[Tensor, "sequence position unit"],
) -> tuple[Int[Tensor, "sequence unit"], Int[Tensor, "sequence position"]]:
    """Tokens at which each unit fires, by sequence, and units that fire at each token (int32)."""
    ones = fired.contiguous().view(torch.uint8)
    if ones.shape[2] % 8:
        return unit_counts(fired), ones.sum(dim=2, dtype=torch.int32)
    per_token = sum(
        part.sum(dim=2, keepdim=True).view(torch.uint8).sum(dim=2, dtype=torch.int32)
        for part in ones.view(torch.int64).split(255, dim=2)
    )
    return unit_counts(fired), per_token  # type: ignore[return-value]


def histogram(counts: Int[Tensor, "*any"], largest: int) -> Int[Tensor, "bin"]:
    """How often each count 0 … `largest` occurs; exact, int64, the same on every device."""
    flat = counts.flatten().long()
    bins = torch.zeros(largest + 1, dtype=torch.int64, device=counts.device)
    return bins.scatter_add_(0, flat, torch.ones_like(flat))


def percentiles(counts: np.ndarray, levels: Sequence[int] = PERCENTILES) -> np.ndarray:
    """Percentiles of the values 0, 1, 2 … whose numbers of occurrences are `counts` (inverted CDF).

    The p-th percentile is the smallest value with at least p % of the n occurrences at or below it. It is missing
    (NaN) where n is too small to tell it from the extreme: n · min(p, 100 − p) < 100, for 0 < p < 100.
    """
    cumulative = np.cumsum(counts)
    n = int(cumulative[-1])
    out = np.full(len(levels), np.nan)
    for i, level in enumerate(levels):
        tail = min(level, 100 - level)
        if n and (tail == 0 or n * tail >= 100):
            # counts are integers: to reach a fraction is to reach the next whole number
            out[i] = np.searchsorted(cumulative, max(1, level * n / 100))
    return out


def rarefied_use(firing_count: np.ndarray, tokens: int, sizes: Sequence[int | float]) -> np.ndarray:
    """Expected share of units that fire at least once in n tokens drawn at random without replacement.

    Parameters
    ----------
    firing_count : (unit)
        Tokens at which each unit fired, of `tokens`.
    sizes : n
        Sample sizes in tokens; above `tokens`, or where a size is missing itself, the result is missing (NaN).

    Returns
    -------
    (size)
        Mean over units of 1 − C(N − k, n) / C(N, n): Hurlbert's rarefaction, with units for species.
    """
    k, how_many = np.unique(np.asarray(firing_count, dtype=np.int64), return_counts=True)
    out = np.full(len(sizes), np.nan)
    for i, n in enumerate(sizes):
        if n <= tokens:
            out[i] = 1 - np.average(_miss_probability(k, tokens, int(n)), weights=how_many)
    return out


def _miss_probability(k: np.ndarray, tokens: int, n: int) -> np.ndarray:
    """C(N − k, n) / C(N, n): the chance that n of N tokens miss all of a unit's k firings."""
    largest = min(int(k.max(initial=0)), tokens - n)
    # a product over firings, Π (1 − n / (N − i)), in which no large logarithms are subtracted, as they are in SciPy's
    # hypergeometric distribution: that is off by 1e-10 at a million tokens
    log_miss = np.concatenate(([0.0], np.cumsum(np.log1p(-n / (tokens - np.arange(largest))))))
    return np.where(k <= tokens - n, np.exp(log_miss[np.minimum(k, largest)]), 0.0)


def within_sequence_rate(
    firing_count: np.ndarray, sequences_fired: np.ndarray, sequences: int, seq_len: int, least: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """The share of a sequence in which a unit fires, given that it fires there; and the same for random firing.

    Parameters
    ----------
    firing_count, sequences_fired : (unit)
        Tokens and sequences in which each unit fired, of `sequences` × `seq_len` tokens.

    Returns
    -------
    observed, random : (unit)
        Shares of a sequence's tokens; `random` puts the same number of firings on random tokens. Both are missing
        (NaN) below `least` firings.
    """
    k = np.asarray(firing_count, dtype=np.int64)
    distinct, inverse = np.unique(k, return_inverse=True)
    hit = sequences * (1 - _miss_probability(distinct, sequences * seq_len, seq_len))[inverse]
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = k / (np.asarray(sequences_fired) * seq_len)
        random = k / (hit * seq_len)
    enough = k >= least
    return np.where(enough, observed, np.nan), np.where(enough, random, np.nan)


def type_entropy(type_counts: Int[Tensor, "type unit"]) -> np.ndarray:
    """Entropy, in nats, of each unit's firings over token types: (type, unit) counts → (unit)."""
    k = type_counts.sum(dim=0, dtype=torch.int64).double()
    # a piece at a time: at 32,768 types × 32,768 units the table in float64 would be 8.6 GB
    klogk = torch.zeros_like(k)
    for part in type_counts.split(1024):
        klogk += torch.special.xlogy(part.double(), part.double()).sum(dim=0)
    return torch.where(k > 0, k.log() - klogk / k, torch.nan).cpu().numpy()


def random_type_entropy(type_totals: np.ndarray, firing_count: np.ndarray, seed: int = 0) -> np.ndarray:
    """Mean entropy, in nats, of k firings put on random tokens, for each unit's k: (unit).

    We sample without replacement at 33 log-spaced k (8 draws each, from the seed given) and interpolate in log k.
    """
    k = np.asarray(firing_count, dtype=np.int64)
    used = k[k > 0]
    if not used.size:
        return np.full(k.shape, np.nan)
    generator = np.random.Generator(np.random.PCG64(seed))
    grid = np.unique(np.geomspace(used.min(), used.max(), 33).round().astype(np.int64))
    draws = [
        type_entropy(torch.from_numpy(generator.multivariate_hypergeometric(type_totals, n, size=8).T)).mean()
        for n in grid
    ]
    return np.where(k > 0, np.interp(np.log(np.maximum(k, 1)), np.log(grid), draws), np.nan)


def token_selectivity(
    type_counts: Int[Tensor, "type unit"], type_totals: np.ndarray, least: int = 100, seed: int = 0
) -> np.ndarray:
    """1 − (entropy of a unit's firing over token types) / (that of random firing of equal count).

    Near 0, a unit fires whatever the token; at 1, on one token type only. Missing (NaN) below `least` firings.

    Parameters
    ----------
    type_counts : (type, unit)
        Firings of each unit on each token type.
    type_totals : (type)
        Occurrences of each type in the same text.
    """
    k = type_counts.sum(dim=0, dtype=torch.int64).cpu().numpy()
    enough = k >= least
    out = np.full(k.shape, np.nan)
    if enough.any():
        random = random_type_entropy(type_totals, k[enough], seed)
        out[enough] = 1 - type_entropy(type_counts)[enough] / random
    return out


def survival(onset: np.ndarray, followed: float, times: np.ndarray) -> np.ndarray:
    """Kaplan–Meier share of units not yet dead at each time, in tokens: (unit) onsets → (time).

    `onset` is NaN for a unit that never died within `followed` tokens. All units are followed equally long, so
    censoring happens only at the end and the estimate is the plain share.
    """
    died = np.sort(onset[~np.isnan(onset)])
    alive = 1 - np.searchsorted(died, times, side="right") / len(onset)
    return np.where(times <= followed, alive, np.nan)
