"""Forks of a run: a twin is its parent to the bit, what stands still stands still, and nobody is copied or lost."""

import json
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from fixtures_core import child, tiny_corpus, tiny_run
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.interventions import forks
from relusparsity.models import build
from relusparsity.store import results
from relusparsity.store.schema import FINAL, MEASURED
from relusparsity.train import Run, evaluate, forking, resuming
from relusparsity.train.step import Trainer
from test_train_resumed import assert_same_to_the_bit, warm_server  # noqa: F401 - a fixture
from train_made import trained

pytestmark = pytest.mark.usefixtures("one_thread")

AT, BATCH = 16, 64
"""Step of the fork, which the parent is measured at; tokens of a step."""
FORK = AT * BATCH
STATES = (1, AT, 20)
"""Steps whose states the parent keeps."""
KEEPS: dict[str, Any] = {
    "train.fork_states": tuple(step * BATCH for step in STATES),
    "measure.earlier": 4,
    "train.snapshots": 10,
}
ADDED = {f"intervention.{name}": value for name, value in {"kind": "add", "layer": 1, "strength": 2.0}.items()}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("parent"), **KEEPS)


def forked(parent: Run, **changes: Any) -> Run:
    """A fork of it, trained beside it."""
    return trained(parent.path.parent, **KEEPS | {"fork.tokens": FORK} | changes)


def begun(parent: Run, **changes: Any) -> Trainer:
    """The trainer of a fork at its first step."""
    fields = {f"fork.{name}": value for name, value in changes.items()}
    trainer = Trainer(replace(parent.config, **{"fork.tokens": FORK} | fields), tiny_corpus(), torch.device("cpu"))
    forking.begin(trainer, parent.path, parent.path, enabled=False)
    return trainer


def named(trainer: Trainer) -> dict[str, torch.Tensor]:
    """A copy of its weights."""
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def lines(run: Run) -> list[str]:
    return (run.path / "metrics.jsonl").read_text().splitlines()


@pytest.mark.parametrize(
    "changes",
    [{}, {"train.optimizer": "adafactor"}, {"train.optimizer": "sgd"}, ADDED, {"control.kind": "watch"}],
    ids=["adamw", "adafactor", "sgd", "intervention", "watched"],
)
def test_a_fork_that_changes_nothing_is_its_parent_to_the_bit(changes: dict[str, Any], tmp_path: Path) -> None:
    parent = trained(tmp_path, **KEEPS, **{name: of for name, of in changes.items() if "control" not in name})
    twin = forked(parent, **changes)
    assert twin.path.parent == parent.path.parent and twin.path != parent.path
    assert lines(twin) == lines(parent)[AT:]
    assert twin.snapshots() == [step for step in parent.snapshots() if step >= AT]
    for step in twin.snapshots():
        one, two = (run.model(step=step).state_dict() for run in (twin, parent))
        assert all(torch.equal(one[name], two[name]) for name in two)
    mine, theirs = twin.dataset, parent.dataset.sel(step=slice(AT, None))
    assert mine["step"].values.tolist() == theirs["step"].values.tolist() == [16, 24, 32, 40]
    since = ["deaths", "revivals", "train_loss", "train_token_use", "train_sequence_use"]
    at_all = [*FINAL, "earlier_firing_count", *(name for name in MEASURED if name not in since)]
    xr.testing.assert_identical(mine[at_all].drop_attrs(), theirs[at_all].drop_attrs())
    later = slice(AT + 1, None)
    xr.testing.assert_identical(mine[since].sel(step=later).drop_attrs(), theirs[since].sel(step=later).drop_attrs())
    if not changes:  # of the others, hardly a unit dies
        assert int(mine["death_count"].sum()) > int(mine["deaths"].sum()) > 0, "the counts of its parent go on"
    assert not mine["deaths"][0].any() and np.isnan(mine["train_loss"][0]), "nothing happened yet in the fork"
    common = np.intersect1d(mine["history_step"], parent.dataset["history_step"])
    xr.testing.assert_identical(
        *(each.sel(history_step=common)[["preactivation_mean"]].drop_attrs() for each in (mine, parent.dataset))
    )


def test_its_dataset_says_whose_fork_it_is_and_its_state_is_not_copied(parent: Run) -> None:
    twin = forked(parent)
    facts = results.provenance(twin.dataset)
    state = parent.path / "fork_states" / f"{AT:08d}" / "state.safetensors"
    assert facts["parent"] == {"run_id": parent.path.name[4:], "state": results.sha256(state)}
    assert facts["config"]["fork"]["tokens"] == FORK and "parent" not in results.provenance(parent.dataset)
    assert tuple(resuming.sealed.numbered(state.parents[1])) == STATES
    assert not list(twin.path.rglob("*state*")) and not (parent.path / "states").exists()


