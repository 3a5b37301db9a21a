"""Span corruption: which spans are cut out of which tokens when, a function of the seed and the step alone.

An encoder reads the text with a sentinel in the place of each span; a decoder predicts, for each sentinel, what was
cut out (Raffel et al. 2020, section 3.1.4), or tokens that are drawn, from which nothing can be learned. All sequences
are equally long, so there is no padding.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import identity
from ..errors import UserError
from ..span_config import Lengths, SpanCorpusConfig
from .batches import chosen
from .store import Corpus

# drawn beside the orders of an epoch, which have a seed and a number alone
_CUTS, _HELDOUT, _TARGETS, _HELDOUT_TARGETS = 1, 2, 3, 4


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
        """sha256 of the corpus's own, of what is cut out, and of what is predicted if that is something else."""
        others = [] if self.config.targets == "real" else [self.config.targets]
        return identity.digest(self.text.checksum, identity.plain(self.config.spans), *others)

    def facts(self) -> dict[str, Any]:
        """What a run's provenance says: of the text, as of a run that reads all of it, and what is made of it."""
        lengths = self.config.spans.lengths(self.config.seq_len)._asdict()
        return self.text.facts() | {"lengths": lengths, "spans_checksum": self.checksum}


class Batch(NamedTuple):
    """What `EncoderDecoder.predict` takes, int64."""

    inputs: np.ndarray
    """What the encoder reads `(sequence, lengths.inputs)`: text, sentinels, `<eos>`."""
    before: np.ndarray
    """What the decoder reads `(sequence, lengths.targets)`: the start, then the targets but for their last."""
    targets: np.ndarray
    """What it predicts `(sequence, lengths.targets)`: sentinel, span, sentinel, span … `<eos>`; or what is drawn."""


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
    random: bool = False,
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
    random
        Whether a piece's targets are drawn instead, by the seed alone: the same in every epoch.

    Raises
    ------
    UserError
        If the text is too short, or the ranks do not divide the batch.
    """
    count = texts(len(tokens), lengths, "training text")
    pieces = chosen(count, batch_sequences, seed, step, rank, ranks)
    drawn = _drawn([seed, step, _CUTS], lengths, rank, len(pieces))
    found = _corrupted(_gather(tokens, lengths, pieces), lengths, ids, drawn)
    return _predicting(found.inputs, _types([seed, 0, _TARGETS], lengths, ids, pieces), ids) if random else found


def heldout(tokens: np.ndarray, lengths: Lengths, ids: Ids, random: bool = False) -> Batch:
    """All pieces of a text in recorded order, each with the same spans cut out whatever the seed of a run.

    With `random` targets, these are the same whatever the seed, too.

    Raises
    ------
    UserError
        If the text is too short for one.
    """
    count = texts(len(tokens), lengths, "held-out text")
    drawn, pieces = _drawn([0, 0, _HELDOUT], lengths, 0, count), np.arange(count)
    found = _corrupted(_gather(tokens, lengths, pieces), lengths, ids, drawn)
    return _predicting(found.inputs, _types([0, 0, _HELDOUT_TARGETS], lengths, ids, pieces), ids) if random else found


def _gather(tokens: np.ndarray, lengths: Lengths, pieces: np.ndarray) -> np.ndarray:
    return tokens[pieces[:, None] * lengths.text + np.arange(lengths.text)]


def _drawn(entropy: list[int], lengths: Lengths, rank: int, sequences: int) -> np.ndarray:
    """Raw PCG64 numbers `(sequence, number)`, which NumPy promises never to change; of the sequences of a rank."""
    each = lengths.text - 2
    generator = np.random.PCG64(entropy).advance(rank * sequences * each)
    return generator.random_raw(sequences * each).reshape(sequences, each)


def _types(entropy: list[int], lengths: Lengths, ids: Ids, pieces: np.ndarray) -> np.ndarray:
    """Token types of the text `(sequence, lengths.targets)`, all equally likely, which a piece has by its number."""
    generator, at, raw = np.random.PCG64(entropy), 0, np.empty((len(pieces), lengths.targets), dtype=np.uint64)
    for row, piece in zip(raw, pieces, strict=True):
        first = int(piece) * lengths.targets
        row[:] = generator.advance((first - at) % 2**128).random_raw(lengths.targets)  # after so many, they begin again
        at = first + lengths.targets
    return (raw % np.uint64(ids.types)).astype(np.int64)


def _predicting(inputs: np.ndarray, targets: np.ndarray, ids: Ids) -> Batch:
    """What the decoder is given of such targets: the start, then all but the last."""
    before = np.hstack((np.full((len(targets), 1), ids.start, dtype=np.int64), targets[:, :-1]))
    return Batch(inputs, before, targets)


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

    return _predicting(joined(text[~is_cut], in_kept), joined(text[is_cut], in_cut), ids)
