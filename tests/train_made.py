"""Runs to compare, and what holds of two that are the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.train import Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of runs of this test alone."""
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    return tmp_path


def trained(folder: Path, **changes: Any) -> Run:
    """The tiny run, undisturbed, in this process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(folder))
        return train.run(tiny_run(**changes), tiny_corpus())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("undisturbed"))


def log_of(run: Run) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
