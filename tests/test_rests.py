"""What a chapter rests on: all that it reaches, and not what other chapters alone do."""

import ast
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest

from relusparsity.book import build, rests
from relusparsity.errors import UserError
from relusparsity.store import results

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "src" / "relusparsity"
CHAPTERS = sorted((ROOT / "notebooks").glob("*.py"))


def reached(notebook: Path) -> set[str]:
    """Paths in the package of the files that a notebook of this repository reaches."""
    return {str(file.relative_to(HOME)) for file in rests._reached(HOME, notebook)}


def project(root: Path, files: dict[str, str]) -> Path:
    """A small repository; returns its first notebook."""
    for name, text in {
        "requirements.txt": "numpy==2",
        "data/a-laptop-default.nc": "a",
        "data/b-laptop-default.nc": "b",
    }.items() | files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return next(iter(sorted((root / "notebooks").glob("*.py"))))


LIBRARY = {
    "src/relusparsity/__init__.py": "from . import version\n\ndef __getattr__(name):\n    from .watch import track\n",
    "src/relusparsity/version.py": "",
    "src/relusparsity/watch.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .low import typed\n",
    "src/relusparsity/low/__init__.py": "",
    "src/relusparsity/low/typed.py": "",
    "src/relusparsity/low/late.py": "",
    "src/relusparsity/plots/__init__.py": "from .one import first as shown\nfrom .two import second\n",
    "src/relusparsity/plots/one.py": "def first():\n    from ..low import late\n",
    "src/relusparsity/plots/two.py": "",
    "src/relusparsity/core/__init__.py": "from .parts import part\n\ndef load():\n    return part()\n",
    "src/relusparsity/core/parts.py": "",
    "src/relusparsity/core/facts.json": "{}",
    "src/relusparsity/book/build.py": "import relusparsity.plots.two\n",
}
ALWAYS = {"__init__.py", "book/build.py"}
PLOTS = ALWAYS | {"plots/__init__.py"}
CORE = ALWAYS | {"core/__init__.py", "core/parts.py", "core/facts.json"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy", ALWAYS - {"__init__.py"}),
        ("from relusparsity import plots\nplots.second()", PLOTS | {"plots/two.py"}),
        ("from relusparsity.plots import shown as s", PLOTS | {"plots/one.py", "low/__init__.py", "low/late.py"}),
        ("import relusparsity.plots.two as two\ntwo.second()", PLOTS | {"plots/two.py"}),
        ("from relusparsity import core\ncore.load()", CORE),
        ("import relusparsity\nrelusparsity.track()", ALWAYS | {"watch.py", "low/__init__.py", "low/typed.py"}),
        ("def f():\n    from relusparsity.plots import two", PLOTS | {"plots/two.py"}),
    ],
)
def test_what_is_asked_for_is_reached_and_no_more(source: str, expected: set[str], tmp_path: Path) -> None:
    notebook = project(tmp_path, LIBRARY | {"notebooks/01_a.py": source})
    home = tmp_path / "src" / "relusparsity"
    assert {str(file.relative_to(home)) for file in rests._reached(home, notebook)} == expected


@pytest.mark.parametrize(
    "source",
    [
        "from relusparsity import plots\nprint(getattr(plots, 'shown'))",
        "from relusparsity.plots import *",
        "from relusparsity import plots\nplots.made_up()",
        "import relusparsity.plots",
        "from relusparsity import plots as p\nfor q in [p]:\n    q.shown()",
        "def f():\n    from relusparsity.plots import shown as x\nfrom relusparsity.plots import second as x",
    ],
)
def test_where_the_names_are_not_written_all_of_a_package_counts(source: str, tmp_path: Path) -> None:
    notebook = project(tmp_path, LIBRARY | {"notebooks/01_a.py": source})
    home = tmp_path / "src" / "relusparsity"
    assert {home / "plots/one.py", home / "plots/two.py", home / "low/late.py"} <= rests._reached(home, notebook)


def test_a_notebook_that_is_no_python_rests_on_everything(tmp_path: Path) -> None:
    notebook = project(tmp_path, LIBRARY | {"notebooks/01_a.py": "def ("})
    before = rests.code(tmp_path, notebook)
    (tmp_path / "src/relusparsity/plots/two.py").write_text("changed = 1")
    assert rests.code(tmp_path, notebook) != before


@pytest.fixture(scope="module")
def files() -> dict[str, set[str]]:
    """Number of a chapter → the files that its notebook reaches."""
    return {chapter.stem[:2]: reached(chapter) for chapter in CHAPTERS}


OF_THE_BUILD = {"chapters/ch11_measure_any_model/reports.py"} | {
    f"chapters/ch19_specialised_heads/{name}.py" for name in ("public", "measuring")
}
"""What the build of the pages alone reads of a chapter, or who measures others' models, and its notebook does not."""


def test_a_change_in_one_chapters_folder_runs_that_chapter_alone(files: dict[str, set[str]]) -> None:
    for chapter in CHAPTERS:
        folder = HOME / "chapters" / f"ch{chapter.stem}"
        there = {str(file.relative_to(HOME)) for file in folder.rglob("*.py") if not file.name.startswith("test_")}
        assert {"__init__.py", "tables.py"} <= {Path(name).name for name in there}
        for name in there - OF_THE_BUILD:
            assert {number for number, names in files.items() if name in names} == {chapter.stem[:2]}, name


