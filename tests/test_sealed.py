"""A file of a run that is damaged, lost, edited or swapped is named when it is read; nothing finishes with a gap."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures_core import tiny_corpus, tiny_run, train_in_child
from relusparsity import corpora, train
from relusparsity.__main__ import main
from relusparsity.config import CorpusConfig
from relusparsity.corpora import hf
from relusparsity.errors import UserError
from relusparsity.measure import runs as checkpoints
from relusparsity.store import ondisk, results, sealed
from relusparsity.train import loop

start = multiprocessing.get_context("forkserver")
NEVER = {"optimizer": "sgd", "lr": 1e30, "clip": 0.0, "schedule": "constant", "warmup": 640}
WILD = {f"train.{name}": value for name, value in NEVER.items()} | {"model.positions": "none"}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of runs with one that was killed after some states, and one of another seed."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        start.set_forkserver_preload(["fixtures_core", "torch._dynamo"])
        for seed, changes in ((0, 100), (1, 100)):
            child = start.Process(target=train_in_child, args=(folder, {}, seed, changes))
            child.start()
            child.join()
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of two finished runs, of seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(folder))
        for seed in (0, 1):
            train.run(tiny_run(seed=seed, **{"train.tokens": 512}), tiny_corpus())
    return folder


def copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The runs of seeds 0 and 1 in a copy of a directory of runs, which is the one in use from now on."""
    there = Path(shutil.copytree(folder, tmp_path / "runs"))
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(there))
    found = {json.loads((path / "config.json").read_text())["seed"]: path for path in ondisk.run_paths()}
    return found[0], found[1]


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)


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


