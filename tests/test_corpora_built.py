"""How a corpus is built once, read back, and refused."""

import dataclasses
import multiprocessing
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from corpora_made import config, decoded, jsonl, made, texts
from relusparsity.config import CorpusConfig
from relusparsity.corpora import docs, golden, hf, load, store
from relusparsity.errors import UserError


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
