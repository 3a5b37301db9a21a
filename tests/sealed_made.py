"""Runs whose files are damaged."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fixtures_core import child, start, tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.store import ondisk

NEVER = {"optimizer": "sgd", "lr": 1e30, "clip": 0.0, "schedule": "constant", "warmup": 640}


WILD = {f"train.{name}": value for name, value in NEVER.items()} | {"model.positions": "none"}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of runs with one that was killed after some states, and one of another seed."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        start.set_forkserver_preload(["fixtures_core", "torch._dynamo"])
        for seed in (0, 1):
            child(folder, {}, seed, dies_after=100).join()
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
