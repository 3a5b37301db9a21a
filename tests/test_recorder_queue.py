"""What a recorder's queue holds: what a chapter shows, all runs of an experiment, nothing with texts of its own."""

from types import SimpleNamespace
from typing import Any

import pytest

from relusparsity.__main__ import main
from relusparsity.book import build, recorder
from relusparsity.book.recorded import Recorded, recorded_at, runs_of
from relusparsity.errors import UserError
from test_recorder import of, short


def test_a_queue_of_one_chapters_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert [each.path.stem for each in build.of_chapter(3, "wide", "first")] == ["neuron_death-wide-first"]
    assert [each.name for each in build.of_chapter(1, "laptop")] == ["layer_patterns", "training"]
    named = {"equal_decay", "lead", "rotary", "layer_patterns"}  # by the chapter, which imports none of their modules
    assert named <= {each.name for each in build.of_chapter(8, "wide")}
    with pytest.raises(UserError, match=r"^chapter 11 shows nothing recorded at scale wide; it does at laptop\.$"):
        build.of_chapter(11, "wide")
    none = r"^chapter 3 shows nothing recorded at scale mid by the recipe nearest; it does"
    with pytest.raises(UserError, match=none):
        build.of_chapter(3, "mid", "nearest")
    with pytest.raises(UserError, match="there is no chapter 99; choose one of 1, 2"):
        build.of_chapter(99, "mid")
    queued: list[Any] = []
    monkeypatch.setattr(build, "check_device", lambda scale: None)
    monkeypatch.setattr(recorder, "record", lambda experiments, *rest: queued.extend(experiments))
    for option in ("--scale", "--shape"):
        assert main(["record", "--chapter", "5", option, "mid"]) == 0
    assert [each.path.stem for each in queued] == 2 * ["pruning-mid-first"]
    assert main(["record", "--chapter", "6", "--scale", "mid"]) == 0
    assert capsys.readouterr().out == "left out, since `make record` alone makes texts of their own: repetition\n"
    assert "longer" in [each.name for each in queued] and "repetition" not in [each.name for each in queued]
    assert main(["record", "pruning", "--chapter", "5"]) == 2


def test_every_run_of_an_experiment_is_queued_once_whatever_its_group() -> None:
    groups = SimpleNamespace(runs=(short(1), short(2)), gelu=(short(3), short(1)), others=(short(4),))
    made_by = SimpleNamespace(config=lambda scale: groups)
    queue = recorder.jobs([Recorded("made up", "smoke", None, made_by)])
    assert [job.config.seed for job in queue] == [1, 2, 3, 4]
    gelu, widths = (each for each in recorded_at("laptop") if each.name in ("training", "capacity"))
    assert {run.model.activation for run in runs_of(gelu.config())} == {"relu", "gelu"}
    assert {run.model.d_ff for run in runs_of(widths.config())} == {256, 512, 1024, 2048}


def test_texts_of_ones_own_are_for_make_record() -> None:
    with pytest.raises(UserError, match="made up reads a text of its own; make it with `make record`"):
        recorder.jobs(of(short(1), own_texts=lambda config: []))
