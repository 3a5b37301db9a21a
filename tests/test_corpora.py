"""Text in, tokens out: nothing lost, nothing twice, the same every time."""

import gzip
import lzma
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from corpora_made import config, decoded, jsonl, made, texts
from relusparsity.corpora import bpe, load, store, text
from relusparsity.errors import UserError

# Tokens


def test_every_document_comes_back_in_exactly_one_part(tmp_path: Path) -> None:
    given_texts = texts(60)
    corpus = load(config(jsonl(tmp_path / "a.jsonl", given_texts)), tmp_path / "cache")
    train, heldout = decoded(corpus, corpus.train), decoded(corpus, corpus.heldout)
    assert sorted(train + heldout) == sorted(given_texts)
    assert [each for each in given_texts if each in set(train)] == train  # recorded order
    assert corpus.documents == len(train) and 8 <= len(heldout) <= 28
    assert corpus.heldout_bytes == sum(len(each.encode()) for each in heldout)
    assert corpus.token_bytes[corpus.heldout].sum() == corpus.heldout_bytes
    assert corpus.vocab_size == 300 and corpus.train.dtype == np.uint16
    assert isinstance(corpus.train, np.memmap)


def test_the_part_of_a_document_depends_on_its_text_alone(tmp_path: Path) -> None:
    some = texts(60)
    first = load(config(jsonl(tmp_path / "a.jsonl", some)), tmp_path / "cache")
    second = load(config(jsonl(tmp_path / "b.jsonl", some[::-1] + texts(20, seed=1))), tmp_path / "cache")
    assert set(decoded(first, first.heldout)) <= set(decoded(second, second.heldout))
    assert not set(decoded(second, second.heldout)) & set(decoded(second, second.train))


