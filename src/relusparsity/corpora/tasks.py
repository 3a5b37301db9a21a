"""What a run reads, whatever it is trained on: the batches that its steps and its measurements give `Model.predict`.

A sequence is what a window of counting lies in: a packed chunk of text, a piece of text with spans cut out, or a
picture, whose patches are its tokens. To train on something else is a class here, a line in `of`, and one in
`kinds_config.READS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from ..config import CorpusConfig, MeasureConfig, RunConfig
from ..errors import UserError
from ..store.schema import OF_PICTURES, OF_SPANS
from . import batches, spans
from .pictures import Labelled, Pictures, as_numbers
from .spans import SpanCorpus

Arrays = tuple[np.ndarray, ...]
"""Some sequences as a model reads them: what `predict` is given, in order, a row of each array a sequence."""


class Task(ABC):
    """Batches as a function of seed and step alone, and what is held out."""

    data: Any
    grows = True
    """Whether more of what is held out can be given; what comes in a package is as large as it is."""
    tokens_per_byte: float | None = None
    """Of held-out text, for bits per byte; None where there is none."""
    vocab_size: int | None = None
    """Token types that it gives; None where it gives no tokens."""
    units: Mapping[str, tuple[str, str]] = MappingProxyType({})
    """Unit and meaning of what its dataset has by another than `schema` says for text, by name."""

    @abstractmethod
    def batch(self, sequences: int, seed: int, step: int, rank: int = 0, ranks: int = 1) -> Arrays:
        """This rank's part of a step that reads so many sequences; the parts of all ranks, in order, are the step's."""

    @property
    @abstractmethod
    def heldout(self) -> Arrays:
        """What is measured as the run goes, in recorded order."""

    @property
    @abstractmethod
    def final(self) -> Arrays:
        """What is measured at its end."""

    @abstractmethod
    def held(self, measure: MeasureConfig) -> list[tuple[str, int, int]]:
        """Of each held-out part: its name in a sentence, its sequences, and how many sets of it are asked for."""

    @abstractmethod
    def order_digest(self, seed: int) -> str:
        """sha256 of the order in which the first epoch shows the sequences, for the provenance."""

    def check(self, measure: MeasureConfig, seq_len: int) -> None:
        """Before anything is written: that each held-out part has as many sets as are to be measured.

        Raises
        ------
        UserError
            If one has not.
        """
        for what, sequences, wanted in self.held(measure):
            available = sequences // (measure.set_tokens // seq_len)
            if available < wanted:
                more = f"give more {what} or " if self.grows else ""
                raise UserError(
                    f"the {what} makes {available} sets of {measure.set_tokens} tokens, but {wanted} are asked for; "
                    f"{more}lower measure.sets and measure.final_sets."
                )


class Text(Protocol):
    """What is read of a corpus."""

    @property
    def train(self) -> np.ndarray:
        """Token ids `(token,)`."""

    @property
    def heldout(self) -> np.ndarray:
        """The same, never trained on."""

    @property
    def heldout_bytes(self) -> int:
        """Bytes of UTF-8 in it."""

    @property
    def vocab_size(self) -> int:
        """Token types."""


class PackedText(Task):
    """Chunks of a text, each with its next tokens as targets: (sequence, seq_len + 1)."""

    def __init__(self, data: Text, seq_len: int) -> None:
        self.data, self.seq_len = data, seq_len

    @property
    def tokens_per_byte(self) -> float:  # type: ignore[override]
        return len(self.data.heldout) / self.data.heldout_bytes

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        return self.data.vocab_size

    def batch(self, sequences: int, seed: int, step: int, rank: int = 0, ranks: int = 1) -> Arrays:
        return (batches.batch(self.data.train, self.seq_len, sequences, seed, step, rank, ranks),)

    @cached_property
    def heldout(self) -> Arrays:  # type: ignore[override]
        return (batches.heldout_sequences(self.data.heldout, self.seq_len),)

    @property
    def final(self) -> Arrays:
        return self.heldout

    def held(self, measure: MeasureConfig) -> list[tuple[str, int, int]]:
        batches.chunks(len(self.data.train), self.seq_len, "training text")
        what = "held-out text"
        found = batches.chunks(len(self.data.heldout), self.seq_len, what)
        return [(what, found, max(measure.sets, measure.final_sets))]

    def order_digest(self, seed: int) -> str:
        return batches.order_digest(len(self.data.train), self.seq_len, seed)


class CorruptedText(Task):
    """Pieces of a text with spans cut out: what the encoder reads, what the decoder does, and what it predicts.

    Its loss is of targets, which are not the text, so that bits per byte would say nothing.
    """

    units = OF_SPANS

    def __init__(self, data: SpanCorpus) -> None:
        self.data, self.lengths, self.ids = data, data.config.spans.lengths(data.config.seq_len), data.ids
        self.random = data.config.targets == "random"

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        return self.ids.vocabulary

    def batch(self, sequences: int, seed: int, step: int, rank: int = 0, ranks: int = 1) -> Arrays:
        read = (self.data.text.train, self.lengths, self.ids)
        return spans.batch(*read, sequences, seed, step, rank, ranks, self.random)

    @cached_property
    def heldout(self) -> Arrays:  # type: ignore[override]
        return spans.heldout(self.data.text.heldout, self.lengths, self.ids, self.random)

    @property
    def final(self) -> Arrays:
        return self.heldout

    def held(self, measure: MeasureConfig) -> list[tuple[str, int, int]]:
        spans.texts(len(self.data.text.train), self.lengths, "training text")
        what = "held-out text"
        found = spans.texts(len(self.data.text.heldout), self.lengths, what)
        return [(what, found, max(measure.sets, measure.final_sets))]

    def order_digest(self, seed: int) -> str:
        pieces = spans.texts(len(self.data.text.train), self.lengths, "training text")
        return batches.order_digest(pieces + 1, 1, seed)


class LabelledPictures(Task):
    """Pictures (picture, row, column), from −1 to 1, and their labels (picture); the test is for the end alone."""

    units = OF_PICTURES
    grows = False

    def __init__(self, data: Pictures) -> None:
        self.data = data

    def batch(self, sequences: int, seed: int, step: int, rank: int = 0, ranks: int = 1) -> Arrays:
        places = batches.chosen(len(self.data.train.labels), sequences, seed, step, rank, ranks)
        if self.data.config.pixels == "fresh":  # all are drawn, whatever the number of ranks
            drawn = self.data.fresh(sequences, seed, step)
            mine = slice(rank * len(places), (rank + 1) * len(places))
            return _read(Labelled(drawn.pixels[mine], drawn.labels[mine]))
        return _read(Labelled(self.data.train.pixels[places], self.data.train.labels[places]))

    @cached_property
    def heldout(self) -> Arrays:  # type: ignore[override]
        return _read(self.data.validation)

    @cached_property
    def final(self) -> Arrays:  # type: ignore[override]
        return _read(self.data.test)

    def held(self, measure: MeasureConfig) -> list[tuple[str, int, int]]:
        name, validation, test = self.data.name, self.data.validation, self.data.test
        return [
            (f"validation part of {name}", len(validation.labels), measure.sets),
            (f"test part of {name}", len(test.labels), measure.final_sets),
        ]

    def order_digest(self, seed: int) -> str:
        return batches.order_digest(len(self.data.train.labels) + 1, 1, seed)


def _read(part: Labelled) -> Arrays:
    return as_numbers(part.pixels), part.labels


def of(config: RunConfig, data: Any) -> Task:
    """What a run reads of its data, which `corpora.load` gave.

    Raises
    ------
    UserError
        If they are of another kind than the run is configured for, other pictures, or a text with other spans cut out.
    """
    given = data.config if isinstance(data, Pictures | SpanCorpus) else "a text"
    wanted = "a text" if isinstance(config.corpus, CorpusConfig) else config.corpus
    if given != wanted:
        raise UserError(f"the run reads {wanted}, but is given {given}; give what corpora.load makes of its corpus.")
    if isinstance(data, Pictures):
        return LabelledPictures(data)
    return CorruptedText(data) if isinstance(data, SpanCorpus) else PackedText(data, config.model.seq_len)
