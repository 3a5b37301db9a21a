"""A file of a run that is damaged, lost, edited or swapped is named when it is read."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.__main__ import main
from relusparsity.errors import UserError
from relusparsity.store import ondisk, sealed
from sealed_made import changed, copy

pytest_plugins = ("sealed_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")


def in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a byte changed": changed,
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "lost": Path.unlink,
    "a folder": in_its_place,
    "lost with its seal": lambda path: [each.unlink() for each in path.parent.glob(path.name + "*")] and None,
    "seal lost": lambda path: sealed.sidecar(path).unlink(),
    "seal no text": lambda path: sealed.sidecar(path).write_bytes(b"\xff" * 80) and None,
}


READ_ON_RESUMING = ("measurements/00000001.npz", "measurements/00000000.npz", "weights/00000002.safetensors", "state")


def refuses(named: str) -> None:
    with pytest.raises(UserError) as caught:
        train.run(tiny_run(), tiny_corpus())
    assert named in str(caught.value) and "delete the" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", READ_ON_RESUMING)
def test_a_run_does_not_go_on_over_a_damaged_file(
    name: str, damage: str, interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = copy(interrupted, tmp_path, monkeypatch)
    path = max(run.glob("states/0*/state.safetensors")) if name == "state" else run / name
    DAMAGE[damage](path)
    refuses(path.name)
    refuses(path.name)  # nothing of it was mended or removed meanwhile


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True)))) and None


LOG: dict[str, Callable[[Path], None]] = {
    "a folder": in_its_place,
    "lost": Path.unlink,
    "a byte changed": lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"2", 1)) and None,
    "no text": lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"\xff", 1)) and None,
    "a line lost": lines(lambda rows: rows[1:]),
    "two lines swapped": lines(lambda rows: [rows[1], rows[0], *rows[2:]]),
    "cut": lines(lambda rows: rows[:2]),
}


@pytest.mark.parametrize("damage", LOG)
def test_a_run_does_not_go_on_over_a_damaged_log(
    damage: str, interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = copy(interrupted, tmp_path, monkeypatch)
    LOG[damage](run / "metrics.jsonl")
    refuses("metrics.jsonl")


def test_what_comes_after_the_state_in_the_log_may_be_anything(
    interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = copy(interrupted, tmp_path, monkeypatch)
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'\xff\x00 {"step": ')
    train.run(tiny_run(), tiny_corpus())
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 40
    sealed.check(run / "metrics.jsonl")


@pytest.mark.parametrize("kind", ["measurements", "weights", "states"])
def test_files_swapped_with_their_seals_are_found(
    kind: str, interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = copy(interrupted, tmp_path, monkeypatch)
    if kind == "states":
        one, two = sorted(path for path in (run / kind).glob("0*"))
        pairs = [(one, two)]
    else:
        pairs = [(path, path.with_name(path.name.replace("1", "2"))) for path in (run / kind).glob("00000001.*")]
    for one, two in pairs:
        one.rename(one.with_name("between"))
        two.rename(one)
        one.with_name("between").rename(two)
    refuses("000000")
    shutil.rmtree(run / kind)
    shutil.copytree(other / kind, run / kind)
    refuses(f"was written in {other.name}")


@pytest.mark.parametrize("name", ["states/{} (copy)", "states/copy of {}", "states/{}.bak", "states/1", "states/{}0"])
def test_copies_of_states_are_none(
    name: str, interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = copy(interrupted, tmp_path, monkeypatch)
    newest = max((run / "states").glob("0*"))
    shutil.copytree(newest, run / name.format(newest.name))
    assert ondisk.last_state(run) == int(newest.name)
    for kind in ("weights", "measurements"):
        for path in (run / kind).glob("00000001.*"):
            shutil.copy(path, path.with_name(f"{path.stem} (copy){path.suffix}"))
    assert train.run(tiny_run(), tiny_corpus()).snapshots() == [0, 1, 2, 4, 8, 16, 20, 40]


def test_what_was_half_written_goes_but_no_link_is_followed(
    interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = copy(interrupted, tmp_path, monkeypatch)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / ".precious").touch()
    (run / "mine").symlink_to(elsewhere)
    (run / "weights" / ".link").symlink_to(elsewhere)
    (run / "weights" / ".00000001.safetensors.abc").touch()
    train.run(tiny_run(), tiny_corpus())
    assert (elsewhere / ".precious").is_file() and not list((run / "weights").glob(".*"))


# A finished run


def test_a_damaged_run_is_named_and_hides_no_other(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = copy(finished, tmp_path, monkeypatch)
    for name, content in (
        ("config.json", b"{}"),
        ("config.json", b""),
        ("config.json", b"\xff"),
        ("dataset.nc", b""),
        ("dataset.nc.sha256", b"\xff" * 80),
    ):
        before = (bad / name).read_bytes()
        (bad / name).write_bytes(content)
        assert main(["show"]) == 0
        said = capsys.readouterr().out
        assert good.name[4:] in said and f"damaged: {bad / name.removesuffix('.sha256')}" in said
        assert main(["show", bad.name]) == 2
        assert str(bad / name.removesuffix(".sha256")) in capsys.readouterr().err
        (bad / name).write_bytes(before)
    for name in ("dataset.nc", "dataset.nc.sha256"):
        shutil.copy(good / name, bad / name)
    assert main(["show"]) == 0
    assert f"was written in {good.name}" in capsys.readouterr().out
