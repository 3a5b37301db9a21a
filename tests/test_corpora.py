"""Text in, tokens out: nothing lost, nothing twice, the same every time, and one clear sentence when it cannot be."""

import dataclasses
import gzip
import json
import lzma
import multiprocessing
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from relusparsity import corpora
from relusparsity.config import CorpusConfig
from relusparsity.corpora import Corpus, batch, bpe, chunks, docs, golden, heldout_sequences, hf, load, store, text
from relusparsity.corpora.batches import order
from relusparsity.errors import UserError

SENTENCE = "the unit fires where its activation is above zero and the layer counts how many of them do"


def texts(count: int, seed: int = 0) -> list[str]:
    """Distinct short documents, with characters of one to four bytes and a written-out `<eos>`."""
    rng = np.random.default_rng(seed)
    return [f"{i}: {' '.join(rng.choice(SENTENCE.split(), 30))} é … 🙂 <eos>\n" for i in range(count)]


def made(cache: Path) -> list[Path]:
    """What stands in a cache, but for the locks."""
    return [path for path in cache.glob("*") if path.suffix != ".lock"]


def jsonl(path: Path, documents: list[str], source: str | None = None) -> Path:
    rows = [{"text": each} | ({"source": source} if source else {}) for each in documents]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(*paths: Path, **changes: object) -> CorpusConfig:
    plain = CorpusConfig(source="text", paths=tuple(map(str, paths)), vocab_size=300, heldout_share=0.3)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def decoded(corpus: Corpus, tokens: np.ndarray) -> list[str]:
    """The documents of a token array, cut at `<eos>`."""
    ends = np.flatnonzero(tokens == corpus.eos)
    pieces = np.split(tokens, ends + 1)
    assert len(pieces.pop()) == 0, "every document ends with <eos>"
    return [corpus.tokenizer.decode(piece[:-1].tolist(), skip_special_tokens=False) for piece in pieces]


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


def test_bad_requests_are_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(20))
    (tmp_path / "empty").mkdir()
    for changed, sentence in {
        config(tmp_path / "none.txt"): "no file or folder",
        config(tmp_path / "empty"): "holds no text file",
        config(): "needs paths",
        config(path, vocab_size=256): "vocab_size = 256",
        config(path, vocab_size=5000): "the text has only enough words for",
        config(path, heldout_share=1e-9): "no document for its heldout part",
    }.items():
        with pytest.raises(UserError, match=sentence):
            load(changed, tmp_path / "cache")
    with pytest.raises(UserError, match="'web': expected one of docs, text, hf"):
        config(path, source="web")


# The cache


def test_a_second_load_reads_back_without_building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(20))
    first = load(config(path), tmp_path / "cache")
    monkeypatch.setattr(store, "_build_beside", None)
    moved = path.rename(tmp_path / "cache" / "a.jsonl")
    second = load(config(moved), tmp_path / "cache")
    assert second.checksum == first.checksum and second.folder == first.folder
    jsonl(moved, texts(21))
    with pytest.raises(TypeError):  # other text: would build
        load(config(moved), tmp_path / "cache")


@pytest.mark.parametrize("file", ["train.bin", "heldout.bin", "tokenizer.json", "heldout-domains.npy", "manifest.json"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(20))
    damaged = load(config(path), tmp_path / "cache").folder / file
    os.truncate(damaged, damaged.stat().st_size // 2)
    with pytest.raises(UserError, match=f"{file} is .*delete the folder"):
        load(config(path), tmp_path / "cache")
    damaged.unlink()
    with pytest.raises(UserError, match=f"{file} (is missing|does not exist); delete the folder"):
        load(config(path), tmp_path / "cache")


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(20))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(golden, "GUARD", SimpleNamespace(meaning=lambda: 2))
        patched.setattr(store._Part, "add", full)
        with pytest.raises(UserError, match=r"cache/.* cannot be written \(No space"):
            load(config(path), tmp_path / "cache")
    assert made(tmp_path / "cache") == []
    assert load(config(path), tmp_path / "cache").documents


def _load_checksum(path: str, cache: str, together: Any) -> tuple[str, int]:
    """The corpus's checksum, and how often this process built it."""
    builds, build = [], store._build_beside

    def slow(*arguments: Any) -> None:
        builds.append(1)
        time.sleep(1)  # long enough for the other to come to the same place
        build(*arguments)

    store._build_beside = slow
    together.wait()
    return load(config(Path(path)), Path(cache)).checksum, len(builds)


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(200))
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(2) as pool:
        given = (str(path), str(tmp_path / "cache"), manager.Barrier(2))
        both = pool.starmap(_load_checksum, [given] * 2, chunksize=1)
    assert sorted(builds for _, builds in both) == [0, 1]
    assert {checksum for checksum, _ in both} == {load(config(path), tmp_path / "cache").checksum}
    assert len(made(tmp_path / "cache")) == 1


