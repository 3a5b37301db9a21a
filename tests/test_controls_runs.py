"""Controls in whole runs: what is drawn and kept, resumed to the bit, and refused; and rare large gradients."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from controls_made import EVERY, controlled, run_steps, trainer_of
from fixtures_core import tiny_corpus, tiny_run
from relusparsity import distributed, train
from relusparsity.config import from_dict, replace, to_dict
from relusparsity.control_config import ControlConfig, OutlierConfig
from relusparsity.errors import UserError
from relusparsity.interventions import updates
from relusparsity.store import results
from relusparsity.train import loop, resuming
from train_made import trained

pytest_plugins = ("train_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = ("watch", "exchange", "signs", "reflect", "winsorise")


def chosen(layer: int = 0, units: int = 8192, **fields: Any) -> set[int]:
    return set(updates.chosen(ControlConfig(**{"kind": "signs", **fields}), layer, units).tolist())


def test_the_treated_follow_from_the_seed_alone_and_are_as_good_as_drawn() -> None:
    one = chosen()
    assert len(one) == 819 and one < set(range(8192))
    assert one == chosen(kind="watch") == chosen(kind="exchange", every=7), "a control and its twin treat the same"
    for other in (chosen(layer=1), chosen(seed=1), chosen(seed=2**40)):
        assert 40 < len(one & other) < 125, "two tenths share a hundredth: 82, give or take 8"
    assert not chosen(first_layer=1) and chosen(layer=1, first_layer=1)
    counts = np.histogram(sorted(one), bins=8, range=(0, 8192))[0]
    assert abs(counts - 102).max() < 45


@pytest.mark.parametrize("units", [2, 3, 5, 19, 20, 21, 819])
def test_partners_are_one_cycle_through_each_group_of_neighbours_in_firing_rate(units: int) -> None:
    rng = np.random.default_rng(units)
    firings, ties, order = (rng.integers(0, high, units) for high in (units // 2, 2**32, 2**32))
    found = updates.partners(firings, ties, order)
    assert sorted(found) == list(range(units))
    cycles, left = [], set(range(units))
    while left:
        cycle = [min(left)]
        while (unit := found[cycle[-1]]) != cycle[0]:
            cycle.append(unit)
        left -= set(cycle)
        cycles.append(cycle)
    assert len(cycles) == min(10, units // 2)
    assert {len(cycle) for cycle in cycles} <= {units // len(cycles), -(-units // len(cycles))}
    by_rate = sorted(range(units), key=lambda unit: (firings[unit], ties[unit]))
    ranks = [sorted(by_rate.index(unit) for unit in cycle) for cycle in cycles]
    assert all(each == list(range(each[0], each[-1] + 1)) for each in ranks), "groups are neighbours"
    other = updates.partners(firings, ties, rng.integers(0, 2**32, units))
    assert units < 819 or (other != found).mean() > 0.9, "two have one cycle only"


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_in_a_block_a_run_goes_on_to_the_bit(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {"watch": {}, "winsorise": {"every": 16}}.get(kind, {"every": 5})  # states are kept every 4 steps
    changes = {"train.schedule": "constant", **controlled(kind, **every)}  # caps of before are reached later on
    whole = trained(tmp_path_factory.mktemp("whole"), **changes)
    with monkeypatch.context() as patched:
        add = resuming.Log.add

        def killed(log: Any, step: int, *row: Any) -> None:
            if step == 28:
                raise KeyboardInterrupt
            add(log, step, *row)

        patched.setattr(resuming.Log, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            train.run(tiny_run(**changes), tiny_corpus())
    assert list(folder.glob("run-*/states/00000024"))
    run = train.run(tiny_run(**changes), tiny_corpus())
    for name in whole.dataset.data_vars:
        np.testing.assert_array_equal(run.dataset[name], whole.dataset[name], err_msg=str(name))
    one, two = run.model().state_dict(), whole.model().state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (run.path / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()


def test_the_dataset_says_who_was_treated_and_how_far_each_went(folder: Path) -> None:
    run = trained(folder, **controlled("exchange", first_layer=1))
    dataset = results.load(run.path / "dataset.nc")
    assert dataset["treated"].dtype == bool and dataset["treated"].sum("unit").values.tolist() == [0, 8]
    assert set(np.flatnonzero(dataset["treated"][1])) == chosen(1, 32, share=0.25)
    given, taken = dataset["path_length_given"].values, dataset["path_length"].values
    assert given.shape == (2, 32) and (given > 0).all() and (given[0] == taken[0]).all()
    assert (given[1] != taken[1])[dataset["treated"].values[1]].any()
    plain = trained(folder).dataset
    assert not {"treated", "path_length", "path_length_given"} & set(plain.data_vars)
    assert from_dict(type(run.config), to_dict(run.config)) == run.config


def test_from_the_state_of_a_run_without_control_it_begins_there(folder: Path) -> None:
    parent = trainer_of()
    for _ in range(6):
        parent.advance()
    resuming.save(parent, folder, "00")
    forks = {kind: trainer_of(**controlled(kind)) for kind in ("watch", "signs")}
    for fork in forks.values():
        resuming.restore(fork, folder)
    steps = {kind: run_steps(fork, EVERY) for kind, fork in forks.items()}
    parent.advance()
    np.testing.assert_array_equal(steps["watch"][0].after, steps["signs"][0].optimised)
    mask = forks["signs"].control.measured()["treated"]
    one_block = [np.sign((step.given * step.taken).sum(-1))[mask] for step in steps["signs"]]
    assert all((signs == one_block[0]).all() for signs in one_block[1:]) and set(one_block[0]) == {-1.0, 1.0}
    path = sum(np.sqrt((step.given**2).sum(-1)) for step in steps["watch"])
    np.testing.assert_allclose(forks["watch"].control.measured()["path_length"], path, rtol=1e-4)


@pytest.mark.parametrize("clip", [1.0, 0.0])
def test_the_gradients_of_some_batches_are_multiplied_before_they_are_clipped(clip: float) -> None:
    outliers = {"control.outliers.share": 0.25, "control.outliers.factor": 8.0}
    plain = {"train.optimizer": "sgd", "train.beta1": 0.0, "train.lr": 1e-3, "train.clip": clip}
    drawn, norms = [], []
    for step in range(40):
        one, other = trainer_of(**plain), trainer_of(**plain, **outliers)
        one.step = other.step = step
        before = [p.detach().clone() for p in one.model.parameters()]
        norm, larger = (float(each.advance()[1]) for each in (one, other))
        drawn.append(larger > 4 * norm)
        factor = 8.0 if drawn[-1] else 1.0
        assert larger == pytest.approx(factor * norm, rel=1e-5)
        if clip:
            factor = min(1, clip / larger) * factor / min(1, clip / norm)
        decay = 1 - one.optimizer.param_groups[0]["lr"] * one.config.train.weight_decay
        for p, q, was in zip(one.model.parameters(), other.model.parameters(), before, strict=True):
            kept = decay if p.ndim > 1 else 1.0
            torch.testing.assert_close(q - was * kept, factor * (p - was * kept), rtol=1e-3, atol=1e-6)
        norms.append(norm)
    assert 4 <= sum(drawn) <= 18 and (not clip or min(norms) * 8 > clip), "clipping was tried"
    config = OutlierConfig(share=0.01)
    hits = sum(updates.hashed(config.seed, 5, step) < 0.01 * 2**32 for step in range(20_000))
    assert 150 < hits < 250


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"share": 0.2}, "share = 0.2 is not read by a control of kind = none"),
        ({"seed": 1}, "seed = 1 is not read by a control of kind = none"),
        ({"first_layer": 1}, "first_layer = 1 is not read by a control of kind = none"),
        ({"every": 10}, "every = 10 is not read by a control of kind = none"),
        ({"kind": "watch", "every": 10}, "every = 10 is not read by a control of kind = watch"),
        ({"kind": "signs", "follow_falls": True}, "follow_falls = True is not read by a control of kind = signs"),
        ({"follow_falls": True}, "follow_falls = True is not read by a control of kind = none"),
        ({"kind": "signs", "first_layer": 2}, "first_layer = 2, but the model has 2 layers, .* one of 0 to 1"),
        ({"kind": "signs", "share": 0.01}, "share = 0.01 of 32 units treats 0 of them: .* expected 1 or more"),
        ({"kind": "exchange", "share": 0.04}, "treats 1 of them: for kind = exchange expected 2 or more"),
        ({"kind": "watch", "share": 0.99}, "treats 32 of them: .* and fewer than all"),
        ({"kind": "watch", "share": 1.5}, "share = 1.5: expected a share between 0 and 1"),
        ({"kind": "shuffle"}, "kind = 'shuffle': expected one of none, watch, exchange, signs, reflect, winsorise"),
        ({"kind": "signs", "every": 0}, "every = 0: expected a number above 0"),
        ({"outliers.factor": 5.0}, "factor = 5.0 is not read with share = 0"),
        ({"outliers.seed": 5}, "seed = 5 is not read with share = 0"),
        ({"outliers.share": 1.0}, "share = 1.0: expected 0 .none. or a share between 0 and 1"),
        ({"outliers.share": 0.1, "outliers.factor": 1.0}, "factor = 1 changes no gradient"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        replace(tiny_run(), **{f"control.{name}": value for name, value in fields.items()})
    assert str(raised.value).count(". ") == 0, "one sentence"


def test_there_is_no_direction_along_a_mean_of_zero() -> None:
    trainer = trainer_of(**{"model.bias": False}, **controlled("reflect", first_layer=1))
    with torch.no_grad():
        trainer.model.blocks[1].mlp_norm.weight.zero_()
    with pytest.raises(UserError, match=r"mean input of layer 1 is zero at step 0: .* give the model biases"):
        trainer.advance()
    biased = trainer_of(**controlled("reflect", first_layer=1))
    with torch.no_grad():
        biased.model.blocks[1].mlp_norm.weight.zero_()
    biased.advance()


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world", lambda: 2)
    with pytest.raises(UserError, match="each of 2 processes has its part of them; train with one"):
        loop._check(tiny_run(**controlled("watch")), tiny_corpus())
    loop._check(tiny_run(**{"control.outliers.share": 0.1}), tiny_corpus())
