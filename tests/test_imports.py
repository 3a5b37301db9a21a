"""The order of imports in pyproject.toml holds, and what breaks it is refused."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
# why: (where, the import, what is said)
BROKEN = {
    "the instrument imports a chapter": (
        "anymodel/curve.py",
        "from ..chapters.ch05_pruning import tables",
        "Rooms: .* BROKEN",
    ),
    "what is shared imports a chapter": (
        "experiments/sweeps.py",
        "from ..chapters.ch05_pruning import tables",
        "Rooms: .* BROKEN",
    ),
    "a chapter imports another": (
        "chapters/ch05_pruning/tables.py",
        "from ..ch06_limits_and_capacity import tables",
        "Chapters: .* BROKEN",
    ),
    "a new chapter imports another": (
        "chapters/ch24_new/__init__.py",
        "from ..ch05_pruning import tables",
        "Chapters: .* BROKEN",
    ),
    "an experiment imports one that measures more": (
        "experiments/endings.py",
        "from . import repetition",
        "Experiments: .* BROKEN",
    ),
    "a chapter's figure trains": (
        "chapters/ch02_layer_patterns/figures.py",
        "from ... import train",
        "Figures and claims .* BROKEN",
    ),
    "a new chapter's figure loads torch": (
        "chapters/ch24_new/figures.py",
        "import torch",
        "Figures and claims .* BROKEN",
    ),
    "a new chapter's rows read files": (
        "chapters/ch24_new/rows.py",
        "from ...store import results",
        "Figures and claims .* BROKEN",
    ),
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
    path = tmp_path / "src/relusparsity" / name
    if not path.parent.is_dir():
        path.parent.mkdir()
        (path.parent / "__init__.py").touch()
    with path.open("a") as file:
        file.write(f"\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    {line}\n")
    checked = lint_imports(tmp_path)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert re.search(said, " ".join(checked.stdout.split()))


def asked(file: Path) -> dict[tuple[str, str], int]:
    """What a file asks of modules of the package by attribute: (module, attribute) → line."""
    tree, package = ast.parse(file.read_text()), ".".join(file.relative_to(ROOT).parts[1:-1])
    bound: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: package.count(".") + 2 - node.level]) if node.level else ""
            for each in node.names:
                whole = ".".join(filter(None, (base, node.module, each.name)))
                bound.setdefault(each.asname or each.name, []).append(whole)
        elif isinstance(node, ast.Import):
            for each in node.names:
                name = each.asname or each.name.partition(".")[0]
                bound.setdefault(name, []).append(each.name if each.asname else name)
    variables = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    variables |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    one = {name: found[0] for name, found in bound.items() if len(set(found)) == 1 and name not in variables}
    refused = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and "raises" in ast.unparse(node.items[0])
        for inner in ast.walk(node)
    }
    return {
        (one[node.value.id], node.attr): node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in one
        if isinstance(node.ctx, ast.Load) and node not in refused
    }


def test_what_is_asked_of_a_module_is_there() -> None:
    """Modules that hand names out late have any, to mypy; tests, notebooks and benchmarks it does not read."""
    missing = []
    files = [path for folder in ("src", "tests", "notebooks", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    for file in files:
        for (whole, attribute), line in asked(file).items():
            above, _, name = whole.rpartition(".")
            if whole.partition(".")[0] != "relusparsity":
                continue
            held = getattr(importlib.import_module(above), name, None) if above else importlib.import_module(whole)
            if isinstance(held, ModuleType) and not hasattr(held, attribute):
                missing.append(f"{file.relative_to(ROOT)}:{line}: {whole}.{attribute}")
    assert files and not missing
