"""Every test, and every chapter run again under nbval, trains at scale smoke into a folder of this test run alone."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import pytest

os.environ["RELUSPARSITY_SCALE"] = "smoke"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small lose more by waiting for a second thread
os.environ["RELUSPARSITY_RUNS"] = tempfile.mkdtemp(prefix="relusparsity-tests-")


class NoTests:
    """Finds packages that pytest would take for tests, since they have a plugin of its: it writes their asserts anew.

    Where no bytecode is kept, that takes two seconds for hypothesis alone.
    """

    NAMES = ("anyio", "hypothesis", "jaxtyping", "platformdirs", "typeguard")

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path) if name.partition(".")[0] in NoTests.NAMES else None


sys.meta_path.insert(0, NoTests)


def pytest_configure(config: pytest.Config) -> None:
    torch = importlib.import_module("torch")  # not before OMP_NUM_THREADS is set
    if (
        not torch.cuda.is_available()
    ):  # where Triton is installed, its interpreter runs the GPU's kernels in this process
        os.environ["TRITON_INTERPRET"] = "1"
        importlib.import_module("relusparsity.counting.kernels")
        del os.environ["TRITON_INTERPRET"]


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(os.environ["RELUSPARSITY_RUNS"], ignore_errors=True)


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of kernels: Triton's interpreter, if it is that which runs them, reads its variable again and again."""
    if importlib.import_module("relusparsity.counting.fused").INTERPRETED:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parent


@pytest.fixture(scope="session")
def pages(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the book's pages, built from what is committed, with warnings as errors."""
    folder = tmp_path_factory.mktemp("pages")
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", "book", "--path-output", folder, "-W", "-n", "--keep-going"]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "_build" / "html"
