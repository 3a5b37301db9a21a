"""Taking a common direction out of a layer, and putting one in: the list of runs, and row 15 judged each way."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from claims_made import told
from relusparsity import corpora, identity
from relusparsity.config import InterventionConfig, replace
from relusparsity.experiments import dissociation, variants

HOLDS = {
    "untreated": (70, 30, 96),
    "centre, layer 1": (70, 95, 96),
    "centre, placebo, layer 1": (70, 40, 96),
    "add 2, layer 5": (70, 30, 20),
    "add 2, placebo, layer 5": (70, 30, 90),
}


def ends(changes: dict[tuple[str, int], tuple[float, ...]], seeds: tuple[int, ...] = (2, 3, 4)) -> xr.Dataset:
    """Made-up ends in which row 15 holds, but for these arms of these seeds: U of layers 0, 1, 5 in percent."""
    use = np.full((len(dissociation.ARMS), len(seeds), 2, 6), np.nan)
    for at, arm in enumerate(dissociation.ARMS):
        for place, seed in enumerate(seeds):
            if arm in HOLDS:
                use[at, place, :, [0, 1, 5]] = np.array(changes.get((arm, seed), HOLDS[arm]))[:, None] / 100
                use[at, place, 1] += 0.01
                use[at, place, 0] -= 0.01
    dataset = xr.Dataset(
        {"final_batch_use": (("recipe", "seed", "set", "layer"), use)},
        {"recipe": list(dissociation.ARMS), "seed": list(seeds), "layer": range(6)},
    )
    return told(dataset, np.isnan(use).all((2, 3)))


@pytest.mark.parametrize(
    ("changes", "word", "holds"),
    [
        ({}, "reproduced", [True] * 3),
        ({("centre, layer 1", 3): (70, 89, 96)}, "inconclusive", [True, False, True]),
        ({("add 2, layer 5", seed): (70, 30, 51) for seed in (2, 3, 4)}, "not reproduced", [False] * 3),
        ({("centre, placebo, layer 1", 2): (70, 47, 96)}, "inconclusive", [False, True, True]),
        ({("centre, placebo, layer 1", 2): (70, 13, 96)}, "inconclusive", [False, True, True]),  # either way
        ({("add 2, placebo, layer 5", 4): (70, 30, 76)}, "inconclusive", [True, True, False]),
        ({("untreated", 4): (70, 51, 96)}, "not yet tested", [True, True, None]),
        ({("add 2, layer 5", 2): (np.nan,) * 3}, "not yet tested", [None, True, True]),
    ],
)
def test_row_15_comes_out_each_way(changes: Any, word: str, holds: list[bool | None]) -> None:
    finding = dissociation.judge(ends(changes))
    assert [reading.holds for reading in finding.readings] == holds
    assert dissociation.verdict(finding) == word
    assert all(bool(reading.note) == (reading.holds is None) for reading in finding.readings)
    lacks = any(values[0] != values[0] for values in changes.values())
    assert finding.to_come == ("1 of 15 runs is still to come" if lacks else "")


def test_two_seeds_are_no_verdict() -> None:
    assert dissociation.verdict(dissociation.judge(ends({}, seeds=(2, 3)))) == "not yet tested"


def test_predictions_are_of_the_treated_layer_and_open_where_nothing_was_run() -> None:
    table = dissociation.predicted(ends({})).set_index(["arm", "layer"])
    assert table.loc[("centre, layer 1", 1), ["written before", "came"]].tolist() == ["85–100", 95.0]
    assert table.loc[("centre, layer 1", 1), "holds"] is True and table.loc[("add 2, layer 5", 5), "holds"] is False
    assert table.loc[("add 1, layer 5", 5), "holds"] is None
    assert [layer for arm, layer in table.index if arm == "untreated"] == [0, 1, 5]
    assert len(table) == len(dissociation.ARMS) + 2


def test_the_most_important_runs_come_first_and_each_is_another() -> None:
    arms = list(dissociation.arms("factorial"))
    assert len(arms) == 66 and [run.seed for _, run in arms] == [2] * 22 + [3] * 22 + [4] * 22
    assert [name for name, _ in arms[22:27]] == list(HOLDS), "a part of the list judges a part of the seeds"
    assert len({identity.run_id(run, "text") for _, run in arms}) == 66
    by_name = dict(arms[:22])
    twin = by_name["untreated"]
    assert twin.intervention == InterventionConfig() and twin.train.tokens == 49_152_000
    assert all(replace(run, intervention=InterventionConfig()) == twin for run in by_name.values())
    assert by_name["centre, placebo, layer 0"].intervention == InterventionConfig("centre", 0, placebo=True, seed=2)
    assert by_name["add 2, layer 5"].intervention == InterventionConfig("add", 5, 2.0, seed=2)
    assert by_name["add 2 along, layer 1"].intervention == InterventionConfig("add", 1, 2.0, "along")
    treatments = {(r.intervention.kind, r.intervention.strength, r.intervention.placebo) for r in by_name.values()}
    assert treatments == {
        ("none", 0.0, False), ("centre", 0.0, False), ("centre", 0.0, True),
        ("add", 0.5, False), ("add", 1.0, False), ("add", 2.0, False), ("add", 2.0, True),
    }  # fmt: skip


def test_what_was_run_is_one_dataset_with_the_rest_missing() -> None:
    config = dissociation.config("smoke")
    corpus = corpora.load(config.runs[0].corpus)
    made = {run: variants.measured(run, corpus) for run in config.runs[:2]}
    dataset = dissociation.assemble(config, [made.get(run) for run in config.runs])
    assert dataset.sizes["recipe"] == 22 and dataset["seed"].values.tolist() == [config.runs[0].seed]
    use = dataset["final_batch_use"].isel(seed=0)
    for arm, run in zip(dissociation.ARMS, made, strict=False):
        np.testing.assert_array_equal(use.sel(recipe=arm), made[run]["final_batch_use"])
    assert use.isel(recipe=slice(2, None)).isnull().all()
    assert [reading.holds for reading in dissociation.judge(dataset).readings] == [None]