@pytest.mark.parametrize("name", ["environment.json", "corpus.json", "metrics.jsonl", "weights/00000004.safetensors"])
def test_show_checks_every_file_of_a_run(
    name: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = copy(finished, tmp_path, monkeypatch)
    assert main(["show", run.name]) == 0 and "damaged" not in capsys.readouterr().out
    changed(run / name)
    assert main(["show", run.name]) == 0
    assert f"damaged        {run / name} is damaged" in capsys.readouterr().out


def test_an_edited_configuration_is_not_taken_for_the_models(
    finished: Path, interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, folder in (("a", finished), ("b", interrupted)):
        run, _ = copy(folder, tmp_path / place, monkeypatch)
        assert checkpoints.find(str(run)) is not None
        config = json.loads((run / "config.json").read_text())
        config["model"]["n_heads"] = 1
        (run / "config.json").write_text(sealed.as_json(config))
        with pytest.raises(UserError, match=r"config\.json is damaged"):
            checkpoints.find(str(run))


def test_lost_weights_are_not_replaced_by_earlier_ones(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = copy(finished, tmp_path, monkeypatch)
    (run / "weights" / "00000008.safetensors").unlink()
    found = checkpoints.find(str(run))
    assert found and found.step == 8
    with pytest.raises(UserError, match=r"00000008\.safetensors does not exist; delete the folder"):
        found.run.model(step=found.step)


def test_a_dataset_that_another_program_has_locked_is_read(finished: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = next(finished.glob("run-*")) / "dataset.nc"
    with open(path, "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "final_loss" in results.load(path)


def test_a_run_that_diverged_is_read_back_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    with pytest.raises(FloatingPointError) as first:
        train.run(tiny_run(**WILD), tiny_corpus())
    (run,) = ondisk.run_paths()
    assert not (run / "states").exists()
    (run / "states").mkdir()  # as if killed just before they went
    monkeypatch.setattr(loop, "Trainer", None)
    with pytest.raises(FloatingPointError) as again:
        train.run(tiny_run(**WILD), tiny_corpus())
    assert str(again.value) == str(first.value) and not (run / "states").exists()
    changed(run / "stopped.nc")
    with pytest.raises(UserError, match=r"stopped\.nc is damaged"):
        train.run(tiny_run(**WILD), tiny_corpus())


# Removing


def test_clean_removes_links_and_never_what_they_point_to(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = copy(finished, tmp_path, monkeypatch)
    runs, elsewhere = run.parent, tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    names = ("run-00000000000000aa", "corpora", "x-00000000000000aa.nc")
    for name in names:
        (runs / name).symlink_to(elsewhere)
    (runs / "run-00000000000000ab").symlink_to(tmp_path / "nowhere")
    (runs / "y-00000000000000aa.nc").mkdir()
    (run / "weights" / "link").symlink_to(elsewhere)
    assert main(["clean", "--corpora"]) == 0 and run.is_dir()
    assert main(["clean", "--corpora", "--yes"]) == 0
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]
    assert [path.name for path in runs.iterdir()] == ["y-00000000000000aa.nc"], "no dataset, so it stays"


def test_clean_removes_a_run_named_twice_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = copy(finished, tmp_path, monkeypatch)
    assert main(["clean", run.name, run.name[4:], f"{run}/", "--yes"]) == 0
    assert "removed 1" in capsys.readouterr().out and other.is_dir() and not run.exists()


# Texts


def test_the_manifest_of_a_text_is_sealed_and_its_folder_is_its_own(tmp_path: Path) -> None:
    for name in "ab":
        documents = (
            json.dumps({"text": f"{name} {i * 7919 % 997} is a number and {name * 9} a word"}) for i in range(90)
        )
        (tmp_path / f"{name}.jsonl").write_text("\n".join(documents))

    def load(name: str) -> corpora.Corpus:
        config = CorpusConfig(source="text", paths=(str(tmp_path / f"{name}.jsonl"),), vocab_size=270)
        return corpora.load(config, tmp_path / "cache")

    a, b = load("a"), load("b")
    manifest = a.folder / "manifest.json"
    told = manifest.read_text()
    manifest.write_text(told.replace(f'"bytes": {a.heldout_bytes}', f'"bytes": {2 * a.heldout_bytes}'))
    assert manifest.read_text() != told
    with pytest.raises(UserError, match=r"manifest\.json is damaged.*delete the folder"):
        load("a")
    shutil.rmtree(a.folder)
    b.folder.rename(a.folder)
    with pytest.raises(UserError, match=f"holds the text that belongs in {b.folder.name}"):
        load("a")


def test_a_fetched_text_is_checked_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CorpusConfig(source="hf", name="a/b", max_bytes=10)
    monkeypatch.setattr(hf, "_stream", lambda config, packed, target: packed.write(b'{"text": "some words"}\n' * 9))
    path = hf.fetch(config, tmp_path)
    assert hf.fetch(config, tmp_path) == path
    changed(path)
    with pytest.raises(UserError, match=r"is damaged.*delete it to fetch it again"):
        hf.fetch(config, tmp_path)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_run_goes_on_with_another_number_of_snapshots(
    count: int, interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(interrupted, tmp_path, monkeypatch)
    run = train.run(tiny_run(**{"train.snapshots": count}), tiny_corpus())
    assert run.snapshots()[-1] == 40 and run.dataset["step"].values.tolist() == [0, 1, 2, 4, 8, 16, 24, 32, 40]


def test_a_run_goes_on_in_the_pytorch_that_began_it(
    interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = copy(interrupted, tmp_path, monkeypatch)
    environment = results.environment()
    environment["packages"]["torch"] = "9.9"
    monkeypatch.setattr(results, "environment", lambda device: environment)
    with pytest.raises(UserError, match=r"was begun with PyTorch .*, this is 9\.9"):
        train.run(tiny_run(), tiny_corpus())
    assert list((path / "states").iterdir())


def test_processes_that_would_train_different_runs_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    monkeypatch.setattr(loop.distributed, "gather", lambda name: [name, "run-another"])
    with pytest.raises(UserError, match="about to train different runs"):
        train.run(tiny_run(), tiny_corpus())
    assert not list(tmp_path.glob("run-*"))