def test_what_one_chapter_alone_uses_runs_it_alone_and_the_core_runs_all(files: dict[str, set[str]]) -> None:
    own = {
        "experiments/layer_patterns.py": {"01", "02", "08"},
        "plots/pruning.py": {"05", "11"},
        "anymodel/track.py": {"11"},
    }
    own |= {"experiments/repetition.py": set(), "plots/recipes.py": {"06", "07", "08"}, "commands.py": set()}
    for name, chapters in own.items():
        assert (HOME / name).is_file()
        assert {number for number, there in files.items() if name in there} == chapters, name
    for name in ("train/loop.py", "config.py", "experiments/shared.py", "plots/style.py", "store/renamed.json"):
        assert all(name in there for there in files.values()), name


EACH = """
import json, os, sys
import pandas, scipy, torch, xarray  # nothing of ours: each chapter loads that anew, in a process forked from this one
for program in json.load(sys.stdin):
    if not os.fork():
        exec(program, {})
        ours = [m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'relusparsity']
        print(json.dumps(ours), flush=True)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"not loaded: {program}")
"""


@pytest.fixture(scope="module")
def loaded() -> dict[Path, set[str]]:
    """Notebook → the files in the package that a process has loaded after its imports."""
    programs = []
    for notebook in CHAPTERS:
        nodes = [node for node in ast.parse(notebook.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        lines = [line for line in map(ast.unparse, nodes) if line.startswith(("import relu", "from relu"))]
        programs.append("\n".join(lines))
    command = [sys.executable, "-c", EACH]
    done = subprocess.run(command, input=json.dumps(programs), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [[str(Path(file).relative_to(HOME)) for file in json.loads(line)] for line in done.stdout.splitlines()]
    return dict(zip(CHAPTERS, map(set, names), strict=True))


@pytest.mark.parametrize("notebook", CHAPTERS, ids=lambda path: path.stem)
def test_all_that_a_chapter_loads_is_reached(notebook: Path, loaded: dict[Path, set[str]]) -> None:
    """But for what a package that hands names on loads of modules nobody asked for."""
    handed_on = ("plots/", "claims/", "anymodel/", "interventions/", "source.py")  # the last by `plots.batch_use`
    handed_on += ("counting/gpu.py", "counting/kernels.py", "attention/massive.py")  # by `anymodel`
    assert len(loaded[notebook]) > 30
    assert {name for name in loaded[notebook] - reached(notebook) if not name.startswith(handed_on)} == set()


NOTEBOOK = """# %%
scale = "laptop"
from relusparsity.store import results
print([results.recorded_path(name, "laptop").name for name in {names}])
"""


def test_a_chapter_runs_again_for_a_dataset_that_it_read_and_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {
        "notebooks/01_a.py": NOTEBOOK.format(names=["a", "absent"]),
        "notebooks/02_b.py": NOTEBOOK.format(names=["b"]),
    }
    project(tmp_path, files)

    def execute() -> set[str]:
        build.execute(tmp_path, "laptop", tmp_path / "out", rests.notebooks(tmp_path))
        unchanged = [line.partition(" ")[0] for line in capfd.readouterr().out.splitlines() if "unchanged" in line]
        return {"01_a.py", "02_b.py"} - set(unchanged)

    def stale() -> set[str]:
        data, sources = rests.datasets(tmp_path), sorted((tmp_path / "notebooks").glob("*.py"))
        kept = {source: tmp_path / "out" / f"{source.stem}.inputs" for source in sources}
        return {source.name for source in sources if not rests.unchanged(kept[source], tmp_path, source, data)}

    assert execute() == {"01_a.py", "02_b.py"} and stale() == set()
    (tmp_path / "data/a-laptop-default.nc").write_text("another")
    assert stale() == {"01_a.py"}
    assert execute() == {"01_a.py"} and stale() == set()
    (tmp_path / "data/c-laptop-default.nc").write_text("read by none")
    assert stale() == set()
    (tmp_path / "data/absent-laptop-default.nc").write_text("it is there now")
    (tmp_path / "out/02_b.inputs").write_text("what an older version kept")
    assert stale() == {"01_a.py", "02_b.py"}


def test_a_notebook_that_looks_around_in_data_rests_on_all_of_it(tmp_path: Path) -> None:
    notebook = project(tmp_path, {"notebooks/01_a.py": "from relusparsity.store import results\nresults.data_dir()"})
    data = rests.datasets(tmp_path)
    kept = tmp_path / "01_a.inputs"
    kept.write_text(rests.stamp(rests.code(tmp_path, notebook), notebook, data, set()))
    assert rests.unchanged(kept, tmp_path, notebook, data)
    assert not rests.unchanged(kept, tmp_path, notebook, data | {"new.nc": "0"})


def test_only_a_chapter_of_the_book_notes_its_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path)
    results.recorded_path("a", "laptop")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("RELUSPARSITY_READS", str(tmp_path / "notes"))
    with pytest.raises(results.UserError):
        results.recorded("a", "wide")
    assert (tmp_path / "notes").read_text().split() == ["a-wide.nc", "a-wide-nearest.nc"]


def test_one_thread_parses_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chapters begin in threads; Python's parser may fail where two of them use it at once."""
    inside, most = 0, 0

    def slow(text: str) -> ast.Module:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        sleep(0.02)
        inside -= 1
        return ast.Module([], [])

    monkeypatch.setattr(rests.ast, "parse", slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rests._parsed, [f"x = {number}" for number in range(8)]))
    assert most == 1
    rests._parsed.cache_clear()


def test_the_shape_of_a_notebook_is_its_parameter(tmp_path: Path) -> None:
    assert rests.scale(CHAPTERS[0]) == "laptop"
    notebook = tmp_path / "24_new.py"
    notebook.write_text("# %% tags=[\"parameters\"]\nscale = 'smoke'\n")
    assert rests.scale(notebook) == "smoke"
    notebook.write_text("print(1)\n")
    with pytest.raises(UserError, match=r"^24_new\.py has no parameter scale; give it a cell tagged parameters"):
        rests.scale(notebook)
