"""The tests that a change can reach come first, all others after them, in the order they had."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conftest
import pytest

TWO = "def test_one(): pass\ndef test_two():\n    pass\n"
FILES = {
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "README.md": "# Read me\n",
    "src/relusparsity/__init__.py": "",
    "src/relusparsity/low.py": "",
    "src/relusparsity/high.py": "def late():\n    from . import low\n",
    "src/relusparsity/apart.py": "",
    "tests/helper.py": "def made():\n    from relusparsity import high\n",
    "tests/job.py": "from relusparsity import low\n",
    "tests/test_apart.py": f"{TWO}def late():\n    from relusparsity import apart\n",
    "tests/test_helped.py": f"import helper\n{TWO}",
    "tests/test_recorded.py": f"NAMES = ['capacity']\n{TWO}",
    "tests/test_started.py": f"JOB, PAGE = 'job.py', '../README.md'\n{TWO}",
    "notebooks/01_a.py": "from relusparsity import high\n",
    "book/chapters/01_a.ipynb": "{}",
    "data/capacity-mid.nc": "",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def committed(root: Path) -> None:
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "all")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("src/relusparsity/apart.py", {"test_apart.py"}),
        ("src/relusparsity/high.py", {"test_helped.py", "01_a.ipynb"}),
        ("src/relusparsity/low.py", {"test_helped.py", "test_started.py", "01_a.ipynb"}),
        ("tests/helper.py", {"test_helped.py"}),
        ("tests/test_apart.py", {"test_apart.py"}),
        ("notebooks/01_a.py", {"01_a.ipynb"}),
        ("book/chapters/01_a.ipynb", {"01_a.ipynb"}),
        ("data/capacity-mid.nc", {"test_recorded.py"}),
        ("README.md", {"test_started.py"}),
        ("no/such/file", set()),
    ],
)
def test_what_a_change_reaches(changed: str, expected: set[str], project: Path) -> None:
    files = [*sorted((project / "tests").glob("test_*.py")), project / "book/chapters/01_a.ipynb"]
    assert {file.name for file in conftest.reaching(project, files, {project / changed})} == expected


def test_what_differs_from_main_counts_committed_or_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert conftest.changed_files(project) == set(), "no repository: nothing is known to have changed"
    committed(project)
    (project / "new").touch()
    with monkeypatch.context() as without:
        without.setenv("PATH", str(project))
        assert conftest.changed_files(project) == set(), "no git"
    assert conftest.changed_files(project) == {project / "new"}
    (project / "new").unlink()
    assert conftest.changed_files(project) == set()
    git(project, "checkout", "-q", "-b", "mine")
    (project / "README.md").write_text("# Another\n")
    git(project, "mv", "src/relusparsity/apart.py", "src/relusparsity/away.py")
    git(project, "commit", "-q", "-a", "-m", "mine")
    (project / "tests/test_apart.py").write_text("")
    (project / "tests/test_new.py").write_text("")
    git(project, "checkout", "-q", "main", "--", "README.md")
    names = ("src/relusparsity/apart.py", "src/relusparsity/away.py", "tests/test_apart.py", "tests/test_new.py")
    assert conftest.changed_files(project) == {project / name for name in names}


@pytest.mark.parametrize(
    ("changed", "expected", "said"),
    [
        (None, "apart helped recorded started", None),
        ("src/relusparsity/low.py", "helped started apart recorded", "2 of 4 files: test_helped.py, test_started.py"),
        ("data/capacity-mid.nc", "recorded apart helped started", "1 of 4 files: test_recorded.py"),
        ("notes.txt", "apart helped recorded started", "0 of 4 files: none"),
        ("pyproject.toml", "apart helped recorded started", "4 of 4 files: test_apart.py, test_helped.py, "),
    ],
)
def test_they_come_first_and_none_is_left_out(
    changed: str | None, expected: str, said: str | None, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(project)
    if changed:
        (project / changed).write_text("# changed\n")
    monkeypatch.setattr(conftest, "__file__", str(project / "conftest.py"))
    files = sorted((project / "tests").glob("test_*.py"))
    items: list[Any] = [SimpleNamespace(path=file, name=name) for file in files for name in ("one", "two")]
    config: Any = SimpleNamespace(stash=pytest.Stash())
    conftest.pytest_collection_modifyitems(config, items)
    order = [f"{name} {test}" for name in expected.split() for test in ("one", "two")]
    assert [f"{item.path.stem.removeprefix('test_')} {item.name}" for item in items] == order
    lines = conftest.pytest_report_collectionfinish(config)
    assert len(lines) == (said is not None)
    assert all(line.startswith(f"first, since a change reaches them, {said}") for line in lines)


@pytest.mark.slow
def test_pytest_itself_asks_for_that_order(project: Path) -> None:
    """With this repository's conftest, and the package in place of the small one."""
    shutil.copy(conftest.__file__, project)
    committed(project)
    (project / "src/relusparsity/low.py").write_text("# changed\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "tests"]
    where = os.pathsep.join([str(Path(conftest.__file__).parent / "src"), os.environ.get("PYTHONPATH", "")])
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(command, cwd=project, env=alone | {"PYTHONPATH": where}, capture_output=True, text=True)
    assert (conftest.SHARED / "corpora").is_dir(), "what this pytest made is not for another one to remove"
    ran = [line.partition(" ")[0] for line in done.stdout.splitlines() if " PASSED " in line]
    names = ("helped", "started", "apart", "recorded")
    assert ran == [f"tests/test_{name}.py::test_{test}" for name in names for test in ("one", "two")], done.stderr
    assert "reaches them, 2 of 4 files: test_helped.py, test_started.py" in done.stdout