def test_a_folder_finished_meanwhile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(20))
    build = store.build

    def overtaken(*args: object) -> None:
        monkeypatch.setattr(store, "build", build)
        load(config(path), tmp_path / "cache")  # the other process
        build(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(golden, "GUARD", SimpleNamespace(meaning=lambda: 2))
    monkeypatch.setattr(store, "build", overtaken)
    monkeypatch.setattr(store, "FileLock", nullcontext)  # a file system on which locks are each machine's own
    assert load(config(path), tmp_path / "cache").documents
    assert len(made(tmp_path / "cache")) == 1


# Docstrings


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages that cannot be imported, with docstrings in every place that has them."""
    long = ", and so on in many words" * 5
    for name, body in {
        "alpha": f'''"""Module{long}"""
raise RuntimeError("imported")
class A:
    """Class{long}"""
    if True:
        async def method(self):
            """Method{long}"""
            def inner():
                """Inner
                indented{long}"""
try:
    pass
except ValueError:
    def rescue(): """Rescue{long}"""
def short(): """Too short."""
def half(): """Half a character \\ud800{long}"""
x = """No docstring{long}"""
''',
        "beta": f'def a(): """Only here{long}"""\ndef b(): """Class{long}"""\n',
    }.items():
        (tmp_path / "site" / name / "tests").mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text(body)
        (tmp_path / "site" / name / "broken.py").write_text("print 'Python 2'\n")
        (tmp_path / "site" / name / "tests" / "test_it.py").write_text(f'"""Of a test{long}"""')
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(docs, "PACKAGES", ("alpha", "beta"))
    return tmp_path / "site"


def test_docstrings_are_found_without_importing(packages: Path) -> None:
    found = list(docs.documents())
    starts = {each.text.split(",")[0]: each.domain for each in found}
    assert starts == {
        "Module": "alpha",
        "Class": "alpha",  # also in beta, counted once
        "Method": "alpha",
        "Inner\nindented": "alpha",
        "Rescue": "alpha",
        "Only here": "beta",
    }
    assert len(found) == len(starts)
    assert "alpha" not in sys.modules and list(docs.documents()) == found


def test_docs_change_with_the_source_and_need_their_packages(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = docs.fingerprint()
    assert docs.fingerprint() == before
    (packages / "beta" / "__init__.py").write_text("")
    assert docs.fingerprint() != before
    monkeypatch.setattr(docs, "PACKAGES", ("alpha", "no_such_package_here"))
    with pytest.raises(UserError, match="no_such_package_here, which is not installed"):
        docs.fingerprint()


def test_modules_are_found_as_pathlib_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import networkx

    root = Path(networkx.__file__).parent
    found = [(file.relative_to(root), file) for file in root.rglob("*.py")]
    chosen = [each for each in found if not any(part.startswith("test") for part in each[0].parts)]
    monkeypatch.setattr(docs, "PACKAGES", ("networkx",))
    assert docs.sources() == sorted(("networkx", inside.as_posix(), file) for inside, file in chosen)
    assert 100 < len(chosen) < len(found) and ("networkx", "__init__.py", root / "__init__.py") in docs.sources()


def test_docs_of_one_real_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "PACKAGES", ("IPython",))
    corpus = load(CorpusConfig(vocab_size=512), tmp_path)
    assert list(corpus.domains) == ["IPython"] and corpus.name == "docs"
    assert len(corpus.train) > 4 * len(corpus.heldout) * 0.6 > 10_000


# The hub


def test_a_set_made_on_disk_is_streamed_up_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="the optional extra relusparsity[hf]")
    (tmp_path / "set").mkdir()
    jsonl(tmp_path / "set" / "train.jsonl", texts(50))
    size = len(texts(1)[0].encode())
    asked = config(source="hf", name=str(tmp_path / "set"), max_bytes=40 * size)
    corpus = load(asked, tmp_path / "cache")
    together = decoded(corpus, corpus.train) + decoded(corpus, corpus.heldout)
    assert set(together) < set(texts(50)) and len(together) == len(set(together))
    before_last = sum(len(each.encode()) for each in texts(50)[: len(together) - 1])
    assert before_last < 40 * size <= sum(len(each.encode()) for each in texts(50)[: len(together)])
    monkeypatch.setattr(hf, "_stream", None)  # the second time nothing is streamed
    assert load(asked, tmp_path / "cache").checksum == corpus.checksum


def test_what_the_hub_source_needs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the optional extra relusparsity[hf]")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"words": "x"}\n')
    plain = config(source="hf", name=str(tmp_path / "set"), max_bytes=100)

    def no_network(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the Hub")

    with pytest.raises(UserError, match="has the columns words; expected text in 'text'"):
        load(plain, tmp_path / "cache")
    with pytest.raises(UserError, match="max_bytes = None"):
        load(dataclasses.replace(plain, max_bytes=None), tmp_path / "cache")
    with pytest.raises(UserError, match="needs the name of a set"):
        load(dataclasses.replace(plain, name=None), tmp_path / "cache")
    with monkeypatch.context() as patched, pytest.raises(UserError, match=r"needs a network.*source='docs'"):
        patched.setattr(datasets, "load_dataset", no_network)
        load(plain, tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install relusparsity\[hf\]"):
        load(plain, tmp_path / "cache")
    assert made(tmp_path / "cache") == []


# Batches

texts_of_numbers = st.integers(12, 90).map(np.arange)


@given(texts_of_numbers, st.integers(1, 10), st.integers(1, 12), st.integers(0, 5))
def test_every_chunk_comes_exactly_once_an_epoch(tokens: np.ndarray, seq_len: int, sequences: int, seed: int) -> None:
    count = chunks(len(tokens), seq_len)
    assert count * seq_len + 1 <= len(tokens) < (count + 1) * seq_len + 1
    epochs = 3
    steps = -(-epochs * count // sequences)
    seen = np.concatenate([batch(tokens, seq_len, sequences, seed, step) for step in range(steps)])
    assert seen.shape == (steps * sequences, seq_len + 1)
    assert (np.diff(seen, axis=1) == 1).all()  # each row is a run of the text, targets included
    for epoch in range(epochs):
        starts = seen[epoch * count : (epoch + 1) * count, 0]
        assert sorted(starts) == [i * seq_len for i in range(count)]
        assert (starts == order(count, seed, epoch) * seq_len).all()


@given(texts_of_numbers, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 50))
def test_the_slices_of_the_ranks_are_the_batch(
    tokens: np.ndarray, seq_len: int, each: int, ranks: int, step: int
) -> None:
    whole = batch(tokens, seq_len, each * ranks, 7, step)
    parts = [batch(tokens, seq_len, each * ranks, 7, step, rank, ranks) for rank in range(ranks)]
    assert (np.concatenate(parts) == whole).all()


def test_the_order_differs_by_seed_and_epoch_and_never_changes() -> None:
    orders = {tuple(order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert order(8, 0, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]  # recorded runs depend on it


@given(texts_of_numbers, st.integers(1, 11))
def test_heldout_sequences_are_the_text_in_order(tokens: np.ndarray, seq_len: int) -> None:
    sequences = heldout_sequences(tokens, seq_len)
    targets = sequences[:, 1:].ravel()
    assert (targets == tokens[1 : len(targets) + 1]).all()
    assert (sequences[:, :-1].ravel() == tokens[: len(targets)]).all()
    assert len(tokens) - 1 - len(targets) < seq_len


def test_too_short_a_text_is_said() -> None:
    with pytest.raises(UserError, match="the held-out text has 8 tokens, too few for one sequence of 8"):
        heldout_sequences(np.arange(8), 8)
    with pytest.raises(UserError, match="the training text has 8 tokens"):
        batch(np.arange(8), 8, 1, 0, 0)
    with pytest.raises(UserError, match="2 processes do not divide a batch of 3"):
        batch(np.arange(9), 2, 3, 0, 0, 0, 2)


def test_text_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "text.jsonl"
    file.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts(100)))
    config = CorpusConfig(source="text", paths=(str(file),), vocab_size=270)
    read = text.documents

    def changing(*given: Any, **named: Any) -> Any:
        file.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts(100, seed=1)))
        return read(*given, **named)

    monkeypatch.setattr(text, "documents", changing)
    with pytest.raises(UserError, match="changed while it was read"):
        load(config, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_process_reads_a_corpus_once_until_a_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    for word in ("one two three\n\n", "four five six\n\n"):
        file.write_text("".join(f"{word * 40}{number}\n" for number in range(400)))
        config = CorpusConfig(source="text", paths=(str(file),), vocab_size=300)
        first = load(config, tmp_path / "cache")
        assert load(config, tmp_path / "cache") is first
    os.utime(first.folder / "train.bin")
    again = load(config, tmp_path / "cache")
    assert again is not first and again.checksum == first.checksum


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text("one")
    times, config = file.stat(), CorpusConfig(source="text", paths=(str(file),))
    before = corpora._state(config, tmp_path / "no tokens")
    assert corpora._state(config, tmp_path / "no tokens") == before
    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert corpora._state(config, tmp_path / "no tokens") != before
