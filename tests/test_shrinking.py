"""Units removed while a run trains: function, moments and counters of those that stay are what they were."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import corpora, distributed, identity, interventions
from relusparsity.config import PruneConfig, RunConfig, from_dict, replace, to_dict
from relusparsity.counting.deaths import DeathTracker
from relusparsity.errors import UserError
from relusparsity.store import results
from relusparsity.train import Run, evaluate, loop, shrinking
from relusparsity.train.step import Trainer
from train_made import trained

pytestmark = pytest.mark.usefixtures("one_thread")
pytest_plugins = ("train_made",)

BATCH = 64
AT = (16 * BATCH, 24 * BATCH)
PRUNES: dict[str, Any] = {"prune.tokens": AT, "prune.multiple": 4, "measure.earlier": 4, "train.snapshots": 5}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("pruned"), **PRUNES)


def begun(steps: int, **changes: Any) -> Trainer:
    trainer = Trainer(tiny_run(**changes), tiny_corpus(), torch.device("cpu"))
    for _ in range(steps):
        trainer.advance()
    return trainer


def batch(trainer: Trainer, step: int) -> torch.Tensor:
    return torch.from_numpy(corpora.batch(trainer.corpus.train, 8, 8, trainer.config.seed, step))


def fired(trainer: Trainer, tokens: torch.Tensor) -> list[np.ndarray]:
    """Which units of each layer fire in a batch."""
    found: list[np.ndarray] = []
    with torch.no_grad():
        trainer.model.predict(tokens, observe=lambda _l, _x, _z, a: found.append((a > 0).any(0).any(0)))
    return [each.numpy() for each in found]


@pytest.mark.parametrize("changes", [{}, {"model.bias": False, "model.d_ff": (32, 20)}], ids=["biases", "uneven"])
def test_without_units_silent_on_a_batch_the_function_is_the_same_there(changes: dict[str, Any]) -> None:
    trainer = begun(24, **changes)
    tokens = batch(trainer, 3)[:1, :4]
    there = fired(trainer, tokens)
    assert 0 < sum(each.sum() for each in there) < sum(map(len, there))
    with torch.no_grad():
        whole = trainer.model.predict(tokens)[0]
        if not changes:  # masks are for layers of one width
            masked = interventions.mask(trainer.model, ~np.stack(there)).predict(tokens)[0]
            assert torch.equal(masked, whole)
        trainer.keep([torch.from_numpy(np.flatnonzero(each)) for each in there])
        cut = trainer.model.predict(tokens)[0]
    assert trainer.model.widths() == [int(each.sum()) for each in there]
    assert float((cut - whole).abs().max()) <= 1e-5


def silenced(optimizer: str) -> tuple[Trainer, list[torch.Tensor]]:
    """A trainer whose every third unit can never fire, and the others."""
    trainer = begun(6, **{"train.optimizer": optimizer})
    with torch.no_grad():
        for mlp in trainer.model.mlps():
            mlp.fc_in.bias[::3] = -1e9
    return trainer, [torch.tensor([unit for unit in range(32) if unit % 3]) for _ in range(2)]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_without_units_that_never_fire_training_goes_on_as_with_them(optimizer: str) -> None:
    (whole, kept), (cut, _) = silenced(optimizer), silenced(optimizer)
    cut.keep(kept)
    for _ in range(6):
        one, other = whole.advance(), cut.advance()
        torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-5)
    for mlp, smaller, units in zip(whole.model.mlps(), cut.model.mlps(), kept, strict=True):
        torch.testing.assert_close(mlp.fc_in.weight[units], smaller.fc_in.weight, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(mlp.fc_out.weight[:, units], smaller.fc_out.weight, rtol=1e-3, atol=1e-4)


def moments(trainer: Trainer) -> dict[str, dict[str, torch.Tensor]]:
    named = {name: trainer.optimizer.state[weight] for name, weight in trainer.model.named_parameters()}
    return {name: {key: value.clone() for key, value in of.items()} for name, of in named.items()}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
def test_moments_of_what_stays_stay(optimizer: str) -> None:
    trainer, kept = silenced(optimizer)
    before = moments(trainer)
    trainer.keep(kept)
    after, units = moments(trainer), kept[0]
    assert before.keys() == after.keys() and all(before[name].keys() == after[name].keys() for name in after)
    for name, of in after.items():
        rows = ".mlp.fc_in." in name
        if optimizer == "adafactor" and name.endswith("weight") and ".mlp." in name:
            estimates = [m["row_var"] * m["col_var"] / m["row_var"].mean() for m in (before[name], of)]
            expected = estimates[0][units] if rows else estimates[0][:, units]
            torch.testing.assert_close(estimates[1], expected, rtol=1e-5, atol=0)
            continue
        for key, value in of.items():
            was = before[name][key]
            if was.ndim and (rows or name.endswith("mlp.fc_out.weight")):
                was = was[units] if rows else was[:, units]
            assert torch.equal(value, was), (name, key)
    loss, _ = trainer.advance()
    assert torch.isfinite(loss) and trainer.optimizer.state[trainer.model.mlps()[0].fc_in.weight]


def test_the_longest_dead_go_and_widths_stay_multiples() -> None:
    deaths, n = DeathTracker([8, 8, 8], 100), 100
    deaths.last_fired = torch.tensor([500, 0, 390, 380, 460, 400, 395, 0] + [0] * 8 + [500] * 8)
    deaths.dead = 500 - deaths.last_fired >= n
    places = [torch.arange(8) for _ in range(3)]
    kept = shrinking.staying(PruneConfig((500,), multiple=4), 0, deaths, places)
    # of six dead, those two stay that fired last; a layer keeps one multiple, of equals the first; and all that live
    assert [each.tolist() for each in kept] == [[0, 4, 5, 6], [0, 1, 2, 3], list(range(8))]
    assert [len(each) for each in shrinking.staying(PruneConfig((500,), multiple=2), 0, deaths, places)] == [2, 2, 8]


def test_counters_are_exact_across_removals(run: Run) -> None:
    """Every unit against a loop over the steps, until it is removed; the units by the names that they began with."""
    trainer, n = begun(0, **PRUNES), run.config.train.dead_after
    last, deaths, revivals = (np.zeros((2, 32), dtype=int) for _ in range(3))
    onset, dead, removed = np.full((2, 32), -1), np.zeros((2, 32), dtype=bool), np.full((2, 32), np.nan)
    for step in range(40):
        if step * BATCH in AT:  # which units go is known once they have gone: the trainer says it in this step
            was = [units.copy() for units in trainer.axis.units]
            trainer._remove_units()
            for layer, (before, now) in enumerate(zip(was, trainer.axis.units, strict=True)):
                gone = np.setdiff1d(before, now)
                removed[layer, gone] = step * BATCH
                assert dead[layer, gone].all(), "nobody goes that lives"
                assert len(now) == max(1, -(-int((~dead[layer][before]).sum()) // 4)) * 4
        firing = fired(trainer, batch(trainer, step))
        for layer, (units, seen) in enumerate(zip(trainer.axis.units, firing, strict=True)):
            for unit, fires in zip(units, seen, strict=True):
                now = (step + 1) * BATCH
                revivals[layer, unit] += dead[layer, unit] and fires
                last[layer, unit] = now if fires else last[layer, unit]
                is_dead = now >= n and now - last[layer, unit] >= n
                if is_dead and not dead[layer, unit]:
                    deaths[layer, unit] += 1
                    onset[layer, unit] = last[layer, unit] if onset[layer, unit] < 0 else onset[layer, unit]
                dead[layer, unit] = is_dead
        trainer.advance()
    data = run.dataset
    assert np.isfinite(removed).sum() > 8 and revivals[np.isfinite(removed)].any(), "nothing would be tested"
    np.testing.assert_array_equal(data["removed_at"], removed)
    np.testing.assert_array_equal(data["last_fired"], last)
    np.testing.assert_array_equal(data["death_count"], deaths)
    np.testing.assert_array_equal(data["revival_count"], revivals)
    np.testing.assert_array_equal(data["death_onset"], np.where(onset < 0, np.nan, onset))
    np.testing.assert_array_equal(data["deaths"].sum("step"), deaths.sum(1))
    np.testing.assert_array_equal(data["revivals"].sum("step"), revivals.sum(1))
    there = np.isnan(removed)
    np.testing.assert_array_equal(data["dead_units"][-1], (dead & there).sum(1))
    np.testing.assert_array_equal(data["width"][-1], there.sum(1))
    assert data["last_fired"].dtype.kind == data["death_count"].dtype.kind == "i", "they are known of every unit"


def test_a_dataset_counts_by_the_units_that_a_layer_began_with(run: Run) -> None:
    data, sequences = run.dataset, corpora.heldout_sequences(tiny_corpus().heldout, 8)[: 3 * 8]
    model, there = run.model(), data["removed_at"].isnull().values
    assert model.widths() == there.sum(1).tolist() == data["width"][-1].values.tolist() and data.attrs["d_ff"] == 32
    use = evaluate.firing_counts(model, sequences, 5)
    for layer, counted in enumerate(use.layers):
        counts = data["final_firing_count"][layer].values
        np.testing.assert_array_equal(np.isnan(counts), ~there[layer])
        np.testing.assert_array_equal(counts[there[layer]], counted.unit_tokens)
        assert float(data["final_token_use"][layer]) * 32 * use.tokens == pytest.approx(counts[there[layer]].sum())
        assert float(data["final_rarefied_use"][layer, 0]) == pytest.approx(float(data["final_token_use"][layer]))
        np.testing.assert_array_equal(data["input_bias"][-1, layer].isnull(), ~there[layer][data["history_unit"]])
    small = sequences[: 2 * 8]  # what is read at a measurement
    model = run.model(step=24)
    shares = evaluate.measure(model, small, 8).batch_use.mean(0)
    np.testing.assert_allclose(32 * data["batch_use"].sel(step=24), shares * model.widths(), rtol=1e-6)
    assert (data["silent_units"] <= data["width"]).all(), "who has gone is not silent"
    earlier = evaluate.firing_counts(run.model(step=32), sequences, 5).layers[1].unit_tokens
    assert data["earlier_firing_count"][1].notnull().sum() == len(earlier)


def test_seconds_of_removals_and_of_first_steps_stand_apart(run: Run) -> None:
    facts = results.provenance(run.dataset)
    seconds, training = facts["seconds"], facts["training_seconds"]
    assert list(seconds) == ["first_steps", "other", "removing", "training"] and min(seconds.values()) > 0
    assert sum(seconds.values()) == pytest.approx(facts["wall_seconds"], abs=0.5)
    assert len(training) == run.dataset.sizes["step"] and training == sorted(training)
    assert training[0] == 0 and training[-1] == pytest.approx(seconds["training"], abs=0.01)


def test_the_step_is_compiled_once_more_for_each_removal_that_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[list[int]] = []

    def compiling(objective: Any) -> Any:
        compiled.append(objective.model.widths())
        return objective

    monkeypatch.setattr(torch, "compile", compiling)
    trainer = begun(40, **PRUNES | {"train.compile": True})
    assert compiled[0] == [32, 32] and len(compiled) == 3 and compiled[-1] == trainer.model.widths()
    compiled.clear()
    begun(40, **PRUNES | {"train.compile": True, "prune.multiple": 32})
    assert len(compiled) == 1, "nothing was removed, and nothing compiled again"


def test_random_removals_take_as_many_of_others(run: Run, tmp_path: Path) -> None:
    steps = run.dataset["step"].values
    widths = [w for tokens in AT for w in run.dataset["width"].values[np.searchsorted(steps, tokens // BATCH + 1)]]
    changes = PRUNES | {"prune.rule": "random", "prune.widths": tuple(int(width) for width in widths)}
    twin = trained(tmp_path, **changes)
    np.testing.assert_array_equal(twin.dataset["width"], run.dataset["width"])
    assert not twin.dataset["removed_at"].equals(run.dataset["removed_at"])
    mine, theirs = ((each.path / "metrics.jsonl").read_text().splitlines() for each in (twin, run))
    assert mine[:16] == theirs[:16] and mine[16:] != theirs[16:]
    deaths, places = DeathTracker([32, 32], 64), [torch.arange(32)] * 2
    drawn = [PruneConfig((64, 128), "random", (16,) * 4, 4, seed) for seed in (0, 1)]
    one, again, later, other = (
        [each.tolist() for each in shrinking.staying(config, removal, deaths, places)]
        for config, removal in ((drawn[0], 0), (drawn[0], 0), (drawn[0], 1), (drawn[1], 0))
    )
    assert one == again and one[0] != one[1] and one != later and one != other
    assert all(len(set(units)) == 16 and units == sorted(units) for units in (*one, *later, *other))


def test_without_it_a_run_keeps_its_name_and_it_is_part_of_one_that_prunes() -> None:
    assert not any("prune" in name for name in identity.changed(tiny_run()))
    pruned = tiny_run(**PRUNES)
    assert identity.changed(pruned)["prune.tokens"] == AT
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(pruned)))) == pruned
    fork = replace(pruned, **{"fork.tokens": 8 * BATCH})
    assert fork.parent.prune == PruneConfig(), "its parent has all units"


def test_shares_of_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world", lambda: 2)
    with pytest.raises(UserError, match=r"removed from whole rows.*shard = True shares them out; use shard = False"):
        loop._check(tiny_run(**PRUNES, **{"train.shard": True}), tiny_corpus())
