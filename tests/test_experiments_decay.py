"""The run with a stronger decay: what it changes, and what its table says that AdamW does to a weight."""

import math

import pytest
import torch

from relusparsity import results, scales, train
from relusparsity.config import replace
from relusparsity.experiments import equal_decay, exploration, layer_patterns, rotary, stronger_decay


def test_it_changes_rate_decay_and_length_of_a_seed_without_a_verdict() -> None:
    (run,) = stronger_decay.config("paper_first").runs
    assert run.seed in scales.SEARCH_SEEDS["paper"] and run.seed not in scales.SEEDS["paper"]
    assert run.train.steps == 28_000 and (run.train.lr, run.train.weight_decay) == (3e-4, 2.0)
    first = scales.base("paper_first", run.seed)
    back = {
        name: getattr(first.train, name.partition(".")[2])
        for name in ("train.lr", "train.weight_decay", "train.tokens")
    }
    assert replace(run, **back) == first


def test_the_recipe_that_it_found_is_that_of_scale_paper() -> None:
    (run,) = stronger_decay.config("paper_first").runs
    frozen = scales.base("paper", run.seed)
    assert replace(run, **{"train.resume_every": frozen.train.resume_every}) == frozen  # states change no result
    assert {run.seed for run in layer_patterns.config("paper").runs}.isdisjoint(scales.SEARCH_SEEDS["paper"])


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_weight_without_a_gradient_shrinks_by_the_summed_decay(schedule: str) -> None:
    run = replace(scales.base("smoke"), **{"train.schedule": schedule, "train.lr": 1e-3, "train.weight_decay": 3.0})
    weight = torch.nn.Parameter(torch.ones(1, 1, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], weight_decay=run.train.weight_decay)
    for step in range(run.train.steps):
        optimizer.param_groups[0]["lr"] = train.learning_rate(run.train, step * run.train.batch_tokens)
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert -math.log(weight.item()) == pytest.approx(stronger_decay.summed_decay(run), rel=5e-3)


def test_a_recipe_is_summed_as_it_was_trained() -> None:
    short = results.recorded("exploration", "factorial")
    table = stronger_decay.by_summed_decay({name: short.sel(recipe=name) for name in ("lr × 2", "decay × 2", "base")})
    assert table.index[0] == "base" and table["sum"].tolist() == [1.0, 2.0, 2.0]
    assert table.loc["decay × 2", "decay"] == exploration.CHANGES["decay × 2"]["train.weight_decay"]
    assert table.loc["lr × 2", 0] == exploration.endings(short).loc["lr × 2", 0]


def test_the_four_recipes_have_the_sum_of_the_run_before_them() -> None:
    (longer,) = stronger_decay.config("paper_first").runs
    runs = equal_decay.config("paper_first").runs
    for run in runs:
        assert run.train.tokens == scales.base("paper_first").train.tokens and run.seed == longer.seed
        assert stronger_decay.summed_decay(run) == pytest.approx(stronger_decay.summed_decay(longer), rel=0.01)


def test_each_of_the_four_is_summed_as_it_was_trained() -> None:
    four = results.recorded("equal_decay", "paper_first")
    table = stronger_decay.by_summed_decay({name: four.sel(recipe=name) for name in equal_decay.CHANGES})
    assert table["sum"].tolist() == [9.2] * 4
    for name, changes in equal_decay.CHANGES.items():
        assert (table.loc[name, "rate"], table.loc[name, "decay"]) == (
            changes["train.lr"],
            changes["train.weight_decay"],
        )
        assert table.loc[name, 5] == exploration.endings(four).loc[name, 5]


def test_the_rotary_recipes_differ_from_that_of_the_larger_sum_in_decay_alone() -> None:
    names = list(equal_decay.CHANGES)
    larger = equal_decay.config("paper_first").runs[names.index("rate ÷ 2, rotary")]
    recorded = results.recorded("rotary", "paper_first")
    assert recorded["recipe"].values.tolist() == list(rotary.CHANGES)
    kept = results.provenance(recorded)["configs"]
    for run, name in zip(rotary.config("paper_first").runs, rotary.CHANGES, strict=True):
        assert replace(run, **{"train.weight_decay": larger.train.weight_decay}) == larger
        assert kept[name]["train"]["weight_decay"] == run.train.weight_decay
