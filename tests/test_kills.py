"""Killed at random moments and at changes of files, a training ends as if nobody had disturbed it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the trainings to be killed are forked")
def test_killed_trainings_end_to_the_bit_alike(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/kills.py", "--kills", "20", "--out", str(tmp_path / "kills.json")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    rows = json.loads((tmp_path / "kills.json").read_text())
    assert len(rows) == 20 and not any(row["differs"] for row in rows)
    assert len({row["killed_at"] for row in rows}) > 5 and any(row["state"] for row in rows), "many kinds, some resumed"
