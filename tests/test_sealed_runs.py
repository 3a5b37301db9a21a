"""What stands about a run that was damaged or lost, and what is never removed or trained again."""

import json
import shutil
from pathlib import Path

import pytest

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import corpora, train
from relusparsity.__main__ import main
from relusparsity.config import CorpusConfig
from relusparsity.corpora import hf
from relusparsity.errors import UserError
from relusparsity.measure import runs as checkpoints
from relusparsity.store import ondisk, results, sealed
from relusparsity.train import loop
from sealed_made import WILD, changed, copy

pytest_plugins = ("sealed_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")


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
