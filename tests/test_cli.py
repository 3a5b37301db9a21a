"""The command line teaches, trains what was asked for, and refuses with one sentence."""

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from relusparsity import scales, stopping, train
from relusparsity.__main__ import Train, _parse, main
from relusparsity.store import results
from relusparsity.store.ondisk import find, run_paths

TINY = "train --scale smoke --train.tokens 2560 --measure.points 2 --measure.final_sets 1"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of runs of this test's own, with the session's corpora."""
    corpora = results.runs_dir() / "corpora"
    corpora.mkdir(parents=True, exist_ok=True)
    (tmp_path / "corpora").symlink_to(corpora)
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    return tmp_path


def test_train_show_clean(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*shlex.split(TINY), "--model.d_ff", "32"]) == 0
    first = capsys.readouterr().out
    (path,) = run_paths()
    assert first.splitlines()[:2] == [str(path), "trained now"] and "% of 32 a layer" in first

    assert main([*shlex.split(TINY), "--model.d_ff=32"]) == 0
    again = capsys.readouterr().out
    assert "reused" in again and again.splitlines()[2:] == first.splitlines()[2:]

    assert main(["show"]) == 0
    assert path.name[4:] in capsys.readouterr().out
    assert main(["show", path.name[4:8]]) == 0
    assert capsys.readouterr().out.splitlines() == first.splitlines()[2:]

    assert main(["clean"]) == 0 and path.is_dir()
    assert "nothing was" in capsys.readouterr().out
    assert main(["clean", path.name, "--yes"]) == 0
    assert not path.exists() and (runs / "corpora").exists()


def test_of_a_scale_given_twice_the_last_counts() -> None:
    asked = [*shlex.split("train --scale laptop --scale=wide --seed 1 --scale smoke --seed 2")]
    assert _parse(asked) == Train("smoke", None, replace(scales.base("smoke"), seed=2))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--measure.final_sets", "1000000"), "held-out text makes"),
        (("--measure.sets", "1000000"), "held-out text makes"),
        (("--model.seq_len", "16777216"), "tokens"),
        (("--train.precision", "bf16", "--train.compile", "True"), "bf16"),
    ],
)
def test_a_run_that_is_refused_has_no_folder(
    runs: Path, option: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*shlex.split(TINY), *option]) == 2
    assert said in capsys.readouterr().err and not run_paths()


def test_a_run_that_diverges_stops_with_its_step(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = shlex.split(TINY) + shlex.split("--train.optimizer sgd --train.lr 1e30 --train.clip 0")
    assert main(wild) == 1
    assert "step" in capsys.readouterr().err
    (path,) = run_paths()
    assert main(["show", path.name]) == 0
    assert "not finite" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "word", "next_time"),
    [
        ("", "the last whole state is of step 5, the same command resumes from it", "resumed from step 5"),
        ("--train.resume_every 0", "no state was kept (resume_every = 0), the same command begins again", "begins"),
        ("--train.resume_every 2048", "no state was kept yet, the same command begins again", "begins again"),
    ],
)
def test_interrupted_it_says_what_the_same_command_will_do(
    options: str,
    word: str,
    next_time: str,
    runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = shlex.split(f"{TINY} --train.resume_every 1280 {options}")
    advance = train.Trainer.advance

    def interrupted(trainer: train.Trainer) -> object:
        if trainer.step == 7:
            raise KeyboardInterrupt
        return advance(trainer)

    with monkeypatch.context() as patched:
        patched.setattr(train.Trainer, "advance", interrupted)
        assert main(command) == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"interrupted; {word}"
    assert main(command) == 0
    assert next_time in capsys.readouterr().out.splitlines()[1]


def test_the_next_command_does_not_speak_of_the_run_before_it(runs: Path) -> None:
    stopping.begin(runs / "run-of-the-last-command", 0)
    assert "begins again" in stopping.prospect()
    assert main(["show"]) == 0
    assert stopping.prospect() == "the same command resumes from what was kept"


def test_what_is_not_a_run_is_never_removed(runs: Path) -> None:
    for name in ("run-mine", "notes.nc"):
        (runs / name).mkdir()
    assert main(["clean", "--yes"]) == 0
    assert (runs / "run-mine").is_dir() and (runs / "notes.nc").is_dir()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("train --scale huge", "no scale 'huge'; choose one of smoke"),
        ("train --scale", "--scale has no value; give it the name of a scale, or leave it out"),
        ("train --recipe", "--recipe has no value; give it the name of a recipe"),
        ("train --recipe= --seed 1", "--recipe has no value"),
        ("train --recipe --scale smoke", "--recipe has no value"),
        ("train --scale smoke --model.n_heads 3", "n_heads = 3 does not divide d_model = 16"),
        ("train --scale smoke --model.d_ff -4", "ModelConfig.d_ff = -4: expected a number above 0"),
        ("train --scale smoke --corpus.source text --corpus.paths /not/there", "/not/there"),
        ("show abc", "no runs in"),
        ("clean abc", "no runs in"),
    ],
)
def test_refusals_are_one_sentence(command: str, says: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command)) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and says in said.err and said.err.count("\n") == 1 and not said.out


@pytest.mark.parametrize("command", ["train --model.headz 3", "train --model.activation tanh", "", "fly"])
def test_mistyped_options_exit_2_and_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(command))
    assert stop.value.code == 2
    assert "--help" in capsys.readouterr().err


def test_an_id_must_be_unambiguous(runs: Path) -> None:
    for name in ("run-00000000000000aa", "run-00000000000000ab"):
        (runs / name).mkdir()
    assert find("00000000000000aa").name == "run-00000000000000aa"
    with pytest.raises(ValueError, match=r"2 runs in .* exactly one of"):
        find("0000")


def test_help_teaches_every_field_without_loading_torch() -> None:
    program = "import sys, relusparsity.__main__ as m\ntry: m.main(['train', '--help'])\nexcept SystemExit: pass\n"
    program += "assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "100"})
    for word in ("--scale", "--model.d_ff", "paper: 32,768", "--train.lr", "--measure.points", "--seed"):
        assert word in shown.stdout


def test_a_reader_that_leaves_early_is_no_error() -> None:
    shell = f"{sys.executable} -m relusparsity train --help | head -1"
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert ended.stdout.startswith("usage: python -m relusparsity train") and "Traceback" not in ended.stderr
