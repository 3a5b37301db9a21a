"""Text files → packed sequences in the model's own tokens, in the files' order."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..corpora import bpe, text
from ..corpora.document import pieces
from ..errors import UserError
from ..identity import digest
from ..paths import shown

MULTIPLES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
MOST = 10**15
"""Tokens that may be asked for: more than there is text."""
Encode = Callable[[str], list[int]]


def count(given: str) -> int:
    """A number of tokens as people write it.

    >>> count("1M"), count("64K"), count("8,192")
    (1000000, 64000, 8192)

    Raises
    ------
    UserError
        If it is not one.
    """
    found = re.fullmatch(r"([0-9.]+)([kmg]?)", given.replace(",", "").replace("_", "").lower())
    try:
        number = Decimal(found[1]) * MULTIPLES[found[2]] if found else Decimal(0)
    except InvalidOperation:
        number = Decimal(0)
    if not 1 <= number <= MOST:
        raise UserError(f"{shown(given)!r} is no number of tokens; write it as 1M, 64k or 8192.")
    return round(number)


@dataclass(frozen=True)
class Reader:
    """How a tokenizer turns texts into ids, and the special tokens that it adds when a user calls it on a text."""

    encode: Encode
    """A text's ids, without special tokens."""
    first: tuple[int, ...] = ()
    """Special tokens before every text (BOS, [CLS]); some models are broken without them."""
    last: tuple[int, ...] = ()
    """Special tokens after every text; where it adds none, the end of text that the model was trained with."""
    special: frozenset[int] = frozenset()
    """All special tokens, but for the one that stands for unknown text."""
    spaced: bool = True
    """Whether a text cut before a space gives the same ids with that space, and not without it."""

    def ids(self, given: str) -> Iterator[list[int]]:
        """Ids of a document with its special tokens, piece by piece: a long one is not read for its beginning."""
        before = list(self.first)
        for at, piece in enumerate(pieces(given)):
            if found := self.encode(piece if self.spaced or not at else piece[1:]):
                yield before + found
                before = []
        if not before or not self.first:
            yield list(self.last)


def reader(tokenizer: Any) -> Reader:
    """What reads texts with a tokenizer of transformers, or of a training run of this package."""
    if isinstance(tokenizer, Tokenizer):
        eos = bpe.eos(tokenizer)
        return Reader(lambda given: tokenizer.encode(given, add_special_tokens=False).ids, (), (eos,), frozenset([eos]))

    def encode(given: str, special: bool = False) -> list[int]:
        return list(tokenizer(given, add_special_tokens=special, verbose=False)["input_ids"])

    plain, whole = encode("the cat"), encode("the cat", True)
    starts = (at for at in range(len(whole) - len(plain) + 1) if whole[at : at + len(plain)] == plain)
    at = next(starts, 0)
    first, last = tuple(whole[:at]), tuple(whole[at + len(plain) :])
    ends = (getattr(tokenizer, f"{name}_token_id", None) for name in ("eos", "sep"))
    end = next((number for number in ends if number is not None), None)
    if not last and end is not None and first[:1] != (end,):  # some begin every text with what ends it
        last = (int(end),)
    unknown = getattr(tokenizer, "unk_token_id", None)
    special = {int(number) for number in getattr(tokenizer, "all_special_ids", ()) if number != unknown}
    spaced = encode("the") + encode(" cat") == plain
    return Reader(encode, first, last, frozenset(special | {*first, *last}), spaced)


def fingerprint(tokenizer: Any) -> str:
    """sha256 of what decides how a tokenizer reads and writes texts, and which tokens are special to it."""
    inner = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    made: Any = None
    if isinstance(inner, Tokenizer):
        made = json.loads(inner.to_str())
        made |= {"truncation": None, "padding": None}  # left there by the last call
    elif hasattr(tokenizer, "get_vocab"):  # one in Python
        made = [sorted((str(token), number) for token, number in tokenizer.get_vocab().items())]
        made += [[number, repr(token)] for number, token in getattr(tokenizer, "added_tokens_decoder", {}).items()]
    facts = [f"{name}_token_id" for name in ("bos", "eos", "unk", "sep", "cls", "pad", "mask")]
    facts += ["clean_up_tokenization_spaces", "encode_special_tokens"]
    told = {name: getattr(tokenizer, name, None) for name in facts}
    return digest(type(tokenizer).__name__, made, told, sorted(getattr(tokenizer, "all_special_ids", ())))


def said(tokenizer: Any, counted: str) -> str:
    """The special tokens of a packed text in words, for a report."""
    how = reader(tokenizer)

    def names(ids: Sequence[int]) -> str:
        return " ".join(str(tokenizer.decode([number], skip_special_tokens=False)) for number in ids)

    first = f"every sequence begins with {names(how.first)}, " if how.first else ""
    last = f"every document ends with {names(how.last)}" if how.last else "nothing stands between documents"
    what = "; firings at special tokens are left out of the counts" if counted == "left_out" else ""
    return f"{first}{last}{what}"


def pack(
    tokenizer: Any, paths: Sequence[str], wanted: int, seq_len: int, without_text: Counter[str] | None = None
) -> np.ndarray:
    """Up to `wanted` tokens of the files as whole sequences (sequence, position), special tokens as the tokenizer's.

    Every document has the special tokens that the tokenizer adds to a text, an end of text where it adds none after
    it; and every sequence begins with those that begin a text, also inside a document. Attention crosses documents.

    Raises
    ------
    UserError
        If the files are missing or bad, or hold less than one sequence.
    """
    how = reader(tokenizer)
    first = np.array(how.first, dtype=np.uint32)
    if len(first) >= seq_len:
        raise UserError(f"seq_len = {seq_len} has no room for text after {len(first)} special tokens; raise it.")
    most = max(1, wanted // seq_len) * seq_len
    stream: list[np.ndarray] = []
    have = 0
    for ids in _stream(how, paths, without_text):
        stream.append(np.array(ids, dtype=np.uint32))
        have += len(ids)
        if have >= most:
            break
    rows = _rows(np.concatenate(stream) if stream else first[:0], first, seq_len)[: most // seq_len]
    if not len(rows):
        raise UserError(
            f"{shown(', '.join(paths))} gives {have} tokens, less than one sequence of {seq_len}; give more text, or a "
            "shorter --seq_len."
        )
    return rows.astype(np.int64)


def _stream(how: Reader, paths: Sequence[str], without_text: Counter[str] | None) -> Iterator[list[int]]:
    for document in text.documents(paths, domains=False, without_text=without_text):
        yield from how.ids(document.text)


def _rows(stream: np.ndarray, first: np.ndarray, seq_len: int) -> np.ndarray:
    """Whole sequences of a stream of tokens, each with the first tokens before it unless it begins with them."""
    if not len(first):
        whole = len(stream) // seq_len
        return stream[: whole * seq_len].reshape(whole, seq_len)
    rows: list[np.ndarray] = []
    at = 0
    while True:
        begins = np.array_equal(stream[at : at + len(first)], first)
        row = stream[at : at + seq_len - (0 if begins else len(first))]
        at += len(row)
        row = row if begins else np.concatenate((first, row))
        if len(row) < seq_len:
            return np.array(rows, dtype=stream.dtype).reshape(-1, seq_len)
        rows.append(row)
