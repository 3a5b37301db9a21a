"""Text as it comes: long lines, archives that unpack to much more, pipes, capitals, records without text, odd paths."""

import gzip
import io
import json
import lzma
import os
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpora_made import config, decoded, jsonl, texts
from relusparsity import paths
from relusparsity.corpora import bpe, load, pipes, text
from relusparsity.corpora.document import LONGEST, pieces
from relusparsity.errors import UserError

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".zst": zstandard.compress,
}


@pytest.fixture(autouse=True)
def no_pipe_of_another_test() -> Iterator[None]:
    yield
    pipes.forget()


def read(*given_paths: str | Path) -> list[str]:
    return [each.text for each in text.documents([str(path) for path in given_paths])]


@settings(deadline=None)
@given(st.text(alphabet="ab \n.é🙂", max_size=80), st.integers(2, 12))
def test_the_pieces_of_a_text_are_the_text(given_text: str, longest: int) -> None:
    found = list(pieces(given_text, longest))
    assert "".join(found) == given_text and all(len(piece) <= longest for piece in found)
    assert len(found) == 1 or all(found)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["the", "unit", "fires", "é🙂", "don't", "<eos>", "1234"]), min_size=2, max_size=40))
def test_a_byte_level_bpe_gives_a_text_in_pieces_the_ids_of_the_whole(words: list[str]) -> None:
    tokenizer, whole = _tokenizer(), " ".join(words)
    found = [i for piece in pieces(whole, 16) for i in tokenizer.encode(piece).ids]
    assert found == tokenizer.encode(whole).ids


_made: list = []


def _tokenizer():  # type: ignore[no-untyped-def]
    if not _made:
        _made.append(bpe.train(texts(20), 300))
    return _made[0]


