"""Every test, and every chapter run again under nbval, trains at scale smoke into a folder of this test run alone."""

import ast
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

os.environ["RELUSPARSITY_SCALE"] = "smoke"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small lose more by waiting for a second thread
# pytest's processes share what takes long to make and is the same in all: text, cut and tokenised, and runs
FIRST = "RELUSPARSITY_TESTS" not in os.environ  # its workers, and a pytest that a test starts, have it from here
if FIRST:
    os.environ["RELUSPARSITY_TESTS"] = tempfile.mkdtemp(prefix="relusparsity-tests-")
    os.environ["RELUSPARSITY_TESTS_OF"] = str(os.getpid())
SHARED = Path(os.environ["RELUSPARSITY_TESTS"])
(SHARED / "corpora").mkdir(exist_ok=True)
WORKER = "PYTEST_XDIST_WORKER" in os.environ and os.environ.get("RELUSPARSITY_TESTS_OF") == str(os.getppid())
os.environ["RELUSPARSITY_RUNS"] = str(SHARED) if FIRST or WORKER else tempfile.mkdtemp(dir=SHARED)
if not (FIRST or WORKER):  # a pytest that a test starts must not find what others trained: it is to show that it trains
    Path(os.environ["RELUSPARSITY_RUNS"], "corpora").symlink_to(SHARED / "corpora")
# no power fails while tests run, and what is written outlives a kill; a disk takes milliseconds each time
os.fsync = lambda file: None
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # begun in the background of a shell; some tests interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)

# what several test files make: their asserts speak as those of tests do
pytest.register_assert_rewrite(*(each.stem for each in Path(__file__).parent.glob("tests/*_made.py")))


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
    if FIRST:
        shutil.rmtree(SHARED, ignore_errors=True)


# The tests that a change can reach come first, then the rest.

EVERYTHING = ("conftest.py", "pyproject.toml", "requirements.txt")
"""Files whose change every test reaches."""
ORDER = pytest.StashKey[str]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    files = list(dict.fromkeys(item.path for item in items))
    changed = changed_files(root) if len(files) > 1 else set()
    if not changed:
        return
    first = set(files) if any(root / name in changed for name in EVERYTHING) else reaching(root, files, changed)
    items.sort(key=lambda item: item.path not in first)  # stable: no other order changes, and no test is left out
    names = [file.name for file in files if file in first]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    config.stash[ORDER] = f"first, since a change reaches them, {len(names)} of {len(files)} files: {shown or 'none'}"


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    return [config.stash[ORDER]] if ORDER in config.stash else []


def changed_files(root: Path) -> set[Path]:
    """Files that differ from where this branch left main, or that git does not know; none where there is no git."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
        except OSError:
            return None
        return None if done.returncode else done.stdout

    left = git("merge-base", "HEAD", "main") or git("merge-base", "HEAD", "origin/main") or "HEAD"
    differ = git("diff", "--name-only", "--no-renames", "--relative", "-z", left.strip())
    new = git("ls-files", "--others", "--exclude-standard", "-z")
    return {root / name for said in (differ, new) if said for name in said.split("\0") if name}


def reaching(root: Path, files: Iterable[Path], changed: set[Path]) -> set[Path]:
    """Those test files and executed chapters that reach a changed file.

    By their imports and those of the tests they import; a file that is no module of the package, by its name in a
    string; a dataset, by its experiment's.
    """
    rests = importlib.import_module("relusparsity.book.rests")
    parts = {file: set(_with_helpers(root, file)) for file in files}
    sources = {source for each in parts.values() for source in each if source.suffix == ".py"}
    reached = rests.reached(root, sources)
    said = {source: rests.words(source) | _experiments(rests.imported(source)) for source in sources}
    names = {file.name for file in changed if root / "src" not in file.parents and root / "data" not in file.parents}
    data = {file.name.partition("-")[0] for file in changed if root / "data" in file.parents}

    def reaches(source: Path) -> bool:
        if source in changed or source not in sources:
            return source in changed
        named = any(name in word for name in names for word in said[source])
        looks = bool(data) and "data_dir" in source.read_text()
        return named or looks or bool(data & said[source]) or bool(reached[source] & changed)

    return {file for file, each in parts.items() if any(map(reaches, each))}


def _experiments(modules: set[str]) -> set[str]:
    """Names that the experiments among these modules give their datasets: their own, or their chapter's."""
    return {re.sub(r"^ch\d\d_", "", part) for module in modules for part in module.split(".")[1:]}


def _with_helpers(root: Path, file: Path) -> Iterator[Path]:
    """A test file and the files beside it that it imports or starts; an executed chapter and its source."""
    yield file
    if file.suffix != ".py":
        yield root / "notebooks" / f"{file.stem}.py"
        return
    beside, waiting = {each.stem: each for each in file.parent.glob("*.py")}, [file]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text())):
            named = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            named += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            named += [node.value[:-3]] if isinstance(node, ast.Constant) and str(node.value).endswith(".py") else []
            for name in named:
                if name in beside:
                    found = beside.pop(name)
                    waiting.append(found)
                    yield found


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of kernels: Triton's interpreter, if it is that which runs them, reads its variable again and again."""
    if importlib.import_module("relusparsity.counting.fused").INTERPRETED:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No drawings in reports, which take seconds a page, but where they are looked at."""
    if "one_file" not in request.node.name:
        empty = {"drawings": {size: {"svg": "<svg></svg>"} for size in ("wide", "narrow")}}
        monkeypatch.setattr("relusparsity.plots.moves.figure", lambda chart: empty)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The same sums in the same order in every process."""
    torch = importlib.import_module("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parent


@pytest.fixture(scope="session")
def pages(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the book's pages, built from what is committed, with warnings as errors; once for all workers."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "pages"
    html = folder / "_build" / "html"
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", "book", "--path-output", folder, "-W", "-n", "--keep-going"]
    with FileLock(folder.with_suffix(".lock")):
        if not html.is_dir():
            built = subprocess.run(command, cwd=root, capture_output=True, text=True)
            if built.returncode:
                shutil.rmtree(folder)  # for the other workers it was not built
                pytest.fail(built.stdout + built.stderr)
    return html


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; the tests that ask for it are skipped where there is none."""
    from playwright import sync_api

    from relusparsity.book.printed import BROWSERS

    program = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
