"""Whatever `train`, `show` and `clean` are given, they end with exit code 2 and a sentence: no traceback, no hang."""

import os
import random
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from relusparsity.__main__ import main

SECONDS = 30
MEMORY = 16 << 30


class TooLong(BaseException):
    """No answer in time."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The names that the table uses: a text, a finished run, and what is neither."""
    folder = tmp_path_factory.mktemp("place")
    files = {name: folder / name for name in ("good.txt", "binary.txt", "empty.txt", "cut.gz", "cut.xz", "cut.zst")}
    rng = random.Random(0)
    words = ["".join(rng.choice("bdfgklmnprst") + rng.choice("aeiou") for _ in range(2)) for _ in range(300)]
    documents = [" ".join(rng.choice(words) for _ in range(60)) for _ in range(200)]
    files["good.txt"].write_text("\n\n".join(documents))
    files["binary.txt"].write_bytes(bytes(range(256)) * 40)
    files["empty.txt"].write_text("")
    for name in ("cut.gz", "cut.xz", "cut.zst"):
        files[name].write_bytes(b"no archive at all")
    (folder / "nothing").mkdir()
    names = {name.replace(".", "_"): str(path) for name, path in files.items()}
    names |= {"folder": str(folder), "nothing": str(folder / "nothing"), "long": "x" * 5000}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(folder / "runs"))
        source = ["--corpus.source", "text", "--corpus.paths", names["good_txt"], "--corpus.heldout_share", "0.4"]
        shape = ["--model.n_layers", "1"]
        short = ["--train.tokens", "512", "--measure.points", "1", "--measure.final_sets", "1"]
        short += ["--train.resume_every", "256", "--train.warmup", "256"]
        assert main(["train", "--scale", "smoke", *source, *shape, *short]) == 0
        (run,) = (folder / "runs").glob("run-*")
        (folder / "runs" / "run-00000000000000aa").write_text("a file where a run should be")
        names |= {"run": run.name, "text": " ".join(source), "smoke": " ".join(source + shape + short)}
        yield names


def refused(command: str, capsys: pytest.CaptureFixture[str], place: dict[str, str]) -> str:
    """What a command says that it refuses."""

    def late(*_: object) -> None:
        raise TooLong(command[:200])

    arguments = [word.format(**place) for word in command.split(" ")]
    arguments = [part for word in arguments for part in (word.split(" ") if word in place.values() else [word])]
    before = signal.signal(signal.SIGALRM, late)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limits[1]))
    signal.alarm(SECONDS)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    said = capsys.readouterr().err
    assert code == 2, f"{command[:200]}: exit code {code}, {said[-300:]}"
    assert said.strip() and "Traceback" not in said
    if said.startswith("error: "):
        assert said.count("\n") == 1, said
    return said


NUMBERS = {  # each field of a number, and what is none
    "--seed": ("1.5", "-1", str(2**64), str(2**200)),
    "--model.n_layers": ("0", str(10**9), str(10**30)),
    "--model.d_model": ("wide", "17", str(10**30)),
    "--model.d_ff": ("1e3", str(10**13), str(10**30)),
    "--model.n_heads": ("3", str(10**30)),
    "--model.seq_len": ("33", str(2**40)),
    "--model.vocab_size": ("300", str(10**30)),
    "--model.embedding_std": ("nan", "x"),
    "--model.logit_scale": ("nan", "0"),
    "--corpus.heldout_share": ("1", "nan"),
    "--corpus.tokenizer_bytes": ("0", "1e3"),
    "--train.tokens": ("100", "1e6"),
    "--train.batch_tokens": ("33", str(10**30)),
    "--train.lr": ("nan", "inf", "fast"),
    "--train.warmup": ("-1", "0.5"),
    "--train.beta1": ("1", "nan"),
    "--train.beta2": ("2", "x"),
    "--train.weight_decay": ("nan", "inf"),
    "--train.clip": ("-1", "nan"),
    "--train.dead_after": ("100", "x"),
    "--train.resume_every": ("-1", "100"),
    "--train.snapshots": ("-1", "1.5"),
    "--measure.points": ("0", "x"),
    "--measure.sets": ("0", str(10**12)),
    "--measure.final_sets": ("-1", str(10**12)),
    "--measure.set_tokens": ("33", str(2**62)),
    "--measure.history_units": ("0", "x"),
    "--measure.histories": ("0", "-1"),
    "--measure.earlier": ("-1", "1.5"),
    "--train.fork_states": ("x", "100"),
    "--fork.tokens": ("-1", "100"),
    "--fork.steps": ("-1", "10"),
    "--fork.freeze_before": ("-1", "first"),
}


