"""`make new`: a chapter that works as it is: one folder, one notebook, one line; bad input leaves nothing behind."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from relusparsity import chapters
from relusparsity.book import new, recorded
from relusparsity.errors import UserError
from relusparsity.store import sealed
from test_imports import lint_imports

ROOT = Path(__file__).resolve().parents[1]
NAME = "token_use_of_width"
FOLDER, NOTEBOOK = Path("src/relusparsity/chapters") / f"ch24_{NAME}", Path("notebooks") / f"24_{NAME}.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a clone has, without its history."""
    kept = (
        "src",
        "notebooks",
        "data",
        "book",
        "README.md",
        "pyproject.toml",
        "requirements.txt",
        "_config.yml",
        "CITATION.cff",
    )
    ignored = shutil.ignore_patterns("__pycache__", "_build", "*.egg-info")
    for name in kept:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name, **({"ignore": ignored, "symlinks": True} if copy is shutil.copytree else {}))
    shutil.copy2(ROOT / "_toc.yml", tmp_path)
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    """Everything in a tree but what is ignored."""
    there = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    found = {str(path.relative_to(root)): path for path in there}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(("_build", ".ruff_cache"))}


def run(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """One of the commands of `make`, in a tree of its own."""
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def made(root: Path, chapter: str, name: str) -> list[Path]:
    """What `make new` writes."""
    return new.write(root, *new.checked(root, chapter, name))


def test_a_chapter_is_one_folder_one_notebook_and_one_line(tree: Path) -> None:
    before = files(tree)
    assert made(tree, "24", NAME) == [tree / FOLDER, tree / NOTEBOOK]
    after = files(tree)
    assert all(Path(name).parent == FOLDER or Path(name) == NOTEBOOK for name in set(after) - set(before))
    assert {name for name, content in before.items() if after[name] != content} == {"_toc.yml", "book/_toc.yml"}
    old, now = (content["_toc.yml"].decode().splitlines() for content in (before, after))
    assert len(now) == len(old) + 1 and set(old) < set(now)
    chapters = [each["file"] for part in yaml.safe_load("\n".join(now))["parts"] for each in part["chapters"]]
    place = chapters.index(f"chapters/24_{NAME}")
    last = max(each for each in chapters if re.match(r"chapters/\d\d_", each) and not each.endswith(NAME))
    assert chapters[place - 1] == last
    text = "".join(path.read_text() for path in [*(tree / FOLDER).iterdir(), tree / NOTEBOOK])
    assert not re.search(r"chapter_name|chapter title|hapter 00|ch00|00\.1|2000-01-01", text)
    assert f'Rule("{NAME}"' in text and '"24.1"' in text and f"ch24_{NAME} import experiment" in text


@pytest.mark.parametrize("name", ["ch00_x", "chapter_00", "chapter_name", "chapter_title", "ch00"])
def test_a_name_that_looks_like_a_placeholder_is_a_name(name: str, tmp_path: Path) -> None:
    for folder in ("src/relusparsity/chapters", "notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("- {file: chapters/05_d}\n")
    folder, notebook = made(tmp_path, "24", name)
    plain = made(tmp_path, "25", "zzz")
    own = [*sorted(folder.iterdir()), notebook, tmp_path / "_toc.yml"]
    for mine, other in zip(own, [*sorted(plain[0].iterdir()), plain[1]], strict=False):
        expected = other.read_text().replace("zzz", name).replace("Zzz", name.replace("_", " ").capitalize())
        assert mine.read_text() == expected.replace("25", "24")
    assert f"{{file: chapters/24_{name}, title: 24 · {name.replace('_', ' ').capitalize()}}}" in own[-1].read_text()


@pytest.mark.parametrize(
    ("chapter", "name", "said"),
    [
        ("", NAME, r"a chapter needs a number and a name: make new CHAPTER=24 NAME="),
        ("24", "", r"a chapter needs a number and a name"),
        ("5", NAME, r"chapter 5 is notebooks/05_pruning\.py already; choose another number"),
        ("05", NAME, r"chapter 5 is notebooks/05_pruning\.py already"),
        *(
            (number, NAME, f"CHAPTER={re.escape(number)}: expected a number")
            for number in ("0", "-1", "2.5", "100", "x")
        ),
        ("24", "Token Use", r"NAME=Token Use: expected at most 40 small letters"),
        *(
            ("24", name, f"NAME={name}: expected")
            for name in ("class", "token-use", "2wide", "a__b", "../x", "é", "a" * 41)
        ),
        ("24", "neuron_death", r"NAME=neuron_death is that of a chapter, an experiment or a sweep already"),
        ("24", "capacity", r"NAME=capacity is that of"),
        ("24", "rotary", r"NAME=rotary is that of"),
        ("24", "limits_and_capacity", r"NAME=limits_and_capacity is that of"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(chapter: str, name: str, said: str) -> None:
    listed = (ROOT / "_toc.yml").read_text()
    with pytest.raises(UserError, match=f"^{said}") as refused:
        new.checked(ROOT, chapter, name)
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")
    assert (ROOT / "_toc.yml").read_text() == listed and not list(ROOT.glob("src/relusparsity/chapters/ch24*"))


@pytest.mark.parametrize("fails", ["the folder", "the notebook", "the line"])
def test_what_cannot_be_written_whole_is_not_written(fails: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if fails == "the folder":
        (tree / "src/relusparsity/chapters").rename(tree / "elsewhere")
    elif fails == "the notebook":
        (tree / "notebooks").rename(tree / "elsewhere")
    else:

        def refuse(path: Path) -> None:
            raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr(sealed, "atomic_write", refuse)
    before = files(tree)
    with pytest.raises(UserError, match=r"the chapter was not made: .*: (No such file or directory|No space left)"):
        new.write(tree, 24, NAME)
    assert files(tree) == before and not (tree / FOLDER).exists()


def test_a_line_has_its_place() -> None:
    with pytest.raises(UserError, match="lists no chapter"):
        new.with_line("format: jb-book\n", 3, "chapters/03_c")
    listed = "- file: chapters/02_b\n  title: b\n- {file: chapters/05_d, title: d}\n- file: api\n"
    for number, place in ((1, 0), (3, 2), (24, 3)):
        lines = new.with_line(listed, number, f"chapters/{number:02d}_new").splitlines()
        assert lines[place] == f"- {{file: chapters/{number:02d}_new}}" and len(lines) == 5


def test_the_readme_says_where_a_chapter_names_its_shape() -> None:
    text = {file.name: file.read_text() for file in new.TEMPLATE.iterdir() if file.is_file()}
    said = " ".join((ROOT / "README.md").read_text().split())
    assert 'where the notebook says `"smoke"`, in three places, and `short.py`, in one' in said
    assert text["notebook.txt"].count('"smoke"') == 3 and text["short.py"].count('"smoke"') == 1
    others = {name for name, each in text.items() if '"smoke"' in each} - {"notebook.txt", "short.py"}
    assert others == {"experiment.py", "rows.py", "test_chapter.py"}, "RECORDED, the row, tests"


def test_make_hands_number_and_name_on(root: Path) -> None:
    command = ["make", "--dry-run", "new", "CHAPTER=24", f"NAME={NAME}"]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert f'relusparsity.book.new --chapter="24" --name="{NAME}"' in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NAME = 'new'\nRECORDED = ()\n", r"^ch98_bad/experiment\.py has no config, no run; see"),
        ("config = run = NAME = 0\n", r"^ch98_bad/experiment\.py has no RECORDED; see"),
        (
            "config = run = 0\nRECORDED, NAME = (), 'capacity'\n",
            r"^ch98_bad and .*ch06_\w+\.experiment both make 'capacity'",
        ),
    ],
)
def test_a_chapters_experiment_that_cannot_be_recorded_is_named(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ch98_bad").mkdir()
    for name, content in {"__init__": "", "experiment": text}.items():
        (tmp_path / "ch98_bad" / f"{name}.py").write_text(content)
    (tmp_path / "ch99_prose").mkdir()  # a chapter need not have one
    (tmp_path / "ch99_prose" / "__init__.py").touch()
    before = recorded.makers()
    monkeypatch.setattr(chapters, "__path__", [*chapters.__path__, str(tmp_path)])
    with pytest.raises(UserError, match=said):
        recorded.makers()
    for name in [name for name in sys.modules if ".ch98_bad" in name]:
        del sys.modules[name]
    shutil.rmtree(tmp_path / "ch98_bad")
    assert recorded.makers() == before and {"neuron_death", "any_model", "factorial"} <= set(before)


@pytest.mark.slow
def test_a_new_chapter_passes_lint_is_recorded_built_tested_and_removed(tree: Path) -> None:
    before, program = files(tree), Path(sys.executable)
    begun = run(tree, "-m", "relusparsity.book.new", "--chapter", "24", "--name", NAME)
    assert begun.returncode == 0 and "make record CHAPTER=24" in begun.stdout, begun.stderr

    for arguments in (["check"], ["format", "--check"]):
        command = [program.with_name("ruff"), *arguments, FOLDER, NOTEBOOK]
        linted = subprocess.run(command, cwd=tree, capture_output=True, text=True)
        assert linted.returncode == 0, linted.stdout
    imports = lint_imports(tree)
    assert imports.returncode == 0, imports.stdout

    recorded = run(tree, "-m", "relusparsity.book.build", "record", "--chapter", "24")
    assert recorded.returncode == 0, recorded.stderr
    page = nbformat.read(tree / "book" / "chapters" / f"24_{NAME}.ipynb", 4)
    shown = "".join(
        output.get("data", {}).get("text/plain", "") for cell in page.cells for output in cell.get("outputs", [])
    )
    assert (
        "24.1  " in shown
        and "not yet tested (1 seeds of 3)" in shown
        and "token-use-smoke-as-it-is: At a token layer" in shown
    )
    new_files = {name for name in set(files(tree)) - set(before) if not name.startswith((str(FOLDER), str(NOTEBOOK)))}
    data = {f"data/{NAME}-smoke-default.nc{end}" for end in ("", ".sha256")}
    assert new_files == data | {f"book/chapters/24_{NAME}.ipynb"}
    added = re.findall(r"^git add (.*)$", (tree / "README.md").read_text(), re.MULTILINE)
    there = {str(path.relative_to(tree)) for given in added[0].split() for path in tree.glob(given)}
    assert there == new_files | {str(FOLDER), str(NOTEBOOK), "_toc.yml"}

    contents = tree / "one.yml"
    contents.write_text(f"format: jb-book\nroot: chapters/24_{NAME}\n")
    built = run(tree, program.with_name("jupyter-book"), "build", "book", "--toc", contents, "-W", "-n", "--keep-going")
    assert built.returncode == 0, built.stdout + built.stderr
    html = next(tree.rglob(f"_build/html/chapters/24_{NAME}.html")).read_text()
    assert 'class="live-figure"' in html and 'class="claims"' in html
    contents.unlink()

    tried = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tree, FOLDER)
    assert tried.returncode == 0, tried.stdout

    shutil.rmtree(tree / FOLDER)
    for name in (NOTEBOOK, *new_files):
        (tree / name).unlink()
    listed = (tree / "_toc.yml").read_text().splitlines(keepends=True)
    (tree / "_toc.yml").write_text("".join(line for line in listed if f"24_{NAME}" not in line))
    assert files(tree) == before
