"""Which spans are cut out of a text, to be predicted from the rest, as frozen data; `corpora.spans` cuts them."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

from . import checks
from .checks import Checked
from .corpus_config import CorpusConfig, DataConfig
from .errors import UserError


class Lengths(NamedTuple):
    """Tokens of one sequence."""

    text: int
    """What it is made of."""
    cut: int
    """Tokens of the text that are cut out."""
    spans: int
    """In so many spans, each with a sentinel in its place and another before it in the targets."""
    inputs: int
    """What is not cut out, the sentinels and `<eos>`."""
    targets: int
    """What is cut out, the sentinels and `<eos>`."""


@dataclass(frozen=True)
class SpanConfig(Checked):
    """Span corruption (Raffel et al. 2020, section 3.1.4), in sequences that need no padding."""

    density: checks.Share = 0.15
    """Share of the tokens that are cut out."""
    mean_span: Annotated[float, checks.real(1, 1e6)] = 3.0
    """Mean tokens of a span."""
    sentinels: checks.Size = 100
    """Token types that stand for a span, one for each in a sequence; they follow those of the text."""

    def lengths(self, seq_len: int) -> Lengths:
        """Of the longest text that fills `seq_len` tokens, which is as many in every sequence.

        The numbers are rounded as in T5's program (random_spans_helper): half to even.

        >>> SpanConfig().lengths(512)
        Lengths(text=568, cut=85, spans=28, inputs=512, targets=114)

        Raises
        ------
        UserError
            If no text is that short, the sentinels do not last, or the spans have no tokens between them.
        """
        most = int((seq_len + 1) / (1 - self.density + self.density / self.mean_span)) + 3
        text = bisect_right(range(most), seq_len, lo=2, key=lambda tokens: self._of(tokens).inputs) - 1
        found = self._of(text)
        if found.inputs != seq_len:
            raise UserError(
                f"no text fills {seq_len} tokens of which a span is cut out: expected one token, a sentinel and <eos> "
                "at least; raise seq_len."
            )
        if found.spans > self.sentinels:
            raise UserError(
                f"SpanConfig.sentinels = {self.sentinels}: inputs of {seq_len} tokens have {found.spans} spans; give "
                "as many sentinels, or cut out fewer spans."
            )
        if found.spans > text - found.cut:
            raise UserError(
                f"SpanConfig.density = {self.density} and mean_span = {self.mean_span}: {found.spans} spans leave "
                f"{text - found.cut} of {text} tokens, which is not one between each two; lower density or raise "
                "mean_span."
            )
        return found

    def _of(self, text: int) -> Lengths:
        """Of so many tokens, 2 at least."""
        cut = min(max(round(text * self.density), 1), text - 1)
        spans = max(round(cut / self.mean_span), 1)
        return Lengths(text, cut, spans, text - cut + spans + 1, cut + spans + 1)


@dataclass(frozen=True)
class SpanCorpusConfig(DataConfig):
    """A text with spans cut out: an encoder reads what is left, a decoder predicts what was cut out."""

    text: CorpusConfig = field(default_factory=CorpusConfig)
    """Which text; it becomes the tokens that it is for a decoder, once for both."""
    spans: SpanConfig = field(default_factory=SpanConfig)
    """Which spans are cut out."""
    seq_len: checks.Size = 512
    """Tokens of one sequence that the encoder reads."""
    targets: Literal["real", "random"] = "real"
    """random: for each piece of text as many tokens are drawn, once, of the text's types, all equally likely; held-out
    ones, too. What the encoder reads stays as it is, so that nothing can be learned from it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.spans.lengths(self.seq_len)  # refuses what cannot be cut

    @property
    def target_len(self) -> int:
        """Tokens of one sequence that the decoder predicts.

        >>> SpanCorpusConfig().target_len
        114
        """
        return self.spans.lengths(self.seq_len).targets

    @property
    def vocab_size(self) -> int:
        """Token types of the text, sentinels, and the decoder's first token.

        >>> SpanCorpusConfig(CorpusConfig(vocab_size=32_000)).vocab_size
        32101
        """
        return self.text.vocab_size + self.spans.sentinels + 1
