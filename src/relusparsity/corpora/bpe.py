"""Byte-level BPE: every text has a tokenisation, and every token a known number of bytes."""

import heapq
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm

from ..errors import UserError
from ..identity import digest
from .document import draw

EOS = "<eos>"


def check_vocab_size(vocab_size: int) -> None:
    """Raise UserError for a vocabulary that cannot hold the 256 bytes and `<eos>`."""
    if vocab_size < 257:
        raise UserError(f"vocab_size = {vocab_size}: a byte-level BPE needs at least 257 (256 bytes and {EOS}).")


def sample(texts: Iterable[str], limit: int) -> list[str]:
    """The texts with the smallest hashes that fit into `limit` bytes of UTF-8: the same in any order of texts.

    Holds no more than the sample and one text in memory.
    """
    heap: list[tuple[float, bytes]] = []
    size = 0
    with tqdm(desc="sampling text for the BPE", unit="B", unit_scale=True, disable=None) as bar:
        for text in texts:
            data = text.encode()
            heapq.heappush(heap, (-draw(data).sample, data))
            size += len(data)
            bar.update(len(data))
            while size - len(heap[0][1]) >= limit:  # those with smaller hashes fill it alone
                size -= len(heapq.heappop(heap)[1])
    if size > limit and len(heap) > 1:
        heapq.heappop(heap)
    return [data.decode() for _, data in sorted(heap, reverse=True)]


def train(texts: list[str], vocab_size: int) -> Tokenizer:
    """A BPE of exactly `vocab_size` types.

    Raises
    ------
    UserError
        For a vocabulary too small to hold every byte, or too large for the text.
    """
    check_vocab_size(vocab_size)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() < vocab_size:
        raise UserError(
            f"the text has only enough words for {tokenizer.get_vocab_size()} token types, "
            f"vocab_size = {vocab_size} asks for more; lower it or give more text."
        )
    return tokenizer


def read(path: Path, vocab_size: int | None = None) -> Tokenizer:
    """A saved tokenizer, checked: it holds every byte and `<eos>`, gives texts back unchanged, is of the size asked.

    Raises
    ------
    UserError
        Naming the file and what it lacks.
    """
    if not path.is_file():
        raise UserError(f"no tokenizer file {path}; give the path of a saved tokenizer.json.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain Exception
        raise UserError(f"{path} is no tokenizer file ({error}).") from error
    # a document that *writes* "<eos>" (many docstrings do) must not end there
    tokenizer.encode_special_tokens = True
    missing = {EOS, *pre_tokenizers.ByteLevel.alphabet()} - set(tokenizer.get_vocab())
    if missing:
        raise UserError(
            f"{path} is no byte-level tokenizer with {EOS}: it lacks {len(missing)} of the 257 needed tokens."
        )
    probe = f"It's {EOS} Ünïcode…\r\n\t  end "
    back = tokenizer.decode(tokenizer.encode(probe, add_special_tokens=False).ids, skip_special_tokens=False)
    if back != probe:
        raise UserError(f"{path} does not give a text back unchanged; expected a byte-level BPE without prefix space.")
    if vocab_size is not None and tokenizer.get_vocab_size() != vocab_size:
        raise UserError(
            f"{path} has {tokenizer.get_vocab_size()} token types but vocab_size = {vocab_size}; give both the same."
        )
    return tokenizer


def checksum(tokenizer: Tokenizer) -> str:
    """sha256 over the token types in the order of their numbers; that of a copy is the same."""
    numbers = tokenizer.get_vocab()
    return digest(sorted(numbers, key=numbers.__getitem__))


def eos(tokenizer: Tokenizer) -> int:
    """Number of the token that ends every document."""
    number = tokenizer.token_to_id(EOS)
    assert number is not None, "`read` lets no tokenizer without it pass"
    return number


def token_bytes(tokenizer: Tokenizer) -> np.ndarray:
    """Bytes of UTF-8 that each token stands for, `(token type,)`; 0 for `<eos>`."""
    sizes = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for token, number in tokenizer.get_vocab().items():
        sizes[number] = len(token)  # the byte alphabet writes each byte as one character
    for number, added in tokenizer.get_added_tokens_decoder().items():
        sizes[number] = 0 if added.content == EOS else len(added.content.encode())
    return sizes
