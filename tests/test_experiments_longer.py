"""Longer training and repeated text: what the runs share, what they differ in, and how their ends are laid out."""

import numpy as np
import pytest
import xarray as xr

from relusparsity import corpora, results
from relusparsity.config import replace
from relusparsity.experiments import exploration, longer, repetition


def test_longer_runs_are_those_of_the_exploration_with_more_tokens() -> None:
    short, long = exploration.config("factorial").runs, longer.config("factorial").runs
    names = list(exploration.CHANGES)
    for name, run in zip(longer.CHANGES, long, strict=True):
        before = short[names.index(name)]
        assert run == replace(before, **{"train.tokens": 5 * before.train.tokens}) and run.train.steps == 30_000


def test_a_part_of_the_text_is_as_many_passes() -> None:
    run = repetition.config("smoke").runs[0]
    corpus = corpora.load(run.corpus)
    parts = [repetition.first_part(corpus, passes, run.train.tokens) for passes in (1, 4)]
    assert [round(run.train.tokens / len(part.train), 2) for part in parts] == [1, 4]
    assert len({corpus.checksum, *(part.checksum for part in parts)}) == 3, "other text, other run"
    assert (parts[1].train == corpus.train[: len(parts[1].train)]).all()
    assert parts[1].heldout is corpus.heldout
    enough = repetition.first_part(corpus, 1, 10 * len(corpus.train))
    assert enough is corpus, "a text that is too short for one pass is read as it is"


def test_repetition_differs_in_the_text_alone() -> None:
    dataset = repetition.run(repetition.config("smoke"))
    assert dataset["recipe"].values.tolist() == list(repetition.PASSES)
    assert dataset["changed"].values.tolist() == ["1.00 passes", "4.00 passes"]
    use = dataset["batch_use"].isel(seed=0)
    assert (use.isel(step=0, recipe=0) == use.isel(step=0, recipe=1)).all(), "the same weights to begin with"
    assert (use.isel(step=-1, recipe=0) != use.isel(step=-1, recipe=1)).any()


def test_lengths_takes_the_recipe_that_is_meant() -> None:
    final = np.array([[[[0.2, 0.4], [0.4, 0.6]]], [[[1.0, 1.0], [1.0, 1.0]]]])  # (recipe, seed, set, layer)
    final = np.concatenate([final, np.ones((2, 1, 2, 4))], axis=-1)
    two = xr.Dataset(
        {
            "final_batch_use": (("recipe", "seed", "set", "layer"), final),
            "final_loss": (("recipe", "seed"), [[3.0], [4.0]]),
        },
        {"recipe": ["lr × 2", "base"], "tokens": ("step", [0, 1000])},
    )
    table = longer.lengths(two, two.isel(recipe=1).assign_coords(tokens=("step", [0, 2000])))
    assert table.index.tolist() == ["1,000", "2,000"] and table["loss"].tolist() == [3.0, 4.0]
    assert table.loc["1,000", [0, 1, "loss", "seeds"]].tolist() == [30.0, 50.0, 3.0, 1]
    assert table.loc["1,000", "distance"] == pytest.approx(12.2)
    assert longer.lengths(two, recipe="base").loc["1,000", "loss"] == 4.0


def test_recorded_runs_differ_as_they_say() -> None:
    data = results.recorded("repetition", "factorial")
    assert data["changed"].values.tolist() == ["1.00 passes", "4.00 passes"]
    long = results.recorded("longer", "factorial")
    assert long["recipe"].values.tolist() == list(longer.CHANGES) and np.isfinite(long["final_loss"]).all()
