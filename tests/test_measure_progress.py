"""What `measure` says while it works: its stages, and no time before there is a measure of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from any_models import build
from measure_made import saved, words
from relusparsity.__main__ import main
from relusparsity.measure import progress

__all__ = ["words"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Reads(nn.Module):
    """A model that takes a second for every ten tokens."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def forward(self, tokens: torch.Tensor) -> None:
        self.clock.now += tokens.numel() / 10


def test_the_time_left_is_of_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    shown, model, some = progress.Progress(2, lines=True, clock=clock), Reads(clock), torch.zeros(1, 100)
    shown.begin("one")
    shown.plan({"calibrating": 400, "reading the text": 1000})
    with shown.stage("calibrating", model, 400):
        assert shown.seconds_left() is None, "nothing was read"
        model(some)
        assert shown.seconds_left() is None, "the first call says little"
        model(tokens=some)
        assert shown.seconds_left() == 20 + 100
        model(some), model(some), model(some)
        assert shown.seconds_left() == 100, "more than was planned is never less than nothing"
    with shown.stage("reading the text", model, 1000):
        assert shown.seconds_left() is None, "the speed of this stage is not known"
        clock.now += 100  # another program took the machine
        for _ in range(5):
            model(some)
        assert shown.seconds_left() == 5 * 30 and "about 2 min left of this model" in shown.left()
    shown.end()
    shown.begin("two")
    assert shown.seconds_left() is None
    shown.plan({"reading the text": 1000})
    with shown.stage("reading the text", model, 1000):
        model(some), model(some)
        assert shown.seconds_left() == 80 and shown.left() == "about 80 s left, then the report"
    assert capsys.readouterr().err.splitlines() == [
        "one: calibrating, 400 tokens",
        "one: calibrating, 400 of 400 tokens; about 2 min left of this model, then the report",
        "one: reading the text, 1,000 tokens",
        "one: reading the text, 100 of 1,000 tokens",
        "one: reading the text, 500 of 1,000 tokens; about 2 min left of this model, then the report",
        "two: reading the text, 1,000 tokens",
    ]


def test_models_to_come_take_as_long_as_those_before() -> None:
    clock = Clock()
    shown, model = progress.Progress(3, clock=clock), Reads(clock)
    shown.begin("one")
    clock.now += 500
    shown.end()
    shown.begin("two")
    with shown.stage("reading the text", model, 300):
        model(torch.zeros(1, 100)), model(torch.zeros(1, 100))
        assert shown.seconds_left() == 10 + 500


@pytest.mark.parametrize("rule", ["exact", "quantile=0.9", "cett=0.3", "cett-ppl=5"])
def test_every_stage_is_named_in_a_pipe(
    rule: str, words: Path, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, planned, read = saved(build("llama"), tmp_path / "small"), dict[str, int](), dict[str, int]()
    begin, tokens_of, plan = progress.Progress.stage, progress._tokens, progress.Progress.plan

    def stage(self: progress.Progress, what: Any, model: Any = None, tokens: int = 0) -> Any:
        read[what] = 0
        return begin(self, what, model, tokens)

    def tokens(*given: Any) -> int:
        read[list(read)[-1]] += (some := tokens_of(*given))
        return some

    monkeypatch.setattr(progress.Progress, "stage", stage)
    monkeypatch.setattr(progress, "_tokens", tokens)
    monkeypatch.setattr(progress.Progress, "plan", lambda self, ahead: (planned.update(ahead), plan(self, ahead)))
    asked = ["measure", str(folder), "--text", str(words), "--tokens", "1024", "--seq_len", "16", "--rule", rule]
    capfd.readouterr()  # of saving it
    assert main([*asked, "--full", "--out", str(tmp_path / "out")]) == 0
    said = capfd.readouterr().err
    stages = ["reading the model", *(["calibrating"] if rule != "exact" else []), "reading the text"]
    stages += ["describing the units", "loss without units", "writing the report"]
    lines = [line for line in said.splitlines() if line.startswith("small: ")]
    assert [line.removeprefix("small: ").partition(",")[0] for line in lines] == stages
    for what, number in planned.items():
        most = [number * 11 // 12, number] if what == "loss without units" else [number]  # none may be silent
        assert read.get(what, 0) in most, what
    assert "\r" not in said and " left" not in said, "no bar in a pipe, and no time of what takes a second"