def test_a_line_has_a_bound_and_nothing_is_lost(tmp_path: Path) -> None:
    before = "a short line\n" * 3
    for unit in ("the cat sat. ", "x"):
        whole = before + unit * (4 * LONGEST // len(unit)) + "\nthe end\n" + unit * 10
        (tmp_path / "a.txt").write_text(whole)
        found = read(tmp_path / "a.txt")
        assert "".join(found) == whole and max(map(len, found)) <= LONGEST + text.PIECE
        assert len(found) > 3
        if " " in unit:
            assert (
                sum(each.startswith(" sat") or each.startswith(" cat") or each.startswith(" the") for each in found) > 2
            )


@pytest.mark.parametrize("packed", [".gz", ".xz", ".zst"])
def test_what_unpacks_to_much_more_is_read_in_little_memory(packed: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.txt{packed}"
    path.write_bytes(PACK[packed](b"a" * 100_000_000))
    tracemalloc.start()
    first = next(text.documents([str(path)]))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(first.text) <= LONGEST + text.PIECE and most < 50_000_000


@pytest.mark.parametrize("packed", [".gz", ".xz", ".zst"])
def test_streams_follow_one_another_and_nothing_else_follows(packed: str, tmp_path: Path) -> None:
    path, pack = tmp_path / f"a.txt{packed}", PACK[packed]
    one, other = pack(b"one " * 999), pack(b"two " * 999)

    def found(data: bytes) -> str:
        path.write_bytes(data)
        return "".join(read(path))

    whole = "one " * 999 + "two " * 999
    assert found(one + other) == found(pack(b"") + one + pack(b"") + other) == whole
    for at in range(8):  # of the header: each byte changed, and the file cut there
        if not (packed == ".gz" and at > 3):  # the time and such, which a reader need not look at
            with pytest.raises(UserError, match=f"a.txt{packed} cannot be decompressed"):
                found(one + other[:at] + bytes([other[at] ^ 0x55]) + other[at + 1 :])
        with pytest.raises(UserError, match=f"a.txt{packed} cannot be decompressed"):
            found(one + other[: at + 1])
    for behind in (b"garbage", b"x", b"\0\0\0\0x" * 999):
        with pytest.raises(UserError, match=f"a.txt{packed} cannot be decompressed"):
            found(one + behind)
    with pytest.raises(UserError, match=f"a.txt{packed} cannot be decompressed .the file is empty"):
        found(b"")


@pytest.mark.parametrize("zeros", [1, 3, 4, 1022, 1024, 4096, 4097])
def test_zeros_in_fours_may_stand_behind_a_stream_of_xz(zeros: int, tmp_path: Path) -> None:
    path, (one, other) = tmp_path / "a.txt.xz", (lzma.compress(b"one "), lzma.compress(b"two"))
    for data, whole in ((one + bytes(zeros) + other, "one two"), (one + bytes(zeros), "one ")):
        path.write_bytes(data)
        if zeros % 4:
            with pytest.raises(UserError, match=f"a.txt.xz cannot be decompressed .{zeros} zero bytes"):
                read(path)
        else:
            assert "".join(read(path)) == whole


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("name", ["A.JSONL", "b.Txt"])
def test_capitals_in_a_name_change_nothing(name: str, packed: str, tmp_path: Path) -> None:
    content = jsonl(tmp_path / "x", texts(3)).read_bytes() if "JSON" in name else texts(1)[0].encode()
    for each in (name, name.lower()):
        (tmp_path / f"{each}{packed.upper() if each == name else packed}").write_bytes(PACK[packed](content))
    as_given, small = read(tmp_path / f"{name}{packed.upper()}"), read(tmp_path / f"{name.lower()}{packed}")
    assert as_given == small and len(small) == (3 if "JSON" in name else 1)
    assert text.stem(f"x/{name}{packed.upper()}") == name[0]


def test_records_without_text_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": each, "source": None, "more": 10**4000 if i == 3 else [None]} for i, each in enumerate(texts(30))]
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for row in rows:
            if len(str(row["more"])) > 9:
                file.write(json.dumps(row | {"more": 0})[:-2] + "9" * 5000 + "}\n")  # as many digits as Python refuses
            else:
                file.write(json.dumps(row) + "\n")
            file.write('{"text": null}\n\n')
    none: Counter[str] = Counter()
    found = list(text.documents([str(path)], without_text=none))
    assert [each.text for each in found] == texts(30) and {each.domain for each in found} == {"a"}
    assert none == {str(path): 30}
    corpus = load(config(path), tmp_path / "cache")
    assert sorted(decoded(corpus, corpus.train) + decoded(corpus, corpus.heldout)) == sorted(texts(30))
    assert f"{path}: 30 records left out, whose text is null" in capsys.readouterr().err
    path.write_text('{"text": "a", "source": 3}\n')
    with pytest.raises(UserError, match='"source" is 3'):
        list(text.documents([str(path)]))
    assert [each.text for each in text.documents([str(path)], domains=False)] == ["a"]


def through_a_pipe(content: Iterator[bytes]) -> Path:
    """A path that gives what is written by another thread, for as long as it is read."""
    reading, writing = os.pipe()

    def write() -> None:
        try:
            with os.fdopen(writing, "wb", buffering=0) as file:
                for some in content:
                    file.write(some)
        except BrokenPipeError:
            pass

    threading.Thread(target=write, daemon=True).start()
    return Path(f"/dev/fd/{reading}")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
@pytest.mark.parametrize("packed", PACK)
def test_a_pipe_is_read_as_often_as_wanted(packed: str, tmp_path: Path) -> None:
    data = jsonl(tmp_path / "a.jsonl", texts(40)).read_bytes()
    path = through_a_pipe(iter([PACK[packed](data)]))
    assert read(path) == read(path) == texts(40)
    assert text.fingerprint([str(path)]) == text.fingerprint([str(path)])
    corpus = load(config(path), tmp_path / "cache")
    assert sorted(decoded(corpus, corpus.train) + decoded(corpus, corpus.heldout)) == sorted(texts(40))
    assert read(through_a_pipe(iter([b"plain text\n", b"{with a bracket}\n"]))) == ["plain text\n{with a bracket}\n"]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_of_a_pipe_without_end_no_more_is_read_than_is_wanted() -> None:
    written = []

    def endless() -> Iterator[bytes]:
        while True:
            written.append(1)
            yield b"the cat sat on the mat\n" * 1000

    found = text.documents([str(through_a_pipe(endless()))])
    for _ in range(5):
        next(found)
    assert len(written) < 100


def test_a_path_that_can_be_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for given_path in ("x" * 5000, "x" * 5000 + "/y", "~nobody-has-this-name/x", "a\0b", str(tmp_path / "round")):
        with pytest.raises(UserError, match="cannot be the path of a file") as told:
            paths.path(given_path)
        assert len(str(told.value)) < 400 and "\0" not in str(told.value)
    assert paths.path("~/x") == Path.home() / "x"
    assert paths.path(tmp_path / "not there") == tmp_path / "not there"


def test_whether_a_folder_can_be_written_is_tried_and_leaves_nothing(tmp_path: Path) -> None:
    paths.writable(tmp_path / "a" / "b", ("x",))
    (tmp_path / "taken" / "x").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    for folder in (tmp_path / "taken", tmp_path / "file", tmp_path / "file" / "a", Path("/proc/x")):
        with pytest.raises(UserError, match="cannot be written"):
            paths.writable(folder, ("x",))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_the_disk_does_not_give_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jsonl(tmp_path / "a.jsonl", texts(3))

    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: memoryview) -> int:  # type: ignore[override]
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(text, "_bytes", lambda _: io.BufferedReader(Broken()))
    for read_it in (lambda: list(text.documents([str(path)])), lambda: text.fingerprint([str(path)])):
        with pytest.raises(UserError, match=r"a\.jsonl cannot be read \(Input/output error\)"):
            read_it()
