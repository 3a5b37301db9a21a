"""Tests of induction heads: repeated random tokens to read, and what a head writes for the token that it reads."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

PERIOD, TIMES, DRAWS = 50, 2, 5
"""Tokens that repeat, how often they come, and how many such sequences are read."""
TAIL = 0.04
"""Share of a vocabulary, its first and its last ids, that is not drawn: the most and the least common tokens."""


def repeated(
    ids: Int[Tensor, "type"],
    first: Int[Tensor, "first"],
    period: int = PERIOD,
    times: int = TIMES,
    draws: int = DRAWS,
    seed: int = 0,
) -> Int[Tensor, "sequence position"]:
    """Random tokens, different ones in a sequence, that come `times` times after the first tokens of a text.

    A head's prefix-matching score (Olsson et al., In-context Learning and Induction Heads, arXiv 2209.11895) is its
    mean attention, over the tokens that have come before, to the tokens directly after these earlier occurrences (their
    sum, where there are several): the mean of `repeat` of `HeadUse(heads, period=period, begin=len(first))`. They read
    25 tokens that come 4 times; here it is, unless told otherwise, 50 that come twice.

    Parameters
    ----------
    ids : (type)
        Token types to draw from.
    first : (first)
        What begins every text of the model, such as BOS; may be empty.

    Raises
    ------
    ValueError
        If there are fewer types than a sequence needs, or nothing repeats.
    """
    if period < 2 or times < 2:
        raise ValueError(f"{period} tokens that come {times} times do not repeat; both must be 2 or more")
    if len(ids) < period:
        raise ValueError(f"{len(ids)} token types do not make {period} different tokens")
    draw = torch.Generator().manual_seed(seed)
    rows = [ids[torch.randperm(len(ids), generator=draw)[:period]].repeat(times) for _ in range(draws)]
    return torch.stack([torch.cat((first.to(ids.device), row)) for row in rows])


def usual(vocabulary: int, special: set[int]) -> Int[Tensor, "type"]:
    """Token types without special ones and without the first and last 4 % of ids, which merge order made of counts."""
    tail = round(TAIL * vocabulary)
    return torch.tensor([each for each in range(tail, vocabulary - tail) if each not in special], dtype=torch.int64)


def between(
    read: Float[Tensor, "vocabulary model"], written: Float[Tensor, "vocabulary model"]
) -> Float[Tensor, "model model"]:
    """What all heads of a model share in their copying scores: embedding and unembedding, a row a token, in float64."""
    return read.detach().double().T @ written.detach().double()


def copying(
    value: Float[Tensor, "width model"], tokens: Float[Tensor, "model model"], output: Float[Tensor, "model width"]
) -> float:
    """Copying score of a head's OV circuit, from -1 to 1: sum of its eigenvalues over the sum of their sizes.

    The circuit maps the token that a head attends to on logits, (vocabulary, vocabulary): unembedding · output · value
    · embedding. Positive eigenvalues raise the logits of what is read (Elhage et al., A Mathematical Framework for
    Transformer Circuits, 2021). Its eigenvalues that are not 0 are those of a matrix (width, width), computed in
    float64. Norms are left out, except the weights of the norm before attention and of the last one, if the caller has
    multiplied `value` and the unembedding with them.

    Parameters
    ----------
    value, output
        The head's part of the value and the output projection.
    tokens
        Of `between`.
    """
    of = torch.linalg.eigvals(value.detach().double() @ tokens @ output.detach().double())
    return float(of.real.sum() / of.abs().sum())
