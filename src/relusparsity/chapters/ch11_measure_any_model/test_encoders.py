"""The encoders' units are found and counted as a hook counts them; a pickle is read as values and runs nothing."""

import os
import pickle
import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from relusparsity.anymodel import track
from relusparsity.interventions.shuffles import shuffled

from . import encoders, public

SMALL = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40, "sequence_len": 8, "num_classes": 2}


def test_nanoguards_units_are_its_squared_relus() -> None:
    torch.manual_seed(0)
    model, ids = encoders.NanoGuard(SMALL).eval(), torch.randint(40, (3, 8))
    seen: list[torch.Tensor] = []
    for layer in range(2):
        model.get_submodule(f"transformer.h.{layer}.mlp.c_fc").register_forward_hook(
            lambda _, __, out: seen.append(out)
        )
    with torch.no_grad(), track(model) as use:
        assert model(ids).shape == (3, 2)
    assert [place.name for place in use.places] == ["transformer.h.0.mlp.act", "transformer.h.1.mlp.act"]
    for counted, out in zip(use.counts(), seen, strict=True):
        assert torch.equal(counted.unit_tokens, (out > 0).sum((0, 1)))


def test_nanoguards_attention_depends_on_distances_alone() -> None:
    """Rotary positions: where the sequence begins changes no product of a query with a key."""
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 4, 8)
    angles = torch.outer(torch.arange(9).float(), torch.rand(4))
    cosine, sine = angles.cos(), angles.sin()

    def products(first: int) -> torch.Tensor:
        at = slice(first, first + 4)
        return encoders._turned(q, cosine[at], sine[at]) @ encoders._turned(k, cosine[at], sine[at]).transpose(-1, -2)

    torch.testing.assert_close(products(0), products(5))
    assert not torch.allclose(products(0), q @ k.transpose(-1, -2), atol=1e-2)


def test_of_a_padded_word_the_letters_alone_count() -> None:
    torch.manual_seed(0)
    model = encoders.Uzmorph(letters=9, tags=4, d_model=16, longest=6).eval()
    ids = torch.tensor([[3, 4, 5, 0, 0, 0], [6, 7, 0, 0, 0, 0]])
    before: list[torch.Tensor] = []
    for layer in model.transformer_encoder.layers:
        layer.linear1.register_forward_hook(lambda _, __, out: before.append(out))
    with torch.no_grad(), track(model) as use:
        model(src=ids, attention_mask=(ids != 0).long())
    for counted, out in zip(use.counts(), before, strict=True):
        assert counted.tokens == 5 and counted.sequences == 2
        assert torch.equal(counted.unit_tokens, (out[ids != 0] > 0).sum(0))


def test_shuffled_has_the_same_numbers_elsewhere_and_the_same_vectors() -> None:
    torch.manual_seed(0)
    model = encoders.Uzmorph(letters=9, tags=4, d_model=16, longest=6)
    before = {name: value.clone() for name, value in model.named_parameters()}
    for name, value in shuffled(model).named_parameters():
        old = before[name]
        assert torch.equal(value.flatten().sort().values, old.flatten().sort().values)
        assert torch.equal(value, old) is (value.ndim < 2), name
    again = encoders.Uzmorph(letters=9, tags=4, d_model=16, longest=6)
    again.load_state_dict(before, strict=False)
    again.pos_encoder.load_state_dict(model.pos_encoder.state_dict())
    shuffled(again)
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), model.parameters(), strict=True))


class Encoding:
    """What the pickle names, and what must not be made of it."""


def _pickle(place: Path, monkeypatch: pytest.MonkeyPatch, value: Any) -> Path:
    modules = ModuleType("tiktoken"), ModuleType("tiktoken.core")
    modules[1].Encoding = Encoding  # type: ignore[attr-defined]
    monkeypatch.setattr(Encoding, "__module__", "tiktoken.core")
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    (place / "tokenizer.pkl").write_bytes(pickle.dumps(value))
    for module in modules:
        monkeypatch.delitem(sys.modules, module.__name__)
    return place / "tokenizer.pkl"


def _ranks(text: bytes, number: int) -> dict[bytes, int]:
    """Byte-level BPE of a text, learnt as it is told: the commonest pair becomes a token."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    parts = [bytes([byte]) for byte in text]
    while len(ranks) < 256 + number:
        (pair, _), *_ = Counter(pairwise(parts)).most_common(1)
        ranks[pair[0] + pair[1]] = len(ranks)
        parts = _merged(parts, ranks)
    return ranks


def _merged(parts: list[bytes], ranks: dict[bytes, int]) -> list[bytes]:
    """Merge the pair of the smallest rank until none is left: what a BPE means, without a tokenizer."""
    while True:
        pairs = [ranks.get(one + other, sys.maxsize) for one, other in pairwise(parts)]
        if min(pairs, default=sys.maxsize) == sys.maxsize:
            return parts
        at = pairs.index(min(pairs))
        parts = [*parts[:at], parts[at] + parts[at + 1], *parts[at + 2 :]]


def test_a_tokenizer_of_ranks_reads_as_its_ranks_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the thin thing that the other thinks of, naïve thoughts — then this"
    ranks = _ranks(text.encode(), 30)
    encoding = Encoding()
    vars(encoding).update(pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={"<last>": 287, "<first>": 286})
    tokenizer = encoders._tokenizer(_pickle(tmp_path, monkeypatch, encoding))
    for given in (text, "another: ünïcode 中文\n\n  end"):
        words = [word.encode() for word in re.findall(r"\S+|\s+", given)]
        expected = [ranks[part] for word in words for part in _merged([bytes([byte]) for byte in word], ranks)]
        assert tokenizer.encode(given).ids == expected and tokenizer.decode(expected) == given
    assert (tokenizer.token_to_id("<first>"), tokenizer.token_to_id("<last>")) == (286, 287)


def test_a_pickle_that_names_anything_else_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "made"),)

    with pytest.raises(pickle.UnpicklingError, match="mkdir, which is not looked up"):
        encoders._tokenizer(_pickle(tmp_path, monkeypatch, Runs()))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("word", "expected"),
    [("мактабларимиздан", "maktablarimizdan"), ("Ер", "yer"), ("кўзгуси", "ko'zgusi"), ("поезд", "poyezd")],
)
def test_uzbek_words_are_spelt_in_latin_letters(word: str, expected: str) -> None:
    assert public.latin(word) == expected
