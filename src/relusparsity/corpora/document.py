"""One document, and the hash that decides what becomes of it."""

import hashlib
from typing import NamedTuple


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
