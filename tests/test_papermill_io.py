"""`papermill notebooks/X.py`, typed in every way that people type it: nothing is overwritten, nothing good is lost."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import click
import nbformat
import papermill
import papermill.cli
import pytest

from relusparsity.book import papermill_io

SOURCE = """# %% [markdown]
# # A chapter

# %% tags=["parameters"]
scale = "laptop"  # the size of the run
fail: bool = False

# %%
import sys
print("at", scale)
print("a warning", file=sys.stderr)

# %%
assert not fail, "as asked"
1 + 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "_config.yml").touch()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "03_death.py").write_text(SOURCE)
    return tmp_path


def run(folder: Path, *arguments: str, stdin: str | None = None, module: bool = False) -> subprocess.CompletedProcess:
    """Run papermill; stdin is a pipe that holds text, or closed."""
    program = ["-m", "papermill"] if module else [str(Path(sys.executable).with_name("papermill"))]
    source = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(
        [sys.executable, *program, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, **source
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_options_are_papermills() -> None:
    theirs = {
        name: parameter.nargs
        for parameter in papermill.cli.papermill.params
        if isinstance(parameter, click.Option) and not parameter.is_flag and not parameter.count
        for name in parameter.opts
    }
    assert theirs == papermill_io.options()


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("03_death.py", "S D/03_death.ipynb"),
        ("./03_death.py --log-output", "S D/03_death.ipynb --log-output"),
        ("-p scale smoke 03_death.py", "-p scale smoke S D/scale=smoke/03_death.ipynb"),
        ("-pscale smoke 03_death.py", "-pscale smoke S D/scale=smoke/03_death.ipynb"),
        ("--parameters=scale smoke 03_death.py", "--parameters=scale smoke S D/scale=smoke/03_death.ipynb"),
        ("03_death.py -p b 2 -r a 1", "S D/a=1,b=2/03_death.ipynb -p b 2 -r a 1"),
        ("--cwd notebooks 03_death.py --prepare-only", "--cwd notebooks S D/prepared/03_death.ipynb --prepare-only"),
        ("-- 03_death.py", "-- S D/03_death.ipynb"),
        ("03_death.py -", "S jupytext:-"),
        ("03_death.py out.ipynb -k python3", "S jupytext:N/out.ipynb -k python3"),
        ("03_death.py -k python3", "S D/03_death.ipynb -k python3"),
        ("-k python3 03_death.py", "-k python3 S D/03_death.ipynb"),
        ("-kpython3 03_death.py -lpython", "-kpython3 S D/03_death.ipynb -lpython"),
        ("-l python 03_death.py --kernel=python3", "-l python S D/03_death.ipynb --kernel=python3"),
        ("-f some.yaml 03_death.py", "-f some.yaml S D/some.yaml/03_death.ipynb"),
        ("-ya:1 03_death.py -b Zm9v", "-ya:1 S D/Zm9v,a-1/03_death.ipynb -b Zm9v"),
        ("-r scale smoke 03_death.py -pb 2", "-r scale smoke S D/b=2,scale=smoke/03_death.ipynb -pb 2"),
        ("-hk python3 03_death.py", "-hk python3 S D/03_death.ipynb"),
        ("03_death.py -k", "S D/03_death.ipynb -k"),
        ("03_death.py s3://bucket/out.ipynb", "S s3://bucket/out.ipynb"),
        ("some.ipynb out.ipynb", "some.ipynb out.ipynb"),
        ("some.ipynb", "some.ipynb"),
        ("--version", "--version"),
        ("", ""),
    ],
)
def test_the_command_line_is_completed(
    project: Path, monkeypatch: pytest.MonkeyPatch, typed: str, becomes: str
) -> None:
    monkeypatch.chdir(project / "notebooks")
    names = {
        "S": f"jupytext:{project}/notebooks/03_death.py",
        "D": f"jupytext:{project}/_build/notebooks",
        "N": f"{project}/notebooks",
    }
    expected = [
        "/".join(names.get(part, part) for part in word.replace("jupytext:N", f"jupytext:{names['N']}").split("/"))
        for word in becomes.split()
    ]
    assert papermill_io.complete(typed.split()) == expected


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("no_such.py", "there is no notebook no_such.py; that folder has 03_death.py"),
        ("03_death.py 03_death.py", "is a source file"),
        ("some.ipynb 03_death.py", "is a source file"),
        ("03_death.py out.txt", "not a notebook"),
        ("03_death.py nowhere/out.ipynb", "there is no folder"),
    ],
)
def test_a_wrong_path_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, says: str
) -> None:
    monkeypatch.chdir(project / "notebooks")
    with pytest.raises(SystemExit) as stopped:
        papermill_io.complete(typed.split())
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.slow
def test_every_way_to_type_it_gives_the_same_bytes(project: Path) -> None:
    source, output = project / "notebooks/03_death.py", project / "_build/notebooks/03_death.ipynb"
    ways = [
        run(project, "notebooks/03_death.py"),
        run(project, "notebooks/03_death.py", stdin="\n"),
        run(project / "notebooks", "./03_death.py", "--cwd", ".."),
        run(project, str(source), module=True),
    ]
    digests = set()
    for way in ways:
        assert way.returncode == 0, way.stderr
        assert f"Output Notebook: {output}" in way.stderr
    digests.add(digest(output))
    explicit = run(project, "--no-progress-bar", "notebooks/03_death.py", "out.ipynb")
    assert explicit.returncode == 0, explicit.stderr
    digests.add(digest(project / "out.ipynb"))
    piped = run(project, "notebooks/03_death.py", "-")
    digests.add(hashlib.sha256(piped.stdout.encode()).hexdigest())
    with warnings.catch_warnings(action="ignore"):  # papermill's: the path does not end in .ipynb
        papermill.execute_notebook(f"jupytext:{source}", f"jupytext:{project}/api.ipynb", progress_bar=False)
    digests.add(digest(project / "api.ipynb"))
    assert len(digests) == 1
    assert source.read_text() == SOURCE
    assert sorted(path.name for path in project.rglob("*.ipynb")) == ["03_death.ipynb", "api.ipynb", "out.ipynb"]
    notebook = nbformat.read(output, as_version=4)
    nbformat.validate(notebook)
    assert [cell.id for cell in notebook.cells] == ["cell-00", "cell-01", "cell-02", "cell-03"]
    assert str(project) not in output.read_text()