def test_domains_split_the_heldout_text(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    jsonl(tmp_path / "in" / "a.jsonl", texts(40), source="wiki")
    jsonl(tmp_path / "in" / "b.jsonl", texts(40, seed=1))
    corpus = load(config(tmp_path / "in"), tmp_path / "cache")
    assert set(corpus.domains) == {"wiki", "b"}
    assert set(decoded(corpus, corpus.domains["wiki"])) == set(texts(40)) & set(decoded(corpus, corpus.heldout))
    assert sum(map(len, corpus.domains.values())) == len(corpus.heldout)
    for domain, tokens in corpus.domains.items():
        assert corpus.token_bytes[tokens].sum() == corpus.domain_bytes[domain]


def test_named_heldout_files_leave_the_training_text_whole(tmp_path: Path) -> None:
    a = jsonl(tmp_path / "a.jsonl", texts(30))
    held, web = jsonl(tmp_path / "held.jsonl", texts(5, seed=1)), jsonl(tmp_path / "c4-eval.jsonl", texts(4, seed=2))
    corpus = load(config(a, heldout_paths=(str(held), str(web))), tmp_path / "cache")
    assert decoded(corpus, corpus.train) == texts(30)
    assert decoded(corpus, corpus.heldout) == texts(5, seed=1)
    assert list(corpus.extra) == ["c4-eval"]
    assert decoded(corpus, corpus.extra["c4-eval"]) == texts(4, seed=2)
    assert corpus.extra_bytes["c4-eval"] == sum(len(each.encode()) for each in texts(4, seed=2))
    with pytest.raises(UserError, match="same name"):
        load(config(a, heldout_paths=(str(held), str(held))), tmp_path / "cache")


@cache
def trained() -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        return bpe.read(Path(_saved(Path(folder))), 300)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_every_text_is_represented_exactly(each: str) -> None:
    tokenizer = trained()
    ids = tokenizer.encode(each, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == each
    assert bpe.token_bytes(tokenizer)[ids].sum() == len(each.encode())
    assert bpe.eos(tokenizer) not in ids


def test_the_bpe_sample_is_bounded_and_knows_no_order() -> None:
    some = texts(50)
    size = sum(len(each.encode()) for each in some)
    sampled = bpe.sample(some, size // 3)
    assert sampled == bpe.sample(some[::-1], size // 3)
    assert set(sampled) < set(some)
    assert size / 4 < sum(len(each.encode()) for each in sampled) <= size / 3
    assert sorted(bpe.sample(some, size)) == sorted(some)


def test_large_text_is_tokenised_in_batches_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(40))
    whole = load(config(path), tmp_path / "one")
    monkeypatch.setattr(store, "BATCH_CHARACTERS", 500)
    assert load(config(path), tmp_path / "two").checksum == whole.checksum


def test_a_saved_tokenizer_is_reused(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(40))
    first = load(config(path), tmp_path / "cache")
    saved = str(first.folder / "tokenizer.json")
    other = load(config(jsonl(tmp_path / "b.jsonl", texts(40, seed=1)), tokenizer=saved), tmp_path / "cache")
    assert other.tokenizer.to_str() == first.tokenizer.to_str()
    with pytest.raises(UserError, match="300 token types but vocab_size = 301"):
        load(config(path, tokenizer=saved, vocab_size=301), tmp_path / "cache")
    with pytest.raises(UserError, match="no tokenizer file"):
        load(config(path, tokenizer=str(tmp_path / "none.json")), tmp_path / "cache")
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(UserError, match="is no tokenizer file"):
        load(config(path, tokenizer=str(broken)), tmp_path / "cache")
    broken.write_text(Path(saved).read_text().replace('"add_prefix_space": false', '"add_prefix_space": true'))
    assert broken.read_text() != Path(saved).read_text()
    with pytest.raises(UserError, match="does not give a text back unchanged"):
        load(config(path, tokenizer=str(broken)), tmp_path / "cache")
    broken.write_text(Path(saved).read_text().replace("<eos>", "<end>"))
    with pytest.raises(UserError, match="lacks 1 of the 257"):
        load(config(path, tokenizer=str(broken)), tmp_path / "cache")


# Files


def test_all_kinds_of_files_give_the_same_documents(tmp_path: Path) -> None:
    plain = jsonl(tmp_path / "a.jsonl", texts(5)).read_bytes()
    whole = list(text.documents((str(tmp_path / "a.jsonl"),)))
    assert [each.text for each in whole] == texts(5) and {each.domain for each in whole} == {"a"}
    frames = zstandard.compress(plain[:200]) + zstandard.compress(plain[200:])
    for suffix, data in {".gz": gzip.compress(plain), ".xz": lzma.compress(plain), ".zst": frames}.items():
        packed = tmp_path / f"a.jsonl{suffix}"
        packed.write_bytes(data)
        assert list(text.documents((str(packed),))) == whole
        packed.write_bytes(data[:-8])
        with pytest.raises(UserError, match=f"a.jsonl{suffix} cannot be decompressed"):
            list(text.documents((str(packed),)))


def test_a_long_text_file_is_cut_at_line_ends(tmp_path: Path) -> None:
    book = "".join(texts(400))
    (tmp_path / "book.txt").write_text(book)
    pieces = [each.text for each in text.documents((str(tmp_path / "book.txt"),))]
    assert "".join(pieces) == book and len(pieces) > 2
    assert all(each.endswith("\n") and len(each) < 2 * text.PIECE for each in pieces)


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt", ".hidden.txt", "image.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [each.text for each in text.documents((str(tmp_path),))] == ["a.txt", "b.txt", "sub/c.txt"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a.jsonl, line 2: not JSON"),
        ("a.jsonl", b'\n["x"]\n', r'a.jsonl, line 2: expected an object with a string "text"'),
        ("a.jsonl", b'{"text": 3}', r'a.jsonl, line 1: expected an object with a string "text"'),
        ("a.jsonl", b'{"text": "x", "source": 3}', r'a.jsonl, line 1: "source" is 3'),
        ("a.jsonl", rb'{"text": "\ud800"}', r"a.jsonl, line 1: half a character"),
        ("a.txt", b"\x00\x01\x02", "a.txt is a binary file"),
        ("a.txt", b"\xff\xfe\x80", "a.txt is not UTF-8 text"),
        ("a.txt", b" \n\n", "the corpus a is empty"),
        ("a.png", b"x", "a.png is no text file"),
        ("a.txt.gz", b"hello", "cannot be decompressed"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        load(config(tmp_path / name, tokenizer=_saved(tmp_path)), tmp_path / "cache")
    assert made(tmp_path / "cache") == [], "nothing half-made stays behind"


def _saved(folder: Path) -> str:
    bpe.train(texts(20), 300).save(str(folder / "tokenizer.json"))
    return str(folder / "tokenizer.json")
