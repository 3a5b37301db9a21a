"""`measure` on what `train` wrote: a run's last weights and its checkpoints, each beside the others in one report."""

import json
import os
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from fixtures_core import tiny_run
from relusparsity import corpora, train
from relusparsity.__main__ import main
from relusparsity.corpora import bpe
from relusparsity.errors import UserError
from relusparsity.measure import text
from relusparsity.store import results
from relusparsity.train import loop

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> train.Run:
    """A finished run on text files, of which it has a tokenizer of 300 types."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("aeioubdklmnrst"), 5)) for _ in range(80)]
    with (folder / "text.jsonl").open("w") as file:
        for _ in range(300):
            file.write(json.dumps({"text": " ".join(rng.choice(words, 30))}) + "\n")
    before = os.environ["RELUSPARSITY_RUNS"]
    os.environ["RELUSPARSITY_RUNS"] = str(folder)
    try:
        source = {"corpus.paths": (str(folder / "text.jsonl"),), "corpus.vocab_size": 300, "model.vocab_size": 300}
        return train.run(tiny_run(**source, **{"corpus.heldout_share": 0.2}))
    finally:
        os.environ["RELUSPARSITY_RUNS"] = before


@pytest.fixture(autouse=True)
def its_corpora(run: train.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(run.path.parent))


def measured(run: train.Run, out: Path, *models: str) -> int:
    words = run.path.parent / "text.jsonl"
    return main(["measure", *models, "--text", str(words), "--tokens", "512", "--full", "--out", str(out)])


def test_checkpoints_of_a_run_side_by_side(run: train.Run, tmp_path: Path) -> None:
    weights = sorted(str(path) for path in (run.path / "weights").glob("*.safetensors"))
    steps = run.snapshots()
    assert len(steps) >= 3 and measured(run, tmp_path, *weights) == 0
    corpus = corpora.load(run.config.corpus)
    ids = text.pack(corpus.tokenizer, [str(run.path.parent / "text.jsonl")], 512 + 16_384, 8)
    ids = ids[: 512 // 8]
    silent: dict[int, np.ndarray] = {}
    for step in steps:
        name = f"{run.path.name[:12]}-step-{step}"
        data = results.load(tmp_path / name / "dataset.nc")
        count = torch.zeros(2, 32, dtype=torch.int64)
        with torch.no_grad():
            run.model(step=step)(
                torch.from_numpy(ids), lambda i, _x, _z, a, count=count: count[i].add_((a > 0).sum((0, 1)))
            )
        np.testing.assert_array_equal(data["final_firing_count"][0], count)
        assert data.attrs["name"] == name and "loss" in data
        silent[step] = count.numpy() == 0
    page = (tmp_path / "comparison.html").read_text()
    for one, other in pairwise(steps):
        assert f"From {run.path.name[:12]}-step-{one} to {run.path.name[:12]}-step-{other}" in page
    assert any((silent[a] != silent[b]).any() for a, b in pairwise(steps))


def test_a_runs_folder_is_its_last_weights_and_a_tokenizer_may_be_given(run: train.Run, tmp_path: Path) -> None:
    last = f"{run.path.name[:12]}-step-{run.snapshots()[-1]}"
    tokenizer = corpora.load(run.config.corpus).folder
    assert measured(run, tmp_path / "folder", str(run.path)) == 0
    assert measured(run, tmp_path / "given", str(run.path), "--tokenizer", str(tokenizer)) == 0
    one, other = (results.load(tmp_path / name / "dataset.nc") for name in ("folder", "given"))
    assert one.attrs["name"] == last
    xr.testing.assert_equal(one, other)


def test_what_is_no_checkpoint_is_refused_in_one_sentence(
    run: train.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(run.path, tmp_path / name))

    empty, odd, torn, cut = copy("empty"), copy("odd"), copy("torn"), copy("cut")
    shutil.rmtree(empty / "weights")
    (odd / "weights" / "best.safetensors").write_bytes(b"")
    (tmp_path / "alone.safetensors").write_bytes(b"")
    values: dict[str, Any] = json.loads((torn / "config.json").read_text())
    (torn / "config.json").write_text(json.dumps(values | {"mood": 1}))
    (last := sorted((cut / "weights").glob("*.safetensors"))[-1]).write_bytes(last.read_bytes()[:-1])
    (tmp_path / "neither").mkdir()
    (tmp_path / "neither" / "config.json").write_text("{}")
    cases = [
        (str(empty), "without weights yet"),
        (str(odd / "weights" / "best.safetensors"), "named by their step"),
        (str(tmp_path / "alone.safetensors"), "no checkpoint of a training run"),
        (str(torn), "config.json is damaged or edited"),
        (str(cut), "is damaged"),
        (str(tmp_path / "neither"), "no safetensors file"),
        (str(run.path / "weights"), "no config.json"),
        (str(run.path / "weights" / "09999999.safetensors"), "there is no folder"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for given, sentence in cases:
        assert measured(run, tmp_path / "out", given) == 2, given
        *stages, said = capsys.readouterr().err.strip().splitlines()
        assert said.startswith("error: ") and sentence in said, (given, said)
        assert all(stage.endswith(": reading the model") for stage in stages), (given, stages)
    assert main(["compare", str(run.path), str(run.path)]) == 2
    assert "not written by measure" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before

    changed = replace(corpora.load(run.config.corpus), checksum="0" * 64)
    monkeypatch.setattr(corpora, "load", lambda config: changed)
    assert measured(run, tmp_path / "out", str(run.path)) == 2
    said = capsys.readouterr().err
    assert "name its tokenizer.json" in said
    assert f"checksum 000000000000, expected {results.provenance(run.dataset)['corpus']['checksum'][:12]}" in said


def test_the_tokenizer_of_another_text_is_refused_by_its_checksum(
    run: train.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = corpora.load(run.config.corpus)
    other = Path(shutil.copy(own.folder / "tokenizer.json", tmp_path))
    words = str(run.path.parent / "text.jsonl")
    command = ["measure", str(run.path), "--text", words, "--tokens", "512", "--out", str(tmp_path / "out")]
    assert main([*command, "--tokenizer", str(other)]) == 0  # a copy is as good

    texts = [" ".join(words) for words in np.random.default_rng(1).permutation(list("abcdefgh" * 40)).reshape(-1, 4)]
    swapped = bpe.train([text * 5 for text in texts], 300)
    swapped.save(str(other))
    assert main([*command, "--tokenizer", str(other)]) == 2
    said = capsys.readouterr().err
    assert f"its checksum is {bpe.checksum(swapped)[:12]}, expected {bpe.checksum(own.tokenizer)[:12]}" in said


def test_only_a_run_of_this_text_is_taken_before_it_is_finished(run: train.Run, tmp_path: Path) -> None:
    from relusparsity.measure import runs

    unfinished = Path(shutil.copytree(run.path, tmp_path / run.path.name))
    (unfinished / "dataset.nc").unlink()
    found = runs.find(str(unfinished))
    assert found and found.tokenizer().get_vocab_size() == 300
    renamed = unfinished.rename(tmp_path / "run-0123456789abcdef")
    with pytest.raises(UserError, match=rf"config\.json was written in {run.path.name}"):
        runs.find(str(renamed))
    found = runs.find(str(mine := renamed.rename(tmp_path / "mine")))  # one's own name is as good
    assert found and found.tokenizer().get_vocab_size() == 300
    (mine / loop.CORPUS).unlink()
    with pytest.raises(UserError, match=rf"{loop.CORPUS} .*delete the folder"):
        found.tokenizer()