@pytest.mark.parametrize("option", NUMBERS)
def test_what_is_no_such_number_is_refused(
    option: str, place: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for value in NUMBERS[option]:
        said = refused(f"train --scale smoke {{smoke}} {option} {value}", capsys, place)
        assert option.rpartition(".")[2].lstrip("-") in said, (option, value, said)


CHOICES = {
    "model": ("activation", "attention", "norm", "norm_place", "positions", "init", "embedding_norm", "bias", "tied"),
    "corpus": ("source",),
    "train": ("optimizer", "schedule", "precision", "compile", "shard", "deterministic"),
    "fork": ("zero_moments", "decay_input_biases", "decay_dead"),
}


@pytest.mark.parametrize("option", [f"--{part}.{name}" for part, names in CHOICES.items() for name in names])
def test_what_is_no_choice_is_refused(option: str, place: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert option in refused(f"train --scale smoke {option} sometimes", capsys, place)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("train --scale", "--scale has no value"),
        ("train --scale=", "--scale has no value"),
        ("train --scale huge", "no scale 'huge'"),
        ("train --scale {long}", "no scale"),
        ("train more", "more"),
        ("train --model.headz 3", "headz"),
        ("train --train.tokens", "tokens"),
        ("train --scale smoke --corpus.source text", "needs paths"),
        ("train --scale smoke --corpus.source text --corpus.paths /not/there", "/not/there"),
        ("train --scale smoke --corpus.source text --corpus.paths {nothing}", "nothing"),
        ("train --scale smoke --corpus.source text --corpus.paths {empty_txt}", "give more text"),
        ("train --scale smoke --corpus.source text --corpus.paths {binary_txt}", "binary.txt"),
        ("train --scale smoke --corpus.source text --corpus.paths {cut_gz}", "cut.gz"),
        ("train --scale smoke --corpus.source text --corpus.paths {cut_xz}", "cut.xz"),
        ("train --scale smoke --corpus.source text --corpus.paths {cut_zst}", "cut.zst"),
        ("train --scale smoke --corpus.source text --corpus.paths {long}.txt", "xxx"),
        ("train --scale smoke --corpus.source text --corpus.paths ~nosuchuser/x.txt", "nosuchuser"),
        (
            "train --scale smoke --corpus.source text --corpus.paths {good_txt} --corpus.heldout_paths /not/there",
            "/not",
        ),
        ("train --scale smoke {text} --corpus.tokenizer /not/there", "/not/there"),
        ("train --scale smoke {text} --corpus.tokenizer {good_txt}", "good.txt"),
        ("train --scale smoke {text} --corpus.tokenizer {nothing}", "nothing"),
        ("train --scale smoke {text} --corpus.tokenizer {long}", "xxx"),
        ("train --scale smoke --corpus.source hf", "name"),
        ("train --scale smoke --corpus.source hf --corpus.name a/b", "max_bytes"),
        ("train --scale smoke --corpus.source hf --corpus.name a/b --corpus.max_bytes -1", "max_bytes"),
        ("train --scale smoke --corpus.source hf --corpus.name a/b --corpus.max_bytes x", "max_bytes"),
        ("show 3f2a", "'3f2a'"),
        ("show /", "names no run"),
        ("show .", "names no run"),
        ("show run-", "names no run"),
        ("show xyz", "'xyz' names no run"),
        ("show {long}", "names no run"),
        ("show {folder}", "names no run"),
        ("show {good_txt}", "names no run"),
        ("show run-00000000000000aa", "no runs in"),
        ("show /elsewhere/{run}", "does not lie in"),
        ("show a b", "b"),
        ("show --all", "--all"),
        ("clean  --yes", "'' names no run"),
        ("clean / --yes", "names no run"),
        ("clean . --yes", "names no run"),
        ("clean .. --yes", "names no run"),
        ("clean * --yes", "names no run"),
        ("clean run- --yes", "names no run"),
        ("clean run-xyz --yes", "names no run"),
        ("clean 3f2a --yes", "'3f2a'"),
        ("clean {run} xyz --yes", "'xyz' names no run"),
        ("clean {run}  --yes", "'' names no run"),
        ("clean {long} --yes", "names no run"),
        ("clean {folder} --yes", "names no run"),
        ("clean ../{run} --yes", "does not lie in"),
        ("clean {nothing}/{run} --yes", "does not lie in"),
        ("clean run-00000000000000aa --yes", "no runs in"),
        ("clean --corpora maybe --yes", "maybe"),
        ("clean --yes perhaps", "perhaps"),
        ("clean --force", "--force"),
        ("fly", "fly"),
        ("--scale smoke", "--help"),
    ],
)
def test_what_makes_no_sense_is_refused(
    command: str, says: str, place: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(command, capsys, place)
    assert (Path(place["folder"]) / "runs" / place["run"] / "dataset.nc").is_file(), "and nothing was removed"


@pytest.mark.parametrize("runs", ["/proc/nothing", "/dev/null", "/dev/null/runs", "{good_txt}", "{long}"])
def test_a_place_for_runs_that_is_none_is_named(
    runs: str, place: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self").exists() and runs.startswith("/proc"):
        pytest.skip("there is no /proc")
    runs = runs.format(**place)
    monkeypatch.setenv("RELUSPARSITY_RUNS", runs)
    assert runs[-20:] in refused("train --scale smoke {text}", capsys, place).replace("corpora", runs[-20:])
    if os.path.lexists(runs) if len(runs) < 255 else True:
        assert runs[-20:] in refused("show", capsys, place) and runs[-20:] in refused("clean --yes", capsys, place)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("dataset.nc", "dataset.nc is no file"),
        ("stopped.nc", "stopped.nc is no file"),
        ("config.json", "config.json cannot be written"),
        ("environment.json", "environment.json cannot be written"),
        ("corpus.json", "corpus.json cannot be written"),
        ("config.json.sha256", "config.json.sha256 cannot be written"),
        ("metrics.jsonl", "metrics.jsonl cannot be written"),
        ("lock", "lock cannot be locked"),
        ("weights/00000002.safetensors", "00000002.safetensors cannot be written"),
        ("measurements/00000000.npz", "00000000.npz cannot be written"),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_named(
    name: str, says: str, place: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(place["folder"]) / "runs" / place["run"]
    kept = run.rename(run.with_name("kept"))
    try:
        (run / name).mkdir(parents=True)
        (run / name / "precious").touch()
        assert says in refused("train --scale smoke {smoke}", capsys, place)
        assert (run / name / "precious").is_file()
    finally:
        shutil.rmtree(run)
        kept.rename(run)


@pytest.mark.parametrize("name", ["weights", "measurements", "states"])
def test_a_file_in_the_place_of_a_folder_is_named(
    name: str, place: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(place["folder"]) / "runs" / place["run"]
    kept = run.rename(run.with_name("kept"))
    try:
        run.mkdir()
        (run / name).touch()
        said = refused("train --scale smoke {smoke}", capsys, place)
        assert name in said
    finally:
        shutil.rmtree(run)
        kept.rename(run)
