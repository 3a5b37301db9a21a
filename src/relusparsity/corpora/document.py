"""One document, the hash that decides what becomes of it, and the pieces that it is tokenised in."""

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 100_000
"""Characters that are tokenised at a time, and that a line of text has at most; memory has a bound."""

_SEAM = re.compile(r"(?<=\S) (?=\S)")


class Document(NamedTuple):
    """A text and the domain it is counted under (a package, a source, a file)."""

    text: str
    domain: str


class Draw(NamedTuple):
    """Two independent numbers in [0, 1) that depend on a text alone, not on its place or its file."""

    split: float
    sample: float


def draw(data: bytes) -> Draw:
    """Numbers for a document's UTF-8 bytes: one splits held-out from training, one samples for the BPE."""
    first, second = (hashlib.sha256(data).digest()[i : i + 8] for i in (0, 8))
    return Draw(int.from_bytes(first, "big") / 2**64, int.from_bytes(second, "big") / 2**64)


def pieces(text: str, longest: int = LONGEST) -> Iterator[str]:
    """The text, cut before its single spaces where it is longer; there a byte-level BPE has a seam anyway.

    >>> list(pieces("one two three", 9))
    ['one two', ' three']
    """
    start = 0
    while len(text) - start > longest:
        end = start + seam(text[start : start + longest])
        yield text[start:end]
        start = end
    yield text[start:]


def seam(text: str) -> int:
    """Where to cut a text that goes on: before its last single space, or at its end if it has none but the first."""
    for back in (1_000, len(text)):
        found = [match.start() for match in _SEAM.finditer(text, max(1, len(text) - back))]
        if found:
            return found[-1]
    return len(text)
