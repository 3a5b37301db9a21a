"""Screens: refused without a rule, no part of a run, and what a run that one of them stops leaves behind."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import identity, train
from relusparsity.__main__ import main
from relusparsity.book import recorder
from relusparsity.commands import BEFORE
from relusparsity.config import RunConfig, from_dict, replace, to_dict
from relusparsity.errors import StoppedEarly, UserError
from relusparsity.experiments import variants
from relusparsity.screens import Screen, first_to_stop, in_words
from relusparsity.store import ondisk, results
from relusparsity.train import golden, loop, measurements
from test_recorder import of, short

PASSES = Screen(16, "batch_use", 1, "<", 0.0)
STOPS = Screen(16, "heldout_loss", None, ">", 0.0)
LATER = Screen(24, "gamma", 0, "<", 0.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    return tmp_path


def screened(*screens: Screen) -> RunConfig:
    return replace(tiny_run(), screens=screens)


@pytest.mark.parametrize(
    ("screen", "says"),
    [
        ({}, "Screen lacks step; give it a value"),
        ({"step": 16}, "the screen at step 16 has no rule: expected a quantity, a comparison (< or >) and either"),
        ({"step": 16, "quantity": "gamma", "layer": 0, "comparison": "<"}, "the screen at step 16 has no rule"),
        (
            {"step": 16, "quantity": "gamma", "layer": 0, "comparison": "<", "bound": 1, "other": 1},
            "either a bound or another layer",
        ),
        ({"step": 16, "quantity": "gamma", "comparison": "<", "bound": 1}, "gamma, which every layer has; give the"),
        (
            {"step": 16, "quantity": "heldout_loss", "layer": 0, "comparison": ">", "bound": 4},
            "heldout_loss, which no layer has; leave out the layer",
        ),
        ({"step": 16, "quantity": "loss", "comparison": ">", "bound": 4}, "Screen.quantity = 'loss': expected one of"),
        ({"step": 0, "quantity": "gamma", "layer": 0, "comparison": "<", "bound": 1}, "Screen.step = 0: expected"),
        (
            {"step": 16, "quantity": "gamma", "layer": 0, "comparison": "<", "other": 2},
            "looks at layer 2, but the model has 2 layers, counted from 0; choose one of 0 to 1",
        ),
        (
            {"step": 17, "quantity": "gamma", "layer": 0, "comparison": "<", "bound": 1},
            "step 17 has nothing to look at: before its last step, 40, the run is measured at 16 and 24 at the nearest",
        ),
        ({"step": 40, "quantity": "gamma", "layer": 0, "comparison": "<", "bound": 1}, "is measured at 24 and 32"),
        ({"step": 16, "rule": "U_5 < 92"}, "Screen has no field rule"),
        (
            {"step": 16, "quantity": "gamma", "layer": 1, "comparison": "<", "other": 1},
            "the screen at step 16 compares layer 1 with itself, which never stops a run",
        ),
        *(
            (
                {"step": 16, "quantity": name, "layer": 0, "comparison": ">", "bound": bound},
                f"has the bound {bound:g}, which {name} cannot come to: expected 0 to 100 percent",
            )
            for name in ("batch_use", "sequence_use", "token_use")
            for bound in (100.5, -0.5)
        ),
        (
            {"step": 16, "quantity": "gamma", "layer": 0, "comparison": "<", "bound": -1},
            "has the bound -1, which gamma cannot come to: expected 0 or more",
        ),
        (
            {"step": 16, "quantity": "heldout_loss", "comparison": "<", "bound": -0.1},
            "has the bound -0.1, which heldout_loss cannot come to: expected 0 or more",
        ),
        (3, "RunConfig.screens = (3,): expected a list or tuple of parts, each of them a Screen"),
    ],
)
def test_a_screen_that_cannot_be_is_one_sentence(screen: Any, says: str) -> None:
    with pytest.raises(UserError) as refusal:
        from_dict(RunConfig, to_dict(tiny_run()) | {"screens": [screen]})
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("given", [None, "x", {"step": 16}, Screen(16, "gamma", 0, "<", 0.0)])
def test_what_is_no_list_of_screens_is_one_sentence(given: Any) -> None:
    for make in (lambda: replace(tiny_run(), screens=given), lambda: from_dict(RunConfig, {"screens": given})):
        with pytest.raises(UserError, match=r"expected a list or tuple of Screens, an empty one for none\.$"):
            make()


@pytest.mark.parametrize(
    ("screen", "use", "gamma", "why"),
    [
        (Screen(9, "batch_use", 1, "<", 92.0), 0.919, 1.0, "U_1 = 91.9 % is under 92 % at step 9"),
        (Screen(9, "batch_use", 1, "<", 92.0), 0.92, 1.0, None),
        (Screen(9, "batch_use", 1, "<", 44.7), 0.447, 1.0, None),  # the bound itself, however it is rounded
        (Screen(9, "batch_use", 1, ">", 45.0), 0.451, 1.0, "U_1 = 45.1 % is over 45 % at step 9"),
        (Screen(9, "gamma", 0, "<", other=1), 0.5, 0.9, "γ_0 = 0.50 is under γ_1 = 0.90 at step 9"),
        (Screen(9, "gamma", 0, "<", other=1), 0.5, 0.5, None),
        (Screen(9, "batch_use", 0, "<", other=1), 0.5, 1.0, "U_0 = 10.0 % is under U_1 = 50.0 % at step 9"),
        (Screen(9, "heldout_loss", None, ">", 4.0), 0.5, 1.0, "loss = 4.20 is over 4 at step 9"),
    ],
)
def test_a_rule_looks_at_what_was_measured(screen: Screen, use: float, gamma: float, why: str | None) -> None:
    row = {"batch_use": np.array([0.1, use]), "gamma": np.array([0.5, gamma]), "heldout_loss": 4.2}
    assert screen.stops(row) == why
    assert first_to_stop([screen], {8: row}) is None, "it looks at its own step alone"
    assert first_to_stop([screen, Screen(10, "gamma", 0, "<", 9.0)], {9: row, 10: row}) == (
        (screen, why) if why else (Screen(10, "gamma", 0, "<", 9.0), "γ_0 = 0.50 is under 9 at step 10")
    )


def test_screens_in_words() -> None:
    rules = [Screen(7300, "batch_use", 0, ">", 45), Screen(3700, "batch_use", 5, "<", 92)]
    rules.append(Screen(3700, "gamma", 0, "<", other=1))
    assert in_words(rules) == "at step 3,700 if U_5 < 92 % or γ_0 < γ_1, at step 7,300 if U_0 > 45 %"


def test_a_screen_is_no_part_of_a_run() -> None:
    with_one = screened(PASSES, LATER)
    assert identity.run_id(with_one, "text") == identity.run_id(tiny_run(), "text")
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(with_one)))) == with_one != tiny_run()


def test_a_run_that_passes_its_screens_is_the_run_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = train.run(screened(PASSES, LATER), tiny_corpus()).dataset
    monkeypatch.setattr(loop, "_train", lambda *given: pytest.fail("trained again"))
    assert train.run(tiny_run(), tiny_corpus()).path == train.run(screened(STOPS), tiny_corpus()).path, "finished"
    monkeypatch.undo()
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(folder / "other"))
    xr.testing.assert_identical(passed.drop_attrs(), train.run(tiny_run(), tiny_corpus()).dataset.drop_attrs())


def test_a_stopped_run_keeps_what_it_measured_and_is_not_finished(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, corpus = screened(PASSES, STOPS, LATER), tiny_corpus()
    with pytest.raises(StoppedEarly, match=r"run-\w+ stopped after step 16: loss = [\d.]+ is over 0 at step 16$"):
        train.run(config, corpus)
    (path,) = folder.glob("run-*")
    kept = results.load(path / "stopped.nc")
    assert kept["step"].values.tolist() == [0, 1, 2, 4, 8, 16] and "final_loss" not in kept
    assert kept.attrs["stopped_after_step"] == 16 and "loss = " in kept.attrs["stopped"]
    rule = {"step": 16, "quantity": "heldout_loss", "layer": None, "comparison": ">", "bound": 0.0, "other": None}
    assert json.loads(kept.attrs["screen"]) == rule | {"rule": "loss > 0"}
    assert results.provenance(kept)["tokens_seen"] == 16 * 64
    assert not (path / "dataset.nc").exists() and not (path / "states").exists()
    assert "is over 0 at step 16" in ondisk.summary(path) and "not finite" not in ondisk.summary(path)
    assert ondisk.state_of(path) == "stopped" and ondisk.is_screened(path) and "screened" in BEFORE

    monkeypatch.setattr(loop, "_train", lambda *given: pytest.fail("trained again"))
    with pytest.raises(StoppedEarly, match="stopped after step 16: loss"):
        train.run(config, corpus)
    xr.testing.assert_identical(variants.measured(config, corpus), kept)
    assert recorder.Job(config, path).finished and not recorder.Job(tiny_run(), path).finished
    monkeypatch.undo()

    monkeypatch.setenv("RELUSPARSITY_RUNS", str(folder))
    whole = train.run(screened(PASSES, LATER), corpus)  # without the screen that stopped it, it is trained to its end
    assert whole.path == path and not (path / "stopped.nc").exists()
    xr.testing.assert_identical(whole.dataset["batch_use"][:6], kept["batch_use"])


def test_one_that_went_on_without_screens_is_looked_at_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after step 28, without screens; taken up with one that looks at step 16."""
    advance = train.Trainer.advance
    monkeypatch.setattr(golden, "meaning", lambda: "1")  # golden runs take steps too

    def interrupted(trainer: train.Trainer) -> Any:
        if trainer.step == 28:
            raise KeyboardInterrupt
        return advance(trainer)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(train.Trainer, "advance", interrupted)
        train.run(tiny_run(), tiny_corpus())
    copy = folder / "copy"
    shutil.copytree(next(folder.glob("run-*")), copy)
    monkeypatch.setattr(train.Trainer, "advance", lambda trainer: pytest.fail("went on"))
    with pytest.raises(StoppedEarly, match="is over 0 at step 16"):
        train.run(screened(STOPS), tiny_corpus())
    (path,) = folder.glob("run-*")
    assert results.load(path / measurements.STOPPED)["step"].values.tolist() == [0, 1, 2, 4, 8, 16]
    monkeypatch.setattr(train.Trainer, "advance", advance)
    shutil.rmtree(path)
    copy.rename(path)
    passed = train.run(screened(PASSES), tiny_corpus())
    assert passed.dataset["step"].values.tolist() == [0, 1, 2, 4, 8, 16, 24, 32, 40]


