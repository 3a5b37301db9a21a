"""The live part against its own runs, and what removal keeps of a trained model."""

import numpy as np
import pytest
import torch
import xarray as xr

from relusparsity import corpora, distributed, interventions, train
from relusparsity.config import RunConfig
from relusparsity.experiments import shared
from relusparsity.interventions.units import cut
from relusparsity.models import Model
from relusparsity.store import results

from . import experiment

Made = tuple[xr.Dataset, dict[str, train.Run]]


@pytest.fixture(scope="module")
def made() -> Made:
    """The experiment at scale smoke, and its runs by arm."""
    config = experiment.config("smoke")
    dataset = experiment.run(config)
    dense, pruned = (train.run(run) for run in config.runs)
    others = experiment.matched(config.runs[1], pruned.dataset)
    runs = {"dense": dense, "pruned": pruned} | {name: train.run(run) for name, run in others.items()}
    return dataset, runs


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_units_go_where_it_is_measured_and_where_they_can_be_dead(scale: str) -> None:
    dense, pruned = experiment.config(scale).runs
    batch, at = dense.train.batch_tokens, pruned.prune.tokens
    every = dense.train.steps // dense.measure.points
    assert len(at) == 4 and at[0] == pruned.fork.tokens and all(tokens % (every * batch) == 0 for tokens in at)
    assert pruned.parent == dense and not dense.prune.tokens and dense.train.weight_decay == 2.0
    assert dense.train.dead_after * 16 <= dense.train.tokens and dense.model.width % pruned.prune.multiple == 0


def test_arms_are_what_they_are_called(made: Made) -> None:
    dataset, runs = made
    of = dataset.isel(seed=0)
    assert dataset["arm"].values.tolist() == list(runs) and str(dataset["recipe"].values) == "default, decay 2"
    whole, points = 64 * 6, dataset["step"].values[dataset["step"].values >= 24]
    sums = {arm: of["width"].sel(arm=arm).sum("layer").sel(step=points).values for arm in runs}
    assert (sums["dense"] == whole).all() and sums["pruned"][-1] < 0.8 * whole
    np.testing.assert_array_equal(of["width"].sel(arm="random"), of["width"].sel(arm="pruned"))
    gone = {arm: runs[arm].dataset["removed_at"] for arm in ("pruned", "random")}
    assert not gone["pruned"].equals(gone["random"]), "others go"
    had = [64.0] * 24  # what pruned's mean layer had in each step
    for step in range(24, 48):
        had.append(float(of["width"].sel(arm="pruned", step=points[points > step][0]).mean()))
    narrow = runs["narrow"].config.model.width
    assert 0 <= narrow - np.mean(had) < 8 and narrow % 8 == 0
    assert not runs["narrow"].config.prune.tokens and not runs["narrow"].config.fork.tokens
    for arm, run in runs.items():
        np.testing.assert_allclose(of["heldout_loss"].sel(arm=arm).dropna("step"), run.dataset["heldout_loss"])
        assert float(of["final_loss"].sel(arm=arm)) == float(run.dataset["final_loss"])
    facts = results.provenance(dataset)
    ids = [run.path.name.removeprefix("run-") for run in runs.values()]
    assert facts["runs"] == ids[:2] and facts["followed"]["runs"] == ids[2:]


def test_seconds_are_steps_times_what_a_step_of_these_widths_takes(made: Made) -> None:
    of = made[0].isel(seed=0)
    steps, per_step = of["step"].values, of["step_seconds"]
    dense = float(per_step.sel(arm="dense", step=0))
    for arm in of["arm"].values:
        known = of["training_seconds"].sel(arm=arm).dropna("step")
        spent = float(known["step"][0]) * dense
        for before, step in zip([None, *known["step"].values], known["step"].values, strict=False):
            if before is not None:
                spent += (step - before) * float(per_step.sel(arm=arm, step=step))
            assert float(known.sel(step=step)) == pytest.approx(spent)
        assert known["step"].values[-1] == steps[-1]
    assert per_step.sel(arm="random").equals(per_step.sel(arm="pruned").assign_coords(arm="random"))
    assert (per_step > 0).sum() == per_step.notnull().sum() > 40
    run = experiment.config("smoke").runs[0]
    small, large = experiment.step_seconds(run, [(8,) * 6, (4096,) * 6], rounds=3).values()
    assert large > 2 * small


def test_units_that_would_have_come_back_are_counted_one_by_one(made: Made) -> None:
    dataset, runs = made
    (at, *_), dense = runs["pruned"].config.prune.tokens, runs["dense"].dataset
    removed, back = [], []
    for layer in range(6):
        went = [unit for unit in range(64) if runs["pruned"].dataset["removed_at"].values[layer, unit] == at]
        removed.append(len(went))
        back.append(sum(dense["last_fired"].values[layer, unit] > at for unit in went))
        for unit in went:  # dead(n) when it went: no firing in the last n tokens
            last = runs["pruned"].dataset["last_fired"].values[layer, unit]
            assert last <= at - dense.attrs["dead_after"] and dense["last_fired"].values[layer, unit] >= last
    assert dataset["removed"].isel(seed=0).values.tolist() == removed
    assert dataset["returned"].isel(seed=0).values.tolist() == back and 0 < sum(back) < sum(removed)


# What removal keeps


def text(run: RunConfig) -> torch.Tensor:
    """Held-out token ids, (sequence, position)."""
    sequences = corpora.heldout_sequences(corpora.load(run.corpus).heldout, run.model.seq_len)[:32, :-1]
    return torch.from_numpy(sequences.astype(np.int64)).to(distributed.device())


@torch.no_grad()
def silent_on(model: Model, tokens: torch.Tensor) -> list[np.ndarray]:
    """Which units of each layer fire at none of these tokens."""
    found: list[np.ndarray] = []
    model(tokens, lambda _layer, _x, _z, a: found.append((a <= 0).all(0).all(0).cpu().numpy()))
    return found


@torch.no_grad()
@pytest.mark.parametrize("arm", ["dense", "pruned"])
def test_without_units_silent_on_a_text_a_trained_model_says_the_same_there(made: Made, arm: str) -> None:
    """Masked, to the bit; removed, to 1e-5 in float32, and to rounding in float64: it is the same function."""
    run = made[1][arm]
    tokens, model = text(run.config), run.model(distributed.device())
    silent, whole = silent_on(model, tokens), model(tokens)
    assert 0 < sum(each.sum() for each in silent) < sum(map(len, silent))
    if arm == "dense":  # masks are for layers of one width
        assert torch.equal(interventions.mask(model, np.stack(silent))(tokens), whole)
    for precision, most in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        smaller, same = run.model(distributed.device()).to(precision), model.to(precision)
        silent = silent_on(same, tokens)
        for mlp, gone in zip(smaller.mlps(), silent, strict=True):
            cut(mlp, torch.from_numpy(np.flatnonzero(~gone)))
        assert smaller.widths() == [int((~gone).sum()) for gone in silent]
        assert float((smaller(tokens) - same(tokens)).abs().max()) <= most


def test_the_live_run_follows_from_its_parent_alone() -> None:
    config = experiment.config("smoke")
    assert shared.with_parents(config.runs) == list(config.runs)
    assert experiment.config("laptop").runs[0] != shared.config("laptop").runs[0]