@pytest.mark.slow
def test_a_terminal_changes_nothing(project: Path) -> None:
    pty = pytest.importorskip("pty", reason="pseudo-terminals exist on Unix only")
    leader, follower = pty.openpty()
    program = Path(sys.executable).with_name("papermill")
    with subprocess.Popen(
        [program, "notebooks/03_death.py"], cwd=project, stdin=follower, stdout=follower, stderr=subprocess.PIPE
    ) as process:
        error = process.stderr.read() if process.stderr else b""
    os.close(leader)
    os.close(follower)
    assert process.returncode == 0, error
    assert (project / "_build/notebooks/03_death.ipynb").is_file()


@pytest.mark.slow
def test_a_failing_run_leaves_the_good_notebook(project: Path) -> None:
    assert run(project, "notebooks/03_death.py", "good.ipynb").returncode == 0
    good = digest(project / "good.ipynb")
    failed = run(project, "notebooks/03_death.py", "good.ipynb", "-p", "fail", "True")
    assert failed.returncode == 1
    assert "as asked" in failed.stderr
    assert "good.unfinished.ipynb" in failed.stderr
    assert digest(project / "good.ipynb") == good
    assert "as asked" in (project / "good.unfinished.ipynb").read_text()
    on_stdout = run(project, "notebooks/03_death.py", "-", "-p", "fail", "True")
    assert (on_stdout.returncode, on_stdout.stdout) == (1, "")


@pytest.mark.slow
@pytest.mark.parametrize("option", [("-p", "sclae", "smoke"), ("-y", "{sclae: smoke}")])
def test_an_unknown_parameter_is_an_error(project: Path, option: tuple[str, ...]) -> None:
    refused = run(project, "notebooks/03_death.py", *option)
    assert refused.returncode == 2
    assert "the notebook has no parameter sclae; it has: fail, scale" in refused.stderr
    assert not list(project.rglob("*.ipynb"))


@pytest.mark.slow
def test_parameters_are_kept_and_explained(project: Path) -> None:
    done = run(project, "notebooks/03_death.py", "-p", "scale", "smoke")
    assert done.returncode == 0, done.stderr
    notebook = json.loads((project / "_build/notebooks/scale=smoke/03_death.ipynb").read_text())
    assert notebook["metadata"]["papermill"] == {"parameters": {"scale": "smoke"}}
    assert notebook["cells"][3]["outputs"][0]["text"] == ["at smoke\n"]
    explained = run(project, "notebooks/03_death.py", "--help-notebook")
    assert "scale: Unknown type" in explained.stdout
    assert "the size of the run" in explained.stdout


def test_pieces_of_one_stream_are_joined() -> None:
    out = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in [("stdout", "a"), ("stdout", "b")]]
    error = nbformat.v4.new_output("stream", name="stderr", text="c")
    joined = papermill_io.merged([*out, error, nbformat.v4.new_output("stream", name="stdout", text="d")])
    assert [(each.name, each.text) for each in joined] == [("stdout", "ab"), ("stderr", "c"), ("stdout", "d")]
