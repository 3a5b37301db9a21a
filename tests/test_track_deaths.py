"""`track_deaths` in loops of any kind: Part I's own deaths, and the brute-force ones."""

import dataclasses
import io
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import relusparsity
from any_models import build, inputs
from deaths_job import Two, brute_force
from deaths_made import assert_same, masks
from fixtures_core import tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.anymodel import lives
from relusparsity.anymodel.deaths import Deaths
from relusparsity.chapters.ch03_neuron_death import figures
from relusparsity.store import results
from relusparsity.train import Trainer

pytest_plugins = ("deaths_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread", "no_tracker_is_left_running")


# Part I


def test_on_our_own_model_it_is_the_training_loops_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    recorded = train.run(tiny_run(), tiny_corpus()).dataset
    trainer = Trainer(tiny_run(), tiny_corpus(), torch.device("cpu"))
    with relusparsity.track_deaths(trainer.model, dead_after=128) as deaths:
        for _ in range(40):
            trainer.advance()
            deaths.step()
    state = deaths.state_dict()
    for name, value in trainer.deaths.state().items():
        assert torch.equal(state[name], value), name
    found = deaths.dataset().squeeze("seed", drop=True)
    assert recorded["deaths"].sum() > 5 and recorded["revivals"].sum() > 2, "the case is not an empty one"
    for name in ("last_fired", "death_onset", "death_count", "revival_count"):
        np.testing.assert_array_equal(found[name], recorded[name], err_msg=name)
        assert (found[name].dims, found[name].attrs) == (recorded[name].dims, recorded[name].attrs)
    edges = recorded["step"].values.tolist()
    for first, last in itertools.pairwise(edges):
        ours, theirs = found.sel(step=slice(first + 1, last)), recorded.sel(step=last)
        np.testing.assert_array_equal(ours["dead_units"][-1], theirs["dead_units"])
        assert ours["tokens"][-1] == theirs["tokens"]
        for name in ("deaths", "revivals"):
            np.testing.assert_array_equal(ours[name].sum("step"), theirs[name])
        for name in ("train_token_use", "train_sequence_use"):  # steps are of one size
            np.testing.assert_allclose(ours[name].mean("step"), theirs[name], rtol=1e-6)
    for name in ("dead_units", "deaths", "revivals", "train_token_use", "train_sequence_use"):
        assert found[name].dims == recorded[name].dims and found[name].attrs == recorded[name].attrs


# Brute force


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 999), st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=9))
def test_every_count_is_the_brute_force_one_however_steps_are_made(seed: int, steps: list[list[int]]) -> None:
    """Steps of any number of passes of any size, padded or not, with evaluation in between."""
    rng = np.random.default_rng(seed)
    model, dead_after, stream = Two(), int(rng.integers(1, 30)), []
    with relusparsity.track_deaths(model, dead_after, "[ab]") as deaths:
        for passes in steps:
            read = []
            for sequences in passes:
                fired = rng.random((2, sequences, 3, 6)) < rng.random(6) ** 3 * 0.4
                real = rng.random((sequences, 3)) < 0.7
                real[0, 0] = True
                model.run(fired, None if rng.random() < 0.3 and (real := np.ones_like(real)).all() else real)
                model.eval()
                model.run(np.ones((2, 5, 3, 6), dtype=bool))
                model.train()
                read.append(fired[:, real])  # (layer, token, unit)
            deaths.step()
            stream.append(np.concatenate(read, axis=1))
    expected = brute_force(stream, dead_after)
    state, found = deaths.state_dict(), deaths.dataset()
    for name in ("last_fired", "onset", "dead", "deaths", "revivals"):
        np.testing.assert_array_equal(state[name].view(2, 6), expected[name], err_msg=name)
    np.testing.assert_array_equal(found["tokens"], expected["tokens"])
    for name in ("dead_units", "deaths", "revivals", "train_token_use"):
        np.testing.assert_allclose(found[name][0], expected[f"by_step_{name}"], rtol=1e-6, err_msg=name)
    assert torch.equal(torch.stack(deaths.since_fired()), deaths.tokens - state["last_fired"].view(2, 6))


def test_one_pass_of_eight_is_four_of_two() -> None:
    states = []
    for passes in (1, 4):
        model = Two()
        with relusparsity.track_deaths(model, 72, "[ab]") as deaths:
            for fired in masks(seed=1, steps=20):
                for part in np.split(fired, passes, axis=1):
                    model.run(part)
                deaths.step()
        states.append(deaths.state_dict())
    assert_same(*states)
    assert states[0]["deaths"].sum() > 3 and states[0]["revivals"].sum() > 1


# What training loops do