def test_keeping_states_and_an_earlier_reading_change_nothing_of_a_run(parent: Run, tmp_path: Path) -> None:
    plain = trained(tmp_path, **{"train.snapshots": 10})
    assert lines(plain) == lines(parent)
    xr.testing.assert_identical(
        plain.dataset.drop_attrs(), parent.dataset.drop_vars("earlier_firing_count").drop_attrs()
    )
    sequences = np.lib.stride_tricks.sliding_window_view(tiny_corpus().heldout, 9)[::8][: 3 * 8]
    counted = evaluate.firing_counts(parent.model(step=36), sequences, batch=5).unit_tokens
    assert np.array_equal(parent.dataset["earlier_firing_count"], counted)
    assert not np.array_equal(parent.dataset["final_firing_count"], counted)
    at_the_fork = evaluate.firing_counts(parent.model(step=AT), sequences, batch=5).unit_tokens
    assert np.array_equal(forked(parent).dataset["fork_firing_count"], at_the_fork)


def test_a_fork_of_some_steps_ends_early_on_its_parents_schedule(parent: Run) -> None:
    fork = forked(parent, **{"fork.steps": 10, "measure.earlier": 4})
    assert lines(fork) == lines(parent)[AT : AT + 10]
    assert fork.dataset["step"].values.tolist() == [16, 24, 26]
    assert results.provenance(fork.dataset)["tokens_seen"] == 26 * BATCH
    assert all(
        torch.equal(a, b) for a, b in zip(fork.model().parameters(), fork.model(step=26).parameters(), strict=True)
    )


def test_killed_at_any_write_it_resumes_to_the_bit(parent: Run, tmp_path: Path) -> None:
    changes = {**KEEPS, "fork.tokens": FORK, "fork.freeze_before": 1, "fork.decay_dead": False}
    changes |= {"fork.zero_moments": True}
    whole, rng = forked(parent, **changes), random.Random(1)
    shutil.copytree(parent.path, tmp_path / parent.path.name)
    killed = 0
    for _ in range(4):
        training = child(tmp_path, changes, dies_after=rng.randrange(15, 60))
        training.join()
        killed += training.exitcode == -signal.SIGKILL
    assert killed
    again = trained(tmp_path, **changes)
    assert {path.name for path in tmp_path.glob("run-*")} == {parent.path.name, again.path.name}, "it went on"
    assert_same_to_the_bit(again, whole)
    assert results.provenance(again.dataset)["parent"] == results.provenance(whole.dataset)["parent"]


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(
    "changes",
    [
        {"norm_place": "pre", "positions": "learned", "embedding_norm": True},
        {"norm_place": "post", "tied": False},
        {"norm_place": "parallel", "positions": "learned", "bias": False, "norm": "rmsnorm"},
    ],
    ids=["pre", "post", "parallel"],
)
def test_upstream_is_what_the_gradient_of_the_mlps_input_reaches(changes: dict[str, Any], layer: int) -> None:
    model = build(replace(tiny_run().model, **changes), 0, torch.device("cpu"))
    inputs: list[torch.Tensor] = []
    batch = torch.from_numpy(tiny_corpus().train[:36].astype(np.int64)).view(4, 9)
    model.predict(batch, observe=lambda at, x, *_: inputs.append(x))
    (inputs[layer] * torch.randn(inputs[layer].shape)).sum().backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert forks.upstream(model, layer) == reached and forks.upstream(model, None) == set()


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "sgd"])
def test_what_is_frozen_keeps_every_bit_and_the_norm_of_the_gradient(optimizer: str, tmp_path: Path) -> None:
    parent = trained(tmp_path, **KEEPS, **{"train.optimizer": optimizer})
    free, frozen = begun(parent), begun(parent, freeze_before=1)
    before = named(frozen)
    assert float(free.advance()[1]) == float(frozen.advance()[1]), "clipped by the same norm"
    for _ in range(5):
        frozen.advance()
    still = forks.upstream(frozen.model, 1)
    assert {name for name, value in named(frozen).items() if value.equal(before[name])} == still
    assert any(".0.mlp." in name for name in still) and not any(".1.mlp." in name for name in still)


