"""Every option of `measure` and `compare` with what it cannot take: one sentence, exit code 2."""

import signal
from pathlib import Path

import pytest

from bad_made import COMMANDS
from relusparsity.__main__ import main

pytest_plugins = ("bad_made",)  # its fixtures


SECONDS = 20


def named(command: list[str]) -> str:
    return " ".join(each if len(each) < 60 else f"{each[:20]}…" for each in command).replace("\0", "NUL")


def test_there_are_more_than_a_hundred_of_them() -> None:
    assert len(COMMANDS) > 200


def late(*_: object) -> None:
    raise TimeoutError(f"no answer in {SECONDS} s")


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_bad_input_is_one_sentence(
    command: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # asking a network that is not there is slow
    before = sorted(here.iterdir())
    usual = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        status = main(command)
    except SystemExit as stop:
        status = stop.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
    said = capsys.readouterr()
    assert status == 2, (status, said.err[-600:])
    assert "Traceback" not in said.err
    if "For full helptext" not in said.err:  # which tyro says of options that it does not know
        lines = [line for line in said.err.replace("\r", "\n").splitlines() if line.strip() and "it/s]" not in line]
        assert lines[-1].startswith("error: ") and [each for each in lines if each.startswith("error")] == lines[-1:]
        assert "\0" not in lines[-1] and (len(lines[-1]) < 1200 or "--layers" in command), len(lines[-1])
    assert sorted(here.iterdir()) == before, "nothing is left behind"
