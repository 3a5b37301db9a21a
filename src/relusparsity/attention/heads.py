"""Where the heads of one layer look, over a stream of calls: sums and integers, memory flat in the tokens."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .weights import BLOCK, Block, Scores

SINK = 0.3
"""Attention to a token from which on it is a sink."""
SINK_TOKENS = 64
"""Queries of a sequence over which a head's attention to its first token is averaged, to call that a sink."""
MEANS = ("first", "previous", "same", "next", "delimiter", "repeat", "learned_sink", "entropy", "distance")


@dataclass
class Open:
    """The sequences of a layer's last call, which the next may continue."""

    start: Tensor
    """(sequence): position of the first token."""
    read: Tensor
    """(sequence): tokens so far."""
    first: Tensor
    """(sequence, head): attention to the first token, summed over the first SINK_TOKENS queries."""
    positions: int
    """Positions so far, padding among them."""


class HeadUse:
    """Statistics of one layer's attention by head.

    Means are over queries (tokens, padding left out); those of a neighbour over the queries that have it. With A the
    weights of a query at i on keys j: attention to the first token of the sequence, to the previous one (i - 1), the
    same (i), the next (i + 1; known within one call), to delimiters (the sum over all of them); `learned_sink`, what a
    sink takes that is no token, learned or not; `entropy` in nats and `distance` in tokens, ``|i - j|``, both of A
    divided by its sum over tokens. A first token counts among the queries, as in Sink%. Where weights are sigmoids,
    nobody takes what their sum leaves, and `learned_sink` is not defined.

    Parameters
    ----------
    heads
        Of the layer.
    period, begin
        Where tokens repeat from position `begin` on, every `period` positions: the mean of `repeat` is the
        prefix-matching score then; see `prefix_matching`.

    Notes
    -----
    `sink_rate` is Sink% of Gu et al., When Attention Sink Emerges in Language Models (arXiv 2410.10781): the share of
    sequences in which a head's attention to the first token, averaged over the first 64 queries, exceeds 0.3. They read
    sequences of 64 tokens; in a causal model the first 64 of longer ones are the same. `sink_pairs` is another number,
    the share of single queries with more than 0.3 on it. For both, sigmoids are divided by their sum over tokens.

    Examples
    --------
    >>> use = HeadUse(heads=1)
    >>> use.update(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4), Scores(scale=0.5))
    >>> use.mean("first"), use.mean("previous"), use.queries
    (array([0.75]), array([0.5]), 2)
    """

    def __init__(
        self, heads: int, device: str | torch.device = "cpu", period: int | None = None, begin: int = 0
    ) -> None:
        if period is not None and period < 2:
            raise ValueError(f"period = {period}: a token after an earlier one needs a period of 2 or more")
        self.heads, self.period, self.begin = heads, period, begin
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.sums = torch.zeros(len(MEANS), heads, dtype=dtype, device=device)
        self.counts = torch.zeros(len(MEANS), dtype=torch.int64, device=device)  # queries in each sum
        self.pairs = torch.zeros(heads, dtype=torch.int64, device=device)  # queries with more than SINK on the first
        self.sinks = torch.zeros(heads, dtype=torch.int64, device=device)  # sequences whose first token is a sink
        self.sequences = torch.zeros((), dtype=torch.int64, device=device)  # with SINK_TOKENS tokens or more
        self.open: Open | None = None

    def update(
        self,
        q: Float[Tensor, "sequence head query width"],
        k: Float[Tensor, "sequence group key width"],
        scores: Scores,
        real: Bool[Tensor, "sequence query"] | None = None,
        counted: Bool[Tensor, "sequence query"] | None = None,
        delimiters: Bool[Tensor, "sequence key"] | None = None,
        continues: bool = False,
        block: int = BLOCK,
    ) -> None:
        """Add one call of the layer.

        Parameters
        ----------
        q, k
            After rotary positions. With a cache, k holds its keys too; the earliest may be missing, as where a window
            has slid over them, and places for tokens still to come may follow, if a mask hides them.
        real : (sequence, query)
            Which queries are tokens and not padding; None: all. Their sequence begins at the first of them.
        counted : (sequence, query)
            Which of these go into the means, so that some, such as special tokens, are read and not counted; None: all.
        delimiters : (sequence, key)
            Which keys are delimiters; None: nothing is said of them.
        continues
            Whether these are the next tokens of the sequences of the last call (decoding with a cache).
        block
            Weights held at a time.

        Raises
        ------
        ValueError
            If the shapes do not fit, or nothing came before that could be continued.
        """
        sequences, heads, queries, _ = q.shape
        if heads != self.heads:
            raise ValueError(f"got {heads} heads, expected {self.heads}")
        if continues and (self.open is None or len(self.open.start) != sequences):
            raise ValueError(f"{sequences} sequences continue none of the last call; read their beginning first")
        real = torch.ones(sequences, queries, dtype=torch.bool, device=q.device) if real is None else real
        before = self.open if continues and self.open is not None else None
        if before is None:
            none = torch.zeros(sequences, dtype=torch.int64, device=q.device)
            before = Open(real.long().argmax(1), none, self.sums.new_zeros(sequences, heads), 0)
        elif not bool((before.read > 0).all()):  # rows that were padding only begin now
            start = torch.where(before.read > 0, before.start, before.positions + real.long().argmax(1))
            before = Open(start, before.read, before.first, before.positions)
        first_key = max(0, before.positions + queries - k.shape[2])
        counted = real if counted is None else real & counted
        call = _Call(before, real, counted, delimiters, first_key, scores.causal, scores.sigmoid is None)
        for part in scores.blocks(q, k, before.positions, first_key, block):
            self._add(part, call)
        read = before.read + real.sum(1)
        newly = (before.read < SINK_TOKENS) & (read >= SINK_TOKENS)
        self.sinks += (newly[:, None] & (call.before.first > SINK * SINK_TOKENS)).sum(0)
        self.sequences += newly.sum()
        self.open = Open(before.start, read, before.first, before.positions + queries)

    def _add(self, part: Block, call: "_Call") -> None:
        weights, i, j = part.weights, part.i, part.j
        real, start = call.real[part.sequences, part.queries], call.before.start[part.sequences, None]
        rank = (call.before.read[:, None] + call.real.cumsum(1))[part.sequences, part.queries]  # from 1
        use = call.counted[part.sequences, part.queries]
        whole = call.real[part.sequences]
        after = torch.nn.functional.pad(whole[:, 1:], (0, 1))[:, part.queries]  # whether the next is a token too

        def on(where: Tensor) -> Tensor:
            """Weights on one key of each query (sequence or 1, query), at these positions: (sequence, head, query)."""
            at = (where - j[0]).expand(len(weights), len(i))[:, None, :, None]
            there = (at >= 0) & (at < len(j))
            found = weights.gather(-1, at.clamp(0, len(j) - 1).expand(-1, self.heads, -1, -1))
            return torch.where(there, found, 0.0)[..., 0]

        total = weights.sum(-1)
        share = weights / total[..., None]
        first = on(start)
        values = {
            "first": (first, use),
            "previous": (on(i[None] - 1), use & (i > start)),
            "same": (on(i[None]), use),
            "next": (on(i[None] + 1), use & after),
            "entropy": (torch.special.entr(share).sum(-1), use),
            "distance": (_distance(share, i, j, call.causal), use),
        }
        if call.shared_out:
            values["learned_sink"] = 1 - total, use
        else:
            first = first / total
        if call.delimiters is not None:
            flags = call.delimiters[part.sequences, j[0] - call.first_key : j[-1] + 1 - call.first_key]
            values["delimiter"] = (weights * flags[:, None, None]).sum(-1), use
        if self.period is not None:
            again = (i >= self.begin + self.period).expand_as(use)
            values["repeat"] = (weights * self._after(i, j)).sum(-1), use & again
        for name, (value, of) in values.items():
            self.sums[MEANS.index(name)] += torch.where(of[:, None], value, 0.0).sum((0, 2))
            self.counts[MEANS.index(name)] += of.sum()
        self.pairs += (use[:, None] & (first > SINK)).sum((0, 2))
        early = real & (rank <= SINK_TOKENS)
        call.before.first[part.sequences] += torch.where(early[:, None], first, 0.0).sum(-1)

    def _after(self, i: Tensor, j: Tensor) -> Tensor:
        """(query, key): whether a key comes directly after an earlier occurrence of the query's token."""
        assert self.period is not None
        back = i[:, None] - j + 1
        return (back > 0) & (back % self.period == 0) & (j > self.begin)

    @property
    def queries(self) -> int:
        """Queries in the means."""
        return int(self.counts[0])

    def mean(self, name: str) -> np.ndarray:
        """One of MEANS: (head); NaN where no query has it, as delimiters that were not given.

        Raises
        ------
        FloatingPointError
            If weights were NaN, as where a token may attend to no key, or queries and keys are not finite.
        """
        at = MEANS.index(name)
        count = int(self.counts[at])
        if not count:
            return np.full(self.heads, np.nan)
        mean = self.sums[at].cpu().numpy() / count
        if not np.isfinite(mean).all():
            raise FloatingPointError(f"attention of a head is not a number (mean of {name}); nothing is reported")
        return mean

    def sink_pairs(self) -> np.ndarray:
        """Share of queries that give the first token more than 0.3: (head)."""
        return self.pairs.cpu().numpy() / self.queries if self.queries else np.full(self.heads, np.nan)

    def sink_rate(self) -> np.ndarray:
        """Share of sequences in which the first token is a head's sink, by Sink%: (head); NaN if all are under 64."""
        sequences = int(self.sequences)
        return self.sinks.cpu().numpy() / sequences if sequences else np.full(self.heads, np.nan)

    def merge(self, other: "HeadUse") -> None:
        """Add the statistics of other whole sequences.

        Raises
        ------
        ValueError
            If the heads or what repeats differ.
        """
        if (self.heads, self.period, self.begin) != (other.heads, other.period, other.begin):
            raise ValueError("statistics of layers of other heads, or of other repeats, cannot be merged")
        for name, value in self.state().items():
            value += other.state()[name].to(value.device)

    def state(self) -> dict[str, Tensor]:
        """Every sum and count by name; `load` takes it back. Sequences still open in a decoding are not continued."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            getattr(self, name).copy_(value)


@dataclass(frozen=True)
class _Call:
    before: Open
    real: Tensor
    counted: Tensor
    delimiters: Tensor | None
    first_key: int
    causal: bool
    shared_out: bool
    """Whether the weights of a query have a sum of 1, with what a sink takes."""


def _distance(share: Tensor, i: Tensor, j: Tensor, causal: bool) -> Tensor:
    """Mean of ``|i - j|`` by shares (sequence, head, query, key)."""
    if causal:  # no key after a query has any
        return i - share @ j.to(share.dtype)
    return (share * (i[:, None] - j).abs()).sum(-1)
