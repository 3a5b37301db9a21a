"""Span corruption: which spans are cut out of which tokens when, a function of the seed and the step alone.

An encoder reads the text with a sentinel in the place of each span; a decoder predicts, for each sentinel, what was
cut out (Raffel et al. 2020, section 3.1.4). All sequences are equally long, so there is no padding.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import identity
from ..errors import UserError
from ..span_config import Lengths, SpanCorpusConfig
from .batches import chosen
from .store import Corpus

_CUTS, _HELDOUT = 1, 2  # drawn beside the orders of an epoch, which have a seed and a number alone


class Ids(NamedTuple):
    """Token ids beside the text's own, which are 0 … `types` − 1."""

    types: int
    """Token types of the text, `<eos>` included; sentinel i, which stands for span i, is `types` + i."""
    eos: int
    """The end of what is read and of what is predicted; it may occur in the text, too."""
    sentinels: int
    """Their number. (T5 takes the last types of the vocabulary, and counts down.)"""

    @property
    def start(self) -> int:
        """What the decoder is given before its first token (in T5: the padding)."""
        return self.types + self.sentinels

    @property
    def vocabulary(self) -> int:
        """All token types."""
        return self.start + 1


@dataclass(frozen=True)
class SpanCorpus:
    """A corpus, and which spans are cut out of it."""

    config: SpanCorpusConfig
    text: Corpus

    @property
    def name(self) -> str:
        return self.text.name

    @property
    def ids(self) -> Ids:
        """Token ids of the corpus as it is, and those beside."""
        return Ids(self.text.vocab_size, self.text.eos, self.config.spans.sentinels)

    @property
    def checksum(self) -> str:
        """sha256 of the corpus's own and of what is cut out."""
        return identity.digest(self.text.checksum, identity.plain(self.config.spans))

    def facts(self) -> dict[str, Any]:
        """What a run's provenance says: of the text, as of a run that reads all of it, and the tokens of a sequence."""
        return self.text.facts() | {"lengths": self.config.spans.lengths(self.config.seq_len)._asdict()}


class Batch(NamedTuple):
    """What `EncoderDecoder.predict` takes, int64."""

    inputs: np.ndarray
    """What the encoder reads `(sequence, lengths.inputs)`: text, sentinels, `<eos>`."""
    before: np.ndarray
    """What the decoder reads `(sequence, lengths.targets)`: the start, then the targets but for their last."""
    targets: np.ndarray
    """What it predicts `(sequence, lengths.targets)`: sentinel, span, sentinel, span … `<eos>`."""


def texts(tokens: int, lengths: Lengths, what: str = "text") -> int:
    """Pieces of text for one sequence each, one after the other, in so many tokens.

    Raises
    ------
    UserError
        If there is not one.
    """
    count = tokens // lengths.text
    if count < 1:
        raise UserError(
            f"the {what} has {tokens} tokens, too few for one sequence of {lengths.inputs}, which is made of "
            f"{lengths.text}; give more text or a shorter seq_len."
        )
    return count


def batch(
    tokens: np.ndarray,
    lengths: Lengths,
    ids: Ids,
    batch_sequences: int,
    seed: int,
    step: int,
    rank: int = 0,
    ranks: int = 1,
) -> Batch:
    """Sequences of one training step; an epoch reads every piece of text once, and cuts other spans out of it.

    Parameters
    ----------
    tokens
        The text `(token,)`; a last piece that is too short is left out.
    lengths, ids
        See `SpanConfig.lengths` and `Ids`.
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
    count = texts(len(tokens), lengths, "training text")
    pieces = chosen(count, batch_sequences, seed, step, rank, ranks)
    drawn = _drawn([seed, step, _CUTS], lengths, rank, len(pieces))
    return _corrupted(_gather(tokens, lengths, pieces), lengths, ids, drawn)


def heldout(tokens: np.ndarray, lengths: Lengths, ids: Ids) -> Batch:
    """All pieces of a text in recorded order, each with the same spans cut out whatever the seed of a run.

    Raises
    ------
    UserError
        If the text is too short for one.
    """
    count = texts(len(tokens), lengths, "held-out text")
    drawn = _drawn([0, 0, _HELDOUT], lengths, 0, count)
    return _corrupted(_gather(tokens, lengths, np.arange(count)), lengths, ids, drawn)


def _gather(tokens: np.ndarray, lengths: Lengths, pieces: np.ndarray) -> np.ndarray:
    return tokens[pieces[:, None] * lengths.text + np.arange(lengths.text)]


def _drawn(entropy: list[int], lengths: Lengths, rank: int, sequences: int) -> np.ndarray:
    """Raw PCG64 numbers `(sequence, number)`, which NumPy promises never to change; of the sequences of a rank."""
    each = lengths.text - 2
    generator = np.random.PCG64(entropy).advance(rank * sequences * each)
    return generator.random_raw(sequences * each).reshape(sequences, each)


def _ends(drawn: np.ndarray, spans: int) -> np.ndarray:
    """Where spans end `(sequence, spans − 1)`, but for the last, in one token more than there are columns.

    All ways to part the tokens into so many spans of one at least are equally likely.
    """
    return np.sort(np.argsort(drawn, axis=1, kind="stable")[:, : spans - 1], axis=1) + 1


def _corrupted(text: np.ndarray, lengths: Lengths, ids: Ids, drawn: np.ndarray) -> Batch:
    """Pieces of text `(sequence, token)` with spans cut out; a text begins with what is kept and ends with a span."""
    rows, kept = len(text), lengths.text - lengths.cut
    # where each span begins in what is kept, and in what is cut out
    in_kept = np.hstack((_ends(drawn[:, : kept - 1], lengths.spans), np.full((rows, 1), kept)))
    in_cut = np.hstack((np.zeros((rows, 1), dtype=np.int64), _ends(drawn[:, kept - 1 :], lengths.spans)))
    turns = np.zeros((rows, lengths.text), dtype=np.int8)
    np.put_along_axis(turns, in_kept + in_cut, 1, axis=1)
    np.put_along_axis(turns, in_kept[:, :-1] + in_cut[:, 1:], -1, axis=1)  # where the text goes on
    is_cut = turns.cumsum(axis=1, dtype=np.int8).view(bool)
    sentinels = ids.types + np.arange(lengths.spans)

    def joined(part: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """Tokens of all rows with the sentinels between them and `<eos>` behind."""
        whole = np.full((rows, part.size // rows + lengths.spans + 1), ids.eos, dtype=np.int64)
        is_token = np.ones(whole.shape, dtype=bool)
        is_token[:, -1] = False
        np.put_along_axis(is_token, begins + np.arange(lengths.spans), False, axis=1)
        whole[is_token] = part
        np.put_along_axis(whole, begins + np.arange(lengths.spans), sentinels[None], axis=1)
        return whole

    inputs, targets = joined(text[~is_cut], in_kept), joined(text[is_cut], in_cut)
    before = np.hstack((np.full((rows, 1), ids.start, dtype=np.int64), targets[:, :-1]))
    return Batch(inputs, before, targets)
