"""Text files → packed sequences in the model's own tokens, in the files' order."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..corpora import bpe, text
from ..errors import UserError

MULTIPLES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


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
        number = float(found[1]) * MULTIPLES[found[2]] if found else 0.0
    except ValueError:
        number = 0.0
    if number < 1:
        raise UserError(f"{given!r} is no number of tokens; write it as 1M, 64k or 8192.")
    return round(number)


def pack(tokenizer: Any, paths: Sequence[str], wanted: int, seq_len: int) -> np.ndarray:
    """Up to `wanted` tokens of the files as whole sequences (sequence, position), end of text between documents.

    Attention crosses documents. No other special tokens are added.

    Raises
    ------
    UserError
        If the files are missing or bad, or hold less than one sequence.
    """
    encode, end = _reader(tokenizer)
    most = max(1, wanted // seq_len) * seq_len
    pieces: list[np.ndarray] = []
    have = documents = 0
    for document in text.documents(paths):
        ids = encode(document.text)
        if not ids:
            continue
        piece = np.array([*ids, *([] if end is None else [end])], dtype=np.uint32)
        pieces.append(piece)
        have, documents = have + len(piece), documents + 1
        if have >= most:
            break
    whole = min(have, most) // seq_len
    if not whole:
        raise UserError(
            f"{', '.join(paths)} gives {have} tokens, less than one sequence of {seq_len}; give more text, or a "
            "shorter --seq_len."
        )
    return np.concatenate(pieces)[: whole * seq_len].reshape(whole, seq_len).astype(np.int64)


def _reader(tokenizer: Any) -> tuple[Callable[[str], list[int]], int | None]:
    """What turns a text into ids, and the id that ends a document, if there is one."""
    if isinstance(tokenizer, Tokenizer):  # of a training run of this package
        return lambda given: tokenizer.encode(given, add_special_tokens=False).ids, bpe.eos(tokenizer)
    end = next((i for i in (tokenizer.eos_token_id, tokenizer.sep_token_id) if i is not None), None)
    return lambda given: tokenizer(given, add_special_tokens=False, verbose=False)["input_ids"], end
