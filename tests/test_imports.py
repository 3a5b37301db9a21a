"""The order of imports in pyproject.toml holds, and what breaks it is refused."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# why: (where, the import, what is said)
BROKEN = {
    "the instrument imports a chapter": ("anymodel/curve.py", "from ..experiments import pruning", "Rooms: .* BROKEN"),
    "a chapter imports another": ("experiments/pruning.py", "from . import capacity", "Experiments: .* BROKEN"),
    "a figure reads files": ("plots/grid.py", "from ..store import results", "Figures and claims .* BROKEN"),
    "a figure loads torch": ("plots/grid.py", "import torch", "Figures and claims .* BROKEN"),
    "a circle for types alone": ("anymodel/curve.py", "from . import attach", "No circle .* BROKEN"),
    "a module without its place": ("new.py", "pass", r"not listed as layers.*- relusparsity\.new"),
}


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the copy of the package in `root`, by the contracts there."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as check; check()"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), *sys.path])}
    return subprocess.run(
        [*command, "--no-cache", "--no-logo"], cwd=root, env=environment, capture_output=True, text=True
    )


def test_imports_go_one_way() -> None:
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert " 0 broken" in checked.stdout


@pytest.mark.parametrize("why", BROKEN)
def test_an_import_against_the_order_is_refused(why: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    name, line, said = BROKEN[why]
    with (tmp_path / "src/relusparsity" / name).open("a") as file:
        file.write(f"\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    {line}\n")
    checked = lint_imports(tmp_path)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert re.search(said, " ".join(checked.stdout.split()))