def test_moments_of_zero_are_those_of_a_first_step(parent: Run) -> None:
    zeroed, goes_on = begun(parent, zero_moments=True), begun(parent)
    before = named(zeroed)
    for trainer in (zeroed, goes_on):
        trainer.advance()
    name, of = "blocks.1.mlp.fc_out.weight", parent.config.train
    lr = zeroed.optimizer.param_groups[0]["lr"]
    moved = [(named(t)[name] - before[name] * (1 - lr * of.weight_decay)).abs() / lr for t in (zeroed, goes_on)]
    fired = moved[0] > 1e-3  # Adam's first step is of the rate, where there is a gradient at all
    assert fired.any() and torch.allclose(moved[0][fired], torch.ones(()), atol=1e-2)
    assert not torch.allclose(moved[1][fired], torch.ones(()), atol=1e-2)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_biases_are_decayed_as_matrices_are(optimizer: str, tmp_path: Path) -> None:
    parent = trained(tmp_path, **KEEPS, **{"train.optimizer": optimizer})
    twin, decayed = begun(parent), begun(parent, decay_input_biases=True)
    before = named(twin)
    for trainer in (twin, decayed):
        trainer.advance()
    lost = twin.optimizer.param_groups[0]["lr"] * parent.config.train.weight_decay
    for name, value in named(twin).items():
        expected = value - lost * before[name] if name.endswith("mlp.fc_in.bias") else value
        torch.testing.assert_close(named(decayed)[name], expected, rtol=1e-5, atol=1e-7)
        assert named(decayed)[name].equal(value) == (not name.endswith("mlp.fc_in.bias"))


def of_units(trainer: Trainer) -> list[torch.Tensor]:
    """By layer: what belongs to each unit, (unit, numbers)."""
    rows = [(mlp.fc_in.weight, mlp.fc_in.bias[:, None], mlp.fc_out.weight.T) for mlp in trainer.model.mlps()]
    return [torch.cat(row, 1).detach().clone() for row in rows]


@pytest.mark.parametrize("spared", [True, False])
def test_units_dead_at_the_fork_keep_every_bit_until_they_fire(spared: bool, tmp_path: Path) -> None:
    """Row 16 of the ledger: upstream frozen, moments zeroed, no decay of what is dead."""
    parent = trained(tmp_path, **KEEPS, **{"model.d_ff": 64, "train.dead_after": BATCH})  # where some fire again
    trainer = begun(parent, freeze_before=0, zero_moments=True, decay_dead=not spared)
    deaths, at_the_fork = trainer.deaths, torch.cat(of_units(trainer))
    dead, same = deaths.dead.clone(), True
    living = ~dead
    while trainer.step < 40:
        before = torch.cat(of_units(trainer))
        silent = dead & (deaths.last_fired <= FORK)  # also those that will fire in this step have the fork's weights
        same &= before[silent].equal(at_the_fork[silent])
        trainer.advance()
    fired_again = dead & (deaths.last_fired > FORK)
    assert fired_again.any() and (dead & ~fired_again).any(), "some of either, or nothing is tested"
    assert same == spared, "decay alone moves the weights of a unit that gets no gradient"
    assert not before[living & ~deaths.dead].equal(at_the_fork[living & ~deaths.dead]), "the living are decayed"


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_decay_of_living_units_alone_is_decay_where_all_live(optimizer: str, tmp_path: Path) -> None:
    changes = {"train.optimizer": optimizer, "train.dead_after": 40 * BATCH}  # nobody is dead before the end
    parent = trained(tmp_path, **KEEPS, **changes)
    spared = forked(parent, **changes, **{"fork.decay_dead": False})
    assert lines(spared) == lines(parent)[AT:]


def test_a_fork_without_its_state_says_what_to_train(tmp_path: Path) -> None:
    changes = {"fork.tokens": FORK}
    wanted = rf"fork_states/{AT:08d} does not exist; train its parent, .* with train\.fork_states = \({FORK},\)\.$"
    with pytest.raises(UserError, match=wanted):
        trained(tmp_path, **changes)
    assert [path.name for path in tmp_path.iterdir()] == [], "nothing was begun"
    without = trained(tmp_path)
    with pytest.raises(UserError, match=rf"does not exist; delete .*{without.path.name}, which was trained without"):
        trained(tmp_path, **changes)
    shutil.rmtree(without.path)
    parent = trained(tmp_path, **{"train.fork_states": (FORK,)})
    (state,) = parent.path.rglob(resuming.STATE)
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"state\.safetensors is damaged.*train it again, with train\.fork_states"):
        trained(tmp_path, **changes)


def test_a_state_of_another_pytorch_is_refused(parent: Run, tmp_path: Path) -> None:
    shutil.copytree(parent.path, tmp_path / parent.path.name)
    environment = json.loads((parent.path / "environment.json").read_text())
    environment["packages"]["torch"] = "1.0"
    resuming.sealed.write_json(tmp_path / parent.path.name / "environment.json", environment)
    with pytest.raises(UserError, match=r"was made with PyTorch 1\.0, this is .*; use that version, or delete"):
        trained(tmp_path, **KEEPS, **{"fork.tokens": FORK})
