"""Forks as one dataset: who lived, died and came back against loops over units, what is missing, and whole runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from forks_made import BINS, diverged, fork
from relusparsity import identity, train
from relusparsity.book import jobs, recorded
from relusparsity.config import replace
from relusparsity.errors import UserError
from relusparsity.experiments import attribution, forked, freezes, outliers, sealing, shared
from relusparsity.store import results

EXPERIMENTS: dict[str, Any] = {
    "attribution": attribution,
    "sealing": sealing,
    "outliers": outliers,
    "freezes": freezes,
}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "at 10 %": ("10 %", {"control.kind": "watch"}),
    "at 25 %": ("25 %", {"control.kind": "exchange", "control.share": 0.25}),
    "at 50 %": ("50 %", {"control.kind": "watch"}),
}


def run_at(point: str, **changes: Any) -> Any:
    parent = forked.parent("smoke", 2)
    return replace(parent, **{"fork.tokens": forked.tokens(parent, point)} | changes)


def of_units(dataset: xr.Dataset, name: str) -> list[list[float]]:
    return [[dataset[name].sel(layer=layer).values[unit] for unit in range(40)] for layer in range(6)]


def by_loops(dataset: xr.Dataset) -> dict[str, list[list[Any]]]:
    """Of each unit, as plain Python: whether it lived, is dead at the end, came back; and its tenth."""
    facts = json.loads(dataset.attrs["provenance"])
    at, end, n = facts["config"]["fork"]["tokens"], facts["tokens_seen"], dataset.attrs["dead_after"]
    names = ("fork_firing_count", "fork_last_fired", "earlier_firing_count", "last_fired")
    found: dict[str, list[list[Any]]] = {"lived": [], "dead": [], "back": [], "decile": []}
    for count, before, earlier, after in zip(*(of_units(dataset, name) for name in names), strict=True):
        lived = [count[unit] > 0 or at - before[unit] < n for unit in range(40)]
        found["lived"].append(lived)
        found["dead"].append([earlier[unit] == 0 and end - after[unit] >= n for unit in range(40)])
        found["back"].append([not lived[unit] and after[unit] > at for unit in range(40)])
        ranked = sorted((unit for unit in range(40) if lived[unit]), key=lambda unit: (count[unit], unit))
        found["decile"].append([10 * ranked.index(u) // len(ranked) if u in ranked else -1 for u in range(40)])
    return found


@pytest.mark.parametrize("point", ["25 %", "50 %"])
@pytest.mark.parametrize("steps", [0, 14])
def test_units_are_told_as_loops_over_them_do(point: str, steps: int) -> None:
    dataset = fork(run_at(point, **{"fork.steps": steps}), seed=steps)
    expected = by_loops(dataset)
    assert forked.lived(dataset).tolist() == expected["lived"]
    assert forked.dead_at_the_end(dataset).tolist() == expected["dead"]
    assert forked.came_back(dataset).tolist() == expected["back"]
    assert forked.deciles(dataset).tolist() == expected["decile"]
    for name in ("lived", "dead", "back"):
        assert 5 < np.sum(expected[name]) < 235, "some of either, or nothing is tested"


def test_all_live_where_no_n_tokens_have_passed_and_a_layer_of_the_dead_has_no_tenths() -> None:
    early = fork(run_at("10 %"))
    assert (early["fork_last_fired"] == 0).any() and forked.lived(early).all() and not forked.came_back(early).any()
    dead = fork(run_at("25 %"))
    for name in ("fork_firing_count", "fork_last_fired"):
        dead[name].loc[{"layer": 3}] = 0
    assert (forked.deciles(dead)[3] == -1).all() and (forked.deciles(dead)[2] == 9).any()


def test_counts_are_those_of_loops_over_units() -> None:
    rng = np.random.default_rng(1)
    which, one, other = rng.random((3, 50)) < 0.5, rng.integers(0, 4, (3, 50)), rng.integers(0, 2, (3, 50))
    found = forked.counted(which, (one, 4), (other, 2))
    expected = np.zeros((3, 4, 2), dtype=int)
    for layer in range(3):
        for unit in range(50):
            expected[layer, one[layer, unit], other[layer, unit]] += which[layer, unit]
    assert found.dtype.kind == "i" and found.tolist() == expected.tolist() and found.sum() == which.sum()
    assert forked.counted(which).tolist() == which.sum(1).tolist()


def made() -> tuple[shared.Config, list[xr.Dataset | None]]:
    """All forks of a small table, but for one that was not run and one that diverged; the first has no end."""
    config = forked.config("smoke", ARMS)
    runs: list[xr.Dataset | None] = [fork(run, place, every=4) for place, run in enumerate(config.runs)]
    runs[0] = diverged(runs[0])  # type: ignore[arg-type]
    runs[7] = None
    return config, runs


def test_what_is_kept_of_forks_is_what_each_dataset_says_and_missing_where_there_is_no_end() -> None:
    config, runs = made()
    dataset = forked.assemble(config, runs, ARMS, attribution.measured)
    assert dataset["arm"].values.tolist() == list(ARMS) and dataset["seed"].values.tolist() == [2, 3, 4, 5, 6]
    assert dataset["lived"].dims == ("arm", "seed", "layer", "decile", "treated")
    assert dataset["tokens"].values.tolist() == [256 * step for step in dataset["step"].values.tolist()]
    steps = {step for run in runs[1:] if run is not None for step in run["step"].values.tolist()}
    assert dataset["step"].values.tolist() == sorted(steps)
    facts = results.provenance(dataset)
    for place, run in enumerate(runs):
        seed, arm = divmod(place, 3)
        here = dataset.isel(arm=arm, seed=seed)
        assert facts["runs"][arm][seed] == ("not run" if run is None else f"{place:016x}")
        assert facts["parents"][arm][seed] == (None if run is None else f"{seed + 2:016x}")
        assert facts["wall_seconds"][arm][seed] == (0 if run is None else place)
        if place in (0, 7):
            assert all(np.isnan(of).all() for of in here.data_vars.values())
            continue
        assert run is not None
        units = by_loops(run)
        for layer in range(6):
            treated, path = run["treated"].sel(layer=layer).values, run["path_length"].sel(layer=layer).values
            for which in (0, 1):
                total = sum(path[unit] for unit in range(40) if treated[unit] == which)
                assert here["path_length"].values[layer, which] == pytest.approx(total)
                for tenth in range(10):
                    own = [u for u in range(40) if units["decile"][layer][u] == tenth and treated[u] == which]
                    assert here["lived"].values[layer, tenth, which] == len(own)
                    assert here["died"].values[layer, tenth, which] == sum(units["dead"][layer][u] for u in own)
        assert here["final_loss"] == run["final_loss"]
        np.testing.assert_allclose(here["final_batch_use"], sum(run["final_batch_use"].values) / 3)
        for step in sorted(steps):
            loss, there = float(here["heldout_loss"].sel(step=step)), step in run["step"]
            assert loss == float(run["heldout_loss"].sel(step=step)) if there else np.isnan(loss)


def test_of_dead_units_is_kept_how_many_came_back_and_their_hazard() -> None:
    config = sealing.config("smoke")
    runs: list[Any] = [fork(run, place) for place, run in enumerate(config.runs[:16])]
    dataset = sealing.assemble(config, [diverged(runs[0]), *runs[1:], *[None] * (len(config.runs) - 16)])
    assert dataset["silent_steps"].values.tolist() == list(BINS) and not {"decile", "treated"} & set(dataset.coords)
    for place, run in enumerate(runs[1:], 1):
        here, units = dataset.isel(arm=place % 15, seed=place // 15), by_loops(run)
        assert here["came_back"].values.tolist() == [sum(of_layer) for of_layer in units["back"]]
        assert here["dead_at_fork"].values.tolist() == [40 - sum(of_layer) for of_layer in units["lived"]]
        for name in ("silent_at_risk", "silent_fired"):
            np.testing.assert_array_equal(here[name], run[name])
    assert int(np.isfinite(dataset["came_back"]).sum()) == 15 * 6


def test_of_freezes_is_kept_who_lived_died_and_came_back_and_of_outliers_how_each_fell() -> None:
    for module in (freezes, outliers):
        config = module.config("smoke")
        runs: list[Any] = [fork(run, place) for place, run in enumerate(config.runs[: len(module.ARMS)])]
        dataset = module.assemble(config, [*runs, *[None] * (len(config.runs) - len(runs))])
        for place, run in enumerate(runs):
            here, units = dataset.isel(arm=place, seed=0), by_loops(run)
            died = [[lived and dead for lived, dead in zip(*each, strict=True)] for each in _two(units)]
            assert here["lived"].values.tolist() == [sum(of_layer) for of_layer in units["lived"]]
            assert here["died"].values.tolist() == [sum(of_layer) for of_layer in died]
            if module is freezes:
                assert here["came_back"].values.tolist() == [sum(of_layer) for of_layer in units["back"]]
                assert here["dead_at_fork"].values.tolist() == [40 - sum(of_layer) for of_layer in units["lived"]]
                continue
            np.testing.assert_allclose(here["path_length"], [sum(each) for each in of_units(run, "path_length")])
            counts = np.zeros((6, 2, 100))
            for layer, (falls, largest) in enumerate(zip(*(of_units(run, n) for n in NAMES), strict=True)):
                for unit in range(40):
                    if units["lived"][layer][unit] and falls[unit] > 0 and largest[unit] == largest[unit]:
                        percent = next(p for p in range(1, 101) if 100 * largest[unit] / falls[unit] <= p)
                        counts[layer, int(units["dead"][layer][unit]), percent - 1] += 1
            np.testing.assert_array_equal(here["falls_in_largest"], counts)
            assert counts.sum() > 50 and (counts.sum(2) > 0).all()
        assert np.isnan(dataset["died"].isel(seed=slice(1, None))).all() and len(dataset["seed"]) == 5


NAMES = ("falls", "largest_falls")


def _two(units: dict[str, list[list[Any]]]) -> list[tuple[list[Any], list[Any]]]:
    return list(zip(units["lived"], units["dead"], strict=True))


def test_without_any_end_there_is_nothing_to_compare() -> None:
    config, runs = made()
    with pytest.raises(UserError, match="none of 15 forks came to its end: there is nothing to compare"):
        forked.assemble(config, [runs[0], *[None] * 14], ARMS, attribution.measured)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_forks_are_listed_seed_by_seed_each_another_and_each_a_fork_of_its_parent(name: str) -> None:
    module = EXPERIMENTS[name]
    runs = module.config("mid").runs
    count = {"attribution": 13, "sealing": 15, "outliers": 5, "freezes": 8}[name]
    assert [run.seed for run in runs] == [seed for seed in (2, 3, 4, 5, 6) for _ in range(count)]
    assert len({identity.run_id(run, "text") for run in runs}) == len(runs) and len(module.ARMS) == count
    assert {run.parent for run in runs} == {forked.parent("mid", seed) for seed in (2, 3, 4, 5, 6)}
    points = [run.fork.tokens / run.train.tokens for run in runs[:count]]
    assert points == [forked.POINTS[point] for point, _ in module.ARMS.values()]
    assert {run.measure.earlier * run.train.batch_tokens for run in runs} == {1_048_576} == {runs[0].train.dead_after}
    assert set(module.EXPECTED) <= set(module.ARMS)
    assert all(low < high for low, high in module.EXPECTED.values()) and all(0 < p < 1 for p in module.CHANCES.values())
    (there,) = (each for each in recorded.recorded_at("mid", "first") if each.name == name)
    assert there.ran == bool(module.RAN) == there.path.exists()


@pytest.mark.parametrize("names", [("attribution", "sealing"), ("freezes", "outliers", "attribution"), ("sealing",)])
def test_a_recorder_trains_parents_once_with_the_states_of_both(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "path_of", lambda run: Path(identity.run_id(run, "text")))  # Mid's text is not here
    queue = jobs.jobs([recorded.Recorded(name, "mid", None, EXPERIMENTS[name]) for name in names])
    parents = [job.config for job in queue if job.parent is None]
    assert parents == [forked.parent("mid", seed) for seed in (2, 3, 4, 5, 6)]
    assert parents[0].train.fork_states == (4_915_200, 12_288_000, 24_576_000)
    forks = sum(len(EXPERIMENTS[name].ARMS) for name in names)
    assert len(queue) == 5 * (1 + forks) and len({job.path for job in queue}) == len(queue)


FEW: dict[str, dict[str, Any]] = {
    "attribution": {
        arm: attribution.ARMS[arm] for arm in ("at 25 %: untreated", "at 50 %: untreated", "at 25 %: signs of 1")
    },
    "sealing": {arm: sealing.ARMS[arm] for arm in (sealing.named(), sealing.floor(2))},
}
SHORT = {"measure.points": 4, "measure.final_sets": 1, "train.resume_every": 0, "train.snapshots": 0}
DYING = {"train.lr": 1e-2, "train.dead_after": 512, "measure.earlier": 2}
"""Two steps; so that units die and come back within 50 steps."""


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_whole_runs_become_a_dataset_that_agrees_with_theirs_and_comes_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, arms, of_parent = EXPERIMENTS[name], FEW[name], forked.parent
    monkeypatch.setattr(forked, "SEEDS", 2)
    monkeypatch.setattr(forked, "parent", lambda *given: replace(of_parent(*given), **SHORT, **DYING))
    monkeypatch.setattr(module, "ARMS", arms)
    config = module.config("smoke")
    assert len(shared.missing(config.runs)) == 2 * len(arms)
    dataset = module.run(config)
    assert not shared.missing([*config.runs, *(run.parent for run in config.runs)])
    for place, run in enumerate(config.runs):
        of = train.run(run).dataset
        here = dataset.isel(seed=place // len(arms), arm=place % len(arms))
        kinds = {"lived": forked.lived(of), "died": forked.lived(of) & forked.dead_at_the_end(of)}
        kinds |= {"dead_at_fork": ~forked.lived(of), "came_back": forked.came_back(of)}
        for kind in (there := set(kinds) & set(here.data_vars)):
            total = here[kind].sum([dim for dim in here[kind].dims if dim != "layer"])
            assert total.values.tolist() == kinds[kind].sum(1).tolist() and total.sum() > 0, "or nothing is tested"
        assert len(there) == 2 and float(here["final_loss"]) == float(of["final_loss"])
        assert here["seed"] == run.seed == 2 + place // len(arms)
    if name == "attribution":
        twin, _, control = (dataset.sel(arm=arm) for arm in arms)
        np.testing.assert_array_equal(twin["lived"], control["lived"], "they begin with one state")
        assert (twin["died"] != control["died"]).any() and (twin["path_length"] != control["path_length"]).any()
    else:
        free, floor = (dataset["came_back"].sel(arm=arm, layer=2).sum() for arm in arms)
        assert free != floor
    results.save(dataset, tmp_path / "again.nc")
    xr.testing.assert_identical(results.load(tmp_path / "again.nc"), dataset)