def hooks(model: nn.Module) -> int:
    """How many there are; transformers' checkpointing has one of its own."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_checkpointing_runs_again_counts_once_and_training_is_not_changed(reentrant: bool) -> None:
    states, weights = [], []
    for how in ("plain", "checkpointed", "not tracked"):
        model = build("opt").train()
        if how != "plain":
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        deaths, before = relusparsity.track_deaths(model, dead_after=48), hooks(model)
        if how != "not tracked":
            deaths.start()
        torch.manual_seed(1)
        for step in range(6):
            given = inputs("opt", seed=step)
            model(**given, labels=given["input_ids"]).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if how != "not tracked":
                deaths.step()
        deaths.stop()
        states.append(deaths.state_dict())
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        assert hooks(model) == before
    assert states[0]["tokens"] == 6 * 24
    assert_same(*states[:2])
    assert torch.equal(weights[1], weights[2])


def test_evaluation_may_do_what_counting_would_refuse() -> None:
    model = build("opt").train()
    with relusparsity.track_deaths(model, 48) as deaths:
        model(**inputs("opt"))
        model.eval()
        model.generate(**inputs("opt"), max_new_tokens=3, num_beams=2, do_sample=False)
        model.train()
        deaths.step()
    assert deaths.tokens == 24


def test_a_state_goes_on_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "POINTS", 6)

    def run(deaths: Deaths, model: Two, steps: list[np.ndarray]) -> None:
        with deaths:
            for fired in steps:
                model.run(fired)
                deaths.step()

    stream = masks(seed=2, steps=33)
    whole = relusparsity.track_deaths(one := Two(), 72, "[ab]")
    run(whole, one, stream)
    for at in (0, 1, 14, 33):
        before = relusparsity.track_deaths(one := Two(), 72, "[ab]")
        run(before, one, stream[:at])
        torch.save(before.state_dict(), file := io.BytesIO())
        file.seek(0)
        after = relusparsity.track_deaths(one := Two(), 72, "[ab]")
        after.load_state_dict(torch.load(file, weights_only=True))
        if at:
            xr.testing.assert_identical(before.dataset(), after.dataset())
        run(after, one, stream[at:])
        assert_same(whole.state_dict(), after.state_dict())
        xr.testing.assert_identical(whole.dataset(), after.dataset())


def test_a_long_training_keeps_few_steps_and_loses_no_death(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for points in (1000, 6):
        monkeypatch.setattr(lives, "POINTS", points)
        model = Two()
        with relusparsity.track_deaths(model, 72, "[ab]") as deaths:
            for fired in masks(seed=3, steps=45):
                model.run(fired)
                deaths.step()
        found.append(deaths.dataset())
    every, few = found
    assert every["step"].values.tolist() == list(range(1, 46))
    assert few["step"].values.tolist() == [8, 16, 24, 32, 40, 45]
    for name in ("deaths", "revivals"):
        assert few[name].sum() > 1
        np.testing.assert_array_equal(few[name].sum("step"), every[name].sum("step"))
    np.testing.assert_array_equal(few["dead_units"], every["dead_units"].sel(step=few["step"]))


def test_two_processes_count_what_one_would(tmp_path: Path) -> None:
    """Under DDP and FSDP2, from the masks that each of the two recorded itself."""
    job = Path(__file__).with_name("deaths_job.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", job, tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    for way in ("ddp", "fsdp2"):
        one, other = (np.load(tmp_path / f"{way}-{rank}.npz") for rank in (0, 1))
        stream = [np.concatenate([each[f"step{step}"] for each in (one, other)], axis=1) for step in range(8)]
        expected = brute_force(stream, dead_after=60)
        assert expected["deaths"].sum() > 3
        for found in (one, other):
            for name in ("last_fired", "onset", "dead", "deaths", "revivals"):
                np.testing.assert_array_equal(found[name].reshape(2, -1), expected[name], err_msg=name)
            np.testing.assert_array_equal(found["kept_when"][:, 1], expected["tokens"])
    for rank in (0, 1):
        assert "a: an activation is NaN" in (tmp_path / f"nan-{rank}.txt").read_text()


# What comes out


def test_the_dataset_is_saved_and_chapter_3_draws_it(tmp_path: Path) -> None:
    model = Two()
    with relusparsity.track_deaths(model, 72, "[ab]") as deaths:
        assert "a (ReLU): not counted yet" in repr(deaths)
        for fired in masks(seed=4, steps=60):
            model.run(fired)
            deaths.step()
            if deaths.steps == 1:
                assert "a (ReLU): 6 units, none can be dead before 72 tokens" in repr(deaths)
    results.save(deaths.dataset(), tmp_path / "deaths.nc")
    data = results.load(tmp_path / "deaths.nc")
    xr.testing.assert_identical(data, deaths.dataset())
    for draw in (figures.dead_over_training, figures.death_onsets, figures.revivals, figures.deaths_and_revivals):
        assert draw(data).model == "Two"
    dead, died = int(data["dead_units"][0, -1, 0]), int(data["deaths"].sum(["step", "seed"])[0])
    assert f"a (ReLU): 6 units, {dead} dead, {died} deaths" in repr(deaths)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_fires_is_above_zero_or_not_zero_in_any_dtype(dtype: torch.dtype) -> None:
    some = torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-7, -1e-7, float("inf"), float("nan")]).to(dtype)
    model = Two()
    rule = relusparsity.track(model, "[ab]").rule
    place = relusparsity.track(model, "a").places[0]
    for each in (some, some[some >= 0], some[:0], some.view(2, 4).T):
        assert torch.equal(rule.fired(0, place, each), each > 0)
    assert torch.equal(rule.fired(0, dataclasses.replace(place, signed=True), some), some != 0)
