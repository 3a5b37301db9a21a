"""`make record`: what it refuses before any training, what it writes, and what becomes of a run that diverges."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from fixtures_core import tiny_corpus
from relusparsity import corpora, distributed, plots
from relusparsity.__main__ import main
from relusparsity.book import build, front, recorded, rests
from relusparsity.chapters.ch11_measure_any_model import public
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import factorial, repetition
from relusparsity.scales import EVERY, base
from relusparsity.shapes import PICTURES
from relusparsity.store import results


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "device", lambda: torch.device("cpu"))


def experiment(name: str = "new", **attributes: Any) -> recorded.Recorded:
    """An experiment of one run at scale smoke that is never trained."""
    made_by = SimpleNamespace(config=lambda scale: SimpleNamespace(runs=(base("smoke"),)), **attributes)
    return recorded.Recorded(name, "smoke", None, made_by)


def dataset(text: str) -> xr.Dataset:
    made = xr.Dataset({"use": ("layer", [0.5], {"units": "1", "long_name": "use"})})
    return made.assign_attrs(provenance=f'{{"corpus": {{"checksum": "{text}"}}}}')


def test_names_that_are_not_recorded_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told = (
        r"not recorded at scale wide, recipe nearest: capacity, x; recorded are .*layer_patterns, .*pruning, .*modern"
    )
    with pytest.raises(UserError, match=told):
        recorded.chosen("wide", None, ["pruning", "capacity", "x"])
    with monkeypatch.context() as patch, pytest.raises(UserError, match="at scale 'smoke'; choose one of mid, wide"):
        patch.setattr(recorded, "makers", dict)  # sweeps alone: a chapter may have data of that shape
        recorded.chosen("smoke", None, [])
    with pytest.raises(UserError, match="there is no scale 'huge'"):
        recorded.chosen("huge", None, [])
    (pruning,) = recorded.chosen("wide", "first", ["pruning"])
    assert pruning.path.stem == "pruning-wide-first" and pruning.config().recipe == "first"
    names = [each.name for each in recorded.chosen("wide", "first", [])]
    assert {"modern", "layer_patterns"} < set(names) and len(set(names)) == len(names)


@pytest.mark.usefixtures("no_gpu")
def test_a_scale_for_a_gpu_is_refused_before_the_text_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "load", lambda config: pytest.fail("fetched"))
    for make in (build.record, build.book):
        for scale in ("mid", "wide"):
            with pytest.raises(UserError, match=f"scale {scale} needs an NVIDIA GPU.* smoke and laptop need none"):
                make(Path("/nowhere"), scale)
    with pytest.raises(UserError, match=r"scale fashion needs an NVIDIA GPU.* smoke and digits need none"):
        build.check_device("fashion")
    with pytest.raises(UserError, match=r"scale spans needs an NVIDIA GPU.* another scale: smoke needs none"):
        build.check_device("spans")
    build.check_device("laptop")
    assert main(["record", "--scale", "wide"]) == 2 == main(["record", "lazy_pictures", "--scale", "fashion"])


def test_another_text_is_refused_with_both_checksums(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    corpus = tiny_corpus()
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(corpora, "load", lambda config: corpus)
    recorded.check_text([experiment()])  # never recorded
    for name, text in {"same": corpus.checksum, "a": "a" * 64, "b": "b" * 64}.items():
        results.save(dataset(text), tmp_path / f"{name}-smoke.nc")
    results.save(dataset("").assign_attrs(provenance="{}"), tmp_path / "silent-smoke.nc")
    recorded.check_text([experiment("same"), experiment("silent")])
    now = corpus.checksum[:12]
    with pytest.raises(UserError, match=rf"a-smoke.nc from aaaaaaaaaaaa \(now {now}\); b-smoke.nc from b{{12}} \(now"):
        recorded.check_text([experiment("same"), experiment("a"), experiment("b")])
    recorded.check_text([experiment("a", own_texts=lambda config: [SimpleNamespace(checksum="a" * 64)])])


def test_recorded_data_say_their_text() -> None:
    """Those of the GPU scales rest on one, and `repetition` on the first part of it."""
    ours = (path for path in results.data_dir().glob("*.nc") if path.stem != public.FILE)
    loaded = {path.stem: results.load(path) for path in ours}
    texts = {name: recorded.text_of(of) for name, of in loaded.items() if results.provenance(of)["runs"]}
    shape = {name: name.split("-")[1] for name in texts}
    english = {name: text for name, text in texts.items() if EVERY[shape[name]].train.compile}
    english = {name: text for name, text in english.items() if shape[name] not in PICTURES}
    assert all(texts.values()) and texts["any_model-laptop-default"] == texts["layer_patterns-laptop-default"]
    whole = english["layer_patterns-wide-nearest"]
    assert {name for name, text in english.items() if text != whole} == {"repetition-mid"}
    facts = results.provenance(results.recorded("repetition", "mid"))
    corpus = SimpleNamespace(**facts["corpus"] | {"checksum": whole, "train": range(87_945_077)})
    tokens = repetition.STEPS["mid"] * 8192
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repetition.dataclasses, "replace", lambda corpus, **changes: SimpleNamespace(**changes))
        assert repetition.first_part(corpus, 1, tokens).checksum == texts["repetition-mid"]


@pytest.mark.parametrize(
    ("scale", "recipe"), [("laptop", "default"), ("mid", "first"), ("wide", "first"), ("wide", "nearest")]
)
def test_the_text_of_every_recorded_dataset_is_looked_at(
    scale: str, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "load", lambda config: tiny_corpus())
    advice = "requirements.txt" if scale == "laptop" else "RELUSPARSITY_TEXT"
    there = recorded.recorded_at(scale, recipe)
    with pytest.raises(UserError, match=f"recorded from another text: .*{advice}.*, or move these files") as refused:
        recorded.check_text(there)
    read = [each for each in there if each.path.is_file() and each.config().runs]
    assert len(read) >= 4 and all(f"{each.path.name} from " in str(refused.value) for each in read)


def test_with_only_the_named_datasets_are_written_and_no_chapter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {name: experiment(name, run=lambda config: dataset("c" * 64)) for name in ("a", "b", "c")}
    trained: list[Any] = []
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(recorded, "recorded_at", lambda scale, recipe: list(there.values()))
    monkeypatch.setattr(build, "train_first", trained.extend)
    monkeypatch.setattr(front, "write", lambda root: pytest.fail("front pages"))
    monkeypatch.setattr(build, "execute", lambda *given: pytest.fail("chapters"))
    build.record(tmp_path, "laptop", only=["c", "a"])
    assert len(trained) == 2 and [path.stem.split("-")[0] for path in sorted(tmp_path.glob("*.nc"))] == ["a", "c"]
    assert "`make record` renews them" in capsys.readouterr().out.splitlines()[-1]

    def diverges(config: Any) -> xr.Dataset:
        raise FloatingPointError("run-1 stopped after step 9: its loss is nan")

    there["b"].made_by.run = diverges
    with pytest.raises(
        UserError, match=r"run-1 stopped after step 9.*b needs each of its runs whole, so b-smoke.nc was"
    ):
        build.record(tmp_path, "laptop", only=["b"])
    assert not (tmp_path / "b-smoke.nc").exists()


def test_make_hands_the_names_on(root: Path) -> None:
    command = ["make", "--dry-run", "record", "SCALE=wide", "RECIPE=first", "ONLY=modern pruning"]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert "record --scale wide --recipe first --only modern pruning" in one_line(said)


@pytest.mark.usefixtures("no_gpu")
def test_a_factorial_with_a_run_that_diverges_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = factorial.config("smoke")
    cells, count = (3, 12), len(whole.levels)
    runs = [whole.runs[seed * count + cell] for seed in (0, 1) for cell in cells]
    runs[1] = replace(runs[1], **{"train.lr": 1e4})  # second cell, first seed
    config = factorial.Config("smoke", "base", tuple(runs), tuple(whole.levels[cell] for cell in cells))
    build.train_first([config])
    assert "stopped after step" in capsys.readouterr().out
    data = factorial.run(config)
    results.save(data, tmp_path / "saved.nc")  # whole: units and names everywhere
    assert data["batch_use"].dims == ("recipe", "seed", "step", "layer")
    finished = np.array([[True, True], [False, True]])
    assert (np.isfinite(data["final_loss"].values) == finished).all()
    assert (np.isfinite(data["batch_use"]).all(["step", "layer"]).values == finished).all()
    assert np.isfinite(data["batch_use"].isel(recipe=1, seed=0, step=0)).all(), "kept up to where it stopped"
    assert [len(each) for each in results.provenance(data)["runs"]] == [2, 2]
    stopped = results.provenance(data)["stopped_after_step"]
    assert "stopped_after_step" not in data.attrs
    assert [len(by_seed) for by_seed in stopped] == [1, 0] and set(stopped[0]) == {data["recipe"].values[1]}
    assert factorial.endings(data)["lowest layer, by seed"].str.startswith("–").tolist() == [False, True]
    assert plots.recipes(data)


@pytest.mark.parametrize("verb", ["book", "record"])
def test_make_hands_the_chapter_on(verb: str, root: Path) -> None:
    command = ["make", "--dry-run", verb, "CHAPTER=03"]
    said = one_line(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)
    assert f"build {verb} " in said and "--scale laptop" in said and "--chapter 03" in said


def one_line(said: str) -> str:
    """What make would run, without the shell's line breaks."""
    return " ".join(said.replace("\\\n", " ").split())