def test_the_recorder_prints_the_screens_and_goes_on_to_the_next_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early = Screen(7, "token_use", 5, "<", 100.0)
    stopped, whole = replace(short(401), screens=(early,)), short(402)
    passing = replace(short(403), screens=(Screen(7, "token_use", 5, ">", 100.0),))
    assert recorder.record(of(stopped, whole, passing), tmp_path / "out", workers=1) == 0
    said = capsys.readouterr().out
    assert "1 of these may stop early: at step 7 if token use_5 < 100 %" in said
    assert said.count("on worker 0: finished") == 2 and "is under 100 % at step 7" in said
    assert said.endswith("3 of 3 runs are finished; 0 left\n")
    assert recorder.record(of(stopped, whole, passing), tmp_path / "out", workers=1) == 0
    assert "3 finished before; 0 to train" in capsys.readouterr().out
    (job, *_) = recorder.jobs(of(stopped, short(401)))  # somebody wants it whole
    assert job.config == short(401) and not job.finished

    dataset = variants.stack(
        [variants.measured(run) for run in (replace(stopped, seed=401), replace(short(401), **{"train.lr": 2e-3}))],
        {"stopped": {}, "whole": {"train.lr": 2e-3}},
        "smoke",
    )
    use = dataset["batch_use"].isel(seed=0)
    assert np.isfinite(use.sel(recipe="whole")).all() and np.isnan(use.sel(recipe="stopped").isel(step=-1)).all()
    facts = results.provenance(dataset)
    assert facts["stopped_after_step"] == {"stopped": 7}
    assert facts["screens"]["stopped"]["rule"] == "token use_5 < 100 %"
    alone = variants.stack([variants.measured(stopped)], {"stopped": {}}, "smoke")
    results.save(alone, tmp_path / "alone.nc")  # whole: units and names everywhere
    assert alone["step"].values.tolist() == [0, 1, 2, 4, 7] and alone["final_batch_use"].isnull().all()
    assert alone["final_batch_use"].shape == (1, 1, 4, 6) and np.isfinite(alone["batch_use"]).all()

    assert main(["train", "--scale", "smoke", "--seed", "401", "--train.tokens", "5120", "--measure.points", "3"]) == 0
    said = capsys.readouterr().out
    assert "stopped before by a screen, which this command has not: begins again" in said and "(finished)" in said
    assert recorder.record(of(stopped), tmp_path / "other") == 0, "finished is finished, whatever its screens"
    assert "1 finished before" in capsys.readouterr().out
