"""Which tokens the model sees when: a function of the seed and the step alone, so that resuming needs no state."""

import hashlib
from functools import lru_cache

import numpy as np

from ..errors import UserError


def chunks(tokens: int, seq_len: int, what: str = "text") -> int:
    """Sequences of `seq_len` tokens, each with a next token as target, in so many tokens.

    >>> chunks(9, 4)
    2

    Raises
    ------
    UserError
        If there is not one.
    """
    count = (tokens - 1) // seq_len
    if count < 1:
        raise UserError(
            f"the {what} has {tokens} tokens, too few for one sequence of {seq_len} and its targets; "
            "give more text or a shorter seq_len."
        )
    return count


@lru_cache(maxsize=4)
def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Permutation of `count` chunks `(chunk,)` for one epoch.

    Ranks of raw PCG64 numbers: unlike `Generator.permutation`, NumPy promises never to change them.
    """
    drawn = np.random.PCG64([seed, epoch]).random_raw(count)
    result = np.argsort(drawn, kind="stable")
    result.flags.writeable = False
    return result


def chosen(count: int, batch_sequences: int, seed: int, step: int, rank: int = 0, ranks: int = 1) -> np.ndarray:
    """Which of `count` chunks a process is given in one training step, `(sequence,)`; see `batch`.

    Raises
    ------
    UserError
        If the ranks do not divide the batch.
    """
    mine, rest = divmod(batch_sequences, ranks)
    if rest:
        raise UserError(f"{ranks} processes do not divide a batch of {batch_sequences} sequences; change either.")
    first = step * batch_sequences + rank * mine
    return np.array([order(count, seed, i // count)[i % count] for i in range(first, first + mine)])


def batch(
    tokens: np.ndarray,
    seq_len: int,
    batch_sequences: int,
    seed: int,
    step: int,
    rank: int = 0,
    ranks: int = 1,
) -> np.ndarray:
    """Token ids `(sequence, seq_len + 1)` of one training step: inputs are `[:, :-1]`, targets `[:, 1:]`.

    Chunk i is `tokens[i * seq_len : i * seq_len + seq_len + 1]`. An epoch shows every chunk once, in an order of
    its own; a batch may end one epoch and begin the next.

    Parameters
    ----------
    tokens
        The text `(token,)`.
    batch_sequences
        Sequences of the step over all processes.
    seed, step
        What alone decides the data; steps count from 0.
    rank, ranks
        The slices of all ranks, in order, are the batch.

    Raises
    ------
    UserError
        If the text is too short, or the ranks do not divide the batch.
    """
    count = chunks(len(tokens), seq_len, "training text")
    return _gather(tokens, seq_len, chosen(count, batch_sequences, seed, step, rank, ranks))


def order_digest(tokens: int, seq_len: int, seed: int) -> str:
    """sha256 of the order in which the first epoch shows the chunks of so many tokens, for the provenance.

    It is the same for any number of processes: their shares of a step, in order of rank, are its batch.
    """
    return hashlib.sha256(order(chunks(tokens, seq_len, "training text"), seed, 0).astype("<i8").tobytes()).hexdigest()


def heldout_sequences(tokens: np.ndarray, seq_len: int) -> np.ndarray:
    """Token ids `(sequence, seq_len + 1)` of a whole text in recorded order; a partial last sequence is left out.

    Raises
    ------
    UserError
        If the text is too short for one.
    """
    return _gather(tokens, seq_len, np.arange(chunks(len(tokens), seq_len, "held-out text")))


def _gather(tokens: np.ndarray, seq_len: int, chosen: np.ndarray) -> np.ndarray:
    return tokens[chosen[:, None] * seq_len + np.arange(seq_len + 1)].astype(np.int64)