NOTEBOOK = "scale = 'laptop'\nfrom relusparsity.experiments import {imported}\nresults.recorded('{shown}', 'laptop')\n"


def notebook(text: str) -> str:
    """An executed notebook of one cell, as the book has it."""
    return build.cell_by_cell({"cells": [text], "nbformat": 4})


@pytest.fixture
def small_book(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A repository of three chapters; their notebooks are executed by writing so, and rendered by nobody."""
    for folder in ("notebooks", "book/chapters", "data"):
        (tmp_path / folder).mkdir(parents=True)
    for number, (imported, shown) in enumerate([("a", "b"), ("b", "b"), ("c", "c")], 1):
        name = f"0{number}_{imported}"
        (tmp_path / "notebooks" / f"{name}.py").write_text(NOTEBOOK.format(imported=imported, shown=shown))
        (tmp_path / "book/chapters" / f"{name}.ipynb").write_text(notebook("committed"))
    (tmp_path / "_config.yml").touch()

    def execute(root: Path, scale: str, folder: Path, sources: list[Path]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            (folder / f"{source.stem}.ipynb").write_text(notebook(f"executed at {scale}"))
        return folder

    there = [experiment(name, run=lambda config: dataset("c" * 64)) for name in ("a", "b", "c")]
    monkeypatch.setattr(build, "execute", execute)
    for module in (build, recorded):
        monkeypatch.setattr(module, "recorded_at", lambda scale, recipe=None: there if scale == "laptop" else [])
    monkeypatch.setattr(build, "check_device", lambda scale: None)
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path / "data")
    monkeypatch.setattr(front, "write", lambda root: (root / "front").touch())
    return tmp_path


def chapters(folder: Path) -> list[str]:
    return [json.loads(path.read_bytes())["cells"][0] for path in sorted((folder / "book/chapters").glob("*.ipynb"))]


def test_one_chapter_is_run_and_rendered_among_the_committed_ones(
    small_book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Any] = []
    rendered: list[Path] = []
    monkeypatch.setattr(build, "train_first", trained.append)
    monkeypatch.setattr(build.subprocess, "run", lambda command, cwd, check: rendered.append(cwd))
    build.book(small_book, "smoke")
    build.book(small_book, "smoke", 2)
    whole, one = rendered
    assert chapters(whole) == ["executed at smoke"] * 3 and one != whole
    assert chapters(one) == ["committed", "executed at smoke", "committed"]
    assert chapters(small_book) == ["committed"] * 3
    assert [len(each) for each in trained] == [3, 1]


def test_a_chapter_that_was_just_begun_runs_at_its_own_shape(
    small_book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = small_book / "notebooks" / "03_c.py"
    begun.write_text(begun.read_text().replace("'laptop'\n", "'smoke'\n", 1))
    trained: list[Any] = []
    monkeypatch.setattr(build, "recorded_at", lambda scale, recipe=None: [experiment(f"{name}_of") for name in "abc"])
    monkeypatch.setattr(build, "train_first", trained.append)
    monkeypatch.setattr(build.subprocess, "run", lambda command, cwd, check: None)
    build.book(small_book, "laptop", 3)
    assert "(scale smoke): file:" in capsys.readouterr().out
    assert chapters(small_book / "_build" / "smoke-03")[2] == "executed at smoke"
    build.book(small_book, "laptop")
    assert "(scale laptop and smoke): file:" in capsys.readouterr().out


def test_record_renews_one_chapter_and_its_datasets(
    small_book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "train_first", lambda configs: None)
    build.record(small_book, "laptop", chapter=2)
    assert [path.name for path in (small_book / "data").glob("*.nc")] == ["b-smoke.nc"]
    assert chapters(small_book) == ["committed", "executed at laptop", "committed"]
    assert (small_book / "front").exists()
    assert capsys.readouterr().out.endswith("01_a shows b too: renew it with `make record CHAPTER=01`.\n")
    for path in (small_book / "data").iterdir():
        path.unlink()
    build.record(small_book, "laptop")
    assert len(list((small_book / "data").glob("*.nc"))) == 3 and chapters(small_book) == ["executed at laptop"] * 3


def test_a_chapter_is_not_recorded_over_another_text(small_book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "train_first", lambda configs: pytest.fail("trained"))
    monkeypatch.setattr(corpora, "load", lambda config: tiny_corpus())
    (path,) = [each.path for each in build.recorded_at("laptop") if each.name == "b"]
    results.save(dataset("a" * 64), path)
    with pytest.raises(UserError, match=r"b-smoke\.nc from aaaaaaaaaaaa"):
        build.record(small_book, "laptop", chapter=2)
    assert chapters(small_book) == ["committed"] * 3


def test_a_chapter_that_there_is_not_and_what_does_not_go_with_one_are_refused(small_book: Path) -> None:
    for make in (build.book, build.record):
        with pytest.raises(UserError, match="there is no chapter 12; choose one of 1, 2, 3"):
            make(small_book, "laptop", chapter=12)
    for scale, recipe, only in (("wide", None, ()), ("laptop", "first", ()), ("laptop", None, ["b"])):
        with pytest.raises(UserError, match="a chapter's own data are those at scale smoke and laptop"):
            build.record(small_book, scale, recipe, only, chapter=2)


def test_the_chapters_make_every_dataset_of_the_default_shape(root: Path) -> None:
    sources = rests.notebooks(root)
    assert build.shown_by(sources) == list(recorded.recorded_at("laptop"))
    assert {each.name for each in build.shown_by(sources[2:3])} == {"neuron_death"}
