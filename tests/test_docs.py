"""Examples in docstrings are true, and what the README says to type works."""

import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import relusparsity
import relusparsity.config
from relusparsity import scales
from relusparsity.packages import catalogue

MODULES = [
    module.name
    for module in pkgutil.walk_packages(relusparsity.__path__, "relusparsity.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    tests = doctest.DocTestFinder().find(importlib.import_module(name), name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in tests:
        runner.run(test)
    assert runner.failures == 0


def test_there_are_examples() -> None:
    """Were none found, the tests above would pass without having run anything."""
    found = {
        name
        for name in MODULES
        for test in doctest.DocTestFinder().find(importlib.import_module(name), name)
        if test.examples
    }
    assert {"relusparsity.config", "relusparsity.counting.use", "relusparsity.corpora.batches"} <= found


# README

README = Path(relusparsity.__file__).parents[2] / "README.md"
FOLDERS = sorted((README.parent / "src/relusparsity/chapters").glob("ch*"))
CHAPTERS = [each for each in FOLDERS if (README.parent / "notebooks" / f"{each.name[2:]}.py").is_file()]
"""Those that have a page: a chapter's modules may come before it, with its runs."""


def blocks(language: str) -> list[str]:
    """Fenced code of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def commands() -> list[str]:
    """Every line typed into a shell: of the bash blocks, and inline `python -m …` or `make …`; comments cut off."""
    lines = [line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    inline = re.findall(r"`((?:python -m|papermill|jupyter-book|pytest|torchrun|make) [^`]*)`", README.read_text())
    return [line for line in lines + inline if line]


def run_readme(command: list[str], timeout: float = 500) -> str:
    done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.parametrize("command", commands())
def test_the_readmes_commands_are_right(command: str) -> None:
    """What is quick is run, at scale smoke; `make`, the build and the chapters are run whole by tests of their own."""
    words = shlex.split(command)
    if words[0] == "make":  # the chapter to be is not there yet
        words = words if words[1] == "new" else ["CHAPTER=03" if word == "CHAPTER=24" else word for word in words]
        assert run_readme(["make", "--dry-run", *words[1:]], timeout=60)
    elif words[0] == "git":  # that all of a chapter is added: see test_new
        assert words[1] in ("add", "commit")
    elif words[3:4] == ["measure"] and words[4] in catalogue.everything():  # which may not be here
        given = dict(zip(words[5::2], words[6::2], strict=True))
        assert given.pop("--text") in catalogue.everything() and set(given) == {"--tokens"}
    elif words[:3] == ["python", "-m", "relusparsity"]:
        assert run_readme([sys.executable, *("smoke" if word == "laptop" else word for word in words[1:])])
    elif words[0] == "papermill":
        assert (README.parent / words[1]).is_file() and words[2:] in ([], ["-p", "scale", "smoke"])
    elif words[:2] == ["jupyter-book", "build"]:
        assert (README.parent / "_toc.yml").is_file() and (README.parent / words[2]).is_dir()
    else:
        assert words == ["pytest", "--nbval"], f"no test knows how to check {command!r}"


def test_what_contributing_says_to_make_is_there() -> None:
    said = re.findall(r"`make ([^`]*)`", (README.parent / "CONTRIBUTING.md").read_text())
    assert len(said) > 30
    for command in dict.fromkeys(each.replace("NN", "03") for each in said):
        assert run_readme(["make", "--dry-run", *shlex.split(command)], timeout=60)


@pytest.mark.parametrize("folder", CHAPTERS, ids=lambda path: path.name)
def test_the_tests_of_one_chapter_are_its_own_and_those_that_import_it(folder: Path) -> None:
    number = folder.name[2:4]
    said = run_readme(["make", "--dry-run", "test", f"CHAPTER={int(number)}"], timeout=60).split()
    tests = (README.parent / "tests").glob("test_*.py")
    own = {file.name for file in tests if f"from {relusparsity.__name__}.chapters.{folder.name}" in file.read_text()}
    assert (own or list(folder.glob("test_*.py"))) and own <= {word.removeprefix("tests/") for word in said}
    assert {f"src/relusparsity/chapters/{folder.name}", f"book/chapters/{folder.name[2:]}.ipynb"} <= set(said)


def test_the_readmes_python_runs() -> None:
    program = "\n".join(blocks("python"))  # the later ones go on with what the first one made
    assert 'scales.base("smoke")' in program and "relusparsity.track(" in program
    said = run_readme([sys.executable, "-c", program])
    assert "final_batch_use" in said and "6 layers; a unit fires where: above zero" in said


def test_the_readmes_ways_to_extend_it_are_valid() -> None:
    names = vars(relusparsity.config) | {"scales": scales}
    calls = re.findall(r"`((?:replace|CorpusConfig)\(.*?\))`", README.read_text(), re.DOTALL)
    assert len(calls) >= 3
    for call in calls:
        eval(call, dict(names))


def test_no_file_is_longer_than_contributing_says() -> None:
    said = re.search(r"none has more than (\d+) lines", (README.parent / "CONTRIBUTING.md").read_text())
    rooms = [README.parent / name for name in ("src", "tests", "notebooks", "benchmarks")]
    files = [path for room in rooms for path in room.rglob("*") if path.suffix in (".py", ".js", ".css")]
    lengths = {str(path): len(path.read_text().splitlines()) for path in files}
    assert said and len(lengths) > 100 and {n: x for n, x in lengths.items() if x > int(said[1])} == {}


def test_the_readmes_files_exist() -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README.read_text())
    assert linked
    assert [path for path in linked if not (README.parent / path).exists()] == []


# The pages of the library

PAGES = sorted((README.parent / "book" / "api").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_of_the_library_begins_with_an_example_that_runs(page: Path) -> None:
    example = re.search(r"```python\n(.*?)```", page.read_text().partition("\n## ")[0], re.DOTALL)
    assert example and run_readme([sys.executable, "-c", example[1]])
